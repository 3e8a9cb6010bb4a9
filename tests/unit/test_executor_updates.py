"""What custom executors say reaches the master: data and labels, in turns, over restarts."""

from __future__ import annotations

import pytest

from pymesos_agent.core import events as ev
from pymesos_agent.master_stream import cut_registration
from pymesos_master.core import events as master_ev
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import executor_pb2 as executor_pb
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.agent_executors import COMMAND, launch, say, subscribe
from pymesos_testing.agent_harness import AgentHarness
from pymesos_testing.executor_stories import heard, running
from pymesos_testing.master_harness import MasterHarness, task


@pytest.fixture
def h() -> AgentHarness:
    harness = AgentHarness()
    harness.connect()
    return harness


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
