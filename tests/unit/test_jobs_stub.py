"""Calls of Jobs services go to the instance that leads, and a stream is one of one instance."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import grpc
import grpc.aio
import pytest

from pymesos_cli.errors import CliError
from pymesos_cli.jobs import run as module
from pymesos_cli.jobs_stub import FollowingJobs
from pymesos_core.addresses import HostPort
from pymesos_core.following import LEADER_KEY
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_proto.v1 import operator_pb2, types_pb2
from pymesos_simulation.loop import SimulatedLoop
from pymesos_simulation.timeline import Timeline

A, B = HostPort("a", 1), HostPort("b", 1)
Said = pb.JobView | grpc.aio.AioRpcError | float  # a view, the error it ends with, or seconds


def error(code: grpc.StatusCode, leader: str | None) -> grpc.aio.AioRpcError:
    trailing = () if leader is None else ((LEADER_KEY, leader),)
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailing), "no")


def refusal(leader: str) -> grpc.aio.AioRpcError:
    return error(grpc.StatusCode.FAILED_PRECONDITION, leader)


def view(*names: str, more: bool = False, state: str = "running", of: str = "") -> pb.JobView:
    made = [pb.InstanceView(name=name, task_name="web", serving=True) for name in names]
    return pb.JobView(job_id="j", state=state, instances=made, more=more, framework_id=of)


async def say(*what: Said) -> AsyncIterator[pb.JobView]:
    for each in what:
        if isinstance(each, float):
            await asyncio.sleep(each)
        elif isinstance(each, grpc.aio.AioRpcError):
            raise each
        else:
            yield each


class FakeChannel:
    """One to an instance that has a script for each stream of WatchJob."""

    def __init__(self, scripts: list[Sequence[Said]]) -> None:
        self.scripts = scripts

    def unary_stream(self, *_: object, **__: object) -> Callable[..., AsyncIterator[pb.JobView]]:
        return lambda *_, **__: say(*self.scripts.pop(0))

    def unary_unary(self, *_: object, **__: object) -> None:
        """Not made here."""

    async def close(self) -> None:
        """Nothing is open."""


def stub(scripts: dict[HostPort, list[Sequence[Said]]]) -> Any:
    return FollowingJobs(A, lambda at: cast("grpc.aio.Channel", FakeChannel(scripts[at])))


async def heard(jobs: Any) -> tuple[list[str], grpc.StatusCode | None]:
    """The names of the instances that are told of, and what the stream ends with."""
    names: list[str] = []
    try:
        async for each in jobs.WatchJob(pb.WatchJobRequest(job_id="j")):
            names += [i.name for i in each.instances]
    except grpc.aio.AioRpcError as ends:
        return names, ends.code()
    return names, None


async def test_a_stream_that_is_refused_begins_where_it_is_said_to() -> None:
    jobs = stub({A: [[refusal("b:1")]], B: [[view("web.0")]]})
    assert await heard(jobs) == (["web.0"], None)
    assert jobs.address == B


@pytest.mark.parametrize(
    "end", [refusal("b:1"), error(grpc.StatusCode.UNAVAILABLE, "")], ids=["another", "none"]
)
async def test_one_that_was_begun_ends_for_its_reader_when_its_instance_leads_no_more(
    end: grpc.aio.AioRpcError,
) -> None:
    jobs = stub({A: [[view("web.0"), end], [view("web.1")]], B: [[view("web.1")]]})
    assert await heard(jobs) == (["web.0"], grpc.StatusCode.UNAVAILABLE)


async def test_another_error_stays_what_it_is() -> None:
    end = error(grpc.StatusCode.PERMISSION_DENIED, None)
    assert await heard(stub({A: [[view(), end]]})) == ([], grpc.StatusCode.PERMISSION_DENIED)


def test_the_time_to_find_the_leader_counts_from_the_first_refusal() -> None:
    jobs = stub({A: [[60.0, refusal("b:1")]], B: [[view("web.0")]]})
    loop = SimulatedLoop(Timeline(0))
    assert loop.run_until_complete(heard(jobs)) == (["web.0"], None)


class Frameworks:
    """Frameworks that serve jobs, each at an address, with streams of WatchJob there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.views: list[operator_pb2.FrameworkView] = []
        self.scripts: dict[str, list[Sequence[Said]]] = {}
        monkeypatch.setattr(module, "serving", self._serving)
        monkeypatch.setattr(module, "jobs_at", self._jobs_at)
        monkeypatch.setattr(module, "RECONNECT_S", 0)

    def add(self, framework_id: str, address: str, *scripts: Sequence[Said]) -> None:
        """Have a framework connected, that serves there."""
        info = types_pb2.FrameworkInfo(framework_id=framework_id, jobs_address=address)
        self.views.append(operator_pb2.FrameworkView(info=info, state="active"))
        self.scripts[address] = list(scripts)

    async def _serving(self, _cluster: object) -> list[operator_pb2.FrameworkView]:
        return self.views

    @asynccontextmanager
    async def _jobs_at(self, _cluster: object, address: str) -> AsyncIterator[Any]:
        host, _, port = address.partition(":")
        scripts = {HostPort(host, int(port)): self.scripts[address]}
        jobs = FollowingJobs(
            HostPort(host, int(port)),
            lambda at: cast("grpc.aio.Channel", FakeChannel(scripts[at])),
        )
        try:
            yield jobs
        except grpc.aio.AioRpcError as ends:
            raise CliError("no") from ends


async def told(address: str) -> list[tuple[str, bool]]:
    """The instances that `watch` tells of, and whether each is gone."""
    cluster: Any = type("Any", (), {"timeout_s": 0.0})()
    views = module.watch(cluster, "", address, "j")
    return [(i.name, i.removed) async for each in views for i in each.instances]


async def test_what_is_forgotten_while_the_lead_moves_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frameworks = Frameworks(monkeypatch)
    first: Sequence[Said] = [view("web.0", "web.1"), refusal("b:1")]
    frameworks.add("f", "b:1", [view("web.1", state="finished")])
    frameworks.scripts["a:1"] = [first]
    assert await told("a:1") == [
        ("web.0", False),
        ("web.1", False),
        ("web.1", False),
        ("web.0", True),
    ]


async def test_a_job_is_found_again_at_its_own_framework(monkeypatch: pytest.MonkeyPatch) -> None:
    frameworks = Frameworks(monkeypatch)
    frameworks.add("other", "a:2", [error(grpc.StatusCode.NOT_FOUND, None)])
    frameworks.add("f", "a:3", [view("web.0", state="finished", of="f")])
    frameworks.scripts["a:1"] = [[view("web.0", of="f"), error(grpc.StatusCode.UNAVAILABLE, None)]]
    assert await told("a:1") == [("web.0", False), ("web.0", False)]
