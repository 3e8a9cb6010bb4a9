"""Custom executors on an agent: started once, told everything, outlived by nothing of theirs."""

from __future__ import annotations

import pytest

from pymesos_agent.core import events as ev
from pymesos_agent.master_stream import cut_registration
from pymesos_agent.services.executor import _BadSubscriptionError, _Subscription
from pymesos_core.resources import from_proto, parse
from pymesos_master.core import events as master_ev
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import executor_pb2 as executor_pb
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.agent_executors import COMMAND, launch, say, status, subscribe, token
from pymesos_testing.agent_harness import AgentHarness
from pymesos_testing.master_harness import MasterHarness, task


@pytest.fixture
def h() -> AgentHarness:
    harness = AgentHarness()
    harness.connect()
    return harness


def heard(h: AgentHarness, stream_id: int = 1) -> list[tuple[str, str]]:
    """What an executor was told, with the task it is about."""
    out = []
    for event in h.told.get(stream_id, []):
        kind = event.WhichOneof("event") or ""
        about = getattr(event, kind)
        info = getattr(about, "task_info", None)
        out.append((kind, info.task_id if info is not None else getattr(about, "task_id", "")))
    return out


def running(h: AgentHarness, *task_ids: str) -> str:
    """An executor with tasks that run; its container id."""
    for task_id in task_ids:
        launch(h, task_id)
    container_id = h.started[0].container_id
    h.feed(ev.ContainerStarted(container_id, 77))
    subscribe(h)
    for number, task_id in enumerate(task_ids):
        say(h, task_id, pb.TASK_RUNNING, f"r{number}".encode())
    for update in h.updates():
        h.acknowledge(update.status)
    return container_id


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


class TestMaster:
    def launched(self, **keys: object) -> tuple[MasterHarness, int, int, pb.Offer]:
        h = MasterHarness()
        agent, framework = h.agent(), h.subscribe()
        offer = h.offers(framework)[0]
        info = task(offer, "t")
        info.ClearField("command")
        info.executor.CopyFrom(pb.ExecutorInfo(executor_id="x", command=COMMAND, **keys))  # type: ignore[arg-type]
        h.accept(framework, [offer.offer_id], info)
        return h, agent, framework, offer

    def test_a_task_with_an_executor_is_launched(self) -> None:
        h, agent, _, _ = self.launched()
        assert h.launched(agent) == ["t"]

    @pytest.mark.parametrize(
        ("keys", "says"),
        [
            ({"executor_id": "a/b"}, "executor_id: 'a/b' has a slash"),
            ({"command": pb.CommandInfo()}, "neither a command nor an image"),
            ({"container": pb.ContainerInfo(network="none")}, "does not reach its agent"),
            ({"shutdown_grace_period_s": -1}, "shutdown_grace_period_s is -1"),
        ],
    )
    def test_what_is_wrong_is_said(self, keys: dict[str, object], says: str) -> None:
        h = MasterHarness()
        h.agent()
        framework = h.subscribe()
        offer = h.offers(framework)[0]
        info = task(offer, "t")
        info.ClearField("command")
        given = {"executor_id": "x", "command": COMMAND, **keys}
        info.executor.CopyFrom(pb.ExecutorInfo(**given))  # type: ignore[arg-type]
        h.accept(framework, [offer.offer_id], info)
        assert says in h.last(framework).message

    def test_messages_are_passed_on(self) -> None:
        h, agent, framework, offer = self.launched()
        call = scheduler_pb.Call.Message(agent_id=offer.agent_id, executor_id="x", data=b"do")
        h.call(framework, message=call)
        assert h.agent_inbox[agent][-1].executor_message.data == b"do"
        framework_id = h.framework_id(framework)
        said = agent_pb.ExecutorMessage(framework_id=framework_id, executor_id="x", data=b"ok")
        h.feed(master_ev.ExecutorTold(agent, said))
        assert h.framework_inbox[framework][-1].message.data == b"ok"
        exited = agent_pb.AgentMessage.ExecutorExited(
            framework_id=framework_id, executor_id="x", status=-9
        )
        h.feed(master_ev.ExecutorTold(agent, exited))
        failure = h.framework_inbox[framework][-1].failure
        assert (failure.agent_id, failure.executor_id, failure.status) == (offer.agent_id, "x", -9)

    def test_a_framework_reaches_only_its_own(self) -> None:
        h, agent, _, offer = self.launched()
        other = h.subscribe()
        shutdown = scheduler_pb.Call.Shutdown(agent_id=offer.agent_id, executor_id="x")
        h.call(other, shutdown=shutdown)
        assert h.agent_inbox[agent][-1].shutdown_executor.framework_id == h.framework_id(other)


def test_an_update_carries_data_and_labels_over_restarts_of_agent_and_master(
    h: AgentHarness,
) -> None:
    running(h, "a")
    status = pb.TaskStatus(
        task_id="a",
        state=pb.TASK_RUNNING,
        uuid=b"its own",
        data=b"\0result",
        labels=[pb.Label(key="k", value="v")],
    )
    update = executor_pb.ExecutorCall.Update(status=status)
    h.feed(ev.ExecutorSaid(1, executor_pb.ExecutorCall(update=update)))
    kept = AgentHarness(records=h.records).core.state.by_key["f", "a"].unacknowledged[0]
    assert (kept.data, kept.labels[0].value) == (b"\0result", "v")

    master = MasterHarness()
    agent, framework = master.agent(), master.subscribe()
    (offer,) = master.offers(framework)
    master.accept(framework, [offer.offer_id], task(offer, "a"))
    framework_id = master.framework_id(framework)
    said = pb.TaskStatus()
    said.CopyFrom(kept)
    said.data = b"x" * 5000
    sent = agent_pb.StatusUpdate(framework_id=framework_id, status=said)
    master.feed(master_ev.TaskStatusUpdated(agent, sent))
    told = master.framework_inbox[framework][-1].update.status
    assert (len(told.data), told.labels[0].key) == (5000, "k")
    call = scheduler_pb.Call.Acknowledge(
        agent_id=master.agent_id(agent), task_id="a", uuid=said.uuid
    )
    master.call(framework, acknowledge=call)
    latest = master.core.state.frameworks[framework_id].tasks["a"].status
    assert latest is not None
    assert (latest.data, latest.labels[0].key) == (b"", "k"), "a framework has it, and much of it"
    assert len(told.data) == 5000


def test_what_this_agent_does_not_know_is_refused_and_the_stream_goes_on(h: AgentHarness) -> None:
    running(h, "a")
    h.feed(ev.ExecutorSaid(1, executor_pb.ExecutorCall()))
    refused = h.told[1][-1].refused
    assert refused.code == executor_pb.ExecutorEvent.Refused.UNKNOWN_CALL and refused.message
    assert not h.closed
    say(h, "a", pb.TASK_RUNNING, b"next")
    assert heard(h)[-1] == ("acknowledged", "a")


def test_an_agent_registers_with_the_first_update_of_each_task(h: AgentHarness) -> None:
    """Together those that wait can exceed what a message may hold, for ever."""
    running(h, "a")
    for number in range(40):
        status = pb.TaskStatus(
            task_id="a", state=pb.TASK_RUNNING, uuid=bytes([number]), data=b"x" * 60_000
        )
        update = executor_pb.ExecutorCall.Update(status=status)
        h.feed(ev.ExecutorSaid(1, executor_pb.ExecutorCall(update=update)))
    h.feed(ev.Disconnected(1))
    h.feed(ev.Connected(2))
    register = [m.register for m in h.sent if m.HasField("register")][-1]
    (record,) = register.tasks
    assert len(record.unacknowledged) == 1
    assert max(part.ByteSize() for part in cut_registration(h.sent[-1])) < 1024 * 1024


def test_what_waits_of_many_tasks_is_sent_in_turns(h: AgentHarness) -> None:
    """All at once was more than may wait for a master: so it was with every connection anew."""
    ids = [f"t{number}" for number in range(60)]
    for task_id in ids:
        launch(h, task_id)
    h.feed(ev.ContainerStarted(h.started[0].container_id, 77))
    subscribe(h)
    for number, task_id in enumerate(ids):
        status = pb.TaskStatus(
            task_id=task_id, state=pb.TASK_RUNNING, uuid=bytes([number]), data=b"x" * 60_000
        )
        update = executor_pb.ExecutorCall.Update(status=status)
        h.feed(ev.ExecutorSaid(1, executor_pb.ExecutorCall(update=update)))
    h.feed(ev.Disconnected(1))
    h.sent.clear()
    h.connect(2)
    assert 10 < len(h.updates()) < 30
    h.advance(1)
    assert [u.status.task_id for u in h.updates()] == ids
    h.advance(11)
    assert len(h.updates()) == 120, "and each is repeated until it is acknowledged"


def test_a_subscription_with_something_that_cannot_be_said_is_refused_whole(
    h: AgentHarness,
) -> None:
    launch(h, "a")
    good = pb.TaskStatus(task_id="a", state=pb.TASK_RUNNING, uuid=b"1")
    bad = pb.TaskStatus(task_id="a", state=pb.TASK_LOST, uuid=b"2")
    subscribe(h, 1, ("a",), unacknowledged=(good, bad, good))
    assert heard(h) == [("error", "")] and h.closed == [1]
    assert "cannot say TASK_LOST" in h.told[1][-1].error.message
    assert h.updates() == [] and not h.core.state.by_key["f", "a"].unacknowledged
    subscribe(h, 2, ("a",), unacknowledged=(good,))
    assert heard(h, 2) == [("subscribed", ""), ("acknowledged", "a")]
