"""Custom executors on an agent: started once, told everything, outlived by nothing of theirs."""

from __future__ import annotations

import pytest

from pymesos_agent.core import events as ev
from pymesos_agent.services.executor import _BadSubscriptionError, _Subscription
from pymesos_core.resources import from_proto, parse
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import executor_pb2 as executor_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.agent_executors import COMMAND, launch, say, status, subscribe, token
from pymesos_testing.agent_harness import AgentHarness
from pymesos_testing.executor_stories import heard, running


@pytest.fixture
def h() -> AgentHarness:
    harness = AgentHarness()
    harness.connect()
    return harness


def test_one_executor_for_many_tasks(h: AgentHarness) -> None:
    launch(h, "a")
    launch(h, "b")
    (start,) = h.started
    assert start.resizes and start.info.task_id == "x"
    assert from_proto(start.info.resources) == parse("cpus:1.1;mem:96")
    assert h.sizes == [parse("cpus:2.1;mem:160")]
    h.feed(ev.ContainerStarted(start.container_id, 7))
    assert h.updates() == [], "only the executor says how its tasks are"
    subscribe(h)
    assert heard(h) == [("subscribed", ""), ("launch", "a"), ("launch", "b")]
    launch(h, "c")
    assert heard(h)[-1] == ("launch", "c")


def test_an_update_is_stored_before_it_is_acknowledged_and_sent(h: AgentHarness) -> None:
    launch(h, "a")
    subscribe(h)
    h.hold_writes = True
    say(h, "a", pb.TASK_RUNNING)
    assert heard(h)[-1] == ("launch", "a") and h.updates() == []
    h.hold_writes = False
    h.write()
    assert heard(h)[-1] == ("acknowledged", "a")
    (update,) = h.updates()
    assert (update.status.uuid, update.status.source) == (b"e1", pb.SOURCE_EXECUTOR)
    say(h, "a", pb.TASK_RUNNING)
    assert heard(h)[-2:] == [("acknowledged", "a")] * 2, "again, and nothing more comes of it"
    assert len(h.core.state.by_key["f", "a"].unacknowledged) == 1


def test_one_update_twice_in_one_write(h: AgentHarness) -> None:
    """Found by the simulator."""
    launch(h, "a")
    subscribe(h)
    h.hold_writes = True
    say(h, "a", pb.TASK_RUNNING)
    say(h, "a", pb.TASK_RUNNING)
    h.hold_writes = False
    h.write()
    assert ("acknowledged", "a") in heard(h)


def test_the_end_of_the_executor_is_the_end_of_its_tasks(h: AgentHarness) -> None:
    container_id = running(h, "a", "b")
    say(h, "b", pb.TASK_FINISHED, b"end")
    h.feed(ev.ContainerExited(container_id, 3))
    ends = {u.status.task_id: u.status for u in h.updates() if u.status.state != pb.TASK_RUNNING}
    assert ends["b"].state == pb.TASK_FINISHED
    assert (ends["a"].state, ends["a"].reason) == (
        pb.TASK_FAILED,
        pb.REASON_EXECUTOR_TERMINATED,
    )
    assert "exited with status 3" in ends["a"].message
    assert h.destroyed == [container_id]
    (exited,) = [m.executor_exited for m in h.sent if m.HasField("executor_exited")]
    assert (exited.executor_id, exited.status) == ("x", 3)
    for end in ends.values():
        h.acknowledge(end)
    assert h.core.state.tasks == {} and h.core.state.executors == {}
    assert list(h.core.state.sandboxes) == [container_id], "its files are kept for a while"
    for state in (h.core.state, AgentHarness(records=h.records).core.state):
        kept = {r.task_id: r.executor_container_id for r in state.in_executors.values()}
        assert kept == {"a": container_id, "b": container_id}, "and found by its tasks, too"
    h.advance(120)
    h.feed(ev.DiskMeasured(0.99))
    assert not h.core.state.sandboxes and not h.core.state.in_executors
    assert not any(kind == "sandbox" for kind, _ in h.records)


def test_an_executor_hears_of_a_kill_when_that_is_stored(h: AgentHarness) -> None:
    running(h, "a")
    h.hold_writes = True
    h.kill("a", 7)
    assert heard(h)[-1] != ("kill", "a")
    h.write()
    assert heard(h)[-1] == ("kill", "a")


def test_kill_is_the_executors_business(h: AgentHarness) -> None:
    running(h, "a")
    h.kill("a", 7)
    assert heard(h)[-1] == ("kill", "a") and h.kills == []
    assert h.told[1][-1].kill.kill_policy.grace_period_s == 7
    say(h, "a", pb.TASK_KILLED, b"end")
    assert h.updates()[-1].status.state == pb.TASK_KILLED


def test_one_without_tasks_is_shut_down_after_a_while(h: AgentHarness) -> None:
    container_id = running(h, "a")
    say(h, "a", pb.TASK_FINISHED, b"end")
    assert h.sizes[-1] == parse("cpus:0.1;mem:32")
    h.advance(9)
    assert ("shutdown", "") not in heard(h)
    h.advance(2)
    assert heard(h)[-1] == ("shutdown", "") and h.kills == []
    h.advance(5)
    assert h.kills[0] == (container_id, True)


def test_one_that_gets_a_task_in_time_goes_on(h: AgentHarness) -> None:
    running(h, "a")
    say(h, "a", pb.TASK_FINISHED, b"end")
    h.advance(5)
    launch(h, "b")
    h.advance(30)
    assert ("shutdown", "") not in heard(h) and len(h.started) == 1


def test_one_that_does_not_subscribe_is_killed(h: AgentHarness) -> None:
    launch(h, "a")
    container_id = h.started[0].container_id
    h.feed(ev.ContainerStarted(container_id, 7))
    h.advance(61)
    assert h.kills[0] == (container_id, False), "it cannot be asked"
    h.advance(6)
    h.feed(ev.ContainerExited(container_id, -9))
    end = h.updates()[-1].status
    assert end.reason == pb.REASON_EXECUTOR_REGISTRATION_TIMEOUT


def test_a_container_that_does_not_start(h: AgentHarness) -> None:
    launch(h, "a")
    h.feed(ev.ContainerFailed(h.started[0].container_id, "no image"))
    end = h.updates()[-1].status
    assert end.state == pb.TASK_FAILED and "no image" in end.message


def test_another_token_is_refused(h: AgentHarness) -> None:
    launch(h, "a")
    subscribe(h, secret="guessed")
    assert heard(h) == [("error", "")] and h.closed == [1]
    say(h, "a", pb.TASK_FINISHED)
    assert h.updates() == []


def test_what_an_executor_cannot_say(h: AgentHarness) -> None:
    running(h, "a")
    say(h, "a", pb.TASK_LOST, b"z")
    assert "cannot say TASK_LOST" in h.told[1][-1].error.message and h.closed == [1]


def test_another_executor_of_the_same_id(h: AgentHarness) -> None:
    running(h, "a")
    launch(h, "b", pb.ExecutorInfo(executor_id="x", command=COMMAND, data=b"other"))
    end = h.updates()[-1].status
    assert (end.task_id, end.state) == ("b", pb.TASK_ERROR)


def test_after_a_disconnection_it_hears_what_it_missed(h: AgentHarness) -> None:
    running(h, "a", "b")
    h.feed(ev.ExecutorLeft(1))
    launch(h, "c")
    h.kill("b")
    late = status("a", pb.TASK_FINISHED, b"late")
    subscribe(h, 2, ("a", "b"), (late,))
    assert heard(h, 2) == [
        ("subscribed", ""), ("acknowledged", "a"), ("kill", "b"), ("launch", "c"),
    ]  # fmt: skip
    assert h.updates()[-1].status.state == pb.TASK_FINISHED


def test_an_older_subscription_that_comes_late_is_refused(h: AgentHarness) -> None:
    """Found by the simulator: it did not name the tasks that came since, and they were given up."""
    launch(h, "a")
    subscribe(h, 2)
    say(h, "a", pb.TASK_RUNNING, stream_id=2)
    subscribe(h, 1)
    assert heard(h, 1) == [("error", "")] and 1 in h.closed
    assert not h.core.state.by_key["f", "a"].ended
    h.feed(ev.ExecutorLeft(1))
    launch(h, "b")
    assert heard(h, 2)[-1] == ("launch", "b"), "the later stream is in use"
    h.feed(ev.ExecutorLeft(2))
    subscribe(h, 1, ("a",))
    assert heard(h, 1) == [("error", "")] * 2, "also when the later one has ended"


def test_a_task_that_nobody_knows_is_ended(h: AgentHarness) -> None:
    running(h, "a")
    h.feed(ev.ExecutorLeft(1))
    subscribe(h, 2, ("a", "stranger"))
    assert [told for told in heard(h, 2) if told[0] == "kill"] == [("kill", "stranger")]
    say(h, "another", pb.TASK_RUNNING, b"s1", stream_id=2)
    assert heard(h, 2)[-2:] == [("acknowledged", "another"), ("kill", "another")]
    say(h, "another", pb.TASK_KILLED, b"s2", stream_id=2)
    assert heard(h, 2)[-1] == ("acknowledged", "another")


def test_a_task_that_was_given_up_and_runs_all_the_same_is_ended(h: AgentHarness) -> None:
    running(h, "a", "b")
    h.feed(ev.ExecutorLeft(1))
    subscribe(h, 2, ("b",))
    assert h.core.state.by_key["f", "a"].state == pb.TASK_FAILED
    h.feed(ev.ExecutorLeft(2))
    subscribe(h, 3, ("a", "b"))
    assert [told for told in heard(h, 3) if told[0] == "kill"] == [("kill", "a")]
    over = status("a", pb.TASK_KILLED, b"k")
    h.feed(ev.ExecutorLeft(3))
    subscribe(h, 4, ("a", "b"), (over,))
    assert not [told for told in heard(h, 4) if told[0] == "kill"]


def test_an_agent_that_restarts_finds_it(h: AgentHarness) -> None:
    container_id = running(h, "a", "b")
    secret = token(h)
    found = {container_id: ev.ContainerState(77)}
    again = AgentHarness(h.records, recovered=found, generation=2)
    again.connect()
    assert again.kills == [] and again.started == []
    subscribe(again, 5, ("a",), secret=secret)
    assert heard(again, 5) == [("subscribed", "")]
    assert [(u.status.task_id, u.status.state) for u in again.updates()] == [
        ("b", pb.TASK_FAILED)
    ], "which its executor does not know any more"
    say(again, "a", pb.TASK_FINISHED, b"end", 5)
    assert again.updates()[-1].status.task_id == "a"


def test_one_that_subscribes_before_the_runtimes_have_answered(h: AgentHarness) -> None:
    """What it was not told of by the last agent it is told, in either order."""
    launch(h, "a")
    (start,) = h.started
    h.feed(ev.ContainerStarted(start.container_id, 77))
    again = AgentHarness(h.records, generation=2, recover=False)
    subscribe(again, 5, secret=token(h))
    again.feed(ev.ContainersRecovered({start.container_id: ev.ContainerState(77)}))
    assert heard(again, 5) == [("subscribed", ""), ("launch", "a")]


def test_what_an_executor_says_of_a_task_before_it_is_told_of_it(h: AgentHarness) -> None:
    """The framework may have told the executor; the runtime of both is broken meanwhile."""
    running(h, "a")
    h.feed(ev.RuntimeBroken("process", "why"))
    h.connect(2)
    h.hold_writes = True
    for task_id, state in (("b", pb.TASK_RUNNING), ("c", pb.TASK_FINISHED)):
        launch(h, task_id, connection_id=2)
        say(h, task_id, state, task_id.encode())
    h.hold_writes = False
    h.write()
    ends = {u.status.task_id: u.status.state for u in h.updates()}
    assert ends["c"] == pb.TASK_FINISHED
    assert h.core.state.by_key["f", "b"].state == pb.TASK_FAILED


def shut_down(h: AgentHarness) -> None:
    shutdown = agent_pb.MasterMessage.ShutdownExecutor(framework_id="f", executor_id="x")
    h.hear(agent_pb.MasterMessage(shutdown_executor=shutdown))


def test_an_agent_that_restarts_goes_on_to_shut_it_down(h: AgentHarness) -> None:
    container_id = running(h, "a")
    shut_down(h)
    found = {container_id: ev.ContainerState(77)}
    again = AgentHarness(h.records, recovered=found, generation=2)
    assert again.kills == [(container_id, False)]
    again.advance(5)
    assert again.kills[1] == (container_id, True)


def test_a_shutdown_while_its_runtime_was_away_since_the_start(h: AgentHarness) -> None:
    container_id = running(h, "a")
    again = AgentHarness(dict(h.records), generation=2, away={"process": "no supervisor"})
    again.connect()
    shut_down(again)
    again.advance(60)
    assert again.kills == []
    last = AgentHarness(dict(again.records), generation=3, away={"process": "no supervisor"})
    for each in (again, last):
        each.feed(ev.RuntimeBack("process", {container_id: ev.ContainerState(77)}))
        each.advance(5)
        assert each.kills[:2] == [(container_id, False), (container_id, True)]


def test_an_agent_that_restarts_and_does_not_find_it(h: AgentHarness) -> None:
    running(h, "a")
    again = AgentHarness(h.records, generation=2)
    again.connect()
    (update,) = again.updates()
    assert update.status.reason == pb.REASON_EXECUTOR_TERMINATED
    again.acknowledge(update.status)
    assert again.core.state.tasks == {}
    assert {kind for kind, _ in again.records} == {"agent", "sandbox"}


def test_a_write_that_fails_starts_nothing(h: AgentHarness) -> None:
    h.fail_writes = "no space"
    launch(h, "a")
    assert h.started == [] and h.core.state.tasks == {} and h.core.state.executors == {}
    assert h.updates()[-1].status.state == pb.TASK_DROPPED


def test_one_whose_tasks_are_killed_before_it_is_started(h: AgentHarness) -> None:
    """Found by the simulator: it stayed for ever, and an agent marked gone with it."""
    h.hold_writes = True
    launch(h, "a")
    h.kill("a")
    h.hold_writes = False
    h.write()
    assert h.started == []
    assert h.updates()[-1].status.reason == pb.REASON_TASK_KILLED_DURING_LAUNCH
    assert h.core.state.executors == {}


def test_an_agent_that_ends_does_not_wait_for_an_executor_that_never_was(h: AgentHarness) -> None:
    h.hold_writes = True
    launch(h, "a")
    h.feed(ev.TasksEnding())
    h.hold_writes = False
    h.write()
    assert h.started == [] and h.exit == [None]


@pytest.mark.parametrize("sizes", [[10_001], [10_000, 1], [1, 10_000], [5000, 5000, 1]])
def test_one_that_says_that_it_has_too_many_tasks(sizes: list[int]) -> None:
    parts = [[f"{n}" for n in range(size)] for size in sizes]
    first = executor_pb.ExecutorCall.Subscribe(task_ids=parts[0], more_tasks=len(parts) > 1)
    calls = [executor_pb.ExecutorCall(subscribe=first)]
    for n, ids in enumerate(parts[1:], 2):
        part = executor_pb.ExecutorCall.MoreTasks(task_ids=ids, more_tasks=n < len(parts))
        calls.append(executor_pb.ExecutorCall(more_tasks=part))
    subscription = _Subscription()
    with pytest.raises(_BadSubscriptionError, match="at most 10000 tasks"):
        for call in calls:
            list(subscription.take(call))


def test_messages_both_ways(h: AgentHarness) -> None:
    running(h, "a")
    down = agent_pb.ExecutorMessage(framework_id="f", executor_id="x", data=b"do")
    h.hear(agent_pb.MasterMessage(executor_message=down))
    assert h.told[1][-1].message.data == b"do"
    said = executor_pb.ExecutorCall.Message(data=b"done")
    h.feed(ev.ExecutorSaid(1, executor_pb.ExecutorCall(message=said)))
    assert h.sent[-1].executor_message.data == b"done"


def test_it_is_no_task_to_the_master(h: AgentHarness) -> None:
    running(h, "a")
    h.feed(ev.Disconnected(1))
    h.connect(2)
    (register,) = [m.register for m in h.sent[-4:] if m.HasField("register")]
    assert [record.task_info.task_id for record in register.tasks] == ["a"]
