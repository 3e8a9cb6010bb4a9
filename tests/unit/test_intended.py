"""Two changes of one record at the same time: what was answered is there after a failover.

A record of the registry is written whole. One that is made of what is durable, while another change
of it is on its way, undoes that one.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from pymesos_core.addresses import HostPort
from pymesos_core.caller import Caller, Method
from pymesos_core.coordination import MasterInfo
from pymesos_core.resources import parse, to_proto
from pymesos_master.core import Config
from pymesos_master.core import events as ev
from pymesos_master.core.lifecycles import AgentState
from pymesos_master.core.roles import read_quota
from pymesos_master.services.leading import Leadership
from pymesos_master.services.operator import OperatorService
from pymesos_proto.v1 import operator_pb2 as operator_pb
from pymesos_proto.v1 import registry_pb2 as registry_pb
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.master_harness import MasterHarness


def quota(guarantees: str = "", limits: str = "") -> pb.Quota:
    return pb.Quota(guarantees=to_proto(parse(guarantees)), limits=to_proto(parse(limits)))


WEIGHT = ev.OperatorSetWeight(1, "a", 2.0)
QUOTA = ev.OperatorSetQuota(2, "a", quota("cpus:1", "cpus:2"), True)


@pytest.mark.parametrize("events", [(WEIGHT, QUOTA), (QUOTA, WEIGHT)], ids=["weight", "quota"])
def test_a_weight_and_a_quota_at_the_same_time(events: tuple[ev.Event, ...]) -> None:
    h = MasterHarness()
    h.hold_writes = True
    for event in events:
        h.feed(event)
    h.write()
    assert h.answers == {1: None, 2: None}
    after = MasterHarness(registry=h.registry).core.state
    for state in (h.core.state, after):
        assert state.terms("a").weight == 2.0
        assert state.terms("a").quota.guarantees == {"cpus": 1000}


def test_a_role_that_is_like_any_other_again_leaves_no_record() -> None:
    h = MasterHarness()
    h.hold_writes = True
    h.feed(WEIGHT)
    h.feed(QUOTA)
    h.feed(ev.OperatorSetWeight(3, "a", 1.0))
    h.feed(ev.OperatorSetQuota(4, "a", pb.Quota(), True))
    h.write()
    assert not h.registry and not h.core.state.roles()


def test_two_quotas_that_do_not_fit_together_are_not_both_set() -> None:
    """Each fits below what is durable."""
    h = MasterHarness()
    h.feed(ev.OperatorSetQuota(1, "a", quota("cpus:3"), True))
    h.hold_writes = True
    h.feed(ev.OperatorSetQuota(2, "a/b", quota("cpus:2"), True))
    h.feed(ev.OperatorSetQuota(3, "a/c", quota("cpus:2"), True))
    h.write()
    assert h.answers[2] is None
    assert "would be guaranteed 4 cpus" in str(h.answers[3])


def test_two_guarantees_of_more_than_there_is() -> None:
    h = MasterHarness()
    h.agent("cpus:4;mem:1024")
    h.hold_writes = True
    h.feed(ev.OperatorSetQuota(2, "a", quota("cpus:3"), False))
    h.feed(ev.OperatorSetQuota(3, "b", quota("cpus:3"), False))
    h.write()
    assert h.answers[2] is None and "6 cpus" in str(h.answers[3])


def test_a_teardown_is_done_when_it_is_written_however_often_it_is_asked_for() -> None:
    h = MasterHarness()
    framework_id = h.framework_id(h.subscribe())
    h.hold_writes = True
    h.feed(ev.OperatorToreDown(1, framework_id))
    h.feed(ev.OperatorToreDown(2, framework_id))
    assert not h.answers
    h.write()
    assert h.answers == {1: None, 2: None} and not h.registry


def test_a_framework_that_subscribes_while_it_is_removed_gets_no_offers() -> None:
    h = MasterHarness()
    h.agent()
    first = h.subscribe()
    framework_id = h.framework_id(first)
    h.hold_writes = True
    again = h.subscribe(framework_id, name="another name")
    h.feed(ev.OperatorToreDown(1, framework_id))
    token, _ = h.held.pop(0)
    h.feed(ev.Persisted(token))  # the subscription, and the removal not yet
    h.advance(1.0)
    h.write()
    assert not h.offers(again) and not h.core.state.offers
    assert {first, again} <= h.closed
    assert h.answers == {1: None} and ("framework", framework_id) not in h.registry


def test_the_later_of_two_subscriptions_stays() -> None:
    """The earlier one says something new, which takes a write; the later one does not."""
    h = MasterHarness()
    framework_id = h.framework_id(h.subscribe())
    h.hold_writes = True
    earlier = h.subscribe(framework_id, name="renamed")
    later = h.subscribe(framework_id)
    h.write()
    framework = h.core.state.frameworks[framework_id]
    assert framework.connection_id == later and framework.info.name == "f"
    assert h.errors(earlier) == ["Framework failed over"]
    assert h.framework_inbox[earlier][-1].error.code == scheduler_pb.Event.Error.SUPERSEDED
    written = registry_pb.FrameworkRecord.FromString(h.registry["framework", framework_id])
    assert written.info == framework.info


def test_what_an_agent_says_anew_is_not_undone_by_its_being_unreachable() -> None:
    h = MasterHarness()
    agent = h.agent("cpus:4;mem:1024", port=7)
    agent_id = h.agent_id(agent)
    h.feed(ev.AgentDisconnected(agent))
    h.hold_writes = True
    h.agent("cpus:2;mem:1024", agent_id, port=7)
    h.feed(ev.OperatorMarkedGone(1, agent_id))
    h.write()
    record = registry_pb.AgentRecord.FromString(h.registry["agent", agent_id])
    assert record.state == registry_pb.AgentRecord.GONE
    assert [r.scalar for r in record.info.resources if r.name == "cpus"] == [2]
    assert h.core.state.agents[agent_id].state == AgentState.GONE


def silent(h: MasterHarness, agent: int) -> None:
    """Until it is being written that the agent is unreachable."""
    h.hold_writes = True
    while not h.held:
        h.advance(1.0)


def test_an_agent_that_goes_while_its_being_unreachable_is_written_is_unreachable() -> None:
    """Else it would be disconnected for ever."""
    h = MasterHarness()
    agent = h.agent()
    agent_id = h.agent_id(agent)
    silent(h, agent)
    h.feed(ev.AgentDisconnected(agent))
    h.write()
    assert h.core.state.agents[agent_id].state == AgentState.UNREACHABLE


def test_an_agent_is_back_when_that_is_written() -> None:
    h = MasterHarness()
    agent = h.agent(port=7)
    agent_id = h.agent_id(agent)
    silent(h, agent)
    again = h.agent(agent_id=agent_id, port=7)
    assert not h.agent_inbox[again]  # the registry is about to say that it is unreachable
    h.write()
    assert h.core.state.agents[agent_id].state == AgentState.ACTIVE
    record = registry_pb.AgentRecord.FromString(h.registry["agent", agent_id])
    assert record.state == registry_pb.AgentRecord.REACHABLE


def test_an_agent_that_came_back_shortly_and_went_is_pinged_on() -> None:
    h = MasterHarness()
    agent = h.agent(port=7)
    agent_id = h.agent_id(agent)
    silent(h, agent)
    again = h.agent(agent_id=agent_id, port=7)
    h.feed(ev.AgentDisconnected(again))
    h.write()
    h.hold_writes = False
    h.advance(100.0)
    assert h.core.state.agents[agent_id].state == AgentState.UNREACHABLE


def test_an_agent_that_is_marked_gone_while_it_is_forgotten_stays_gone() -> None:
    h = MasterHarness(Config(max_lost_agents=0))
    agent_id = h.agent_id(h.agent())
    h.advance(100.0)
    assert h.core.state.agents[agent_id].state == AgentState.UNREACHABLE
    h.hold_writes = True
    h.advance(900.0)
    assert h.held  # it is being forgotten
    h.feed(ev.OperatorMarkedGone(1, agent_id))
    h.write()
    assert h.answers == {1: None}
    assert h.core.state.agents[agent_id].state == AgentState.GONE
    assert ("agent", agent_id) in h.registry


def test_nothing_is_told_of_an_agent_after_that_it_is_gone() -> None:
    """What is reserved on it meanwhile would make it known again to who watches."""
    h = MasterHarness()
    agent_id = h.agent_id(h.agent("cpus:4;mem:1024"))
    h.hold_writes = True
    h.feed(ev.OperatorMarkedGone(1, agent_id))
    h.feed(ev.OperatorReserved(2, agent_id, "eng", tuple(to_proto(parse("cpus:1")))))
    h.write()
    assert h.core.state.agents[agent_id].state == AgentState.GONE
    told = [each.kind for each in h.published if each.agent_id == agent_id]
    assert told[-1] == operator_pb.ClusterEvent.AGENT_GONE


@pytest.mark.parametrize(
    ("instead_of", "weight", "refused"),
    [(1.0, 3.0, True), (2.0, 3.0, False), (None, 3.0, False), (1.0, 2.0, False)],
)
def test_a_weight_replaces_the_one_that_was_looked_at(
    instead_of: float | None, weight: float, refused: bool
) -> None:
    """Whoever asks once more for what is so by now is not refused."""
    h = MasterHarness()
    h.hold_writes = True
    h.feed(WEIGHT)  # which somebody sets meanwhile
    h.feed(ev.OperatorSetWeight(3, "a", weight, instead_of=instead_of))
    h.write()
    said = h.answers[3] or ""
    assert said.startswith("the weight of a is not what it is to replace") == bool(said) == refused
    assert h.core.state.terms("a").weight == (2.0 if refused else weight)


@pytest.mark.parametrize(
    ("instead_of", "wanted", "refused"),
    [
        (quota(), quota("cpus:2"), True),
        (quota("cpus:1"), quota("cpus:2"), True),
        (quota("cpus:1", "cpus:2"), quota("cpus:2"), False),
        (None, quota("cpus:2"), False),
        (quota(), quota("cpus:1", "cpus:2"), False),
    ],
)
def test_a_quota_replaces_the_one_that_was_looked_at(
    instead_of: pb.Quota | None, wanted: pb.Quota, refused: bool
) -> None:
    h = MasterHarness()
    h.hold_writes = True
    h.feed(QUOTA)
    h.feed(ev.OperatorSetQuota(3, "a", wanted, True, instead_of=instead_of))
    h.write()
    said = h.answers[3] or ""
    assert said.startswith("the quota of a is not what it is to replace") == bool(said) == refused
    left = QUOTA.quota if refused else wanted
    assert h.core.state.terms("a").quota == read_quota(left)


def test_a_quota_that_is_none_replaces_nothing() -> None:
    h = MasterHarness()
    none = pb.Quota(guarantees=[pb.Resource(name="cpus", scalar=-1)])
    h.feed(ev.OperatorSetQuota(1, "a", quota("cpus:1"), True, instead_of=none))
    assert h.answers[1] and not h.registry


@pytest.mark.parametrize("given", [False, True])
def test_what_is_to_be_replaced_reaches_the_core(given: bool) -> None:
    """What is absent is whichever, and is not what none has."""
    asked: list[Any] = []

    async def decided(*said: Any, **more: Any) -> None:
        asked.append((*said, *more.values())[-1])

    leader: Any = SimpleNamespace(
        commands=SimpleNamespace(
            set_weight=decided, set_quota=decided, schedule_maintenance=decided
        )
    )
    me = MasterInfo("m", HostPort("127.0.0.1", 1), "m", "")
    service = OperatorService(Leadership(me, leader=leader))
    call: Any = SimpleNamespace(caller=Caller("operator/a", Method.CERT))
    window = pb.Unavailability()

    async def ask() -> None:
        more: Any = {"instead_of": 0.0} if given else {}
        await service.SetWeight(operator_pb.SetWeightRequest(role="a", weight=2, **more), call)
        more = {"instead_of": quota()} if given else {}
        await service.SetQuota(operator_pb.SetQuotaRequest(role="a", **more), call)
        more = {"instead_of": window} if given else {}
        await service.ScheduleMaintenance(operator_pb.ScheduleMaintenanceRequest(**more), call)

    asyncio.run(ask())
    assert asked == ([0.0, quota(), window] if given else [None, None, None])
