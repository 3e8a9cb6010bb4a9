"""Machines that operators take down: their agents end, and are let in again when they are up."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from pymesos_agent.core import events as agent_ev
from pymesos_cli.draining.drains import state_of
from pymesos_core.json_dialect import drained_json
from pymesos_master.core import events as ev
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import operator_pb2 as operator_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.agent_harness import AgentHarness
from pymesos_testing.master_harness import MasterHarness, task

REQUESTS = itertools.count(1000)
AWARE = [pb.PARTITION_AWARE]
OF_MESOS = [pb.PARTITION_AWARE, pb.MESOS_RECONCILIATION]


class Cluster:
    """A master with an agent that runs `t`."""

    def __init__(
        self,
        capabilities: Sequence[pb.FrameworkCapability] = AWARE,
        agent: Sequence[pb.AgentCapability] = (pb.MAY_RETURN,),
    ) -> None:
        self.h = MasterHarness()
        self.agent = self.h.agent(capabilities=agent)
        self.agent_id = self.h.agent_id(self.agent)
        self.framework = self.h.subscribe(capabilities=capabilities, failover_timeout_s=1000)
        (offer,) = self.h.offers(self.framework)
        self.h.accept(self.framework, [offer.offer_id], task(offer, "t"))
        framework_id = self.h.framework_id(self.framework)
        self.h.update(self.agent, framework_id, "t", pb.TASK_RUNNING)

    def take_down(self) -> None:
        request = next(REQUESTS)
        self.h.feed(ev.OperatorDrainedAgents(request, (self.agent_id,), 0.0, down=True))
        assert self.h.answers.get(request) is None

    def bring_up(self) -> None:
        self.h.feed(ev.OperatorActivatedAgents(next(REQUESTS), (self.agent_id,)))


def refused(h: MasterHarness, connection_id: int) -> list[agent_pb.MasterMessage.Refused]:
    return [m.refused for m in h.agent_inbox[connection_id] if m.HasField("refused")]


@pytest.mark.parametrize(
    ("capabilities", "told"), [(AWARE, pb.TASK_UNREACHABLE), (OF_MESOS, pb.TASK_LOST)]
)
def test_its_agent_is_to_end_and_its_tasks_are_lost(
    capabilities: Sequence[pb.FrameworkCapability], told: pb.TaskState
) -> None:
    c = Cluster(capabilities)
    c.take_down()
    (said,) = refused(c.h, c.agent)
    assert (said.shut_down, said.may_return) == (True, True)
    status = c.h.last(c.framework)
    assert (status.state, status.reason) == (told, pb.REASON_AGENT_REMOVED)
    assert status.message.endswith("removed: Operator initiated 'Machine DOWN'")
    assert c.h.core.state.agents[c.agent_id].state == "unreachable"
    assert c.h.offers(c.framework) == []


def test_it_is_let_in_when_it_is_up() -> None:
    c = Cluster()
    c.take_down()
    early = c.h.agent(agent_id=c.agent_id)
    assert refused(c.h, early)[0].may_return
    assert c.h.core.state.agents[c.agent_id].state == "unreachable"
    c.bring_up()
    late = c.h.agent(agent_id=c.agent_id)
    assert refused(c.h, late) == []
    assert c.h.core.state.agents[c.agent_id].state == "active"
    c.h.advance(10)
    assert len(c.h.offers(c.framework)) == 1


def test_the_next_leader_does_not_let_it_in_either() -> None:
    c = Cluster()
    c.take_down()
    h = MasterHarness(registry=c.h.registry)
    agent = h.agent(agent_id=c.agent_id)
    assert refused(h, agent)[0].may_return


@pytest.mark.parametrize("what", ["cordon", "drain"])
def test_what_else_is_decided_does_not_bring_it_up(what: str) -> None:
    c = Cluster()
    c.take_down()
    request, agents = next(REQUESTS), (c.agent_id,)
    cordons = what == "cordon"
    c.h.feed(
        ev.OperatorCordonedAgents(request, agents)
        if cordons
        else ev.OperatorDrainedAgents(request, agents, 60.0)
    )
    assert c.h.answers.get(request) is None
    early = c.h.agent(agent_id=c.agent_id)
    assert refused(c.h, early)[0].may_return
    c.bring_up()
    assert refused(c.h, c.h.agent(agent_id=c.agent_id)) == []


def test_an_agent_that_takes_it_for_good_is_drained_instead() -> None:
    c = Cluster(agent=())
    c.take_down()
    assert refused(c.h, c.agent) == []
    assert c.h.core.state.agents[c.agent_id].state == "active"
    c.h.advance(1)
    killed = [m.kill.task_id for m in c.h.agent_inbox[c.agent] if m.HasField("kill")]
    assert killed == ["t"]
    assert refused(c.h, c.h.agent(agent_id=c.agent_id, capabilities=())) == []


def test_an_agent_ends_its_tasks_and_can_be_started_again() -> None:
    h = AgentHarness()
    h.connect()
    h.launch("t")
    said = agent_pb.MasterMessage.Refused(message="down", shut_down=True, may_return=True)
    h.hear(agent_pb.MasterMessage(refused=said))
    (container_id,) = (start.container_id for start in h.started)
    assert h.kills == [(container_id, False)] and h.exit == []
    h.feed(agent_ev.ContainerExited(container_id, -15))
    assert h.exit == [None], "as it was asked to"


def test_an_agent_with_nothing_to_end_waits_until_it_is_let_in() -> None:
    h = AgentHarness()
    h.connect()
    said = agent_pb.MasterMessage.Refused(message="down", shut_down=True, may_return=True)
    h.hear(agent_pb.MasterMessage(refused=said))
    assert h.exit == [], "it would be started again at once, for ever"
    assert h.disconnects == ["the master refused: down"]
    h.connect()
    h.launch("t")
    assert len(h.started) == 1


@pytest.mark.parametrize(
    ("state", "said"), [("unreachable", "unreachable, its machine is down"), ("active", "draining")]
)
def test_people_are_told_which_are_down(state: str, said: str) -> None:
    """One of an earlier version does not end, and is only drained."""
    view = operator_pb.AgentView(state=state)
    view.drain.state, view.drain.down = "draining", True
    assert said in state_of(view)
    assert drained_json(view)["down"] is True
