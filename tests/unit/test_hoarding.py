"""Offers that nobody answers, and others lack."""

from __future__ import annotations

from pymesos_master.core import hoarding
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_testing.master_harness import MasterHarness


def test_an_offer_that_another_lacks_is_taken_back() -> None:
    h = MasterHarness()
    h.agent()
    silent = h.subscribe()
    assert len(h.offers(silent)) == 1
    other = h.subscribe(name="other")
    assert h.offers(other) == []
    h.advance(hoarding.MIN_HOLD_S - 0.1)
    assert h.offers(other) == [], "it has its time to answer"
    h.advance(0.2)
    assert h.framework_inbox[silent][-1].rescind.reason.startswith("unanswered, and framework")
    assert len(h.offers(other)) == 1


def test_what_is_kept_long_already_is_taken_at_once() -> None:
    h = MasterHarness()
    for _ in range(3):
        h.agent()
    silent = h.subscribe()
    assert len(h.offers(silent)) == 3
    h.advance(10)
    other = h.subscribe(name="other")
    h.advance(0.06)
    assert len(h.offers(other)) == 1 and len(h.offers(silent)) == 2, "and no more than one"


def test_nobody_gets_what_it_refused_or_does_not_want() -> None:
    h = MasterHarness()
    h.agent()
    other = h.subscribe(name="other")
    (offer,) = h.offers(other)
    h.decline(other, [offer.offer_id], refuse_s=3600)
    silent = h.subscribe()
    assert len(h.offers(silent)) == 1
    h.advance(20)
    assert len(h.offers(silent)) == 1, "it is kept from nobody"


def test_a_slow_framework_has_its_time_once_it_has_answered() -> None:
    """Both answer within a second: none is to lose its offer again and again before it can."""
    h = MasterHarness()
    h.agent()
    frameworks = [h.subscribe(name="a"), h.subscribe(name="b")]
    answered = dict.fromkeys(frameworks, 0)
    due: dict[str, tuple[float, int]] = {}
    for _ in range(600):
        for framework in frameworks:
            for offer in h.offers(framework):
                due.setdefault(offer.offer_id, (h.now_s + 1.0, framework))
        for offer_id, (at_s, framework) in list(due.items()):
            if h.now_s >= at_s:
                del due[offer_id]
                answered[framework] += offer_id in h.core.state.offers
                h.decline(framework, [offer_id], refuse_s=0)
        h.advance(0.1)
    assert min(answered.values()) >= 10, answered


def test_one_that_holds_less_is_left_alone() -> None:
    h = MasterHarness()
    h.agent("cpus:8;mem:8192")
    rich = h.subscribe(name="rich")
    h.run(rich, "t", "cpus:8;mem:8192")
    h.agent("cpus:1;mem:64")
    poor = h.subscribe(name="poor")
    assert len(h.offers(poor)) == 1
    h.advance(5)
    assert len(h.offers(poor)) == 1 and h.offers(rich) == []


def test_one_that_wants_offers_again_does_not_wait_for_its_last_look() -> None:
    h = MasterHarness()
    idle = h.subscribe(name="idle")
    h.advance(120)  # there is nothing to lack, so it is looked at ever later
    h.call(idle, suppress=scheduler_pb.Call.Suppress())
    h.agent()
    silent = h.subscribe()
    assert len(h.offers(silent)) == 1
    h.call(idle, revive=scheduler_pb.Call.Revive())
    h.advance(hoarding.MIN_HOLD_S + 0.2)
    assert len(h.offers(idle)) == 1


def test_a_late_answer_counts_at_once() -> None:
    h = MasterHarness()
    h.agent()
    first = h.subscribe()
    (offer,) = h.offers(first)
    silent = h.subscribe(name="silent")
    h.advance(hoarding.MIN_HOLD_S + 0.1)
    assert len(h.offers(silent)) == 1
    h.decline(first, [offer.offer_id], refuse_s=0)
    h.advance(2 * hoarding.MIN_HOLD_S)
    assert len(h.offers(first)) == 1, "it answers, and the other does not"


def test_those_who_answer_come_before_those_who_never_have() -> None:
    """A thousand that hoard would take each other's offers, and leave none for who works."""
    h = MasterHarness()
    works = h.subscribe(name="works")
    h.agent()
    (offer,) = h.offers(works)
    h.advance(0.01)
    h.decline(works, [offer.offer_id], refuse_s=0.01)
    hoards, lurks = h.subscribe(name="hoards"), h.subscribe(name="lurks")
    assert len(h.offers(hoards)) + len(h.offers(lurks)) == 1
    h.advance(hoarding.MIN_HOLD_S / 2 + 0.01)
    assert len(h.offers(works)) == 1


def test_one_that_never_answers_costs_no_looks() -> None:
    h = MasterHarness()
    h.agent()
    silent = h.subscribe()
    assert len(h.offers(silent)) == 1
    h.subscribe(name="other")
    h.advance(hoarding.MIN_HOLD_S + 0.2)
    framework = h.core.state.frameworks[h.framework_id(silent)]
    assert framework.silent and not framework.offers
    h.call(silent, revive=scheduler_pb.Call.Revive())
    assert ("lack", framework.framework_id) not in h.core._ctx.timers
