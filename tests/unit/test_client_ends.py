"""Streams of clients and relays end once, and their channels are closed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import (
    AsyncIterator,
    Iterator,
)
from types import SimpleNamespace
from typing import Any

import pytest

from pymesos_binpack.roles import JobRoles
from pymesos_binpack.services.jobs import JobsService
from pymesos_binpack.watches import Watch
from pymesos_core import following
from pymesos_core.addresses import HostPort
from pymesos_core.coordination import MasterInfo
from pymesos_core.outbox import Outbox
from pymesos_core.outside import OUTSIDE, Outside
from pymesos_core.security.identities import Kind
from pymesos_core.streams import NotReadError, use_stream
from pymesos_core.transport import CallError, Code, Method, method_of
from pymesos_master.services.sandbox_relay import SandboxRelay
from pymesos_proto.v1 import jobs_pb2, scheduler_pb2
from pymesos_testing.cancelling import (
    FakeCall,
    Master,
    cancel_everywhere,
)
from pymesos_testing.components import free_port


@pytest.fixture
async def master() -> AsyncIterator[Master]:
    made = Master()
    running = asyncio.create_task(made.leader.run())
    await asyncio.sleep(0)
    yield made
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


class FakeStream:
    """A client's stream: it is given batches, and ends when it is cancelled."""

    def __init__(self, *batches: Any) -> None:
        self._batches = list(batches)
        self._cancelled = asyncio.Event()

    async def opened(self) -> None:
        await asyncio.sleep(0)

    async def read(self) -> Any | None:
        await asyncio.sleep(0)
        if self._batches and not self._cancelled.is_set():
            return self._batches.pop(0)
        await self._cancelled.wait()
        raise CallError(Code.CANCELLED, "this side has ended the stream")

    async def write(self, message: Any) -> None:
        await asyncio.sleep(0)

    async def done_writing(self) -> None:
        await asyncio.sleep(0)

    def cancel(self) -> None:
        self._cancelled.set()


async def test_nothing_has_begun_with_a_peer_that_is_not_there() -> None:
    """An agent of 10,000 tasks would put its registration together for each attempt."""
    heard: list[str] = []
    outbox: Outbox[Any] = Outbox()

    async def write() -> None:
        await outbox.batch()

    channel = OUTSIDE.dial(HostPort("127.0.0.1", free_port()), Kind.MASTER)
    stream = channel.stream(method_of("/x/Connect", scheduler_pb2.Call, scheduler_pb2.Call))
    with pytest.raises(CallError) as raised:
        await use_stream(
            *(stream, outbox, write(), lambda: heard.append("begun"), heard.append),
            lambda: heard.append("ended"),
        )
    await channel.close()
    assert raised.value.code == Code.UNAVAILABLE
    assert heard == ["ended"]


class FakeChannel:
    """Counts those that are open."""

    def __init__(self, opened: set[FakeChannel]) -> None:
        self._opened = opened
        opened.add(self)

    def stream(self, method: Method, metadata: Any = None) -> FakeStream:
        return FakeStream(b"1", b"2")

    async def close(self) -> None:
        self._opened.discard(self)


async def test_a_relay_closes_its_channel(master: Master, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: set[FakeChannel] = set()
    master.leadership.outside = Outside(dial=lambda *_: FakeChannel(opened))
    relay = SandboxRelay(master.leadership)
    monkeypatch.setattr(relay, "_agent", lambda _: (HostPort("127.0.0.1", 1), ""))

    def check() -> None:
        assert not opened
        assert not relay._relayed

    await cancel_everywhere(
        lambda: relay.relay("/pymesos.v1.Sandbox/ReadLog", FakeCall(b"x")), check
    )


async def test_a_client_hears_of_the_end_of_its_stream_and_its_channel_is_closed() -> None:
    opened: set[FakeChannel] = set()
    begun, ended = list[int](), list[int]()

    class Detector:
        leader = MasterInfo("m", HostPort("127.0.0.1", 1), "m", "")

        async def changed(self, seen: object) -> None:
            await asyncio.Event().wait()

    async def session(channel: object, address: HostPort) -> None:
        number = len(begun)
        outbox: Outbox[Any] = Outbox()

        async def write() -> None:
            await outbox.batch()

        await use_stream(
            FakeStream(1, 2),
            outbox,
            write(),
            lambda: begun.append(number),
            lambda batch: batch != 2 or number % 2 == 1,
            lambda: ended.append(number),
        )

    def check() -> None:
        assert begun == ended
        assert not opened

    await cancel_everywhere(
        lambda: following.follow(
            Detector(),  # type: ignore[arg-type]
            session,
            OUTSIDE.backoff(0.001, 0.001),
            lambda *_: FakeChannel(opened),
        ),
        check,
    )


async def test_a_client_whose_calls_are_not_read_ends_its_stream() -> None:
    outbox: Outbox[Any] = Outbox(limit_bytes=10)
    ended: list[None] = []
    call = FakeStream()

    def begun() -> None:
        outbox.put(scheduler_pb2.Call(message=scheduler_pb2.Call.Message(data=b"x" * 100)))

    async def write() -> None:
        await outbox.batch()

    with pytest.raises(NotReadError):
        await use_stream(call, outbox, write(), begun, lambda _: None, lambda: ended.append(None))
    assert len(ended) == 1


async def test_a_watch_of_a_job() -> None:
    watching: list[Watch] = []

    job = SimpleNamespace(
        job_id="j",
        state="running",
        is_over=False,
        submitted_at_s=0.0,
        instances=[],
        told_instances=list,
        durable_version=1,
        durable_rollouts={},
        scaled_counts=dict,
        unsettled=False,
    )
    job.job = SimpleNamespace(name="j", role="*", priority=0, tasks=(), package=None)

    @contextlib.contextmanager
    def watch(job_id: str) -> Iterator[Watch]:
        watching.append(Watch())
        try:
            yield watching[-1]
        finally:
            watching.pop()

    binpack = SimpleNamespace(
        core=SimpleNamespace(jobs={"j": job}, quarantined={}, policy=None, agents=None),
        over=False,
        driver=SimpleNamespace(framework_id="f"),
        watch=watch,
    )
    service = JobsService(binpack, JobRoles(("*",)))  # type: ignore[arg-type]

    def check() -> None:
        assert not watching

    await cancel_everywhere(
        lambda: service.WatchJob(
            jobs_pb2.WatchJobRequest(job_id="j"),
            FakeCall(),
        ),
        check,
    )
