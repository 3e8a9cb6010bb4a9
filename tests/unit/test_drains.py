"""Agents that operators cordon, drain and activate, as the master's core sees them."""

from __future__ import annotations

import pytest

from pymesos_core.caller import Caller, Method
from pymesos_master.core import events as ev
from pymesos_master.core.lifecycles import AgentState, DrainState
from pymesos_master.queries.explaining import explanation
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import registry_pb2 as registry_pb
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_proto.v1.operator_pb2 import ClusterEvent
from pymesos_testing.master_harness import MasterHarness, task

HOUR_S = 3600.0


@pytest.fixture
def h() -> MasterHarness:
    return MasterHarness()


def cordon(h: MasterHarness, *agent_ids: str, request_id: int = 1) -> None:
    h.feed(ev.OperatorCordonedAgents(request_id, agent_ids))


def drain(
    h: MasterHarness,
    *agent_ids: str,
    request_id: int = 1,
    within_s: float = HOUR_S,
    then_gone: bool = False,
) -> None:
    h.feed(ev.OperatorDrainedAgents(request_id, agent_ids, within_s, then_gone))


def activate(h: MasterHarness, *agent_ids: str, request_id: int = 2) -> None:
    h.feed(ev.OperatorActivatedAgents(request_id, agent_ids))


def stored(h: MasterHarness, agent_id: str) -> registry_pb.AgentRecord:
    return registry_pb.AgentRecord.FromString(h.registry["agent", agent_id])


def state_of(h: MasterHarness, agent_id: str) -> DrainState:
    return h.core.state.agents[agent_id].drain.state


def drains(h: MasterHarness, framework: int) -> list[tuple[str, float, bool]]:
    """What a framework was told."""
    return [
        (e.drain.agent_id, e.drain.deadline_s, e.drain.cancelled)
        for e in h.framework_inbox[framework]
        if e.HasField("drain")
    ]


def kills(h: MasterHarness, agent: int) -> list[tuple[str, pb.Reason]]:
    return [(m.kill.task_id, m.kill.reason) for m in h.agent_inbox[agent] if m.HasField("kill")]


def pass_s(h: MasterHarness, agent: int, seconds: float) -> None:
    """Let time pass for an agent that answers pings."""
    for _ in range(round(seconds)):
        h.feed(ev.AgentHeard(agent))
        h.advance(1.0)


def acknowledge(h: MasterHarness, framework: int, agent_id: str, task_id: str) -> None:
    said = scheduler_pb.Call.Acknowledge(agent_id=agent_id, task_id=task_id, uuid=b"u")
    h.call(framework, acknowledge=said)


def end(h: MasterHarness, framework: int, agent: int, task_id: str = "t") -> None:
    """A task ends, and its framework acknowledges it."""
    h.update(agent, h.framework_id(framework), task_id, pb.TASK_KILLED)
    acknowledge(h, framework, h.agent_id(agent), task_id)
    h.advance(0.0)


class TestCordoned:
    def test_offers_are_rescinded_and_none_is_made(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        assert h.offers(framework)
        cordon(h, h.agent_id(agent))
        assert h.answers == {1: None}
        assert h.offers(framework) == []
        h.advance(60)
        assert h.offers(framework) == []

    def test_its_tasks_run_on_and_what_comes_free_is_not_offered(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        h.run(framework)
        cordon(h, h.agent_id(agent))
        pass_s(h, agent, 600)
        assert kills(h, agent) == [] and drains(h, framework) == []
        end(h, framework, agent)
        assert h.offers(framework) == []
        assert state_of(h, h.agent_id(agent)) == DrainState.CORDONED

    def test_activated_it_is_offered_again_whole(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        before = h.offers(framework)
        cordon(h, h.agent_id(agent))
        activate(h, h.agent_id(agent))
        (offer,) = h.offers(framework)
        assert list(offer.resources) == list(before[0].resources)
        assert not stored(h, h.agent_id(agent)).HasField("drain")

    def test_it_is_so_when_it_is_written(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        assert h.offers(framework)
        h.hold_writes = True
        cordon(h, h.agent_id(agent))
        assert h.answers == {} and h.offers(framework)
        h.write()
        assert h.answers == {1: None} and not h.offers(framework)

    def test_the_next_leader_does_not_offer_it(self, h: MasterHarness) -> None:
        agent_id = h.agent_id(h.agent(port=9))
        cordon(h, agent_id)
        successor = MasterHarness(registry=h.registry)
        framework = successor.subscribe()
        successor.agent(agent_id=agent_id, port=9)
        assert successor.offers(framework) == []
        assert stored(successor, agent_id).drain.state == registry_pb.DrainRecord.CORDONED

    def test_it_comes_back_cordoned(self, h: MasterHarness) -> None:
        agent, framework = h.agent("cpus:4;mem:64", port=9), h.subscribe()
        agent_id = h.agent_id(agent)
        cordon(h, agent_id)
        h.feed(ev.AgentDisconnected(agent))
        h.agent("cpus:8;mem:64", agent_id=agent_id, port=9)  # what is written of it is new
        assert h.offers(framework) == []
        assert stored(h, agent_id).drain.state == registry_pb.DrainRecord.CORDONED

    def test_explain_says_so(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        cordon(h, h.agent_id(agent))
        core = h.core
        known = core.state.frameworks[h.framework_id(framework)]
        (role,) = explanation(core.allocator, core.state, known, h.now_s).roles
        assert [(w.reason, w.text) for w in role.withheld] == [
            ("CORDONED", "an operator has cordoned the agent")
        ]

    def test_several_at_once_all_or_none(self, h: MasterHarness) -> None:
        one, other = h.agent_id(h.agent()), h.agent_id(h.agent())
        cordon(h, one, other, "x", request_id=1)
        assert h.answers == {1: "there is no agent 'x'; nothing is changed"}
        assert {state_of(h, one), state_of(h, other)} == {DrainState.NONE}
        cordon(h, one, other, one, request_id=2)
        assert h.answers[2] is None
        assert {state_of(h, one), state_of(h, other)} == {DrainState.CORDONED}

    def test_wrong_requests_say_what_is_expected(self, h: MasterHarness) -> None:
        agent_id = h.agent_id(h.agent())
        cordon(h, request_id=1)
        cordon(h, *(f"a{n}" for n in range(1001)), request_id=2)
        h.feed(ev.OperatorMarkedGone(3, agent_id))
        cordon(h, agent_id, request_id=4)
        assert h.answers == {
            1: "no agent is named; `pymesos-cli agents` lists them",
            2: "A call has 1001 agents; at most 1000 are accepted: name them in several calls",
            3: None,
            4: f"agent {agent_id} is marked gone, for good; nothing is changed",
        }

    def test_the_policy_decides(self, h: MasterHarness) -> None:
        agent_id = h.agent_id(h.agent())
        caller = Caller("framework/web", Method.CERT, "1", "ipv4:10.0.0.1", "grpc")
        h.feed(ev.OperatorDrainedAgents(1, (agent_id,), 60.0, False, caller))
        assert "may not" in (h.answers[1] or "")
        assert state_of(h, agent_id) == DrainState.NONE


class TestDraining:
    def test_frameworks_with_tasks_there_are_told(self, h: MasterHarness) -> None:
        agent, framework, other = h.agent(), h.subscribe(), h.subscribe()
        offer = (h.offers(framework) or h.offers(other))[0]
        mine = framework if h.offers(framework) else other
        h.accept(mine, [offer.offer_id], task(offer, "t"))
        drain(h, h.agent_id(agent))
        deadline_s = h.now.wall_s + HOUR_S
        ((agent_id, told_s, cancelled),) = drains(h, mine)
        assert (agent_id, cancelled) == (h.agent_id(agent), False)
        assert told_s == pytest.approx(deadline_s)
        assert drains(h, other if mine == framework else framework) == []
        assert h.offers(framework) == h.offers(other) == []

    def test_a_cordoned_one_may_be_drained_and_a_drain_made_a_cordon(
        self, h: MasterHarness
    ) -> None:
        agent, framework = h.agent(), h.subscribe()
        h.run(framework)
        cordon(h, h.agent_id(agent))
        drain(h, h.agent_id(agent), within_s=10.0)
        cordon(h, h.agent_id(agent))
        assert [cancelled for _, _, cancelled in drains(h, framework)] == [False, True]
        h.advance(60)
        assert kills(h, agent) == []
        assert state_of(h, h.agent_id(agent)) == DrainState.CORDONED

    def test_at_the_deadline_what_is_left_is_killed(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        h.run(framework)
        drain(h, h.agent_id(agent), within_s=60.0)
        h.advance(59.9)
        assert kills(h, agent) == []
        h.advance(0.2)
        assert kills(h, agent) == [("t", pb.REASON_AGENT_DRAINING)]

    def test_another_deadline_counts(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        h.run(framework)
        drain(h, h.agent_id(agent), within_s=60.0)
        drain(h, h.agent_id(agent), within_s=600.0)
        pass_s(h, agent, 500)
        assert kills(h, agent) == []
        drain(h, h.agent_id(agent), within_s=0.0)
        h.advance(0)
        assert kills(h, agent) == [("t", pb.REASON_AGENT_DRAINING)]

    def test_it_can_be_cancelled(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        h.run(framework)
        drain(h, h.agent_id(agent), within_s=60.0)
        activate(h, h.agent_id(agent))
        assert drains(h, framework)[-1] == (h.agent_id(agent), 0.0, True)
        assert h.offers(framework)
        pass_s(h, agent, 120)
        assert kills(h, agent) == []

    @pytest.mark.parametrize("within_s", [-1.0, float("nan"), float("inf"), 31 * 86400.0])
    def test_the_deadline_is_bounded(self, h: MasterHarness, within_s: float) -> None:
        agent_id = h.agent_id(h.agent())
        drain(h, agent_id, within_s=within_s)
        assert "expected is a number of seconds from 0" in (h.answers[1] or "")
        assert state_of(h, agent_id) == DrainState.NONE

    def test_a_framework_that_subscribes_again_is_told(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        h.run(framework)
        framework_id = h.framework_id(framework)
        h.feed(ev.FrameworkDisconnected(framework))
        drain(h, h.agent_id(agent))
        again = h.subscribe(framework_id)
        assert [agent_id for agent_id, _, _ in drains(h, again)] == [h.agent_id(agent)]
        assert drains(h, h.subscribe()) == []  # it has nothing there


class TestDrained:
    def test_when_all_has_ended_and_is_acknowledged(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        h.run(framework)
        agent_id = h.agent_id(agent)
        drain(h, agent_id)
        h.update(agent, h.framework_id(framework), "t", pb.TASK_FINISHED)
        h.advance(1)
        assert state_of(h, agent_id) == DrainState.DRAINING
        acknowledge(h, framework, agent_id, "t")
        h.advance(0)
        assert state_of(h, agent_id) == DrainState.DRAINED
        assert stored(h, agent_id).drain.state == registry_pb.DrainRecord.DRAINED
        assert h.published[-1].kind == ClusterEvent.AGENT_DRAINED
        assert h.offers(framework) == []

    def test_an_empty_agent_is_at_once(self, h: MasterHarness) -> None:
        agent_id = h.agent_id(h.agent())
        drain(h, agent_id)
        h.advance(0)
        assert state_of(h, agent_id) == DrainState.DRAINED

    def test_not_while_an_operation_is_written(self, h: MasterHarness) -> None:
        agent_id = h.agent_id(h.agent())
        reserved = (pb.Resource(name="cpus", scalar=1),)
        drain(h, agent_id)
        h.hold_writes = True
        h.feed(ev.OperatorReserved(5, agent_id, "web", reserved))
        h.advance(1)
        assert state_of(h, agent_id) == DrainState.DRAINING
        assert len(h.held) == 1  # only the reservation
        h.hold_writes = False
        h.write()
        h.advance(0)
        assert state_of(h, agent_id) == DrainState.DRAINED

    def test_not_as_long_as_the_agent_is_away(self, h: MasterHarness) -> None:
        agent = h.agent(port=9)
        agent_id = h.agent_id(agent)
        h.feed(ev.AgentDisconnected(agent))
        drain(h, agent_id)
        h.advance(300)
        assert h.core.state.agents[agent_id].state == AgentState.UNREACHABLE
        assert state_of(h, agent_id) == DrainState.DRAINING
        h.agent(agent_id=agent_id, port=9)
        h.advance(1)
        assert state_of(h, agent_id) == DrainState.DRAINED

    def test_a_cancelled_drain_does_not_end(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        h.run(framework)
        drain(h, h.agent_id(agent))
        activate(h, h.agent_id(agent))
        end(h, framework, agent)
        assert state_of(h, h.agent_id(agent)) == DrainState.NONE

    def test_then_gone(self, h: MasterHarness) -> None:
        agent, framework = h.agent(port=9), h.subscribe()
        h.run(framework)
        agent_id = h.agent_id(agent)
        drain(h, agent_id, then_gone=True)
        assert h.core.state.agents[agent_id].state == AgentState.ACTIVE
        end(h, framework, agent)
        assert h.core.state.agents[agent_id].state == AgentState.GONE
        assert stored(h, agent_id).state == registry_pb.AgentRecord.GONE
        refused = [m.refused for m in h.agent_inbox[agent] if m.HasField("refused")]
        assert refused[0].shut_down

    def test_one_that_comes_back_with_a_task_is_drained_again(self, h: MasterHarness) -> None:
        agent, framework = h.agent(port=9), h.subscribe()
        offer = h.run(framework)
        agent_id = h.agent_id(agent)
        drain(h, agent_id)
        end(h, framework, agent)
        assert state_of(h, agent_id) == DrainState.DRAINED
        # The acknowledgement was lost on its way to the agent.
        h.feed(ev.AgentDisconnected(agent))
        ended = pb.TaskStatus(task_id="t", state=pb.TASK_KILLED, uuid=b"u", agent_id=agent_id)
        record = agent_pb.TaskRecord(
            framework_id=h.framework_id(framework),
            task_info=task(offer, "t"),
            state=pb.TASK_KILLED,
            unacknowledged=[ended],
        )
        h.agent(agent_id=agent_id, tasks=[record], port=9)
        assert state_of(h, agent_id) == DrainState.DRAINING
        acknowledge(h, framework, agent_id, "t")
        h.advance(0)
        assert state_of(h, agent_id) == DrainState.DRAINED


class TestFailover:
    def take_over(self, h: MasterHarness, passed_s: float) -> tuple[MasterHarness, int, int, str]:
        """A leader drains an agent with a task; its successor is some time later."""
        agent, framework = h.agent(port=9), h.subscribe()
        offer = h.run(framework)
        agent_id, framework_id = h.agent_id(agent), h.framework_id(framework)
        drain(h, agent_id, within_s=50.0)
        successor = MasterHarness(registry=h.registry)
        successor.advance(passed_s)
        again = successor.subscribe(framework_id)
        assert [told[0] for told in drains(successor, again)] == [agent_id]  # it may have tasks
        record = agent_pb.TaskRecord(
            framework_id=framework_id, task_info=task(offer, "t"), state=pb.TASK_RUNNING
        )
        back = successor.agent(agent_id=agent_id, tasks=[record], port=9)
        return successor, again, back, agent_id

    def test_the_drain_goes_on_to_the_same_deadline(self, h: MasterHarness) -> None:
        successor, framework, agent, agent_id = self.take_over(h, passed_s=10.0)
        assert state_of(successor, agent_id) == DrainState.DRAINING
        assert [told[0] for told in drains(successor, framework)] == [agent_id, agent_id]
        successor.advance(39.0)
        assert kills(successor, agent) == []
        successor.advance(2.0)
        assert kills(successor, agent) == [("t", pb.REASON_AGENT_DRAINING)]
        end(successor, framework, agent)
        assert state_of(successor, agent_id) == DrainState.DRAINED

    def test_a_deadline_that_passed_meanwhile_is_kept(self, h: MasterHarness) -> None:
        successor, _, agent, _ = self.take_over(h, passed_s=55.0)
        successor.advance(0)
        assert kills(successor, agent) == [("t", pb.REASON_AGENT_DRAINING)]

    def test_a_record_that_makes_no_sense_is_set_aside(self, h: MasterHarness) -> None:
        agent_id = h.agent_id(h.agent(port=9))
        drain(h, agent_id)
        record = stored(h, agent_id)
        record.drain.deadline_s = float("nan")
        h.registry["agent", agent_id] = record.SerializeToString()
        successor = MasterHarness(registry=h.registry)
        assert ("agent", agent_id) in successor.core.state.quarantined


class TestAccepts:
    def test_what_a_reservation_was_written_for_is_not_launched(self, h: MasterHarness) -> None:
        """A launch that waits for an operation, while the agent begins to be drained."""
        agent, framework = h.agent(), h.subscribe(roles=["web"])
        (offer,) = h.offers(framework)
        reserved = pb.Resource(name="cpus", scalar=1)
        reserved.reservations.add(role="web")
        operations = [
            scheduler_pb.Operation(
                reserve=scheduler_pb.Operation.Reserve(resources=[reserved]), id="r"
            ),
            scheduler_pb.Operation(
                launch=scheduler_pb.Operation.Launch(task_infos=[task(offer, "t", "mem:32")])
            ),
        ]
        h.hold_writes = True
        drain(h, h.agent_id(agent))
        accept = scheduler_pb.Call.Accept(offer_ids=[offer.offer_id], operations=operations)
        h.call(framework, accept=accept)
        h.write()
        status = h.last(framework)
        assert (status.state, status.reason) == (pb.TASK_DROPPED, pb.REASON_AGENT_DRAINING)
        assert h.launched(agent) == []
        h.hold_writes = False
        h.advance(0)
        assert state_of(h, h.agent_id(agent)) == DrainState.DRAINED


class TestClocks:
    def test_a_leader_whose_clock_is_behind_waits_no_longer_than_was_said(
        self, h: MasterHarness
    ) -> None:
        agent_id = h.agent_id(h.agent(port=9))
        drain(h, agent_id, within_s=60.0)
        record = stored(h, agent_id)
        record.drain.state = registry_pb.DrainRecord.DRAINING
        record.drain.deadline_s += 86400
        h.registry["agent", agent_id] = record.SerializeToString()
        successor = MasterHarness(registry=h.registry)
        info = pb.TaskInfo(task_id="t", name="t", agent_id=agent_id)
        held = agent_pb.TaskRecord(
            framework_id=successor.framework_id(successor.subscribe()),
            task_info=info,
            state=pb.TASK_RUNNING,
        )
        agent = successor.agent(agent_id=agent_id, tasks=[held], port=9)
        successor.advance(59.0)
        assert kills(successor, agent) == []
        successor.advance(2.0)
        assert kills(successor, agent) == [("t", pb.REASON_AGENT_DRAINING)]
