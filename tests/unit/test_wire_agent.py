"""What masters and executors send to an agent is taken whole or refused whole."""

from __future__ import annotations

import math

import pytest

from pymesos_agent.core import events as ev
from pymesos_core.resources import parse, to_proto
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import executor_pb2 as executor_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.agent_harness import AgentHarness

CPU = to_proto(parse("cpus:1;mem:32"))


@pytest.fixture
def h() -> AgentHarness:
    harness = AgentHarness()
    harness.connect()
    return harness


def launch(h: AgentHarness, *infos: pb.TaskInfo, framework_id: str = "f", role: str = "") -> None:
    if len(infos) == 1:
        one = agent_pb.LaunchTask(framework_id=framework_id, role=role, task_info=infos[0])
        h.hear(agent_pb.MasterMessage(launch=one))
    else:
        group = agent_pb.LaunchGroup(framework_id=framework_id, role=role, task_infos=infos)
        h.hear(agent_pb.MasterMessage(launch_group=group))


def info(task_id: str = "t", **keys: object) -> pb.TaskInfo:
    command = pb.CommandInfo(shell=True, value="true")
    whole = {"task_id": task_id, "resources": CPU, "command": command, **keys}
    return pb.TaskInfo(**whole)  # type: ignore[arg-type]


@pytest.mark.parametrize("grace_s", [math.nan, math.inf, 1e308, -1.0])
def test_a_grace_period_that_is_none_keeps_no_other_deadline_from_coming(
    h: AgentHarness, grace_s: float
) -> None:
    first, second = h.run("one"), h.run("two")
    h.kill("one", 1.0)
    h.kill("two", grace_s)
    h.advance(60)
    assert (first, True) in h.kills
    assert (second, True) in h.kills, "by the usual grace period"


@pytest.mark.parametrize(
    "bad",
    [
        info("a\u202eb"),
        info(" "),
        info(""),
        info(resources=[pb.Resource(name="cpus", scalar=1e308)]),
        info(kill_policy=pb.KillPolicy(grace_period_s=math.nan)),
        info(max_completion_time_s=math.inf),
        info(health_check=pb.Check(tcp=pb.Check.Tcp(port=1), interval_s=math.nan)),
        info(executor=pb.ExecutorInfo()),
        info(data=b"x" * 300_000),
    ],
)
def test_a_task_that_cannot_be_is_an_error_and_leaves_nothing(
    h: AgentHarness, bad: pb.TaskInfo
) -> None:
    records = dict(h.records)
    launch(h, bad)
    assert not h.started and not h.core.state.tasks and h.records == records
    assert h.complaints[-1].kind == "a task that cannot be launched"
    for update in h.updates():
        assert update.status.state == update.latest_state == pb.TASK_ERROR
        assert not update.status.uuid
    assert bool(h.updates()) == (bad.task_id in ("", "t")), "it has an id that can be told"
    h.run("good")


def test_a_group_is_launched_whole_or_not(h: AgentHarness) -> None:
    ports = to_proto(parse("ports:[1-2]"))
    for infos in (
        [info("a"), info("b", max_completion_time_s=math.nan)],
        [info("a"), info("a")],
        [info("a", resources=ports), info("b", resources=ports)],
    ):
        launch(h, *infos)
        assert not h.started and not h.core.state.tasks
        assert {u.status.state for u in h.updates()} == {pb.TASK_ERROR}
    launch(h)
    assert not h.core.state.tasks


def test_two_tasks_of_an_executor_with_the_same_port(h: AgentHarness) -> None:
    executor = pb.ExecutorInfo(executor_id="x", command=pb.CommandInfo(shell=True, value="x"))
    for name in "ab":
        one = pb.TaskInfo(
            task_id=name, resources=to_proto(parse("cpus:1;ports:[1-2]")), executor=executor
        )
        launch(h, one)
    assert [(u.status.task_id, u.status.state) for u in h.updates()] == [("b", pb.TASK_ERROR)]
    assert "overlap" in h.updates()[0].status.message


@pytest.mark.parametrize("framework_id", ["", "a/b", ".."])
def test_a_framework_without_an_id(h: AgentHarness, framework_id: str) -> None:
    launch(h, info(), framework_id=framework_id)
    assert not h.started and not h.core.state.tasks


@pytest.mark.parametrize(
    "change",
    [
        {"state": 777},
        {"state": pb.TASK_UNREACHABLE},
        {"timestamp_s": math.nan},
        {"timestamp_s": 1e308},
        {"uuid": b""},
        {"uuid": b"x" * 65},
        {"message": "x" * 70_000},
        {"task_id": "a\u202eb"},
    ],
)
def test_a_bad_update_of_an_executor_is_refused_and_is_not_kept(
    h: AgentHarness, change: dict[str, object]
) -> None:
    executor = pb.ExecutorInfo(executor_id="x", command=pb.CommandInfo(shell=True, value="x"))
    launch(h, pb.TaskInfo(task_id="t", resources=CPU, executor=executor))
    environment = {v.name: v.value for v in h.started[-1].info.command.environment}
    subscribe = executor_pb.ExecutorCall.Subscribe(
        framework_id="f", executor_id="x", token=environment["PYMESOS_EXECUTOR_TOKEN"]
    )
    h.feed(ev.ExecutorSaid(1, executor_pb.ExecutorCall(subscribe=subscribe)))
    keys = {"task_id": "t", "state": pb.TASK_RUNNING, "uuid": b"u", **change}
    update = executor_pb.ExecutorCall.Update(status=pb.TaskStatus(**keys))  # type: ignore[arg-type]
    h.feed(ev.ExecutorSaid(1, executor_pb.ExecutorCall(update=update)))
    assert h.told[1][-1].error.message and h.closed == [1]
    assert not h.updates()


def test_what_no_master_says_is_left_out_and_said(h: AgentHarness) -> None:
    registered = agent_pb.MasterMessage.Registered(agent_id="a", ping_timeout_s=math.nan)
    h.hear(agent_pb.MasterMessage(registered=registered))
    h.hear(agent_pb.MasterMessage())
    assert h.complaints[0].kind == "a bad message of the kind registered"
    assert not h.disconnects
