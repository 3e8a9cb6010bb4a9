"""The agent core: durable before visible, updates until acknowledged, kills with grace."""

from __future__ import annotations

import pytest

from pymesos_agent.core import events as ev
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.agent_harness import AgentHarness


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
