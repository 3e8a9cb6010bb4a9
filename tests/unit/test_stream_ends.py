"""Streams end once, however they end: cancelled at any await, also at those of the clearing up."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import (
    AsyncIterator,
    Callable,
)
from pathlib import Path
from typing import Any

import pytest

from pymesos_agent.core import events as agent_ev
from pymesos_agent.services.executor import ExecutorService, ExecutorStreams
from pymesos_core import turns
from pymesos_core.caller import Caller
from pymesos_core.resources import EMPTY
from pymesos_core.streams import to_the_end
from pymesos_core.transport import CallError, Code
from pymesos_master.core.state import Task
from pymesos_master.services.agent import REGISTERED_AT_ONCE, AgentService, _Registration
from pymesos_master.services.operator import OperatorService
from pymesos_master.services.scheduler import SchedulerService
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import executor_pb2 as executor_pb
from pymesos_proto.v1 import operator_pb2, scheduler_pb2
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.cancelling import (
    IDLE_S,
    FakeCall,
    Master,
    cancel_everywhere,
)

ROOT = Path(__file__).resolve().parents[2]


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
