"""Executors that hold resources of their own: taken once, held until they end, given back once."""

from __future__ import annotations

from typing import Any

import pytest

from pymesos_agent.core import events as ev
from pymesos_agent.core.recovery import RecoveryError
from pymesos_agent.master_stream import cut_registration
from pymesos_core.executors import held_problem, own_resources
from pymesos_core.resources import Resources, from_proto, parse, to_proto, total
from pymesos_master.core import events as master_ev
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.agent_executors import COMMAND, launch, say, subscribe
from pymesos_testing.agent_harness import AgentHarness
from pymesos_testing.master_harness import MasterHarness, task

HELD = parse("cpus:0.5;mem:128")
INFO = pb.ExecutorInfo(executor_id="x", name="X", command=COMMAND, resources=to_proto(HELD))
KNOWS = (pb.EXECUTOR_RESOURCES,)


def in_executor(
    offer: pb.Offer, task_id: str, text: str = "cpus:1;mem:32", info: pb.ExecutorInfo = INFO
) -> pb.TaskInfo:
    out = task(offer, task_id, text)
    out.ClearField("command")
    out.executor.CopyFrom(info)
    return out


class Cluster:
    """A master with an agent and a framework, which has launched `t` in an executor."""

    def __init__(self, *task_ids: str, text: str = "cpus:1;mem:32") -> None:
        self.h = MasterHarness()
        self.agent = self.h.agent(capabilities=KNOWS)
        self.framework = self.h.subscribe()
        self.framework_id = self.h.framework_id(self.framework)
        self.agent_id = self.h.agent_id(self.agent)
        if task_ids:
            self.launch(*task_ids, text=text)

    def launch(self, *task_ids: str, text: str = "cpus:1;mem:32") -> None:
        (offer,) = self.h.offers(self.framework)
        infos = [in_executor(offer, task_id, text) for task_id in task_ids]
        self.h.accept(self.framework, [offer.offer_id], *infos)

    def charged(self) -> list[bool]:
        """Return, for each launch, whether its agent is to start an executor."""
        said = self.h.agent_inbox[self.agent]
        return [m.launch.launch_executor for m in said if m.HasField("launch")]

    def allocated(self) -> Resources:
        return self.h.core.state.agents[self.agent_id].allocated()

    def offered(self) -> Resources:
        self.h.advance(10)
        return total(from_proto(offer.resources) for offer in self.h.offers(self.framework))

    def end(self, task_id: str) -> None:
        self.h.update(self.agent, self.framework_id, task_id, pb.TASK_FINISHED)

    def exit(self, **said: Any) -> None:
        exited = agent_pb.AgentMessage.ExecutorExited(
            framework_id=self.framework_id, executor_id="x", **said
        )
        self.h.feed(master_ev.ExecutorTold(self.agent, exited))


class TestMaster:
    def test_it_is_charged_with_its_first_task_only(self) -> None:
        c = Cluster("t", "u")
        assert c.charged() == [True, False]
        assert c.allocated() == parse("cpus:2.5;mem:192")
        assert c.offered() == parse("cpus:1.5;mem:3904")
        c.launch("v")
        assert c.charged() == [True, False, False]
        assert c.allocated() == parse("cpus:3.5;mem:224")

    def test_what_it_holds_is_its_own_until_it_has_ended(self) -> None:
        c = Cluster("t")
        c.end("t")
        assert c.allocated() == HELD
        c.exit(held=True, status=0)
        assert not c.allocated()
        assert c.offered() == parse("cpus:4;mem:4096")
        assert c.h.framework_inbox[c.framework][-2].failure.executor_id == "x"
        c.exit(held=True, status=0)  # twice: nothing comes free twice
        c.launch("u")
        assert c.charged() == [True, True]

    def test_one_that_was_not_launched_is_not_told_of(self) -> None:
        c = Cluster("t")
        told = len(c.h.framework_inbox[c.framework])
        c.exit(held=True, quiet=True)
        assert c.allocated() == parse("cpus:1;mem:32")
        assert not any(e.HasField("failure") for e in c.h.framework_inbox[c.framework][told:])

    def test_the_end_of_one_that_holds_nothing_frees_nothing(self) -> None:
        c = Cluster("t")
        c.exit(status=1)
        assert c.allocated() == parse("cpus:1.5;mem:160")

    def test_it_has_to_fit_beside_its_task(self) -> None:
        c = Cluster("t", text="cpus:4;mem:32")
        status = c.h.last(c.framework)
        assert (status.state, status.reason) == (pb.TASK_ERROR, pb.REASON_TASK_INVALID)
        assert "required by task and its executor is more than available" in status.message
        assert not c.allocated() and c.charged() == []

    @pytest.mark.parametrize(
        ("resources", "says"),
        [
            ([pb.Resource(name="gpus", scalar=1)], "gpus are for its tasks"),
            ([pb.Resource(name="cpus", scalar=1, revocable=True)], "what is revocable"),
            ([pb.Resource(name="cpus", scalar=-1)], "cpus"),
        ],
    )
    def test_what_it_cannot_hold_is_said(self, resources: list[pb.Resource], says: str) -> None:
        c = Cluster()
        (offer,) = c.h.offers(c.framework)
        info = pb.ExecutorInfo(executor_id="x", command=COMMAND, resources=resources)
        c.h.accept(c.framework, [offer.offer_id], in_executor(offer, "t", info=info))
        message = c.h.last(c.framework).message
        assert says in message and "xecutor" in message
        assert not c.allocated()

    def test_an_agent_that_does_not_know_of_it_gets_none(self) -> None:
        h = MasterHarness()
        h.agent()
        framework = h.subscribe()
        (offer,) = h.offers(framework)
        h.accept(framework, [offer.offer_id], in_executor(offer, "t"))
        assert "upgrade the agent" in h.last(framework).message

    def test_another_leader_learns_it_from_the_agent(self) -> None:
        c = Cluster("t")
        h = MasterHarness(registry=c.h.registry)
        h.subscribe(framework_id=c.framework_id)
        held = agent_pb.HeldExecutor(
            framework_id=c.framework_id, executor_id="x", role="*", resources=to_proto(HELD)
        )
        stranger = agent_pb.HeldExecutor(
            framework_id="unknown", executor_id="x", role="*", resources=to_proto(HELD)
        )
        h.agent(agent_id=c.agent_id, capabilities=KNOWS, executors=[held, held, stranger])
        agent = h.core.state.agents[c.agent_id]
        assert agent.allocated() == HELD
        assert [one.executor_id for one in agent.executors.values()] == ["x"]
        h.agent(agent_id=c.agent_id, capabilities=KNOWS, port=1)
        assert not h.core.state.agents[c.agent_id].allocated(), "it has ended meanwhile"

    def test_one_without_tasks_ends_with_its_framework(self) -> None:
        """Else it would hold what it has until its agent finds that it is idle."""
        c = Cluster("t")
        c.end("t")
        status = c.h.last(c.framework)
        acknowledge = scheduler_pb.Call.Acknowledge(
            agent_id=c.agent_id, task_id="t", uuid=status.uuid
        )
        c.h.call(c.framework, acknowledge=acknowledge)
        c.h.call(c.framework, teardown=scheduler_pb.Call.Teardown())
        said = [m.shutdown_framework.framework_id for m in c.h.agent_inbox[c.agent]]
        assert c.framework_id in said
        c.exit(held=True, status=0)
        assert not c.allocated()

    def test_nothing_is_held_on_an_agent_that_is_lost(self) -> None:
        c = Cluster("t")
        c.h.feed(master_ev.AgentDisconnected(c.agent))
        assert c.allocated() == parse("cpus:1.5;mem:160")
        c.h.advance(200)
        assert c.h.core.state.agents[c.agent_id].state == "unreachable"
        assert not c.allocated()


@pytest.fixture
def h() -> AgentHarness:
    harness = AgentHarness()
    harness.connect()
    return harness


def free(h: AgentHarness) -> list[tuple[bool, bool]]:
    """What the master was told of executors that have ended: `held` and `quiet`."""
    said = (m.executor_exited for m in h.sent if m.HasField("executor_exited"))
    return [(one.held, one.quiet) for one in said]


def dropped(h: AgentHarness) -> list[str]:
    return [u.status.message for u in h.updates() if u.status.state == pb.TASK_DROPPED]


class TestAgent:
    def test_its_container_may_use_what_it_holds_beside_what_its_tasks_may(
        self, h: AgentHarness
    ) -> None:
        launch(h, "a", INFO, launch_executor=True)
        launch(h, "b", INFO)
        (start,) = h.started
        assert from_proto(start.info.resources) == parse("cpus:1.5;mem:192")
        assert h.sizes == [parse("cpus:2.5;mem:256")]
        assert free(h) == []

    def test_a_task_that_comes_too_late_is_dropped(self, h: AgentHarness) -> None:
        launch(h, "a", INFO, launch_executor=True)
        subscribe(h)
        say(h, "a", pb.TASK_FINISHED)
        h.advance(11)  # it is told to end, and has not yet
        launch(h, "b", INFO)
        assert dropped(h) == ["Its executor x has ended, or is about to"]
        h.feed(ev.ContainerExited(h.started[0].container_id, 0))
        assert free(h) == [(True, False)]
        launch(h, "c", INFO)
        assert len(dropped(h)) == 2 and len(h.started) == 1
        launch(h, "d", INFO, launch_executor=True)
        assert len(h.started) == 2

    def test_what_was_taken_for_nothing_is_given_back(self, h: AgentHarness) -> None:
        plain = pb.ExecutorInfo(executor_id="x", command=COMMAND)
        launch(h, "a", plain)
        launch(h, "b", INFO, launch_executor=True)  # another ExecutorInfo than of what runs
        assert h.updates()[-1].status.state == pb.TASK_ERROR
        assert free(h) == [(True, True)]

    def test_what_cannot_be_stored_holds_nothing(self, h: AgentHarness) -> None:
        h.hold_writes, h.fail_writes = True, "the disk is full"
        launch(h, "a", INFO, launch_executor=True)
        assert free(h) == []
        h.write()
        assert free(h) == [(True, True)]

    def test_it_is_reported_as_long_as_it_runs(self, h: AgentHarness) -> None:
        launch(h, "a", INFO, launch_executor=True)
        subscribe(h)
        say(h, "a", pb.TASK_FINISHED)
        for update in h.updates():
            h.acknowledge(update.status)
        found = {h.started[0].container_id: ev.ContainerState(77)}
        again = AgentHarness(records=h.records, recovered=found)
        again.connect()
        (held,) = _registered(again).executors
        assert (held.framework_id, held.executor_id, held.name) == ("f", "x", "X")
        assert from_proto(held.resources) == HELD

    def test_its_end_while_the_master_has_not_answered_is_told_then(self, h: AgentHarness) -> None:
        launch(h, "a", INFO, launch_executor=True)
        h.feed(ev.Disconnected(1))
        h.feed(ev.Connected(2))
        h.feed(ev.ContainerExited(h.started[0].container_id, 0))
        assert free(h) == []
        registered = agent_pb.MasterMessage.Registered(agent_id=h.core.state.agent_id)
        h.hear(agent_pb.MasterMessage(registered=registered), 2)
        assert free(h) == [(True, True)]


def _registered(h: AgentHarness) -> agent_pb.Register:
    return [m.register for m in h.sent if m.HasField("register")][-1]


def test_many_are_told_of_in_several_messages() -> None:
    held = [agent_pb.HeldExecutor(executor_id=f"{n}", name="n" * 1000) for n in range(1000)]
    parts = cut_registration(agent_pb.AgentMessage(register=agent_pb.Register(executors=held)))
    assert max(part.ByteSize() for part in parts) < 600_000
    assert [e for part in parts for e in part.more_tasks.executors] == held
    assert [part.more_tasks.more_tasks for part in parts[1:]] == [True] * (len(parts) - 2) + [False]


def test_what_it_has_beside_its_tasks() -> None:
    assert own_resources(Resources()) == parse("cpus:0.1;mem:32")
    assert own_resources(parse("cpus:2")) == parse("cpus:2;mem:32")
    assert own_resources(HELD) == HELD
    assert held_problem(parse("cpus:1;disk:5;ports:[1-2]")) is None


def test_more_than_an_agent_has_is_not_recovered(h: AgentHarness) -> None:
    large = pb.ExecutorInfo(
        executor_id="x", command=COMMAND, resources=to_proto(parse("cpus:1000"))
    )
    launch(h, "a", large, launch_executor=True)
    with pytest.raises(RecoveryError, match="cpus:1001"):
        AgentHarness(records=h.records)
