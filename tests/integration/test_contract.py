"""The gRPC contract against peers that break it: a clear error for each; the master goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest

from pymesos_core import resources
from pymesos_core.addresses import parse_host_port
from pymesos_core.grpc_transport import open_channel
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import operator_pb2 as operator_pb
from pymesos_proto.v1 import scheduler_pb2 as spb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_proto.v1.agent_pb2_grpc import AgentStub
from pymesos_proto.v1.operator_pb2_grpc import OperatorStub
from pymesos_proto.v1.scheduler_pb2_grpc import SchedulerStub
from pymesos_testing.components import Role, Roles, wait_for


@pytest.fixture
def master(roles: Roles) -> Role:
    return roles.master()


@pytest.fixture
async def channel(master: Role) -> AsyncIterator[grpc.aio.Channel]:
    made = open_channel(parse_host_port(master.address))
    yield made
    await made.close()


def subscribe(framework_id: str = "", name: str = "f") -> spb.CallBatch:
    info = pb.FrameworkInfo(name=name, framework_id=framework_id, failover_timeout_s=60)
    return spb.CallBatch(call=[spb.Call(subscribe=spb.Call.Subscribe(framework_info=info))])


def register(text: str = "cpus:4;mem:4096", port: int = 1) -> agent_pb.AgentBatch:
    info = pb.AgentInfo(
        address=pb.Address(hostname="h", ip="127.0.0.1", port=port),
        resources=resources.to_proto(resources.parse(text)),
    )
    message = agent_pb.AgentMessage(register=agent_pb.Register(agent_info=info))
    return agent_pb.AgentBatch(message=[message])


async def healthy(channel: grpc.aio.Channel) -> bool:
    response = await OperatorStub(channel).GetHealth(operator_pb.GetHealthRequest(), timeout=5)
    return response.healthy


async def code_of(call: grpc.aio.StreamStreamCall[Any, Any]) -> tuple[str, str]:
    """How a stream ended."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in call:
            pass
    return caught.value.code().name, caught.value.details() or ""


async def test_a_stream_that_does_not_begin_with_subscribe(channel: grpc.aio.Channel) -> None:
    call = SchedulerStub(channel).Connect()
    await call.write(spb.CallBatch(call=[spb.Call(revive=spb.Call.Revive())]))
    assert await code_of(call) == (
        "INVALID_ARGUMENT",
        "the first call of a stream must be SUBSCRIBE",
    )
    assert await healthy(channel)


async def test_an_agent_that_does_not_register(channel: grpc.aio.Channel) -> None:
    call = AgentStub(channel).Connect()
    pong = agent_pb.AgentMessage(pong=agent_pb.AgentMessage.Pong())
    await call.write(agent_pb.AgentBatch(message=[pong]))
    code, details = await code_of(call)
    assert (code, "must be Register" in details) == ("INVALID_ARGUMENT", True)
    assert await healthy(channel)


async def test_bad_resources_are_refused_in_words(channel: grpc.aio.Channel) -> None:
    call = AgentStub(channel).Connect()
    bad = register()
    bad.message[0].register.agent_info.resources[0].scalar = float("nan")
    await call.write(bad)
    batch = await call.read()
    assert isinstance(batch, agent_pb.MasterBatch)
    assert "finite" in batch.message[0].refused.message
    assert await call.read() is grpc.aio.EOF


async def test_a_message_over_the_limit(channel: grpc.aio.Channel) -> None:
    call = SchedulerStub(channel).Connect()
    await call.write(subscribe(name="x" * (2 << 20)))
    code, _ = await code_of(call)
    assert code == "RESOURCE_EXHAUSTED"
    assert await healthy(channel)


@pytest.mark.parametrize("method", ["Scheduler/Connect", "Agent/Connect"])
async def test_bytes_that_are_no_protobuf(
    channel: grpc.aio.Channel, master: Role, method: str
) -> None:
    for _ in range(20):
        garbage: Any = channel.stream_stream(f"/pymesos.v1.{method}")()
        await garbage.write(b"\xff\xff\xff\xff")
        code, details = await code_of(garbage)
        assert (code, "Error parsing" in details) == ("INTERNAL", True)
        one: Any = channel.unary_unary("/pymesos.v1.Operator/ListAgents")
        with pytest.raises(grpc.aio.AioRpcError, match="Error parsing"):
            await one(b"\xff\xff\xff\xff")
    assert await healthy(channel)
    log = master.log.read_text()
    assert "Traceback" not in log
    assert log.count("no message") == 1, "one line for each kind and peer"


async def test_a_second_subscriber_with_the_same_id(channel: grpc.aio.Channel) -> None:
    first = SchedulerStub(channel).Connect()
    await first.write(subscribe())
    batch = await first.read()
    assert isinstance(batch, spb.EventBatch)
    framework_id = batch.event[0].subscribed.framework_id
    second = SchedulerStub(channel).Connect()
    await second.write(subscribe(framework_id))
    batch = await second.read()
    assert isinstance(batch, spb.EventBatch)
    assert batch.event[0].subscribed.framework_id == framework_id
    batch = await first.read()
    assert isinstance(batch, spb.EventBatch)
    assert batch.event[0].error.message == "Framework failed over"
    assert await first.read() is grpc.aio.EOF


async def test_a_stream_cut_in_the_middle_gives_its_offers_back(
    channel: grpc.aio.Channel,
) -> None:
    agent = AgentStub(channel).Connect()
    await agent.write(register())
    await agent.read()
    hoarder = SchedulerStub(channel).Connect()
    await hoarder.write(subscribe())
    seen: list[spb.Event] = []
    while not any(e.HasField("offers") for e in seen):
        batch = await hoarder.read()
        assert isinstance(batch, spb.EventBatch)
        seen += batch.event
    hoarder.cancel()
    other = SchedulerStub(channel).Connect()
    await other.write(subscribe(name="other"))
    seen = []
    async with asyncio.timeout(5):
        while not any(e.HasField("offers") for e in seen):
            batch = await other.read()
            assert isinstance(batch, spb.EventBatch)
            seen += batch.event


async def test_a_framework_that_does_not_read_is_disconnected(
    channel: grpc.aio.Channel, master: Role
) -> None:
    """The framework asks for answers and reads none: the master neither grows nor stops."""
    greedy = open_channel(parse_host_port(master.address))
    call = SchedulerStub(greedy).Connect()
    await call.write(subscribe())
    tasks = [spb.Call.Reconcile.Task(task_id=f"{n}-" + "x" * 200) for n in range(2000)]
    question = spb.CallBatch(call=[spb.Call(reconcile=spb.Call.Reconcile(tasks=tasks))])

    async def flood() -> None:
        for _ in range(400):
            await call.write(question)

    flooding = asyncio.create_task(flood())
    async with asyncio.timeout(60):
        while True:
            response = await OperatorStub(channel).ListFrameworks(
                operator_pb.ListFrameworksRequest(), timeout=10
            )
            if [f.state for f in response.frameworks] == ["disconnected"]:
                break
            await asyncio.sleep(0.1)
        # Once it reads, it learns why.
        code, details = await code_of(call)
    assert (code, "is not read" in details) == ("RESOURCE_EXHAUSTED", True)
    await asyncio.gather(flooding, return_exceptions=True)
    await greedy.close()


async def test_pages(channel: grpc.aio.Channel) -> None:
    agents = []
    for number in range(7):
        call = AgentStub(channel).Connect()
        await call.write(register(port=number + 1))
        await call.read()
        agents.append(call)
    seen: list[str] = []
    token = ""
    while True:
        page = operator_pb.Page(page_size=3, page_token=token)
        response = await OperatorStub(channel).ListAgents(operator_pb.ListAgentsRequest(page=page))
        assert len(response.agents) <= 3
        seen += [a.info.agent_id for a in response.agents]
        token = response.next_page_token
        if not token:
            break
    assert len(set(seen)) == len(seen) == 7


def test_a_port_that_is_taken(roles: Roles, master: Role) -> None:
    port = parse_host_port(master.address).port
    with pytest.raises(AssertionError, match=r"cannot listen on .*port is taken"):
        roles.master("second", port=port)


def test_a_work_directory_that_is_taken(roles: Roles, master: Role) -> None:
    with pytest.raises(AssertionError, match="in use by another process"):
        roles.start("second", "pymesos_master.main", "--port", "0", "--work-dir",
                    str(roles.folder / "master"))  # fmt: skip


def test_a_standalone_master_that_restarts_knows_its_cluster(roles: Roles) -> None:
    from pymesos_testing.cli import Cli, job

    first = roles.master()
    port = parse_host_port(first.address).port
    cli = Cli(first.address)
    roles.agent(first.address, "agent", "--kill-tasks-on-exit")
    roles.binpack(first.address)
    cli.wait_for_agents(1)
    assert cli.run("run", "-", text=job("service", command="sleep 99")).returncode == 0
    cli.wait_for_tasks(1, state="TASK_RUNNING")
    over = "echo so it was; exit 3"
    once = job(command=over, retries=0).replace('"job"', '"once"')
    assert cli.run("run", "-", text=once).returncode == 0
    wait_for("its end", lambda: len(cli.tasks(state="TASK_FAILED")) == 1)
    (before,), (ended,) = cli.tasks(state="TASK_RUNNING"), cli.tasks(state="TASK_FAILED")
    first.kill()
    roles.master(port=port)
    cli.wait_for_agents(1)
    wait_for("the task", lambda: len(cli.tasks(state="TASK_RUNNING")) == 1)
    (task,) = cli.tasks(state="TASK_RUNNING")
    told = ("task_id", "started_at")
    assert [task[name] for name in told] == [before[name] for name in told]
    assert "epoch 2" in cli.ok("leader")
    # What has ended comes back with its agent, and with it the way to what it wrote.
    wait_for("its history", lambda: bool(cli.tasks(state="TASK_FAILED")))
    kept = ("task_id", "started_at", "finished_at", "exit_status", "message", "completed")
    (again,) = cli.tasks(state="TASK_FAILED")
    assert [again[name] for name in kept] == [ended[name] for name in kept]
    assert "so it was" in cli.ok("logs", ended["task_id"])
    assert "status 3" in cli.ok("explain", "task", ended["task_id"])
