"""Whatever the CLI opens it closes, also when it fails or follows a new leader."""

from __future__ import annotations

import pytest

from pymesos_cli import jobs_stub, leader, sandboxes
from pymesos_cli.cluster import Cluster
from pymesos_cli.jobs_stub import jobs_at
from pymesos_cli.sandboxes import sandbox_of
from pymesos_core.addresses import HostPort
from pymesos_core.contexts import Way
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2


class FakeChannel:
    """Counts those that are open."""

    opened: set[FakeChannel]

    def __init__(self, _address: HostPort, *_: object) -> None:
        self.opened.add(self)

    async def close(self) -> None:
        self.opened.discard(self)

    async def __aenter__(self) -> FakeChannel:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __getattr__(self, name: str) -> object:
        return lambda *_, **__: None  # calls are not made


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> set[FakeChannel]:
    FakeChannel.opened = set()
    for module in (leader, sandboxes, jobs_stub):
        monkeypatch.setattr(module, "open_channel", FakeChannel)
    return FakeChannel.opened


class GoneWrongError(Exception):
    """What a command ends with."""


async def test_a_cluster_has_one_channel_and_closes_it(opened: set[FakeChannel]) -> None:
    with pytest.raises(GoneWrongError):
        async with Cluster(Way("127.0.0.1:1"), 1.0) as cluster:
            await cluster.leader_channel()
            await cluster.leader_channel()
            assert len(opened) == 1
            cluster._leader._detector.hint(HostPort("127.0.0.1", 2))
            await cluster.leader_channel()
            assert len(opened) == 1, "the old leader's is closed"
            raise GoneWrongError
    assert not opened


async def test_ways_to_agents_and_jobs_are_closed(
    opened: set[FakeChannel], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answers(*_: object) -> bool:
        return True

    monkeypatch.setattr(sandboxes, "_answers", answers)
    address = types_pb2.Address(ip="127.0.0.1", port=1)
    async with Cluster(Way("127.0.0.1:1"), 1.0) as cluster:
        with pytest.raises(GoneWrongError):
            async with sandbox_of(cluster, pb.TaskView(agent_address=address)):
                assert len(opened) == 1
                raise GoneWrongError
        assert not opened
        with pytest.raises(GoneWrongError):
            async with jobs_at(cluster, "127.0.0.1:1"):
                assert len(opened) == 1
                raise GoneWrongError
        assert not opened
