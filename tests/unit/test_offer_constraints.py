"""Offer constraints, capabilities and optimistic offers, through the master core."""

from __future__ import annotations

import pytest

from pymesos_core.resources import from_proto, parse, to_proto
from pymesos_master.core import events as ev
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.master_harness import MasterHarness
from pymesos_testing.reserving import (
    offered,
    subscribe,
    task,
)


class TestCapabilities:
    def test_gpus_are_for_those_who_declare_them(self) -> None:
        h = MasterHarness()
        h.agent("cpus:4;mem:400;gpus#0:1;gpus#1:1")
        assert not h.offers(subscribe(h, "plain"))
        gpu = subscribe(h, "gpu", pb.GPU_RESOURCES)
        (offer,) = h.offers(gpu)
        half = parse("cpus:1;gpus#0:0.5")
        h.accept(gpu, [offer.offer_id], task(offer, "a", half), task(offer, "b", half))
        (offer,) = h.offers(gpu)
        assert from_proto(offer.resources) == parse("cpus:2;mem:400;gpus#1:1")

    def test_revocable(self) -> None:
        h = MasterHarness()
        h.agent("cpus:1;mem:100;cpus{REV}:3")
        assert offered(h, subscribe(h, "plain")) == parse("cpus:1;mem:100")
        taker = subscribe(h, "other", pb.REVOCABLE_RESOURCES)
        assert offered(h, taker) == parse("cpus{REV}:3")


def constrained(h: MasterHarness, *constraints: scheduler_pb.AttributeConstraint) -> int:
    info = pb.FrameworkInfo(name="f", capabilities=[pb.PARTITION_AWARE])
    group = scheduler_pb.OfferConstraints.Group(constraints=constraints)
    subscribing = scheduler_pb.Call.Subscribe(
        framework_info=info, offer_constraints={"*": scheduler_pb.OfferConstraints(groups=[group])}
    )
    h.feed(ev.FrameworkSubscribing(900, subscribing))
    return 900


class TestConstraints:
    def agents(self) -> MasterHarness:
        h = MasterHarness()
        for number, attributes in enumerate([{"rack": "r1"}, {"rack": "r2"}, {}]):
            info = pb.AgentInfo(
                agent_id=f"a{number}",
                address=pb.Address(hostname=f"h{number}", ip="127.0.0.1", port=number + 1),
                resources=to_proto(parse("cpus:1;mem:100")),
                attributes=[pb.Attribute(name=n, text=t) for n, t in attributes.items()],
            )
            h.feed(ev.AgentRegistering(100 + number, info, "i"))
        return h

    @pytest.mark.parametrize(
        ("constraint", "agents"),
        [
            ({"attribute": "rack", "exists": {}}, {"a0", "a1"}),
            ({"attribute": "rack", "not_exists": {}}, {"a2"}),
            ({"attribute": "rack", "text_equals": "r1"}, {"a0"}),
            ({"attribute": "rack", "text_not_equals": "r1"}, {"a1", "a2"}),
            ({"attribute": "hostname", "text_equals": "h2"}, {"a2"}),
            ({"attribute": "hostname", "text_matches": "h[01]"}, {"a0", "a1"}),
            ({"attribute": "rack", "text_matches": "r"}, set()),
            ({"attribute": "rack", "text_not_matches": "r[1-9]"}, {"a2"}),
        ],
    )
    def test_predicates(self, constraint: dict[str, object], agents: set[str]) -> None:
        h = self.agents()
        framework = constrained(h, scheduler_pb.AttributeConstraint(**constraint))  # type: ignore[arg-type]
        assert {offer.agent_id for offer in h.offers(framework)} == agents

    def test_what_they_leave_is_offered_to_others(self) -> None:
        h = self.agents()
        constrained(h, scheduler_pb.AttributeConstraint(attribute="rack", text_equals="r1"))
        assert {offer.agent_id for offer in h.offers(h.subscribe())} == {"a1", "a2"}

    def test_one_without_a_predicate_is_refused(self) -> None:
        h = self.agents()
        framework = constrained(h, scheduler_pb.AttributeConstraint(attribute="rack"))
        assert "has no predicate" in h.errors(framework)[0]

    @pytest.mark.parametrize(
        ("pattern", "says"),
        [
            ("(", "missing )"),
            ("(?=a)", "not a regular expression of RE2"),
            ("[a-z]{90}x{90}", "too complex"),
            ("x" * 2000, "more than 1024 bytes"),
        ],
    )
    def test_a_pattern_that_cannot_be_is_refused(self, pattern: str, says: str) -> None:
        h = self.agents()
        constraint = scheduler_pb.AttributeConstraint(attribute="rack", text_matches=pattern)
        assert says in h.errors(constrained(h, constraint))[0]


def optimistic(h: MasterHarness) -> int:
    info = pb.FrameworkInfo(name="o", capabilities=[pb.PARTITION_AWARE])
    subscribing = scheduler_pb.Call.Subscribe(framework_info=info, optimistic_roles=["*"])
    h.feed(ev.FrameworkSubscribing(901, subscribing))
    return 901


class TestOptimisticOffers:
    def test_a_copy_is_shown_and_wins(self) -> None:
        h = MasterHarness()
        plain, second = h.subscribe(), optimistic(h)
        agents = [h.agent("cpus:4;mem:400") for _ in range(2)]
        mine = h.offers(second)
        assert len(mine) == 2 and len(h.offers(plain)) == 1
        (copy,) = [offer for offer in mine if offer.optimistic]
        h.accept(second, [copy.offer_id], task(copy, "t", parse("cpus:1;mem:100")))
        assert sum(len(h.launched(agent)) for agent in agents) == 1
        (rescind,) = [e.rescind for e in h.framework_inbox[plain] if e.HasField("rescind")]
        assert rescind.reason == "accepted by another framework"
        assert h.core.state.frameworks[h.framework_id(plain)].offer_conflicts == 1
        assert h.core.allocator.held("*")["cpus"] <= 8000

    def test_the_owner_wins(self) -> None:
        h = MasterHarness()
        plain, second = h.subscribe(), optimistic(h)
        for _ in range(2):
            h.agent("cpus:4;mem:400")
        (copy,) = [offer for offer in h.offers(second) if offer.optimistic]
        (mine,) = h.offers(plain)
        h.accept(plain, [mine.offer_id], task(mine, "t", parse("cpus:4;mem:400")))
        h.accept(second, [copy.offer_id], task(copy, "u", parse("cpus:1;mem:100")))
        assert h.last(second).state == pb.TASK_DROPPED
        assert h.core.state.frameworks[h.framework_id(second)].offer_conflicts == 1

    def test_a_copy_goes_with_its_offer(self) -> None:
        h = MasterHarness()
        plain, second = h.subscribe(), optimistic(h)
        for _ in range(2):
            h.agent("cpus:4;mem:400")
        (copy,) = [offer for offer in h.offers(second) if offer.optimistic]
        h.decline(plain, [o.offer_id for o in h.offers(plain)], 1e6)
        assert copy.offer_id not in h.core.state.offers
        assert h.core.state.frameworks[h.framework_id(second)].offer_conflicts == 0

    def test_a_declined_copy_is_not_shown_again(self) -> None:
        h = MasterHarness()
        plain, second = h.subscribe(), optimistic(h)
        for _ in range(2):
            h.agent("cpus:4;mem:400")
        (copy,) = [offer for offer in h.offers(second) if offer.optimistic]
        h.decline(second, [copy.offer_id], 1e6)
        h.decline(plain, [o.offer_id for o in h.offers(plain)], 0)
        h.advance(0.01)
        assert not [offer for offer in h.offers(second) if offer.optimistic]

    def test_nobody_else_sees_copies(self) -> None:
        h = MasterHarness()
        first, second = h.subscribe(), h.subscribe()
        h.agent("cpus:4;mem:400")
        assert len(h.offers(first)) + len(h.offers(second)) == 1
