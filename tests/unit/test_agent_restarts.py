"""The agent core over restarts and full disks, at its end, and what it does with old sandboxes."""

from __future__ import annotations

import math

import pytest

from pymesos_agent.core import RecoveryError
from pymesos_agent.core import events as ev
from pymesos_core.resources import parse, to_proto
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import checkpoint_pb2 as checkpoint_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.agent_harness import INFO, AgentHarness


@pytest.fixture
def h() -> AgentHarness:
    harness = AgentHarness()
    harness.connect()
    return harness


class TestRestart:
    def test_a_running_task_is_found_again(self, h: AgentHarness) -> None:
        container = h.run()
        again = AgentHarness(h.records, recovered={container: ev.ContainerState(4711)})
        again.connect(agent_id="a")
        register = again.sent[0].register
        assert register.agent_info.agent_id == "a"
        assert [(t.task_info.task_id, t.state) for t in register.tasks] == [("t", pb.TASK_RUNNING)]
        again.feed(ev.ContainerExited(container, 5))
        assert again.states() == ["TASK_FAILED"]

    def test_one_that_ended_meanwhile_is_reported_with_its_status(self, h: AgentHarness) -> None:
        container = h.run()
        exited = ev.ContainerExited(container, 17)
        again = AgentHarness(h.records, recovered={container: ev.ContainerState(1, exited)})
        again.connect()
        assert again.updates()[-1].status.exit_status == 17

    def test_unacknowledged_updates_are_sent_again(self, h: AgentHarness) -> None:
        h.feed(ev.ContainerExited(h.run(), 0))
        again = AgentHarness(h.records)
        assert again.states() == []
        again.connect()
        assert again.states() == ["TASK_FINISHED"]
        assert again.updates()[0].status.uuid == h.updates()[-1].status.uuid

    def test_a_launch_that_did_not_get_far_is_dropped(self, h: AgentHarness) -> None:
        h.launch()
        again = AgentHarness(h.records)
        again.connect()
        assert again.states() == ["TASK_DROPPED"]
        assert again.updates()[0].status.reason == pb.REASON_AGENT_RESTARTED

    def test_a_kill_goes_on(self, h: AgentHarness) -> None:
        container = h.run()
        h.kill(grace_s=5)
        again = AgentHarness(h.records, recovered={container: ev.ContainerState(4711)})
        assert again.kills == [(container, False)]
        again.advance(5.1)
        assert again.kills[-1] == (container, True)

    def test_containers_that_nobody_knows_are_ended(self) -> None:
        h = AgentHarness(recovered={"stray": ev.ContainerState(1)})
        assert h.kills == [("stray", True)]
        h.feed(ev.ContainerExited("stray", -9))
        assert h.destroyed == ["stray"]

    def test_resources_that_do_not_hold_the_tasks_any_more(self, h: AgentHarness) -> None:
        h.run()
        smaller = pb.AgentInfo()
        smaller.CopyFrom(INFO)
        del smaller.resources[:]
        smaller.resources.extend(to_proto(parse("cpus:0.5;mem:16")))
        with pytest.raises(RecoveryError, match=r"recover --discard"):
            AgentHarness(h.records, info=smaller)

    def test_a_checkpoint_that_cannot_be_read(self) -> None:
        with pytest.raises(RecoveryError, match=r"recover --discard"):
            AgentHarness({("agent", ""): b"\xff\xff\xff"})

    @pytest.mark.parametrize(
        "record",
        [
            b"\xff\xff\xff",
            b"",
            checkpoint_pb.TaskCheckpoint(
                container_id="c",
                framework_id="f",
                task_info=pb.TaskInfo(task_id="x"),
                state=777,  # type: ignore[arg-type]
            ).SerializeToString(),
            checkpoint_pb.TaskCheckpoint(
                container_id="c",
                framework_id="f",
                task_info=pb.TaskInfo(
                    task_id="x", resources=[pb.Resource(name="cpus", scalar=math.nan)]
                ),
            ).SerializeToString(),
        ],
    )
    def test_one_damaged_record_is_set_aside_and_the_rest_goes_on(
        self, h: AgentHarness, record: bytes
    ) -> None:
        container = h.run()
        h.records["task", "c"] = h.records["sandbox", "s"] = record
        there = {container: ev.ContainerState(1), "c": ev.ContainerState(2)}
        again = AgentHarness(h.records, recovered=there, generation=2)
        again.connect()
        assert list(again.core.state.tasks) == [container]
        assert again.kills == [("c", True)]
        assert again.records["task", "c"] == record, "it is kept as it is"
        assert "task/c" in again.complaints[0].peer


class TestFullDisk:
    def test_a_launch_is_refused_visibly(self, h: AgentHarness) -> None:
        h.fail_writes = "disk full"
        h.launch()
        assert h.started == []
        status = h.updates()[-1].status
        assert (status.state, status.reason) == (pb.TASK_DROPPED, pb.REASON_AGENT_DISK_FULL)
        assert not status.uuid
        assert not h.core.state.tasks

    def test_an_update_waits_for_room(self, h: AgentHarness) -> None:
        container = h.run()
        h.fail_writes = "disk full"
        h.feed(ev.ContainerExited(container, 0))
        h.advance(3)
        assert h.states() == ["TASK_RUNNING"]
        assert h.destroyed == []
        h.fail_writes = None
        h.advance(1.1)
        assert h.states() == ["TASK_RUNNING", "TASK_FINISHED"]
        assert h.destroyed == [container]


def test_a_registration_tells_no_state_that_is_not_durable(h: AgentHarness) -> None:
    """Found by the simulator: the master would free what a restarted agent still counts."""
    container = h.run()
    h.fail_writes = "disk full"
    h.feed(ev.ContainerExited(container, 0))
    h.connect(2)
    (record,) = [m.register for m in h.sent if m.HasField("register")][-1].tasks
    assert (record.state, list(record.unacknowledged)) == (pb.TASK_RUNNING, [])


class TestEnd:
    def test_gone_ends_the_tasks_and_then_the_agent(self, h: AgentHarness) -> None:
        container = h.run()
        refused = agent_pb.MasterMessage.Refused(message="gone", shut_down=True)
        h.hear(agent_pb.MasterMessage(refused=refused))
        assert h.exit == []
        h.feed(ev.ContainerExited(container, -15))
        assert h.exit and "recover --discard" in (h.exit[0] or "")

    def test_ending_all(self, h: AgentHarness) -> None:
        containers = [h.run("a"), h.run("b")]
        h.feed(ev.TasksEnding())
        h.launch("late")
        for container in containers:
            h.feed(ev.ContainerExited(container, -15))
        assert h.exit == [None]
        assert sorted(h.destroyed) == sorted(containers)

    def test_the_master_hears_first_that_it_leaves(self, h: AgentHarness) -> None:
        container = h.run("a")
        h.sent.clear()
        h.feed(ev.TasksEnding())
        h.feed(ev.ContainerExited(container, -15))
        kinds = [message.WhichOneof("message") for message in h.sent]
        assert kinds[0] == "leaving" and "update" in kinds
        status = h.core.state.by_key[("f", "a")].unacknowledged[-1]
        assert (status.state, status.reason) == (pb.TASK_KILLED, pb.REASON_AGENT_REMOVED)

    def test_also_a_master_that_it_meets_meanwhile(self, h: AgentHarness) -> None:
        h.run("a")
        h.feed(ev.TasksEnding())
        h.connect(2)
        registers = [m.register for m in h.sent if m.HasField("register")]
        assert [register.leaving for register in registers] == [False, True]

    def test_what_comes_too_late_is_dropped(self, h: AgentHarness) -> None:
        h.run("a")
        h.feed(ev.TasksEnding())
        h.launch("late")
        status = h.updates()[-1].status
        assert (status.task_id, status.state) == ("late", pb.TASK_DROPPED)
        assert "is ending" in status.message


def test_sandboxes_go_by_age_and_sooner_on_a_full_disk(h: AgentHarness) -> None:
    day_s = 86400
    for number in range(3):
        h.feed(ev.ContainerExited(h.run(f"t{number}"), 0))
        h.acknowledge(h.updates()[-1].status)
    for number, record in enumerate(h.core.state.sandboxes.values()):
        record.ended_at_s -= (3 - number) * day_s

    def left(used: float) -> list[str]:
        h.feed(ev.DiskMeasured(used))
        return [record.task_id for record in h.core.state.sandboxes.values()]

    assert left(0.4) == ["t0", "t1", "t2"], "half of a week"
    assert left(0.6) == ["t1", "t2"], "3 tenths of a week: 2.1 days"
    assert [k for k, _ in h.records].count("sandbox") == 2
    h.feed(ev.ContainerExited(h.run("t3"), 0))
    h.acknowledge(h.updates()[-1].status)
    assert left(1.0) == ["t3"], "what has just ended stays, whatever the disk"
    assert h.removed == ["c1-0", "c1-1", "c1-2"]


def test_sandboxes_of_a_time_to_come_go_by_age_from_now_on(h: AgentHarness) -> None:
    """The clock was in 2038 as it ended, and was set back."""
    h.feed(ev.ContainerExited(h.run("t"), 0))
    h.acknowledge(h.updates()[-1].status)
    (record,) = h.core.state.sandboxes.values()
    record.ended_at_s = 2.1e9
    h.feed(ev.DiskMeasured(1.0))
    assert list(h.core.state.sandboxes.values()) == [record]
    h.advance(61)
    h.feed(ev.DiskMeasured(1.0))
    assert not h.core.state.sandboxes


def test_sandboxes_go_by_the_clock_that_nobody_sets(h: AgentHarness) -> None:
    """The machine began in 1970, as one without a clock of its own, and learned then which day it
    was: what had ended a moment ago was 56 years old, and removed.
    """
    object.__setattr__(h.core._ctx.config, "boot_id", "b1")
    right_s, h.wall_s = h.wall_s, 0.0
    h.feed(ev.ContainerExited(h.run("t"), 0))
    h.acknowledge(h.updates()[-1].status)
    h.feed(ev.DiskMeasured(1.0))
    h.wall_s = right_s
    h.feed(ev.DiskMeasured(1.0))
    (record,) = h.core.state.sandboxes.values()
    assert record.boot_id == "b1"
    object.__setattr__(h.core._ctx.config, "boot_id", "b2")  # it has booted since
    h.feed(ev.DiskMeasured(1.0))
    assert record.boot_id == "b2" and record.ended_at_s >= right_s, "it counts from now on"
    h.wall_s -= 4e6
    h.advance(61)
    h.feed(ev.DiskMeasured(1.0))
    assert not h.core.state.sandboxes


def test_old_sandboxes_are_removed(h: AgentHarness) -> None:
    object.__setattr__(h.core._ctx.config, "max_sandboxes", 2)
    for number in range(4):
        h.feed(ev.ContainerExited(h.run(f"t{number}"), 0))
        h.acknowledge(h.updates()[-1].status)
        h.advance(1)
    assert [r.task_id for r in h.core.state.sandboxes.values()] == ["t2", "t3"]
