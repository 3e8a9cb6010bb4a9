"""Frameworks without checkpoints: what they have on an agent ends when that is started again."""

from __future__ import annotations

import pytest

from pymesos_agent.core import events as ev
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.agent_executors import COMMAND
from pymesos_testing.agent_executors import launch as launch_in_executor
from pymesos_testing.agent_harness import AgentHarness

COUNTS = (pb.CHECKPOINT_COUNTS, pb.TASK_KILLING_STATE)
EXECUTOR = pb.ExecutorInfo(executor_id="x", command=COMMAND)


def launched(info: pb.FrameworkInfo, *, executor: bool = False) -> AgentHarness:
    """An agent on which `t` of this framework runs."""
    h = AgentHarness()
    h.connect()
    launch = agent_pb.LaunchTask(framework_id="f", framework_info=info)
    launch.task_info.task_id = "t"
    if executor:
        launch.task_info.executor.CopyFrom(EXECUTOR)
    else:
        launch.task_info.command.CopyFrom(COMMAND)
    h.hear(agent_pb.MasterMessage(launch=launch))
    h.feed(ev.ContainerStarted(h.started[0].container_id, 7))
    return h


def restarted(h: AgentHarness, exited: ev.ContainerExited | None = None) -> AgentHarness:
    found = {h.started[0].container_id: ev.ContainerState(7, exited)}
    again = AgentHarness(h.records, recovered=found, generation=2)
    again.connect()
    for update in again.updates():
        again.acknowledge(update.status)
    return again


def test_a_task_is_lost_when_its_agent_is_started_again() -> None:
    h = launched(pb.FrameworkInfo(name="f", capabilities=COUNTS))
    container_id = h.started[0].container_id
    again = restarted(h)
    assert again.kills == [(container_id, False)]
    again.feed(ev.ContainerExited(container_id, -15))
    status = again.updates()[-1].status
    assert (status.state, status.reason) == (pb.TASK_LOST, pb.REASON_AGENT_DISCONNECTED)
    assert pb.TASK_KILLING not in {u.status.state for u in again.updates()}


@pytest.mark.parametrize(
    "info",
    [
        pb.FrameworkInfo(name="f", capabilities=COUNTS, checkpoint=True),
        pb.FrameworkInfo(name="f"),  # whose `checkpoint` says nothing
    ],
)
def test_others_outlive_their_agent(info: pb.FrameworkInfo) -> None:
    again = restarted(launched(info))
    assert again.kills == []


def test_one_that_ended_meanwhile_says_how() -> None:
    h = launched(pb.FrameworkInfo(name="f", capabilities=COUNTS))
    again = restarted(h, ev.ContainerExited(h.started[0].container_id, 0))
    assert again.updates()[-1].status.state == pb.TASK_FINISHED


def test_an_executor_ends_with_its_tasks() -> None:
    h = launched(pb.FrameworkInfo(name="f", capabilities=COUNTS), executor=True)
    container_id = h.started[0].container_id
    again = restarted(h)
    launch_in_executor(again, "late", EXECUTOR)  # one that is ending takes none
    assert len(again.started) == 1 and again.started[0].container_id != container_id
    again.feed(ev.ContainerExited(container_id, -15))
    ends = {u.status.task_id: u.status for u in again.updates()}
    assert (ends["t"].state, ends["t"].reason) == (pb.TASK_LOST, pb.REASON_AGENT_DISCONNECTED)
