"""Rollouts, by stories: each says what people saw go wrong elsewhere, or what is promised here."""

from __future__ import annotations

import pytest

from pymesos_binpack.jobs.rollouts.lifecycle import State
from pymesos_binpack.jobs.rollouts.rules import (
    NONE,
    STOP_FIRST,
    Amount,
    Numbers,
    RulesError,
    UpdateRules,
)
from pymesos_testing.rollout_world import World

HALF = UpdateRules(max_surge=NONE, max_unavailable=Amount(50, percent=True))
CANARY = UpdateRules(canary=Amount(1))
BLUE_GREEN = UpdateRules(canary=Amount(100, percent=True), canary_serve=False)


def world(rules: UpdateRules = UpdateRules(), count: int = 3, capacity: int = 1000) -> World:  # noqa: B008
    """A task that runs well."""
    made = World(rules, count, capacity)
    made.run(20)
    assert len(made.ready) == count
    made.log.clear()
    return made


# Rules.


def test_surge_is_rounded_up_and_unavailable_down() -> None:
    quarter = Amount(25, percent=True)
    rules = UpdateRules(max_surge=quarter, max_unavailable=quarter, canary=Amount(1, percent=True))
    assert rules.in_numbers(10) == Numbers(3, 2, 1)
    assert rules.in_numbers(1) == Numbers(1, 0, 1)
    assert UpdateRules().in_numbers(4) == Numbers(1, 0, 0)
    assert UpdateRules(canary=Amount(7)).in_numbers(2).canaries == 2


def test_where_both_come_to_nothing_one_may_be_unavailable() -> None:
    rules = UpdateRules(max_surge=NONE, max_unavailable=Amount(25, percent=True))
    assert rules.in_numbers(3) == Numbers(0, 1, 0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"max_surge": NONE}, "both 0"),
        ({"stop_first": True}, "max_surge and canary must be 0"),
        ({"min_healthy_s": -1.0}, "min_healthy_s must be from 0"),
        ({"healthy_deadline_s": 10.0}, "more than min_healthy_s"),
        ({"progress_deadline_s": 299.0}, "must not be less than healthy_deadline_s"),
        ({"progress_deadline_s": float("nan")}, "progress_deadline_s must be"),
    ],
)
def test_rules_that_cannot_be_are_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(RulesError, match=said):
        UpdateRules(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(("number", "percent"), [(-1, False), (101, True), (100_001, False)])
def test_amounts_are_bounded(number: int, percent: bool) -> None:
    with pytest.raises(RulesError, match="out of range"):
        Amount(number, percent=percent)


# Good versions.


@pytest.mark.parametrize("count", [1, 3, 10])
def test_a_good_version_replaces_all_without_an_outage(count: int) -> None:
    it = world(count=count)
    it.apply()
    it.run_until(State.DONE)
    assert it.fewest_ready == count
    assert it.most_live == count + -(-count // 4)
    it.run(10)
    assert sorted(m.index for m in it.ready) == list(range(count))
    assert {m.version for m in it.live} == {2}


def test_what_cannot_run_twice_is_stopped_first() -> None:
    it = world(STOP_FIRST)
    it.apply()
    it.run_until(State.DONE)
    assert (it.fewest_ready, it.most_live) == (2, 3)


def test_unavailable_ones_make_room_for_others() -> None:
    it = world(HALF, count=4, capacity=4)
    it.apply()
    it.run_until(State.DONE)
    assert (it.fewest_ready, it.most_live) == (2, 4)
    assert "waiting" not in it.rollout.why


def test_old_ones_that_are_not_ready_go_first_and_freely() -> None:
    it = world(count=4)
    it.crash("i3")
    it.apply()
    assert next(it.stops()).endswith("is replaced by version 2: is not ready')")
    assert [m.index for m in it.of(2)] == [2, 0]
    it.run_until(State.DONE)
