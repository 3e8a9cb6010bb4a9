"""The DRF allocator."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pymesos_core.resources import EMPTY, parse
from pymesos_master.allocator import DrfAllocator
from pymesos_master.allocator.interface import Quota, Settings, Terms, Withheld
from pymesos_testing.allocating import allocator, cut_by_a_limit


def test_equal_frameworks_share_equally() -> None:
    grants = allocator(agents=9, frameworks=3).allocate(0)
    counts = {f"f{n}": sum(g.framework_id == f"f{n}" for g in grants) for n in range(3)}
    assert counts == {"f0": 3, "f1": 3, "f2": 3}


def test_the_papers_example() -> None:
    """NSDI'11, figure 3: 9 CPUs, 18 GB; A runs <1, 4>, B runs <3, 1>: A gets 3 tasks, B gets 2."""
    drf = DrfAllocator()
    drf.add_agent("a", parse("cpus:9;mem:18"), {})
    needs = {"A": parse("cpus:1;mem:4"), "B": parse("cpus:3;mem:1")}
    for name in needs:
        drf.add_framework(name, ("*",), active=True)
    ran = {"A": 0, "B": 0}
    now = 0.0
    while grants := drf.allocate(now):
        for grant in grants:
            need = needs[grant.framework_id]
            fits = grant.resources.contains(need)
            ran[grant.framework_id] += fits
            rest = grant.resources - need if fits else grant.resources
            refuse_s = 0.0 if fits else 1e9
            drf.answered(grant.framework_id, "a")
            drf.recover(grant.framework_id, "a", "*", rest, now_s=now, refuse_s=refuse_s)
            drf.used(grant.framework_id, "a")
        now += 2
    assert ran == {"A": 3, "B": 2}


@given(st.lists(st.tuples(st.integers(1, 8), st.integers(1, 8)), min_size=2, max_size=5))
def test_each_grant_goes_to_the_lowest_share(loads: list[tuple[int, int]]) -> None:
    drf = DrfAllocator()
    for number, (cpus, mem) in enumerate(loads):
        drf.add_framework(f"f{number}", ("*",), active=True)
        used = {(f"f{number}", "*"): parse(f"cpus:{cpus};mem:{mem * 100}")}
        drf.add_agent(f"used{number}", parse("cpus:8;mem:800"), used)
        drf.deactivate_agent(f"used{number}")
    drf.add_agent("free", parse("cpus:8;mem:800"), {})
    shares = {f"f{n}": drf.dominant_share(f"f{n}") for n in range(len(loads))}
    (grant,) = drf.allocate(0)
    assert shares[grant.framework_id] == min(shares.values())


def test_slivers_are_not_offered() -> None:
    assert allocator(text="cpus:0.005;mem:31").allocate(0) == []
    assert allocator(text="cpus:0.005;mem:32").allocate(0) != []
    assert allocator(text="ports:[1-5]").allocate(0) == []


def test_only_what_changed_is_looked_at() -> None:
    drf = allocator(agents=100, frameworks=2)
    drf.allocate(0)
    assert not drf.changed
    drf.answered("f0", "a0")
    drf.recover("f0", "a0", "*", parse("cpus:1;mem:40"), now_s=0)
    grants = drf.allocate(0)
    assert [(g.agent_id, str(g.resources)) for g in grants] == [("a0", "cpus:1;mem:40")]


def test_a_framework_with_two_roles_is_offered_in_the_one_that_is_not_suppressed() -> None:
    drf = DrfAllocator()
    drf.add_framework("f", ("a", "b"), active=True)
    drf.suppress("f", ["a"])
    drf.add_agent("x", parse("cpus:1;mem:40"), {})
    assert [g.role for g in drf.allocate(0)] == ["b"]


def test_a_removed_agent_takes_its_shares_with_it() -> None:
    drf = allocator(agents=2)
    drf.allocate(0)
    assert drf.dominant_share("f0") == 1.0
    drf.remove_agent("a0")
    drf.recover("f0", "a0", "*", parse("cpus:4;mem:400"), now_s=0)
    drf.recover("f0", "a1", "*", parse("cpus:4;mem:400"), now_s=0)
    assert drf.dominant_share("f0") == 0.0


def test_a_hoarder_and_a_decliner_do_not_starve_a_third() -> None:
    drf = allocator(agents=1, frameworks=2)
    now = 0.0
    won = 0
    for _ in range(50):
        for grant in drf.allocate(now):
            if grant.framework_id == "f1":
                won += 1
            drf.answered(grant.framework_id, "a0")
            drf.recover(grant.framework_id, "a0", "*", grant.resources, now_s=now, refuse_s=0)
        now += 0.01
    assert won > 5


def test_what_comes_free_is_not_offered_to_one_that_is_still_asked_about_the_rest() -> None:
    """Found by the simulator: a hoarder held an agent in two pieces, each of no use to others."""
    drf = DrfAllocator()
    drf.add_framework("slow", ("*",), active=True)
    drf.add_agent("a", parse("cpus:4;mem:400"), {("slow", "*"): parse("cpus:1;mem:40")})
    assert [str(g.resources) for g in drf.allocate(0)] == ["cpus:3;mem:360"]
    drf.recover("slow", "a", "*", parse("cpus:1;mem:40"), now_s=0)
    assert drf.allocate(0) == []
    drf.answered("slow", "a")
    drf.recover("slow", "a", "*", parse("cpus:3;mem:360"), now_s=0)
    assert [str(g.resources) for g in drf.allocate(0)] == ["cpus:4;mem:400"]


def test_two_that_are_slow_cannot_keep_an_agent_from_a_third_in_pieces() -> None:
    drf = DrfAllocator(Settings(claim_s=30))
    drf.add_framework("slow1", ("*",), active=True)
    drf.add_agent("a", parse("cpus:4;mem:400"), {("slow2", "*"): parse("cpus:2;mem:200")})
    assert [g.framework_id for g in drf.allocate(0)] == ["slow1"]
    drf.add_framework("slow2", ("*",), active=True)
    drf.add_framework("quick", ("*",), active=True)
    half = parse("cpus:2;mem:200")
    drf.recover("slow2", "a", "*", half, now_s=1)
    assert [g.framework_id for g in drf.allocate(1)] == ["slow2"]
    drf.answered("slow1", "a")
    drf.recover("slow1", "a", "*", half, now_s=2, refuse_s=1, timed_out=True)
    assert [g.framework_id for g in drf.allocate(2)] == ["quick"]
    drf.answered("quick", "a")
    drf.recover("quick", "a", "*", half, now_s=2, refuse_s=60)
    assert drf.allocate(4) == [], "slow1 would take this part again"
    drf.answered("slow2", "a")
    drf.recover("slow2", "a", "*", half, now_s=5, refuse_s=1, timed_out=True)
    assert [(g.framework_id, str(g.resources)) for g in drf.allocate(5)] == [
        ("quick", "cpus:4;mem:400")
    ]


def test_a_claim_ends_in_time_and_is_made_once() -> None:
    drf = DrfAllocator(Settings(claim_s=30))
    for name in ("slow", "picky"):
        drf.add_framework(name, ("*",), active=True)
    drf.add_agent("a", parse("cpus:4;mem:400"), {("slow", "*"): parse("cpus:2;mem:200")})
    half = parse("cpus:2;mem:200")
    assert [g.framework_id for g in drf.allocate(0)] == ["picky"]
    drf.recover("slow", "a", "*", half, now_s=0)
    assert [g.framework_id for g in drf.allocate(0)] == ["slow"]
    drf.answered("picky", "a")
    drf.recover("picky", "a", "*", half, now_s=1, refuse_s=1000)
    drf.add_framework("third", ("*",), active=True)
    assert drf.allocate(2) == [] and drf.next_s() == 31
    assert [g.framework_id for g in drf.allocate(31)] == ["third"]


def test_a_claim_ends_with_its_framework() -> None:
    """Found by the simulator: that of a framework which was gone stopped the master."""
    drf = DrfAllocator(Settings(claim_s=30))
    for name in ("slow", "picky"):
        drf.add_framework(name, ("*",), active=True)
    drf.add_agent("a", parse("cpus:4;disk(db):9"), {("slow", "*"): parse("cpus:2")})
    assert [g.framework_id for g in drf.allocate(0)] == ["picky"]
    drf.recover("slow", "a", "*", parse("cpus:2"), now_s=0)
    assert [g.framework_id for g in drf.allocate(0)] == ["slow"]
    drf.answered("picky", "a")
    drf.recover("picky", "a", "*", parse("cpus:2"), now_s=1, refuse_s=1000)
    drf.add_framework("third", ("*",), active=True)
    assert drf.allocate(2) == [], "picky is to see all of it"
    drf.remove_framework("picky")
    assert [g.framework_id for g in drf.allocate(3)] == ["third"]


def test_nothing_is_created_or_lost() -> None:
    drf = allocator(agents=3, frameworks=2)
    grants = drf.allocate(0)
    total = EMPTY
    for grant in grants:
        total = total + grant.resources
        drf.answered(grant.framework_id, grant.agent_id)
        drf.recover(grant.framework_id, grant.agent_id, "*", grant.resources, now_s=0)
    again = drf.allocate(0)
    assert sum(g.resources.scalar("cpus") for g in again) == total.scalar("cpus") == 12_000


def test_a_limit_counts_what_is_reserved_and_a_guarantee_is_met_by_it() -> None:
    drf = DrfAllocator()
    drf.set_quota("db", Quota({"cpus": 3000}, {"cpus": 5000}))
    drf.add_framework("f", ("db",), active=True)
    drf.add_framework("g", ("web",), active=True)
    drf.add_agent("a", parse("cpus(db):3;cpus:4;mem:400"), {})
    offered = {g.framework_id: g.resources for g in drf.allocate(0)}
    # Nothing need stay free for the guarantee, and of what is for everybody db may have 2.
    assert offered["f"].where(lambda tag: tag.role == "db") == parse("cpus(db):3")
    assert drf.held("db")["cpus"] <= 5000
    assert sum(bag.quantities.get("cpus", 0) for bag in offered.values()) == 7000


def test_a_role_at_its_limit_still_gets_what_is_reserved_for_it() -> None:
    drf = DrfAllocator()
    drf.set_quota("db", Quota(limits={"cpus": 3000, "mem": 0}))
    drf.add_framework("f", ("db",), active=True)
    drf.add_agent("a", parse("cpus(db):3;cpus:4;mem:400"), {})
    (grant,) = drf.allocate(0)
    assert grant.resources == parse("cpus(db):3")


def test_what_is_revocable_counts_for_no_quota() -> None:
    drf = DrfAllocator()
    drf.set_quota("db", Quota({"cpus": 2000}, {"cpus": 2000, "mem": 0}))
    drf.add_framework("f", ("db",), active=True, terms=Terms(revocable=True))
    guests, own = parse("cpus{REV}:3;mem{REV}:300"), parse("cpus:2")
    drf.add_agent("a", parse("cpus:4;mem:400") + guests, {("f", "db"): guests + own})
    drf.add_agent("b", parse("cpus:4;mem:400") + guests, {("f", "db"): parse("cpus:2")})
    (grant,) = drf.allocate(0)
    assert (grant.agent_id, grant.resources) == ("b", guests), "it is beyond its limit"
    assert drf.held("db")["cpus"] == 10_000 and drf.charged("db")["cpus"] == 4000
    drf.recover("f", "b", "db", parse("cpus:2"), now_s=0)
    assert not drf.allocate(0)
    drf.recover("f", "a", "db", own, now_s=0)
    drf.answered("f", "b")
    (grant,) = drf.allocate(0)
    assert grant.resources == own, "it is guaranteed as much, and all it holds is revocable"
    drf.remove_framework("f")  # and is back, with what it holds
    drf.add_framework("f", ("db",), active=True, terms=Terms(revocable=True))
    assert drf.held("db")["cpus"] == 8000 and drf.charged("db")["cpus"] == 2000
    drf.remove_agent("a")
    drf.remove_agent("b")
    assert not any(drf.held("db").values()) and not any(drf.charged("db").values())


def test_a_role_at_its_limit_is_offered_what_becomes_revocable() -> None:
    drf = DrfAllocator()
    drf.set_quota("db", Quota({}, {"cpus": 1000, "mem": 0}))
    drf.add_framework("f", ("db",), active=True, terms=Terms(revocable=True))
    drf.add_agent("a", parse("cpus:4;mem:400"), {("f", "db"): parse("cpus:1")})
    assert not drf.allocate(0)
    guests = parse("cpus{REV}:3;mem{REV}:300")
    drf.set_revocable("a", guests, EMPTY)
    (grant,) = drf.allocate(0)
    assert grant.resources == guests
    drf.recover("f", "a", "db", guests, now_s=0)
    drf.set_revocable("a", EMPTY, EMPTY)
    assert not drf.allocate(0)


def test_the_largest_part_of_an_agent_in_one_offer() -> None:
    drf = DrfAllocator(Settings(max_fraction=0.5))
    for name in ("f", "g"):
        drf.add_framework(name, ("*",), active=True)
    drf.add_agent("a", parse("cpus:4;mem:400;ports:[1-9]"), {})
    sizes = {g.framework_id: g.resources for g in drf.allocate(0)}
    assert {bag.scalar("cpus") for bag in sizes.values()} == {2000} and len(sizes) == 2


def test_the_least_that_is_worth_an_offer() -> None:
    drf = DrfAllocator(Settings(minimum=({"cpus": 2000, "mem": 100_000}, {"gpus": 1000})))
    drf.add_framework("f", ("*",), active=True, terms=Terms(gpus=True))
    for name, text in (("a", "cpus:1;mem:400"), ("b", "cpus:2;mem:100"), ("c", "gpus#0:1")):
        drf.add_agent(name, parse(text), {})
    assert {grant.agent_id for grant in drf.allocate(0)} == {"b", "c"}


def test_agents_with_gpus_are_kept_or_their_gpus_are() -> None:
    for keep, offered in ((True, []), (False, [parse("cpus:4;mem:400")])):
        drf = DrfAllocator(Settings(keep_gpu_agents=keep))
        drf.add_framework("f", ("*",), active=True)
        drf.add_agent("a", parse("cpus:4;mem:400;gpus#0:1"), {})
        assert [grant.resources for grant in drf.allocate(0)] == offered
        reason = drf.explain("f")[0].withheld["a"]
        assert reason == (Withheld.CAPABILITY if keep else Withheld.UNANSWERED)


def test_explain_names_the_rule_that_withholds_each_agent() -> None:
    drf = DrfAllocator()
    drf.set_quota("eng", Quota(limits={"cpus": 4000, "mem": 400_000}))
    drf.set_quota("later", Quota(guarantees={"cpus": 4000, "mem": 400_000}))
    drf.add_framework("f", ("eng",), active=True)
    for name in ("away", "busy", "held"):
        drf.add_agent(name, parse("cpus:4;mem:400"), {})
        if name == "away":
            drf.deactivate_agent("away")
    used = {("other", "*"): parse("cpus:4;mem:400")}
    drf.add_agent("busy", parse("cpus:4;mem:400"), used)
    (standing,) = drf.explain("f")
    assert standing.withheld == {
        "away": Withheld.DISCONNECTED,
        "busy": Withheld.IN_USE,
        "held": Withheld.HEADROOM,
    }
    drf.set_quota("later", Quota())
    assert [g.agent_id for g in drf.allocate(0)] == ["held"]
    drf.add_agent("more", parse("cpus:4;mem:400"), {})
    (standing,) = drf.explain("f")
    assert standing.withheld["held"] == Withheld.UNANSWERED
    assert standing.withheld["more"] == Withheld.LIMIT
    drf.answered("f", "held")
    drf.recover("f", "held", "eng", parse("cpus:4;mem:400"), now_s=0, refuse_s=7)
    (standing,) = drf.explain("f")
    assert standing.withheld["held"] == Withheld.REFUSED and standing.until_s == {"held": 7.0}
    assert (standing.place, standing.of, standing.suppressed) == (1, 1, False)
    drf.suppress("f", ())
    assert drf.explain("f")[0].suppressed and drf.explain("nobody") == []


def test_explain_says_why_as_much_as_a_task_needs_is_not_offered() -> None:
    """Less is offered, and refused: the filter is not the reason."""
    drf = cut_by_a_limit(refuse_s=60)
    (standing,) = drf.explain("f", {"cpus": 2000, "mem": 100_000})
    assert standing.withheld == {"full": Withheld.IN_USE, "free": Withheld.LIMIT}
    (standing,) = drf.explain("f", {"cpus": 1000, "mem": 100_000})
    assert standing.withheld["free"] == Withheld.REFUSED
    (standing,) = drf.explain("f", {"cpus": 9000})
    assert standing.withheld["free"] == Withheld.IN_USE, "nobody has so much free"


@pytest.mark.parametrize("quota", [Quota(), Quota(limits={"cpus": 8000})])
def test_what_was_refused_under_another_quota_is_offered_at_once(quota: Quota) -> None:
    """The offer was cut to the limit; the filter held for all of the agent, for a minute."""
    drf = DrfAllocator()
    drf.set_quota("eng", Quota(limits={"cpus": 1000}))
    drf.add_framework("f", ("eng",), active=True)
    drf.add_agent("a", parse("cpus:4;mem:400"), {})
    (grant,) = drf.allocate(0)
    drf.answered("f", "a")
    drf.recover("f", "a", "eng", grant.resources, now_s=0, refuse_s=60)
    assert drf.allocate(1) == []
    drf.set_quota("eng", quota)
    assert [g.resources for g in drf.allocate(1)] == [parse("cpus:4;mem:400")]


def test_so_is_what_had_to_stay_free_for_another() -> None:
    drf = DrfAllocator()
    drf.set_quota("later", Quota(guarantees={"cpus": 3000}))
    drf.add_framework("f", ("eng",), active=True)
    drf.add_agent("a", parse("cpus:4;mem:400"), {})
    (grant,) = drf.allocate(0)
    assert grant.resources == parse("cpus:1;mem:400")
    drf.answered("f", "a")
    drf.recover("f", "a", "eng", grant.resources, now_s=0, refuse_s=60)
    assert drf.allocate(1) == []
    drf.set_quota("later", Quota())
    assert [g.resources for g in drf.allocate(1)] == [parse("cpus:4;mem:400")]


@given(st.lists(st.sampled_from([None, 0.0, 5.0]), min_size=1, max_size=8))
def test_what_explain_does_not_withhold_is_granted(refusals: list[float | None]) -> None:
    """One rule: the explanation is of the decision, not a second guess."""
    drf = allocator(agents=3, frameworks=2)
    now_s = 0.0
    held = []
    for refuse_s in refusals:
        free = {f: drf.explain(f)[0].withheld for f in ("f0", "f1")}
        granted = drf.allocate(now_s)
        held += granted
        for grant in granted:
            assert grant.agent_id not in free[grant.framework_id]
        for agent in {f"a{n}" for n in range(3)} - {g.agent_id for g in granted}:
            assert agent in free["f0"] and agent in free["f1"]
        if held:
            grant = held.pop(0)
            drf.answered(grant.framework_id, grant.agent_id)
            drf.recover(
                *(grant.framework_id, grant.agent_id, "*", grant.resources),
                now_s=now_s,
                refuse_s=refuse_s,
            )


def test_equal_shares_are_equal_however_they_came_about() -> None:
    """5/18 by a weight of 5 is 1/18, and no float says so; the first to come is first."""
    for whole, weight in [(18, 5.0), (18, 0.2), (49, 7.0), (10, 3.0), (1000, 0.1)]:
        held = max(1, round(weight))
        other = 1 if weight > 1 else round(held / weight)
        drf = DrfAllocator()
        drf.set_weight("a", weight if weight > 1 else 1.0)
        drf.set_weight("b", 1.0 if weight > 1 else other / held)
        drf.add_framework("first", ("a",), active=True)
        drf.add_framework("second", ("b",), active=True)
        rest = whole - held - other
        mem = "mem:100"
        drf.add_agent("u1", parse(f"cpus:{held};{mem}"), {("first", "a"): parse(f"cpus:{held}")})
        drf.add_agent("u2", parse(f"cpus:{other};{mem}"), {("second", "b"): parse(f"cpus:{other}")})
        for used in ("u1", "u2"):
            drf.deactivate_agent(used)
        drf.add_agent("free", parse(f"cpus:{rest};{mem}"), {})
        (grant,) = drf.allocate(0)
        assert grant.framework_id == "first", (whole, weight)
