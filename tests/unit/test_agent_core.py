"""The agent core: durable before visible, updates until acknowledged, kills with grace."""

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


def test_a_life(h: AgentHarness) -> None:
    container = h.run()
    h.feed(ev.ContainerExited(container, 0))
    assert h.states() == ["TASK_RUNNING", "TASK_FINISHED"]
    last = h.updates()[-1].status
    assert (last.exit_status, last.message) == (0, "Command exited with status 0")
    h.acknowledge(last)
    assert h.destroyed == [container]
    assert not h.core.state.tasks
    assert [kind for kind, _ in h.records] == ["agent", "sandbox"]


def test_an_agent_stores_its_id_before_anybody_knows_it() -> None:
    h = AgentHarness()
    h.hold_writes = True
    h.feed(ev.Connected(1))
    assert h.sent == []
    h.write()
    assert h.sent[0].register.agent_info.agent_id == "a"
    assert AgentHarness(h.records).core.state.agent_id == "a"


def test_an_id_that_is_being_stored_is_said_on_no_later_connection_either() -> None:
    """The write may fail: the master would have a ghost, on which tasks are launched."""
    h = AgentHarness()
    h.hold_writes = True
    h.feed(ev.Connected(1))
    h.feed(ev.Disconnected(1))
    h.feed(ev.Connected(2))
    assert h.sent == []
    h.fail_writes = "no space left on device"
    h.write()
    assert h.sent == [] and "cannot be stored" in h.disconnects[0]
    h.fail_writes = None
    h.feed(ev.Connected(3))
    h.write()
    assert [each.register.agent_info.agent_id for each in h.sent] == ["b"]
    assert AgentHarness(h.records).core.state.agent_id == "b"


def test_nothing_starts_before_its_checkpoint_is_written(h: AgentHarness) -> None:
    h.hold_writes = True
    h.launch()
    assert h.started == []
    h.write()
    assert len(h.started) == 1
    h.feed(ev.ContainerStarted(h.container(), 1))
    assert h.updates() == [], "an update is stored before it is sent"
    h.write()
    assert h.states() == ["TASK_RUNNING"]


def test_a_launch_alone_need_not_outlive_the_machine(h: AgentHarness) -> None:
    assert h.synced and all(h.synced), "its id"
    h.synced.clear()
    h.launch()
    assert h.synced == [False]
    h.feed(ev.ContainerStarted(h.container(), 1))
    h.feed(ev.ContainerExited(h.container(), 0))
    for update in range(2):
        h.acknowledge(h.updates()[update].status)
    assert all(h.synced[1:]) and len(h.synced) > 3


def test_a_launch_that_comes_twice_starts_once(h: AgentHarness) -> None:
    h.launch()
    h.launch()
    assert len(h.started) == 1


def test_updates_go_one_at_a_time_and_in_order(h: AgentHarness) -> None:
    h.launch()
    h.feed(ev.ContainerStarted(h.container(), 1))
    h.feed(ev.ContainerExited(h.container(), 3))
    assert h.states() == ["TASK_RUNNING"]
    h.advance(10)
    assert h.states() == ["TASK_RUNNING"] * 2
    assert h.updates()[-1].latest_state == pb.TASK_FAILED
    h.acknowledge(h.updates()[0].status)
    assert h.states()[-1] == "TASK_FAILED"
    h.acknowledge(h.updates()[0].status)
    assert len(h.states()) == 3, "a late repetition of an acknowledgement is ignored"


def test_updates_repeat_after_10_s_and_then_ever_later(h: AgentHarness) -> None:
    h.launch()
    h.feed(ev.ContainerStarted(h.container(), 1))
    times = []
    for _ in range(200):
        before = len(h.updates())
        h.hear(agent_pb.MasterMessage(ping=agent_pb.MasterMessage.Ping()))
        h.advance(1)
        if len(h.updates()) > before:
            times.append(h.now_s - 100)
    assert times[:4] == [10, 30, 70, 150]


@pytest.mark.parametrize(
    ("asked_s", "followed_s"),
    [(0, 5), (20, 20), (1e9, 60), (1e-9, 1), (-1, 5), (float("nan"), 5)],
)
def test_usage_is_reported_as_often_as_a_ping_asks(
    h: AgentHarness, asked_s: float, followed_s: float
) -> None:
    ping = agent_pb.MasterMessage.Ping(usage_interval_s=asked_s)
    h.hear(agent_pb.MasterMessage(ping=ping))
    assert h.core.usage_interval_s == followed_s


def test_a_second_terminal_update_is_dropped(h: AgentHarness) -> None:
    container = h.run()
    h.feed(ev.ContainerExited(container, 0))
    h.feed(ev.ContainerExited(container, 1))
    assert h.states() == ["TASK_RUNNING", "TASK_FINISHED"]


@pytest.mark.parametrize(
    ("event", "state", "reason", "message"),
    [
        ((3, None), "TASK_FAILED", "REASON_UNSPECIFIED", "Command exited with status 3"),
        ((-9, None), "TASK_FAILED", "REASON_UNSPECIFIED", "terminated with signal Killed"),
        ((-9, "memory"), "TASK_FAILED", "REASON_CONTAINER_LIMITATION_MEMORY", "32 MiB"),
        ((None, None), "TASK_FAILED", "REASON_EXECUTOR_TERMINATED", "unknown"),
    ],
)
def test_how_it_ended(
    h: AgentHarness,
    event: tuple[int | None, str | None],
    state: str,
    reason: str,
    message: str,
) -> None:
    h.feed(ev.ContainerExited(h.run(), *event))
    status = h.updates()[-1].status
    assert (h.states()[-1], pb.Reason.Name(status.reason)) == (state, reason)
    assert message in status.message


class TestKill:
    """Recording 03b."""

    def test_term_then_kill(self, h: AgentHarness) -> None:
        container = h.run()
        h.kill()
        assert h.kills == [(container, False)]
        assert h.states()[-1] == "TASK_KILLING"
        h.advance(2.9)
        assert h.kills == [(container, False)]
        h.advance(0.2)
        assert h.kills[-1] == (container, True)

    @pytest.mark.parametrize("problem", [None, "the disk is full"])
    def test_why_it_is_killed_is_stored_first(self, h: AgentHarness, problem: str | None) -> None:
        container = h.run()
        h.hold_writes, h.fail_writes = True, problem
        h.kill()
        assert h.kills == []
        h.hold_writes = False
        h.write()
        assert h.kills == [(container, False)], "what cannot be stored is killed all the same"

    def test_its_grace_period_begins_with_the_signal(self, h: AgentHarness) -> None:
        container = h.run()
        h.hold_writes = True
        h.kill()
        h.advance(4)
        assert h.kills == [], "longer than the grace period"
        h.hold_writes = False
        h.write()
        h.advance(2.9)
        assert h.kills == [(container, False)]
        h.advance(0.2)
        assert h.kills[-1] == (container, True)

    def test_a_disk_that_hangs_keeps_nobody_alive(self, h: AgentHarness) -> None:
        container = h.run()
        h.hold_writes = True
        h.kill()
        h.advance(8.1)
        assert h.kills[0] == (container, True)

    def test_one_that_ends_before_that_is_left_alone(self, h: AgentHarness) -> None:
        container = h.run()
        h.hold_writes = True
        h.kill()
        h.feed(ev.ContainerExited(container, 0))
        h.write()
        assert h.kills == []

    def test_an_exit_of_zero_after_a_kill_is_killed(self, h: AgentHarness) -> None:
        container = h.run()
        h.kill()
        h.acknowledge(h.updates()[-1].status)
        h.feed(ev.ContainerExited(container, 0))
        assert h.states()[-1] == "TASK_KILLED"

    def test_one_that_is_killed_as_its_agent_is_drained_says_so(self, h: AgentHarness) -> None:
        container = h.run()
        h.kill(reason=pb.REASON_AGENT_DRAINING)
        h.acknowledge(h.updates()[-1].status)
        h.feed(ev.ContainerExited(container, 0))
        status = h.updates()[-1].status
        assert (status.state, status.reason) == (pb.TASK_KILLED, pb.REASON_AGENT_DRAINING)
        assert status.message == "Killed, for its agent is being drained"

    def test_one_that_its_framework_has_killed_before_does_not(self, h: AgentHarness) -> None:
        container = h.run()
        h.kill()
        h.kill(reason=pb.REASON_AGENT_DRAINING)
        h.acknowledge(h.updates()[-1].status)
        h.feed(ev.ContainerExited(container, 0))
        assert h.updates()[-1].status.reason == pb.REASON_UNSPECIFIED

    def test_killing_is_for_those_who_declare_it(self, h: AgentHarness) -> None:
        h.run(killing_state=False)
        h.kill()
        assert h.states() == ["TASK_RUNNING"]

    def test_the_calls_policy_beats_the_tasks_own_and_a_second_call_the_first(
        self, h: AgentHarness
    ) -> None:
        container = h.run(kill_policy=pb.KillPolicy(grace_period_s=100))
        h.kill(grace_s=50)
        h.advance(10)
        assert (container, True) not in h.kills
        h.kill(grace_s=1)
        h.advance(1.1)
        assert (container, True) in h.kills

    def test_the_first_signal_is_the_calls_or_the_tasks_own(self, h: AgentHarness) -> None:
        own = pb.KillPolicy(grace_period_s=100, signal="SIGQUIT")
        container = h.run(kill_policy=own)
        h.kill(grace_s=50)
        h.kill(first="SIGWINCH")  # which leaves the period as the task has it
        h.advance(60)
        assert h.first_signals == ["SIGQUIT", "SIGWINCH"] and (container, True) not in h.kills
        h.advance(41)
        assert h.kills[-1] == (container, True)

    def test_sigterm_is_the_usual_one(self, h: AgentHarness) -> None:
        h.run()
        h.kill()
        assert h.first_signals == ["SIGTERM"]

    def test_one_that_is_drained_ends_by_its_own_signal(self, h: AgentHarness) -> None:
        h.run(kill_policy=pb.KillPolicy(grace_period_s=1, signal="SIGINT"))
        h.kill(reason=pb.REASON_AGENT_DRAINING)
        assert h.first_signals == ["SIGINT"]

    def test_a_signal_that_is_none_of_them_is_not_heeded(self, h: AgentHarness) -> None:
        container = h.run()
        h.kill(first="SIGKILL")
        assert h.kills == [(container, False)] and h.first_signals == ["SIGTERM"]

    def test_during_launch(self, h: AgentHarness) -> None:
        h.hold_writes = True
        h.launch()
        h.kill()
        h.write()
        h.write()
        assert h.started == []
        assert h.states() == ["TASK_KILLED"]
        assert h.updates()[-1].status.reason == pb.REASON_TASK_KILLED_DURING_LAUNCH

    def test_a_framework_that_is_shut_down_loses_its_tasks(self, h: AgentHarness) -> None:
        first, second = h.run("a"), h.run("b")
        shutdown = agent_pb.MasterMessage.ShutdownFramework(framework_id="f")
        h.hear(agent_pb.MasterMessage(shutdown_framework=shutdown))
        assert {(first, False), (second, False)} <= set(h.kills)


def test_a_task_for_a_runtime_that_is_not_here(h: AgentHarness) -> None:
    h.launch(image="busybox")
    assert h.started == []
    status = h.updates()[-1].status
    assert status.reason == pb.REASON_CONTAINER_LAUNCH_FAILED
    assert "needs the runtime docker" in status.message


class TestEpochs:
    def test_an_older_master_is_not_obeyed(self, h: AgentHarness) -> None:
        h.connect(2, epoch=7)
        h.connect(3, epoch=6)
        assert "epoch 6; 7 was seen" in h.disconnects[-1]

    def test_an_epoch_is_durable_before_it_is_obeyed(self, h: AgentHarness) -> None:
        h.hold_writes = True
        h.feed(ev.Connected(2))
        ping = agent_pb.MasterMessage(ping=agent_pb.MasterMessage.Ping())
        h.hear(ping, 2, epoch=9)
        pongs = sum(m.HasField("pong") for m in h.sent)
        h.write()
        assert sum(m.HasField("pong") for m in h.sent) == pongs + 1
        assert AgentHarness(h.records).core.state.epoch_seen == 9

    def test_the_tail_of_an_old_stream_is_ignored(self, h: AgentHarness) -> None:
        h.connect(2)
        launch = agent_pb.LaunchTask(framework_id="f", task_info=pb.TaskInfo(task_id="late"))
        h.hear(agent_pb.MasterMessage(launch=launch), connection_id=1)
        assert not h.core.state.tasks

    def test_a_silent_master_is_left(self, h: AgentHarness) -> None:
        h.advance(76)
        assert "silent" in h.disconnects[-1]


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
