"""Maintenance windows, as the master's core sees them: offers carry them, frameworks answer."""

from __future__ import annotations

from typing import Any

import pytest

from pymesos_master.core import events as ev
from pymesos_master.core.lifecycles import DrainState
from pymesos_master.queries.views import agent_view
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import operator_pb2 as operator_pb
from pymesos_proto.v1 import registry_pb2 as registry_pb
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.master_harness import MasterHarness, task

ANSWERS = (pb.PARTITION_AWARE, pb.INVERSE_OFFERS)
START_S = 1_700_010_000.0


@pytest.fixture
def h() -> MasterHarness:
    return MasterHarness()


def schedule(
    h: MasterHarness,
    *agent_ids: str,
    request_id: int = 1,
    start_s: float = START_S,
    duration_s: float = 7200.0,
) -> None:
    h.feed(ev.OperatorScheduledMaintenance(request_id, agent_ids, start_s, duration_s))
    h.advance(0)


def cancel(h: MasterHarness, *agent_ids: str) -> None:
    h.feed(ev.OperatorCancelledMaintenance(2, agent_ids))
    h.advance(0)


def asked(h: MasterHarness, framework: int) -> list[pb.InverseOffer]:
    return [each for e in h.framework_inbox[framework] for each in e.inverse_offers.inverse_offers]


def rescinded(h: MasterHarness, framework: int) -> list[str]:
    return [
        e.rescind_inverse_offer.inverse_offer_id
        for e in h.framework_inbox[framework]
        if e.HasField("rescind_inverse_offer")
    ]


def accept(h: MasterHarness, framework: int, inverse_offer_id: str) -> None:
    ids = [inverse_offer_id]
    call = scheduler_pb.Call.AcceptInverseOffers(inverse_offer_ids=ids)
    h.call(framework, accept_inverse_offers=call)


def decline(
    h: MasterHarness, framework: int, inverse_offer_id: str, refuse_s: float | None = None
) -> None:
    call = scheduler_pb.Call.DeclineInverseOffers(
        inverse_offer_ids=[inverse_offer_id], filters=scheduler_pb.Filters(refuse_seconds=refuse_s)
    )
    h.call(framework, decline_inverse_offers=call)


def answers(h: MasterHarness, agent_id: str) -> list[tuple[str, str]]:
    """As operators see them."""
    state = h.core.state
    view: operator_pb.AgentView = agent_view(state.agents[agent_id], frameworks=state.frameworks)
    return [(said.framework_name, said.answer) for said in view.maintenance.answers]


class TestWindows:
    def test_offers_are_made_anew_with_the_window(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        (before,) = h.offers(framework)
        assert not before.HasField("unavailability")
        schedule(h, h.agent_id(agent))
        assert h.answers == {1: None}
        (offer,) = h.offers(framework)
        assert offer.offer_id != before.offer_id
        assert offer.unavailability == pb.Unavailability(start_s=START_S, duration_s=7200.0)
        cancel(h, h.agent_id(agent))
        (after,) = h.offers(framework)
        assert not after.HasField("unavailability")

    def test_nothing_is_killed_or_withheld_when_it_begins(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        h.run(framework)
        schedule(h, h.agent_id(agent), start_s=h.now.wall_s + 5.0, duration_s=5.0)
        h.advance(20.0)
        assert not [m for m in h.agent_inbox[agent] if m.HasField("kill")]
        assert h.core.state.agents[h.agent_id(agent)].drain.state == DrainState.NONE
        assert h.offers(framework)

    def test_it_survives_a_failover_and_a_registration(self, h: MasterHarness) -> None:
        agent_id = h.agent_id(h.agent(port=9))
        schedule(h, agent_id)
        successor = MasterHarness(registry=h.registry)
        framework = successor.subscribe()
        successor.agent("cpus:8;mem:64", agent_id=agent_id, port=9)
        (offer,) = successor.offers(framework)
        assert offer.unavailability.start_s == START_S
        stored = registry_pb.AgentRecord.FromString(successor.registry["agent", agent_id])
        assert stored.maintenance.unavailability.duration_s == 7200.0

    def test_a_drained_agent_may_have_one_and_is_not_offered_for_it(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        h.feed(ev.OperatorCordonedAgents(5, (h.agent_id(agent),)))
        schedule(h, h.agent_id(agent))
        assert h.offers(framework) == []

    @pytest.mark.parametrize(
        ("start_s", "duration_s", "said"),
        [
            (float("nan"), 1.0, "begins at nan"),
            (-1.0, 1.0, "begins at -1"),
            (START_S, float("inf"), "lasts inf s"),
            (START_S, -1.0, "lasts -1 s"),
        ],
    )
    def test_times_are_bounded(
        self, h: MasterHarness, start_s: float, duration_s: float, said: str
    ) -> None:
        agent_id = h.agent_id(h.agent())
        schedule(h, agent_id, start_s=start_s, duration_s=duration_s)
        assert said in (h.answers[1] or "")
        assert h.core.state.agents[agent_id].maintenance is None

    @pytest.mark.parametrize(
        ("ago_s", "duration_s", "said"),
        [
            (
                7200.0,
                7200.0,
                "the window ended at 2023-11-14T22:30:00Z: it is 2023-11-14T22:30",
            ),
            (7200.0, 7201.0, None),  # it has begun, and is not over
            (3601.0, 0.0, "the window began at 2023-11-14T21:29:59Z, and how long it lasts is not"),
            (3599.0, 0.0, None),  # just now
        ],
    )
    def test_a_window_that_is_past_is_none_to_plan(
        self, h: MasterHarness, ago_s: float, duration_s: float, said: str | None
    ) -> None:
        agent_id = h.agent_id(h.agent())
        start_s = h.now.wall_s - ago_s
        schedule(h, agent_id, start_s=start_s, duration_s=duration_s)
        told = h.answers[1]
        assert told is None if said is None else told is not None and told.startswith(said)
        assert (h.core.state.agents[agent_id].maintenance is None) == (said is not None)

    @pytest.mark.parametrize("more", [{"also_past": True}, {"instead_of": pb.Unavailability()}])
    def test_a_backup_and_mesos_name_windows_that_are_over(
        self, h: MasterHarness, more: Any
    ) -> None:
        agent_id = h.agent_id(h.agent())
        h.feed(ev.OperatorScheduledMaintenance(1, (agent_id,), 1.0, 2.0, **more))
        h.advance(0)
        assert h.answers[1] is None
        assert h.core.state.agents[agent_id].maintenance is not None


class TestInverseOffers:
    def test_those_with_tasks_that_answer_such_are_asked(self, h: MasterHarness) -> None:
        agent = h.agent("cpus:4;mem:4096")
        one, plain = h.subscribe(name="one", capabilities=ANSWERS), h.subscribe(name="plain")
        holder, other = (one, plain) if h.offers(one) else (plain, one)
        h.accept(holder, [h.offers(holder)[0].offer_id], task(h.offers(holder)[0], "a"))
        h.advance(10)
        (rest,) = h.offers(other) or h.offers(holder)
        h.accept(other if h.offers(other) else holder, [rest.offer_id], task(rest, "b"))
        schedule(h, h.agent_id(agent))
        assert asked(h, plain) == []
        mine = [t.framework_id for t in h.core.state.agents[h.agent_id(agent)].tasks.values()]
        expected = 1 if h.framework_id(one) in mine else 0
        assert len(asked(h, one)) == expected == 1
        assert asked(h, one)[0].unavailability.start_s == START_S

    def asking(self, h: MasterHarness) -> tuple[int, int, str]:
        agent, framework = h.agent(), h.subscribe(name="web", capabilities=ANSWERS)
        h.run(framework)
        schedule(h, h.agent_id(agent))
        (offer,) = asked(h, framework)
        return agent, framework, offer.inverse_offer_id

    def test_what_is_answered_is_shown(self, h: MasterHarness) -> None:
        agent, framework, inverse_id = self.asking(h)
        assert answers(h, h.agent_id(agent)) == [("web", "offered")]
        decline(h, framework, inverse_id)
        assert answers(h, h.agent_id(agent)) == [("web", "declined")]
        accept(h, framework, inverse_id)
        assert answers(h, h.agent_id(agent)) == [("web", "accepted")]
        h.advance(60)
        assert len(asked(h, framework)) == 1

    def test_who_declines_is_asked_again_after_the_filter(self, h: MasterHarness) -> None:
        _, framework, inverse_id = self.asking(h)
        decline(h, framework, inverse_id, refuse_s=30.0)
        h.advance(29)
        assert len(asked(h, framework)) == 1
        h.advance(2)
        again = asked(h, framework)[1]
        decline(h, framework, again.inverse_offer_id, refuse_s=0.0)
        h.advance(4)
        assert len(asked(h, framework)) == 2  # not sooner than in 5 s
        h.advance(2)
        assert len(asked(h, framework)) == 3

    def test_a_changed_window_is_asked_about_anew(self, h: MasterHarness) -> None:
        agent, framework, inverse_id = self.asking(h)
        accept(h, framework, inverse_id)
        schedule(h, h.agent_id(agent), start_s=START_S + 60)
        assert rescinded(h, framework) == [inverse_id]
        assert [o.unavailability.start_s for o in asked(h, framework)] == [START_S, START_S + 60]
        assert answers(h, h.agent_id(agent)) == [("web", "offered")]

    def test_a_cancelled_one_is_rescinded(self, h: MasterHarness) -> None:
        agent, framework, inverse_id = self.asking(h)
        cancel(h, h.agent_id(agent))
        assert rescinded(h, framework) == [inverse_id]
        assert not h.core.state.inverse_offers

    def test_who_has_no_task_there_any_more_is_asked_no_more(self, h: MasterHarness) -> None:
        agent, framework, inverse_id = self.asking(h)
        h.update(agent, h.framework_id(framework), "t", pb.TASK_FINISHED)
        said = scheduler_pb.Call.Acknowledge(agent_id=h.agent_id(agent), task_id="t", uuid=b"u")
        h.call(framework, acknowledge=said)
        h.advance(0)
        assert rescinded(h, framework) == [inverse_id]
        assert answers(h, h.agent_id(agent)) == []

    def test_who_begins_there_later_is_asked_then(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe(capabilities=ANSWERS)
        schedule(h, h.agent_id(agent))
        assert asked(h, framework) == []
        h.run(framework)
        h.advance(0)
        assert len(asked(h, framework)) == 1

    def test_who_subscribes_again_is_asked_again(self, h: MasterHarness) -> None:
        _, framework, inverse_id = self.asking(h)
        accept(h, framework, inverse_id)
        again = h.subscribe(h.framework_id(framework), name="web", capabilities=ANSWERS)
        h.advance(0)
        assert len(asked(h, again)) == 1
        accept(h, again, inverse_id)  # of the older subscription
        assert {a.state.value for a in h.core.state.inverse_offers.values()} == {"offered"}

    def test_the_next_leader_asks_when_the_agent_is_back(self, h: MasterHarness) -> None:
        agent = h.agent(port=9)
        framework = h.subscribe(name="web", capabilities=ANSWERS)
        offer = h.run(framework)
        schedule(h, h.agent_id(agent))
        successor = MasterHarness(registry=h.registry)
        again = successor.subscribe(h.framework_id(framework), name="web", capabilities=ANSWERS)
        assert asked(successor, again) == []
        record = agent_pb.TaskRecord(
            framework_id=h.framework_id(framework),
            task_info=task(offer, "t"),
            state=pb.TASK_RUNNING,
        )
        successor.agent(agent_id=h.agent_id(agent), tasks=[record], port=9)
        successor.advance(0)
        assert len(asked(successor, again)) == 1

    def test_another_frameworks_answer_counts_for_nothing(self, h: MasterHarness) -> None:
        agent, _, inverse_id = self.asking(h)
        accept(h, h.subscribe(name="other", capabilities=ANSWERS), inverse_id)
        assert answers(h, h.agent_id(agent)) == [("web", "offered")]


NONE = pb.Unavailability()
PLANNED = pb.Unavailability(start_s=START_S, duration_s=7200)
OTHER = pb.Unavailability(start_s=START_S + 1, duration_s=7200)


@pytest.mark.parametrize(
    ("instead_of", "wanted", "refused"),
    [
        (NONE, OTHER, True),
        (OTHER, pb.Unavailability(start_s=5), True),
        (PLANNED, OTHER, False),
        (None, OTHER, False),
        (NONE, PLANNED, False),
    ],
)
def test_a_window_replaces_the_one_that_was_looked_at(
    h: MasterHarness,
    instead_of: pb.Unavailability | None,
    wanted: pb.Unavailability,
    refused: bool,
) -> None:
    """A request for several agents changes none where one has another window."""
    free, planned = h.agent_id(h.agent(port=1)), h.agent_id(h.agent(port=2))
    if instead_of == PLANNED:
        schedule(h, free, planned)
    h.hold_writes = True
    h.feed(ev.OperatorScheduledMaintenance(1, (planned,), START_S, 7200))
    agents = (free, planned) if instead_of in (None, NONE, PLANNED) else (planned,)
    h.feed(
        ev.OperatorScheduledMaintenance(
            3, agents, wanted.start_s, wanted.duration_s, instead_of=instead_of
        )
    )
    h.write()
    said = h.answers[3] or ""
    assert bool(said) == refused, said
    found = {
        agent_id: state.maintenance and state.maintenance.unavailability
        for agent_id, state in h.core.state.agents.items()
    }
    if refused:
        assert f"the maintenance window of agent {planned} is not the one" in said
        assert found == {free: None, planned: PLANNED}
    else:
        assert found == dict.fromkeys((free, planned), wanted)
