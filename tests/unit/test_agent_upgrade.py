"""An agent takes over what an older one has stored.

`data/checkpoint_v1.sqlite` was written by the agent of commit fb9ec58, which kept tasks, executors
and containers in one class: tasks in every state, a group, an executor with two tasks, a sandbox.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pymesos_agent.core import events as ev
from pymesos_core.resources import parse, to_proto
from pymesos_core.store import Store
from pymesos_proto.v1 import executor_pb2 as executor_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.agent_harness import AgentHarness

OLD = Path(__file__).parent / "data/checkpoint_v1.sqlite"
INFO = pb.AgentInfo(
    address=pb.Address(hostname="h", ip="127.0.0.1", port=1),
    resources=to_proto(parse("cpus:16;mem:4096")),
    runtimes=["process", "docker"],
)
CONTAINERS = {
    "c1-1": 77,  # the executor x
    "c1-3": 4711,  # of the task `runs`
    "c1-4": 4711,  # `killed`, with 60 s of grace
    "c1-5": 4711,  # `ended`, with status 3, which is not acknowledged
    "c1-7": 5150,  # `image`, of docker
    "c1-9": 6000,  # `one` and
    "c1-10": 6000,  # `two`, of a group
}


@pytest.fixture
def upgraded(tmp_path: Path) -> AgentHarness:
    shutil.copy(OLD, tmp_path / "checkpoint.sqlite")
    store = Store(tmp_path / "checkpoint.sqlite")
    records = store.load()
    store.close()
    there = {c: ev.ContainerState(pid) for c, pid in CONTAINERS.items()}
    there["c1-5"] = ev.ContainerState(0, ev.ContainerExited("c1-5", 3))
    h = AgentHarness(records, INFO, there, generation=2)
    h.connect()
    return h


def test_every_task_is_reported_as_it_was(upgraded: AgentHarness) -> None:
    (register,) = [m.register for m in upgraded.sent if m.HasField("register")]
    assert {t.task_info.task_id: pb.TaskState.Name(t.state) for t in register.tasks} == {
        "in-executor": "TASK_RUNNING",
        "over-in-executor": "TASK_FINISHED",
        "runs": "TASK_RUNNING",
        "killed": "TASK_KILLING",
        "ended": "TASK_FAILED",
        "staged": "TASK_DROPPED",  # no container of it was there
        "image": "TASK_RUNNING",
        "one": "TASK_RUNNING",
        "two": "TASK_RUNNING",
    }
    assert register.agent_info.agent_id == "a" and register.epoch_seen == 1
    (runs,) = [t for t in register.tasks if t.task_info.task_id == "runs"]
    assert runs.started_at_s == runs.launched_at_s == 1.7e9 + 100


def test_what_was_under_way_goes_on(upgraded: AgentHarness) -> None:
    h = upgraded
    assert h.kills == [("c1-4", False)], "its grace period begins anew"
    assert h.destroyed == ["c1-5", "c1-6"]
    h.advance(59)
    assert h.kills == [("c1-4", False)]
    h.advance(2)
    assert ("c1-4", True) in h.kills
    assert h.asked[0][1].container_id == "c1-3"
    (unacknowledged,) = {u.status.state for u in h.updates() if u.status.task_id == "ended"}
    assert unacknowledged == pb.TASK_FAILED


def test_a_group_ends_together(upgraded: AgentHarness) -> None:
    upgraded.feed(ev.ContainerExited("c1-9", 1))
    assert upgraded.kills[-1] == ("c1-10", False)


def test_an_executor_subscribes_with_the_token_it_had(upgraded: AgentHarness) -> None:
    h = upgraded
    info = h.core.state.executors["f", "x"]
    call = executor_pb.ExecutorCall.Subscribe(
        framework_id="f", executor_id="x", token=info.token, task_ids=["in-executor"]
    )
    h.feed(ev.ExecutorSaid(1, executor_pb.ExecutorCall(subscribe=call)))
    assert [e.WhichOneof("event") for e in h.told[1]] == ["subscribed"]
    again = executor_pb.ExecutorCall.Update(
        status=pb.TaskStatus(task_id="in-executor", state=pb.TASK_FINISHED, uuid=b"done")
    )
    h.feed(ev.ExecutorSaid(1, executor_pb.ExecutorCall(update=again)))
    assert h.told[1][-1].WhichOneof("event") == "acknowledged"
    assert h.core.state.by_key["f", "in-executor"].state == pb.TASK_FINISHED


def test_the_sandbox_of_an_ended_task_is_found(upgraded: AgentHarness) -> None:
    assert [s.task_id for s in upgraded.core.state.sandboxes.values()] == ["gone"]
