"""Streams end once, however they end: cancelled at any await, also at those of the clearing up."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import gc
import os
import sys
import types
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterator,
    Sequence,
)
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import psutil
import pytest

from pymesos_agent.containers.sessions import Entry
from pymesos_agent.core import events as agent_ev
from pymesos_agent.files.sandbox import Files
from pymesos_agent.services.executor import ExecutorService, ExecutorStreams
from pymesos_agent.services.sandbox import SandboxService
from pymesos_binpack.roles import JobRoles
from pymesos_binpack.services.jobs import JobsService
from pymesos_binpack.watches import Watch
from pymesos_core import following, turns
from pymesos_core.addresses import HostPort
from pymesos_core.caller import Caller
from pymesos_core.clock import read_clock
from pymesos_core.coordination import MasterInfo, Term
from pymesos_core.outbox import Outbox
from pymesos_core.outside import OUTSIDE, Outside
from pymesos_core.resources import EMPTY
from pymesos_core.security.identities import Kind
from pymesos_core.store import Change
from pymesos_core.streams import NotReadError, to_the_end, use_stream
from pymesos_core.transport import CallError, Code, Method, method_of
from pymesos_master.allocator import DrfAllocator
from pymesos_master.core import Config, MasterCore
from pymesos_master.core import events as ev
from pymesos_master.core.state import Task
from pymesos_master.services.agent import REGISTERED_AT_ONCE, AgentService, _Registration
from pymesos_master.services.leading import Leadership
from pymesos_master.services.operator import OperatorService
from pymesos_master.services.sandbox_relay import SandboxRelay
from pymesos_master.services.scheduler import SchedulerService
from pymesos_master.shell import Leader
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import executor_pb2 as executor_pb
from pymesos_proto.v1 import jobs_pb2, operator_pb2, sandbox_pb2, scheduler_pb2
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.components import free_port

ROOT = Path(__file__).resolve().parents[2]
IDLE_S = 0.03  # nothing happens any more
MOST_AWAITS = 80


class FakeCall:
    """A call as its handler sees it: its peer says these batches, and then hangs or is done."""

    peer = "ipv4:127.0.0.1:1"
    caller = Caller(peer="ipv4:127.0.0.1", via="grpc")
    metadata: ClassVar[dict[str, str]] = {}

    def __init__(self, *batches: Any, hangs: bool = True) -> None:
        self._batches = list(batches)
        self._hangs = hangs
        self.written: list[Any] = []

    async def read(self) -> Any | None:
        await asyncio.sleep(0)
        if not self._batches and self._hangs:
            await asyncio.Event().wait()
        return self._batches.pop(0) if self._batches else None

    async def receive(self) -> Callable[[], Any] | None:
        message = await self.read()
        return None if message is None else lambda: message

    async def write(self, message: Any) -> None:
        await asyncio.sleep(0)
        self.written.append(message)


@types.coroutine
def counted(
    coroutine: Coroutine[Any, Any, Any], suspended: Callable[[], None]
) -> Generator[Any, Any, Any]:
    """The coroutine; `suspended` is called whenever it waits."""
    go_on, value = coroutine.send, None
    while True:
        try:
            waits_for = go_on(value)
        except StopIteration as stop:
            return stop.value
        suspended()
        try:
            value = yield waits_for
            go_on = coroutine.send
        except BaseException as error:
            value, go_on = error, coroutine.throw


async def run_cancelled(coroutine: Coroutine[Any, Any, Any], at: set[int]) -> bool:
    """Cancel it as it waits for those times; whether it waited so often."""
    waits = 0

    def suspended() -> None:
        nonlocal waits
        waits += 1
        if waits in at:
            asyncio.get_running_loop().call_soon(task.cancel)

    async def main() -> Any:
        return await counted(coroutine, suspended)

    task = asyncio.create_task(main())
    await asyncio.wait({task}, timeout=IDLE_S)
    reached = waits >= min(at)
    task.cancel()  # a handler that serves until its peer goes
    await asyncio.wait({task})
    if not task.cancelled():
        assert isinstance(task.exception(), CallError | None)
    return reached


def descriptors() -> set[str]:
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(f"{link.name} {link.readlink()}")
    return found


async def cancel_everywhere(make: Callable[[], Awaitable[Any]], check: Callable[[], None]) -> None:
    """At every await in turn, and at the one after it, too; nothing is left of it then."""
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, int)  # its first thread has descriptors of its own
    for twice in (False, True):
        for number in range(1, MOST_AWAITS):
            tasks, open_before = asyncio.all_tasks(), descriptors()
            gc.disable()  # nothing may depend on it
            try:
                coroutine = make()
                assert isinstance(coroutine, Coroutine)
                reached = await run_cancelled(
                    coroutine, {number, number + 1} if twice else {number}
                )
                for _ in range(5):
                    await asyncio.sleep(0)
                check()
                left = {task for task in asyncio.all_tasks() - tasks if not task.done()}
                assert not left, f"cancelled at await {number}: {left}"
                more = descriptors() - open_before
                for _ in range(100):  # other threads open files, too; what is left behind stays
                    if not more:
                        break
                    await asyncio.sleep(0.01)
                    more &= descriptors()
                assert not more, f"cancelled at await {number}: {more}"
            finally:
                gc.enable()
            if not reached:
                break
        else:
            raise AssertionError("it waits for ever more")


class FakeRegistry:
    def load(self) -> dict[tuple[str, str], bytes]:
        return {}

    def commit(self, changes: list[Change]) -> None: ...


class Master:
    """A leader, and what its core heard of the ends of streams."""

    def __init__(self) -> None:
        core = MasterCore(Config(), DrfAllocator(), {}, "m", read_clock())
        self.leader = Leader(core, Term(1, FakeRegistry()))
        self.leadership = Leadership(MasterInfo("m", HostPort("127.0.0.1", 1), "m", ""))
        self.leadership.leader = self.leader
        self.opened: set[int] = set()
        self.ends: list[int] = []
        feed = self.leader.feed

        def hear(event: ev.Event) -> None:
            if isinstance(event, ev.FrameworkDisconnected | ev.AgentDisconnected):
                self.ends.append(event.connection_id)
            elif not isinstance(event, ev.Tick | ev.Persisted):
                self.opened.add(event.connection_id)  # type: ignore[union-attr]
            feed(event)

        self.leader.feed = hear  # type: ignore[method-assign]

    def check(self) -> None:
        assert len(self.ends) == len(set(self.ends)), "an end is told twice"
        assert self.opened <= set(self.ends), "an end is not told"
        state = self.leader.core.state
        assert not state.framework_by_connection
        assert not state.agent_by_connection
        assert all(f.connection_id is None for f in state.frameworks.values())


@pytest.fixture
async def master() -> AsyncIterator[Master]:
    made = Master()
    running = asyncio.create_task(made.leader.run())
    await asyncio.sleep(0)
    yield made
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def subscribe(framework_id: str = "") -> scheduler_pb2.CallBatch:
    info = pb.FrameworkInfo(name="f", framework_id=framework_id, failover_timeout_s=1000)
    call = scheduler_pb2.Call.Subscribe(framework_info=info)
    return scheduler_pb2.CallBatch(call=[scheduler_pb2.Call(subscribe=call)])


@pytest.mark.parametrize("framework_id", ["", "gone"])
@pytest.mark.parametrize("hangs", [True, False])
async def test_a_framework(master: Master, framework_id: str, hangs: bool) -> None:
    service = SchedulerService(master.leadership)
    await cancel_everywhere(
        lambda: service.Connect(FakeCall(subscribe(framework_id), hangs=hangs)),
        master.check,
    )
    assert master.opened


async def test_an_agent(master: Master) -> None:
    service = AgentService(master.leadership)
    info = pb.AgentInfo(address=pb.Address(hostname="h", ip="127.0.0.1", port=1))
    register = agent_pb.Register(agent_info=info, incarnation_id="i")
    batch = agent_pb.AgentBatch(message=[agent_pb.AgentMessage(register=register)])
    await cancel_everywhere(
        lambda: service.Connect(FakeCall(batch)),
        master.check,
    )
    assert master.opened


class RegisteringCall(FakeCall):
    """An agent that registers with tasks; what is decoded and not read to its end is counted."""

    decoded = most = 0

    def __init__(self, number: int) -> None:
        address = pb.Address(hostname="h", ip="127.0.0.1", port=number + 1)
        register = agent_pb.Register(
            agent_info=pb.AgentInfo(agent_id=f"a{number}", address=address), incarnation_id="i"
        )
        for n in range(10):
            info = pb.TaskInfo(task_id=f"t{n}", agent_id=f"a{number}")
            register.tasks.add(framework_id="f", task_info=info, state=pb.TASK_RUNNING)
        super().__init__(agent_pb.AgentBatch(message=[agent_pb.AgentMessage(register=register)]))
        self.caller = Caller(peer=f"ipv4:127.0.1.{number}", via="grpc")

    async def receive(self) -> Callable[[], Any] | None:
        decode = await super().receive()
        assert decode is not None

        def counted() -> Any:
            kind = RegisteringCall
            kind.decoded += 1
            kind.most = max(kind.most, kind.decoded)
            return decode()

        return counted


async def test_few_of_many_agents_that_register_at_once_are_decoded(
    master: Master, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ROUND_S", "MIN_SLICE_S"):
        monkeypatch.setattr(turns, name, 0.0)  # each task waits for a round

    complete = _Registration._add

    async def add(self: _Registration, *arguments: Any) -> None:
        await complete(self, *arguments)
        RegisteringCall.decoded -= 1

    monkeypatch.setattr(_Registration, "_add", add)
    service = AgentService(master.leadership)
    streams = [asyncio.create_task(service.Connect(RegisteringCall(n))) for n in range(20)]
    try:
        async with asyncio.timeout(20):
            while len(master.opened) < 20:
                await asyncio.sleep(0.01)
    finally:
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
    assert RegisteringCall.most == REGISTERED_AT_ONCE


async def test_a_peer_that_breaks_the_rules(master: Master) -> None:
    service = SchedulerService(master.leadership)
    wrong = scheduler_pb2.CallBatch(call=[scheduler_pb2.Call(teardown={})])
    await cancel_everywhere(lambda: service.Connect(FakeCall(wrong)), master.check)
    with pytest.raises(CallError) as raised:
        await service.Connect(FakeCall(wrong))
    assert raised.value.code == Code.INVALID_ARGUMENT


async def test_a_peer_that_does_not_read_is_refused_once_its_end_is_told(master: Master) -> None:
    class Stuck(FakeCall):
        async def write(self, message: Any) -> None:
            await asyncio.Event().wait()

    service = SchedulerService(master.leadership)
    serving = asyncio.create_task(service.Connect(Stuck(subscribe())))
    await asyncio.sleep(IDLE_S)
    (connection,) = master.leader._connections.values()
    big = scheduler_pb2.Event(message=scheduler_pb2.Event.Message(data=b"x" * 600_000))
    for _ in range(100):
        connection.outbox.put(big)
    await asyncio.wait({serving})
    error = serving.exception()
    assert isinstance(error, CallError) and error.code == Code.RESOURCE_EXHAUSTED
    master.check()
    assert len(master.ends) == 1


async def test_a_watch(master: Master) -> None:
    service = OperatorService(master.leadership)

    def check() -> None:
        assert not len(master.leader.watching)

    await cancel_everywhere(
        lambda: service.WatchEvents(
            operator_pb2.WatchEventsRequest(),
            FakeCall(),
        ),
        check,
    )


async def test_an_executor() -> None:
    streams, heard = ExecutorStreams(), list[Any]()
    service = ExecutorService(streams, heard.append)
    call = executor_pb.ExecutorCall(subscribe=executor_pb.ExecutorCall.Subscribe())

    def check() -> None:
        said = {e.stream_id for e in heard if isinstance(e, agent_ev.ExecutorSaid)}
        left = [e.stream_id for e in heard if isinstance(e, agent_ev.ExecutorLeft)]
        assert said <= set(left)
        assert len(left) == len(set(left))
        assert not len(streams)

    await cancel_everywhere(
        lambda: service.Connect(FakeCall(executor_pb.ExecutorCallBatch(call=[call]))),
        check,
    )
    assert heard


class Tasks:
    """One task, whose sandbox is a folder of the test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find_files(self, framework_id: str, task_id: str) -> Files:
        return Files(self._folder, False, ())

    def entry(self, framework_id: str, task_id: str, argv: Sequence[str], term: str) -> Entry:
        return Entry(argv, dict(os.environ), self._folder)

    async def task_usage(self, framework_id: str, task_id: str) -> list[Any]:
        return []


@pytest.mark.parametrize("follow", [True, False])
async def test_logs_and_files(tmp_path: Path, follow: bool) -> None:
    (tmp_path / "stdout").write_text("hello\n" * 10)
    service = SandboxService(Tasks(tmp_path))
    await cancel_everywhere(
        lambda: service.ReadLog(
            sandbox_pb2.ReadLogRequest(follow=follow),
            FakeCall(),
        ),
        lambda: None,
    )
    await cancel_everywhere(
        lambda: service.FollowFile(
            sandbox_pb2.FollowFileRequest(path="stdout"),
            FakeCall(),
        ),
        lambda: None,
    )


@pytest.mark.parametrize("terminal", [True, False])
async def test_exec(tmp_path: Path, terminal: bool) -> None:
    await exec_everywhere(Tasks(tmp_path), ["cat"], terminal)


# A container's tool that makes the terminal itself: it sends our end, and is then the command.
SENDS = """
import os, pty, socket, sys
ours, theirs = pty.openpty()
console = socket.socket(socket.AF_UNIX)
console.connect(sys.argv[1])
socket.send_fds(console, [b"x"], [ours])
os.dup2(theirs, 0); os.dup2(theirs, 1); os.execv("/bin/cat", ["cat"])
"""


class Sending(Tasks):
    """Tasks whose commands' terminals are sent, or none is, though it is said to be."""

    def entry(self, framework_id: str, task_id: str, argv: Sequence[str], term: str) -> Entry:
        entry = super().entry(framework_id, task_id, argv, term)
        return replace(entry, console=self._folder / "console")


@pytest.mark.parametrize("sends", [True, False])
async def test_exec_in_a_terminal_that_is_sent(
    tmp_path: Path, sends: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "IDLE_S", 0.5)  # the tool has to start
    console = tmp_path / "console"
    argv = [sys.executable, "-S", "-c", SENDS, str(console)] if sends else ["sleep", "60"]
    tasks = Sending(tmp_path)
    said = await exec_everywhere(tasks, argv, terminal=True)
    assert not console.exists()
    if sends:
        await says_hello(tasks, argv)
    else:
        assert b"hello" not in said


class Late(FakeCall):
    """A call whose peer says the rest when it has heard how the command ended."""

    async def read(self) -> Any | None:
        while len(self._batches) == 1 and not any(o.HasField("exit_status") for o in self.written):
            await asyncio.sleep(0.01)
        return await super().read()


async def test_exec_takes_in_what_was_on_its_way_when_the_command_ended(tmp_path: Path) -> None:
    """Written to a call that has ended, it costs gRPC's client the exit status (grpc#36066)."""
    start = sandbox_pb2.ExecInput.Start(argv=["true"])
    more = sandbox_pb2.ExecInput(stdin_closed=True)
    call = Late(sandbox_pb2.ExecInput(start=start), more, hangs=False)
    await SandboxService(Tasks(tmp_path)).Exec(call)
    assert call.written[-1].exit_status == 0 and call._batches == []


def hello_to(argv: Sequence[str], terminal: bool) -> FakeCall:
    start = sandbox_pb2.ExecInput.Start(argv=argv, terminal=terminal)
    return FakeCall(sandbox_pb2.ExecInput(start=start), sandbox_pb2.ExecInput(stdin=b"hello\n"))


async def exec_everywhere(tasks: Tasks, argv: Sequence[str], terminal: bool) -> bytes:
    """What it said when it was cancelled last, which is when nothing more happened."""
    service = SandboxService(tasks)
    calls: list[FakeCall] = []
    children = set(psutil.Process().children())  # the whole run's servers

    def check() -> None:
        assert service._sessions == 0

    def run() -> Awaitable[None]:
        calls.append(hello_to(argv, terminal))
        return service.Exec(calls[-1])

    await cancel_everywhere(run, check)
    assert set(psutil.Process().children()) <= children
    return said_in(calls[-1])


async def says_hello(tasks: Tasks, argv: Sequence[str]) -> None:
    """However long a busy machine takes to start the tool."""
    call = hello_to(argv, terminal=True)
    serving = asyncio.create_task(SandboxService(tasks).Exec(call))
    async with asyncio.timeout(30):
        while b"hello" not in said_in(call):
            await asyncio.sleep(0.01)
    serving.cancel()
    await asyncio.wait({serving})


def said_in(call: FakeCall) -> bytes:
    return b"".join(output.stdout for output in call.written)


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


async def test_what_is_carried_to_the_end_is_cancelled_after_it() -> None:
    done: list[str] = []

    async def work() -> str:
        await asyncio.sleep(0.01)
        done.append("done")
        return "result"

    assert await to_the_end(work()) == "result"
    task = asyncio.create_task(to_the_end(work()))
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert done == ["done", "done"]


PACKAGES = ["core/pymesos_core", "master/pymesos_master", "agent/pymesos_agent",
            "frameworks/pymesos_sdk", "frameworks/pymesos_binpack", "cli/pymesos_cli"]  # fmt: skip


def is_handler(part: ast.AST) -> bool:
    """Whether it is a coroutine that answers a method of the contract, by whose name it goes."""
    return isinstance(part, ast.AsyncFunctionDef) and part.name[0].isupper()


@pytest.mark.parametrize("package", PACKAGES)
def test_handlers_are_no_generators_and_channels_are_closed(package: str) -> None:
    checked = 0
    for path in (ROOT / package).rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        closed: set[ast.AST] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.AsyncWith):
                closed |= {item.context_expr for item in node.items}
            if isinstance(node, ast.ClassDef) and any(map(is_handler, node.body)):
                for method in node.body:
                    yields = [n for n in ast.walk(method) if isinstance(n, ast.Yield)]
                    assert not yields, f"{path}: {ast.unparse(method)[:60]}"
                checked += 1
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("open_channel"):
                kept = path.name in KEEPS_ITS_CHANNEL and package.startswith(
                    KEEPS_ITS_CHANNEL[path.name]
                )
                assert node in closed or kept, f"{path}:{node.lineno}: `async with` closes it"
    serves = ("master/pymesos_master", "agent/pymesos_agent", "frameworks/pymesos_binpack")
    assert checked or package not in serves, "it has services, and none was found"


# These close theirs themselves, which is tested above, and by the CLI's.
KEEPS_ITS_CHANNEL = {
    "grpc_transport.py": "core",
    "leader.py": "cli",
    "sandboxes.py": "cli",
    "jobs_stub.py": "cli",
}


async def test_a_framework_is_told_of_all_its_tasks_as_it_reads(master: Master) -> None:
    """However many they are: not all at once into the box of what waits for it."""
    service, context = SchedulerService(master.leadership), FakeCall()
    calls: asyncio.Queue[scheduler_pb2.CallBatch] = asyncio.Queue()
    context.read = calls.get  # type: ignore[method-assign]

    def told() -> list[str]:
        events = [event for batch in context.written for event in batch.event]
        return [event.update.status.task_id for event in events if event.HasField("update")]

    serving = asyncio.create_task(service.Connect(context))
    calls.put_nowait(subscribe())
    while not context.written:
        await asyncio.sleep(0.001)
    (framework,) = master.leader.core.state.frameworks.values()
    ids = [f"t{number}" for number in range(1050)]
    for task_id in ids:
        framework.tasks[task_id] = Task(
            pb.TaskInfo(task_id=task_id), "f", "a", "*", EMPTY, pb.TASK_RUNNING, 1.0
        )
    (connection,) = master.leader._connections.values()
    most = 0
    put = connection.outbox.put

    def counted(item: Any, *, bounded: bool = True) -> None:
        nonlocal most
        put(item, bounded=bounded)
        most = max(most, len(connection.outbox._items))

    connection.outbox.put = counted  # type: ignore[method-assign]
    reconcile = scheduler_pb2.Call(reconcile=scheduler_pb2.Call.Reconcile())
    calls.put_nowait(scheduler_pb2.CallBatch(call=[reconcile]))
    while len(told()) < len(ids):
        await asyncio.sleep(0.001)
    assert told() == ids
    assert most <= 200
    serving.cancel()
    await asyncio.wait({serving})
    master.check()
