"""Calls through a gateway: the same answers, the same ends, and nobody keeps the others waiting."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pymesos_core.budgets import PeerBudgets
from pymesos_core.caller import NOBODY, Caller, Method
from pymesos_core.following import LEADER_KEY
from pymesos_core.frames import MAX_FRAME_BYTES
from pymesos_core.guarding import Guard
from pymesos_core.limits import Limit
from pymesos_core.outbox import BATCH_BYTES
from pymesos_core.tasks import running
from pymesos_core.transport import CallError, Code, ServerCall
from pymesos_master.gateways import calls, starting
from pymesos_master.gateways.calls import MAX_ANSWER_BYTES, GatewayCalls
from pymesos_master.gateways.flow import WINDOW_BYTES, Flow
from pymesos_master.gateways.line import MAX_REFUSALS, Line
from pymesos_master.gateways.process import remove_if_deserted
from pymesos_master.gateways.starting import Gateways
from pymesos_proto.v1 import agent_pb2, gateways_pb2, masters_pb2

ALICE = Caller("operator/alice", Method.CERT, "7f", "ipv4:10.0.0.7", "grpc", 5e9, ("1", "2"))
READ_AUDIT, AGENT = "/pymesos.v1.Masters/ReportHealth", "/pymesos.v1.Agent/Connect"


class Wire:
    """One end of a stream in memory."""

    def __init__(self) -> None:
        self.peer = self
        self.came: asyncio.Queue[Any] = asyncio.Queue()

    async def opened(self) -> None: ...

    async def read(self) -> Any | None:
        return await self.came.get()

    async def write(self, message: Any) -> None:
        self.peer.came.put_nowait(type(message).FromString(message.SerializeToString()))

    async def done_writing(self) -> None: ...

    def cancel(self) -> None:
        self.peer.came.put_nowait(None)


class Peer:
    """A call as the gateway's server sees it: with messages as they are."""

    def __init__(self, caller: Caller = ALICE) -> None:
        self.peer = f"{caller.peer}:4321"
        self.caller = caller
        self.metadata: Mapping[str, str] = {"pymesos-agent": "a1"}
        self.says: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.told: list[bytes] = []
        self.may_be_told = asyncio.Event()
        self.may_be_told.set()

    async def read(self) -> bytes | None:
        return await self.says.get()

    async def write(self, message: bytes) -> None:
        await self.may_be_told.wait()
        self.told.append(message)

    def ask(self, *messages: Any) -> Peer:
        for message in messages:
            self.says.put_nowait(message.SerializeToString())
        self.says.put_nowait(None)
        return self


class Health:
    """Answers one request with one response."""

    contract = masters_pb2.DESCRIPTOR.services_by_name["Masters"]

    def __init__(self) -> None:
        self.calls: list[ServerCall[Any, Any]] = []

    def __getattr__(self, name: str) -> Any:
        return self.ReportHealth

    async def ReportHealth(self, request: Any, call: ServerCall[Any, Any]) -> Any:
        self.calls.append(call)
        if request.address == "none":
            raise CallError(Code.NOT_FOUND, "no such master", {LEADER_KEY: "10.0.0.1:5050"})
        if request.address == "fault":
            raise RuntimeError("a fault")
        return masters_pb2.ReportHealthResponse(silenced_until_s=7.0)


class Agents:
    """Serves streams."""

    contract = agent_pb2.DESCRIPTOR.services_by_name["Agent"]

    def __init__(self, serve: Callable[[ServerCall[Any, Any]], Any]) -> None:
        self.serve = serve

    async def Connect(self, call: ServerCall[Any, Any]) -> None:
        await self.serve(call)


@asynccontextmanager
async def gateway(*services: Any, **options: Any) -> AsyncIterator[tuple[Line, Wire]]:
    limits = options.pop("limits", {})
    prefixes = options.pop("prefixes", {})
    calls = GatewayCalls(services, Guard(PeerBudgets(limits)), prefixes, **options)
    near, far = Wire(), Wire()
    near.peer, far.peer = far, near
    line = Line()
    async with running(calls.serve(far)), running(line.run(near)):
        line.ready()
        await calls.ready(1)
        yield line, near


def health(address: str) -> Peer:
    return Peer().ask(masters_pb2.ReportHealthRequest(address=address))


async def test_a_call_is_answered_for_whoever_made_it() -> None:
    service = Health()
    async with gateway(service) as (line, _):
        peer = health("here")
        await line.relay(READ_AUDIT, peer)
    (answer,) = peer.told
    assert masters_pb2.ReportHealthResponse.FromString(answer).silenced_until_s == 7.0
    (call,) = service.calls
    assert (call.caller, call.peer) == (ALICE, "ipv4:10.0.0.7:4321")
    assert call.metadata == {"pymesos-agent": "a1"}


async def test_nobody_is_proved_whom_the_gateway_does_not_know() -> None:
    service = Health()
    async with gateway(service) as (line, _):
        peer = Peer(Caller(peer="ipv4:10.0.0.8", via="grpc"))
        peer.ask(masters_pb2.ReportHealthRequest())
        await line.relay(READ_AUDIT, peer)
    assert not service.calls[0].caller.is_proved


@pytest.mark.parametrize(
    ("path", "address", "code", "says"),
    [
        (READ_AUDIT, "none", Code.NOT_FOUND, "no such master"),
        (READ_AUDIT, "fault", Code.INTERNAL, "the server's log has more"),
        ("/pymesos.v1.Nothing/Here", "", Code.UNIMPLEMENTED, "there is no method"),
    ],
)
async def test_a_refusal_comes_as_it_was_made(
    path: str, address: str, code: Code, says: str
) -> None:
    async with gateway(Health()) as (line, _):
        with pytest.raises(CallError, match=says) as refused:
            await line.relay(path, health(address))
        assert refused.value.code == code
        expected = {LEADER_KEY: "10.0.0.1:5050"} if code is Code.NOT_FOUND else {}
        assert refused.value.trailing == expected


async def test_what_is_no_message_is_refused() -> None:
    async with gateway(Health()) as (line, _):
        peer = Peer()
        peer.says.put_nowait(b"\xff\xff")
        with pytest.raises(CallError) as refused:
            await line.relay(READ_AUDIT, peer)
    assert refused.value.code == Code.INTERNAL


async def test_what_a_prefix_answers_gets_messages_as_they_are() -> None:
    async def echo(method: str, call: ServerCall[bytes, bytes]) -> None:
        while (data := await call.read()) is not None:
            await call.write(method.encode() + data)

    async with gateway(prefixes={"/pymesos.v1.Sandbox/": echo}) as (line, _):
        peer = Peer()
        for data in (b"a", b"", None):
            peer.says.put_nowait(data)
        await line.relay("/pymesos.v1.Sandbox/X", peer)
    assert peer.told == [b"/pymesos.v1.Sandbox/Xa", b"/pymesos.v1.Sandbox/X"]


async def test_when_the_peer_is_gone_its_handler_ends_and_only_that() -> None:
    ends: list[str] = []
    begun = asyncio.Semaphore(0)

    async def serve(call: ServerCall[Any, Any]) -> None:
        try:
            while (batch := await call.read()) is not None:
                await call.write(agent_pb2.MasterBatch(epoch=len(batch.message)))
                begun.release()
        finally:
            ends.append(call.peer)

    async with gateway(Agents(serve)) as (line, _):
        peers = [Peer(Caller(peer=f"ipv4:10.0.0.{n}")) for n in (1, 2)]
        first, second = (asyncio.create_task(line.relay(AGENT, peer)) for peer in peers)
        for peer in peers:
            peer.says.put_nowait(agent_pb2.AgentBatch().SerializeToString())
            await begun.acquire()
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        while not ends:
            await asyncio.sleep(0)
        assert ends == ["ipv4:10.0.0.1:4321"]
        peers[1].ask()
        await second
        assert len(ends) == 2 and len(peers[1].told) == 1


async def test_of_a_call_that_ends_before_it_begins_nothing_is_kept() -> None:
    """Both may be said in one breath, and whoever does that often must not fill the memory."""
    calls = GatewayCalls((Health(),), Guard(PeerBudgets({})), {})
    near, far = Wire(), Wire()
    near.peer, far.peer = far, near
    opened = gateways_pb2.CallOpened(method=READ_AUDIT)
    gone = gateways_pb2.GatewayTold.Gone()
    told = [
        gateways_pb2.GatewayTold(call=1, opened=opened),
        gateways_pb2.GatewayTold(call=1, gone=gone),
        gateways_pb2.GatewayTold(call=2, opened=opened),
        gateways_pb2.GatewayTold(ready=gateways_pb2.GatewayTold.Ready()),
    ]
    async with running(calls.serve(far)):
        await near.write(gateways_pb2.GatewayBatch(told=told))
        await calls.ready(1)
        for _ in range(5):
            await asyncio.sleep(0)
        assert calls.open == 1, "the second"


async def test_an_answer_that_no_peer_takes_ends_only_its_call() -> None:
    async def echo(method: str, call: ServerCall[bytes, bytes]) -> None:
        await call.write(bytes(int(await call.read() or b"")))

    async with gateway(prefixes={"/pymesos.v1.Sandbox/": echo}) as (line, _):
        peers = {size: Peer() for size in (MAX_ANSWER_BYTES, MAX_ANSWER_BYTES + 1)}
        for size, peer in peers.items():
            peer.says.put_nowait(b"%d" % size)
        await line.relay("/pymesos.v1.Sandbox/X", peers[MAX_ANSWER_BYTES])
        with pytest.raises(CallError, match="ask for less") as refused:
            await line.relay("/pymesos.v1.Sandbox/X", peers[MAX_ANSWER_BYTES + 1])
    assert refused.value.code == Code.RESOURCE_EXHAUSTED
    assert [len(told) for told in peers[MAX_ANSWER_BYTES].told] == [MAX_ANSWER_BYTES]
    assert MAX_FRAME_BYTES > MAX_ANSWER_BYTES + BATCH_BYTES


async def test_a_gateway_removes_the_socket_of_a_master_that_is_no_more(tmp_path: Path) -> None:
    path = tmp_path / "gateways" / "master.sock"
    path.parent.mkdir()
    server = await asyncio.start_unix_server(lambda _, writer: writer.close(), str(path))
    await remove_if_deserted(path)
    assert path.exists(), "the next gateway connects to it"
    server.close()
    await server.wait_closed()
    path.unlink(missing_ok=True)
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()  # a master that was killed
    await remove_if_deserted(path)
    assert not path.parent.exists()


async def test_a_gateway_that_cannot_be_started_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def refuse(*argv: str) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", refuse)
    gateways = object.__new__(Gateways)
    monkeypatch.setattr(gateways, "_argv", lambda: ["python"], raising=False)
    assert await gateways._run_one() == "cannot be started: Resource temporarily unavailable"


class Hanging:
    """A process that ends only when it is killed."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.ended = asyncio.Event()

    def kill(self) -> None:
        self.returncode = -9
        self.ended.set()

    async def wait(self) -> int | None:
        await self.ended.wait()
        return self.returncode


async def test_a_gateway_that_hangs_before_it_lets_anybody_in_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: asyncio.Queue[Hanging] = asyncio.Queue()

    async def begin(*argv: str) -> Hanging:
        begun.put_nowait(made := Hanging(begun.qsize() + 100))
        return made

    monkeypatch.setattr(asyncio, "create_subprocess_exec", begin)
    monkeypatch.setattr(starting, "READY_S", 0.05)
    gateways = object.__new__(Gateways)
    gateways._running, gateways._ready = [], set()
    monkeypatch.setattr(gateways, "_argv", lambda: ["python"], raising=False)
    assert await gateways._run_one() == "has ended with status -9"
    running = asyncio.create_task(gateways._run_one())
    await begun.get()
    serves = await begun.get()
    gateways.lets_in(serves.pid)
    await asyncio.sleep(0.2)
    assert not running.done()
    assert gateways._ready == {serves.pid}
    serves.kill()
    assert await running == "has ended with status -9"
    assert not gateways._ready, "the pid may be another's"


async def test_when_the_gateway_is_lost_all_its_calls_end() -> None:
    ends: list[BaseException | None] = []
    begun = asyncio.Event()

    async def serve(call: ServerCall[Any, Any]) -> None:
        try:
            begun.set()
            await call.read()
        except asyncio.CancelledError as error:
            ends.append(error)
            raise

    async with gateway(Agents(serve)) as (line, near):
        peer = Peer()
        relaying = asyncio.create_task(line.relay(AGENT, peer))
        await begun.wait()
        near.cancel()  # the master reads the end of the stream
        while not ends:
            await asyncio.sleep(0)
        near.came.put_nowait(None)  # and so does the gateway, of the master
        with pytest.raises(CallError) as refused:
            await relaying
        assert (refused.value.code, refused.value.trailing) == (Code.UNAVAILABLE, {LEADER_KEY: ""})
        with pytest.raises(CallError, match="has ended"):
            await line.relay(AGENT, Peer())


async def test_a_peer_that_does_not_read_keeps_only_its_own_handler_waiting() -> None:
    written: dict[str, int] = {}

    async def serve(call: ServerCall[Any, Any]) -> None:
        for number in range(100):
            task = agent_pb2.LaunchTask(framework_id="x" * 10_000)
            message = agent_pb2.MasterMessage(launch=task)
            await call.write(agent_pb2.MasterBatch(message=[message]))
            written[call.peer] = number + 1

    async with gateway(Agents(serve)) as (line, _):
        slow, quick = Peer(Caller(peer="ipv4:1")), Peer(Caller(peer="ipv4:2"))
        slow.may_be_told.clear()
        waiting = asyncio.create_task(line.relay(AGENT, slow.ask()))
        await line.relay(AGENT, quick.ask())
        assert written == {"ipv4:1:4321": -(-WINDOW_BYTES // 10_079), "ipv4:2:4321": 100}
        slow.may_be_told.set()
        await waiting
    assert len(slow.told) == len(quick.told) == 100


async def test_a_handler_that_does_not_read_keeps_only_its_own_peer_waiting() -> None:
    go = asyncio.Event()
    got: list[int] = []

    async def serve(call: ServerCall[Any, Any]) -> None:
        await go.wait()
        while (batch := await call.read()) is not None:
            got.append(len(batch.message[0].executor_message.data))

    told = agent_pb2.ExecutorMessage(data=b"x" * 50_000)
    batch = agent_pb2.AgentBatch(message=[agent_pb2.AgentMessage(executor_message=told)])
    async with gateway(Agents(serve), Health()) as (line, _):
        peer = Peer().ask(*[batch] * 20)
        waiting = asyncio.create_task(line.relay(AGENT, peer))
        await line.relay(READ_AUDIT, health("here"))
        assert peer.says.qsize() > 10, "the rest waits at the gateway's own window"
        go.set()
        await waiting
    assert got == [50_000] * 20


async def test_a_peer_has_so_many_calls_over_all_gateways() -> None:
    async def serve(call: ServerCall[Any, Any]) -> None:
        await call.read()

    limit = Limit("agents", 1, "agents", "An address")
    async with gateway(Agents(serve), limits={AGENT: limit}) as (line, _):
        first = asyncio.create_task(line.relay(AGENT, Peer()))
        await asyncio.sleep(0)
        with pytest.raises(CallError) as refused:
            await line.relay(AGENT, Peer())
        assert refused.value.code == Code.RESOURCE_EXHAUSTED
        first.cancel()


async def test_whom_the_gate_refuses_is_told_for_the_audit() -> None:
    told: list[tuple[Caller, str, str]] = []
    heard = asyncio.Event()

    def on_refused(caller: Caller, method: str, reason: str) -> None:
        told.append((caller, method, reason))
        heard.set()

    async with gateway(on_refused=on_refused) as (line, _):
        line.refused(ALICE, AGENT, "it is for agent certificates")
        line.refused(NOBODY, AGENT, "who calls is not known")
        await heard.wait()
        await asyncio.sleep(0)
    assert told[0] == (ALICE, AGENT, "it is for agent certificates")
    assert not told[1][0].is_proved


async def test_an_end_comes_after_what_was_sent_before() -> None:
    put: list[bytes] = []
    flow = Flow(put.append, lambda taken: None)
    flow.came(b"last words")
    flow.end(CallError(Code.ABORTED, "over"))
    assert await flow.read() == b"last words"
    with pytest.raises(CallError, match="over"):
        await flow.read()
    with pytest.raises(CallError, match="over"):
        await flow.write(b"too late")
    assert put == []


async def test_of_a_flood_of_refusals_the_first_are_kept() -> None:
    line = Line()
    for number in range(2 * MAX_REFUSALS):
        line.refused(NOBODY, AGENT, str(number))
    box = line._outbox
    box.close()
    waiting = 0
    while (batch := await box.batch()) is not None:
        waiting += len(batch)
    assert waiting == MAX_REFUSALS


async def test_a_gateway_that_says_nothing_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "PING_S", 0.01)
    monkeypatch.setattr(calls, "SILENT_S", 0.03)
    silent: asyncio.Queue[int] = asyncio.Queue()
    ready: list[int] = []
    told = {"on_silent": silent.put_nowait, "on_ready": ready.append}
    async with gateway(Health(), **told) as (line, near):
        await line.relay(READ_AUDIT, health("here"))
        assert ready == [os.getpid()]
        for _ in range(20):  # its pongs come
            await asyncio.sleep(0.01)
        assert silent.empty()
        monkeypatch.setattr(near, "peer", Wire())  # what it says goes nowhere from here on
        assert await silent.get() == os.getpid()
