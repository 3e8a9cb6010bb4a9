"""Rollouts, by stories: each says what people saw go wrong elsewhere, or what is promised here."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pymesos_binpack.jobs.lifecycle import Phase
from pymesos_binpack.jobs.rollouts import asking
from pymesos_binpack.jobs.rollouts.lifecycle import State
from pymesos_binpack.jobs.rollouts.rules import (
    NONE,
    STOP_FIRST,
    Amount,
    Numbers,
    OnFailure,
    Promote,
    RulesError,
    UpdateRules,
)
from pymesos_binpack.jobs.rollouts.seen import serves
from pymesos_testing.rollout_world import Kind
from pymesos_testing.settled_world import world

HALF = UpdateRules(max_surge=NONE, max_unavailable=Amount(50, percent=True))


CANARY = UpdateRules(canary=Amount(1))


BLUE_GREEN = UpdateRules(canary=Amount(100, percent=True), canary_serve=False)


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


def test_the_page_says_the_defaults() -> None:
    page = (Path(__file__).parents[2] / "docs" / "rollouts.md").read_text("utf-8")
    block = page.partition("```yaml\n")[2].partition("```")[0]
    said = yaml.safe_load(block)["update"]
    rules = UpdateRules()
    assert said == {
        "max_surge": str(rules.max_surge),
        **{name: int(str(getattr(rules, name))) for name in ("max_unavailable", "canary")},
        "canary_promote": rules.canary_promote.value,
        "canary_serve": rules.canary_serve,
        "min_healthy_s": rules.min_healthy_s,
        "healthy_deadline_s": rules.healthy_deadline_s,
        "progress_deadline_s": rules.progress_deadline_s,
        "on_failure": rules.on_failure.value,
    }


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


def test_progress_is_told() -> None:
    it = world()
    it.apply()
    it.run(20)
    assert it.rollout.why == "1 of 3 are of version 2 and stable"


def test_when_to_look_again_is_when_one_becomes_stable_or_a_deadline_passes() -> None:
    it = world()
    it.apply()
    began_s = it.now_s
    assert it.look_at_s == began_s + 300
    it.run(8)
    ready_s = it.of(2)[0].ready_since_s
    assert ready_s is not None
    assert it.look_at_s == ready_s + 10
    it.run_until(State.DONE)
    assert it.look_at_s is None


# Bad versions.


def test_three_exits_in_a_row_roll_back_within_five_seconds() -> None:
    it = world(count=10)
    it.apply(Kind.CRASHES)
    for key in [m.key for m in it.of(2)]:
        it.alter(key, phase=Phase.RUNNING)
    for key in [m.key for m in it.of(2)]:
        it.crash(key, "exit status 7")
    third_s = it.now_s
    it.run_until(State.ROLLED_BACK)
    assert it.now_s - third_s <= 5
    assert it.fewest_ready == 10
    assert "3 instances of version 2 ended in a row, the last so: exit status 7" in it.rollout.why


@pytest.mark.parametrize("kind", [Kind.ERROR, Kind.REFUSED])
def test_what_cannot_become_better_fails_at_once(kind: Kind) -> None:
    it = world()
    it.apply(kind)
    it.run_until(State.ROLLED_BACK, within_s=5)
    assert it.fewest_ready == 3


def test_two_exits_are_forgiven_once_another_is_stable() -> None:
    it = world()
    it.apply()
    for _ in range(2):
        it.run(2)
        it.crash(it.of(2)[0].key)
    it.run(20)
    assert (it.rollout.exits, it.rollout.most_stable) == (0, 1)
    it.run_until(State.DONE)


def test_one_that_is_stable_again_and_again_is_no_progress() -> None:
    """One that ends soon after each time that it was stable must not go on for ever."""
    it = world(CANARY)
    it.apply()
    for _ in range(3):
        it.run_until(State.WAITING_PROMOTION)
        it.crash(it.of(2)[0].key)
    it.run_until(State.ROLLED_BACK, within_s=1)


def test_an_end_that_is_nobodys_fault_counts_nothing() -> None:
    it = world()
    it.apply()
    old, new = it.of(1)[0], it.of(2)[0]
    for _ in range(3):
        assert asking.exited(it.rollout, old, "") is it.rollout
    assert asking.exited(it.rollout, new, "x" * 1000).exit_why == "x" * 300


def test_an_instance_that_is_not_stable_in_time_fails_it() -> None:
    it = world()
    it.apply(Kind.NEVER_READY)
    it.run(299)
    assert it.rollout.state is State.ROLLING
    it.run_until(State.ROLLED_BACK, within_s=3)
    assert "instance 0 of version 2 did not become stable in time" in it.rollout.why


def test_it_can_be_held_instead() -> None:
    it = world(UpdateRules(on_failure=OnFailure.PAUSE))
    it.apply(Kind.ERROR)
    it.run_until(State.PAUSED)
    assert it.rollout.why.endswith("; resume it, or abort it")
    it.kinds[2] = Kind.GOOD
    it.run(100)
    it.resume()
    it.run_until(State.DONE)


def test_the_way_back_that_fails_too_keeps_what_is_healthy() -> None:
    it = world(HALF, count=4)
    it.apply(Kind.NEVER_READY)
    it.run(10)
    it.kinds[1] = Kind.ERROR
    it.run_until(State.ROLLBACK_FAILED)
    assert [m.key for m in it.ready] == ["i3", "i4"]
    assert "what is healthy is kept" in it.rollout.why
    it.run(2000)
    assert [m.key for m in it.ready] == ["i3", "i4"]
    it.kinds[1] = Kind.GOOD
    it.apply()  # goes on from what is there
    it.run_until(State.DONE)
    assert len(it.ready) == 4


# What others got wrong.


def test_a_cancelled_deployment_leaves_what_is_ready() -> None:
    """marathon#4046: it left no instance at all."""
    for rules in (UpdateRules(), HALF, STOP_FIRST):
        for after_s in range(0, 40, 3):
            it = world(rules, count=2)
            it.apply(Kind.NEVER_READY)
            it.run(after_s)
            it.abort()
            it.run(20)
            assert len(it.ready) == 2, (rules, after_s)
            assert it.fewest_ready >= 2 - rules.in_numbers(2).unavailable


def test_a_rollback_restarts_none_that_it_need_not() -> None:
    """marathon#4988, nomad#14200: those that had never been changed were stopped, too."""
    it = world(HALF, count=4)
    it.apply(Kind.CRASHES)
    it.run_until(State.ROLLED_BACK)
    it.run(20)
    assert {"i3", "i4"} <= {m.key for m in it.ready}
    assert not [line for line in it.stops() if "'i3'" in line or "'i4'" in line]


def test_a_full_cluster_blocks_nothing_for_ever() -> None:
    """marathon#3546: with the capacity near 1 nothing moved, and nothing said why."""
    it = world(count=3, capacity=3)
    it.apply()
    it.run(3_000)
    assert it.rollout.state is State.WAITING_CAPACITY
    assert it.rollout.why == (
        "no agent has room for instance 0; add or free room, let max_unavailable be more, or abort"
    )
    assert (it.fewest_ready, it.look_at_s) == (3, None)
    it.capacity = 4
    it.run_until(State.DONE)


def test_a_lower_count_stops_no_old_one_early() -> None:
    """marathon#1554: old ones were stopped before a new one was there."""
    it = world(UpdateRules(max_surge=Amount(1)), count=2)
    it.apply(Kind.NEVER_READY, count=1)
    it.run(200)
    assert not list(it.stops())
    assert len(it.ready) == 2
    it.run_until(State.ROLLED_BACK)
    assert [m.key for m in it.ready] == ["i1"]


def test_a_lower_count_makes_room_where_there_is_none() -> None:
    it = world(count=4, capacity=4)
    it.apply(count=2)
    it.run_until(State.DONE)
    assert it.fewest_ready >= 2


def test_every_deadline_ends() -> None:
    """nomad#11267: a deployment ran on although its deadline had passed."""
    it = world(UpdateRules(healthy_deadline_s=600, progress_deadline_s=600))
    it.apply()
    it.run(18)
    assert it.rollout.most_stable == 1
    it.kinds[2] = Kind.NEVER_READY
    it.run_until(State.ROLLED_BACK, within_s=700)
    assert it.fewest_ready == 3


def test_a_way_back_has_no_canaries() -> None:
    """nomad#10882: a revert waited for its canaries to be promoted."""
    it = world(CANARY, count=3)
    it.apply()
    it.run_until(State.WAITING_PROMOTION)
    it.promote()
    it.run(3)
    it.kinds[2] = Kind.NEVER_READY
    it.run_until(State.ROLLED_BACK)
    assert not [line for line in it.log if "tried first" in line][1:]
    assert {m.version for m in it.ready} == {1}


def test_a_registry_that_is_away_is_waited_for() -> None:
    """nomad#12940: an outage of the registry made it give up for ever."""
    it = world()
    it.registry_answers = False
    it.apply()
    it.run(3_000)
    assert it.rollout.state is State.WAITING_IMAGE
    assert "the image of instance 0 cannot be had at present; it is tried" in it.rollout.why
    it.registry_answers = True
    it.run_until(State.DONE)
    assert it.fewest_ready == 3


def test_a_bad_image_replaces_no_good_one() -> None:
    """moby#37972: the good one was stopped for one whose image could not be had."""
    it = world(count=1)
    it.apply(Kind.REFUSED)
    it.run_until(State.ROLLED_BACK)
    assert [m.key for m in it.ready] == ["i1"]
    assert not any("'i1'" in line for line in it.stops())


# Canaries.


def test_canaries_run_beside_all_others_until_they_are_promoted() -> None:
    it = world(CANARY, count=1)
    it.apply()
    it.run_until(State.WAITING_PROMOTION)
    assert it.rollout.why == "1 canary is stable: promote them with `rollout promote`, or abort"
    it.run(3_000)
    assert [len(it.of(1)), len(it.of(2))] == [1, 1]
    it.promote()
    it.run_until(State.DONE)
    assert (it.fewest_ready, {m.version for m in it.live}) == (1, {2})


def test_canaries_promote_themselves_if_told_so() -> None:
    it = world(UpdateRules(canary=Amount(1), canary_promote=Promote.AUTO))
    it.apply()
    it.run_until(State.DONE)
    assert any("Promote(why='the canaries are stable')" in line for line in it.log)


def test_only_stable_canaries_can_be_promoted() -> None:
    it = world(CANARY)
    it.apply()
    with pytest.raises(asking.AskedError, match="only stable canaries can be promoted"):
        it.promote()


def test_a_canary_that_fails_while_it_is_waited_for_ends_it() -> None:
    it = world(CANARY)
    it.apply()
    it.run_until(State.WAITING_PROMOTION)
    it.run(2_000)
    it.kinds[2] = Kind.CRASHES
    it.crash(it.of(2)[0].key)
    it.run_until(State.ROLLED_BACK, within_s=60)
    assert {m.key for m in it.ready} == {"i1", "i2", "i3"}


def test_blue_and_green_change_places_at_once() -> None:
    it = world(BLUE_GREEN)
    it.apply()
    it.run_until(State.WAITING_PROMOTION)
    assert [len(it.of(1)), len(it.of(2))] == [3, 3]
    assert not serves(it.rules, it.rollout, 2)
    assert serves(it.rules, it.rollout, 1)
    it.promote()
    assert it.rollout.state is State.DONE
    assert serves(it.rules, it.rollout, 2)
    assert it.fewest_ready == 3


# What people ask.


def test_while_it_is_paused_nothing_moves_and_no_deadline_passes() -> None:
    it = world()
    it.apply(Kind.NEVER_READY)
    it.run(100)
    it.pause()
    moved = list(it.log)
    it.run(3_000)
    assert it.log == moved
    it.resume()
    it.run_until(State.ROLLING, within_s=0)
    it.run(250)
    it.run_until(State.ROLLING, within_s=0)
    it.run_until(State.ROLLED_BACK)


def test_one_that_waited_has_its_time_still_before_it() -> None:
    it = world(count=3, capacity=3)
    it.apply(Kind.NEVER_READY)
    it.run(2_000)
    it.capacity = 4
    it.run(290)
    assert it.rollout.state is State.ROLLING
    it.run_until(State.ROLLED_BACK, within_s=30)


def test_a_pause_on_the_way_back_goes_on_there() -> None:
    it = world(HALF, count=4)
    it.apply(Kind.NEVER_READY)
    it.run_until(State.ROLLING_BACK)
    it.pause()
    it.run(100)
    it.resume()
    it.run_until(State.ROLLED_BACK, within_s=20)


def test_what_cannot_be_asked_is_said_with_what_can() -> None:
    it = world()
    with pytest.raises(asking.AskedError, match="cannot be paused: it is over"):
        it.pause()
    it.apply()
    it.pause()
    with pytest.raises(asking.AskedError, match="it is paused: resume or abort it"):
        it.promote()


def test_another_version_takes_over_from_one_that_goes_on() -> None:
    it = world(HALF, count=4)
    it.apply(Kind.NEVER_READY)
    it.run(10)
    it.apply()
    assert it.rollout.from_version == 1  # of the second nobody knows whether it works
    it.run_until(State.DONE)
    assert {m.version for m in it.live} == {3}
    assert it.fewest_ready >= 2


# Numbers and drains.


@pytest.mark.parametrize(("before", "after"), [(3, 5), (5, 3), (2, 0), (0, 2)])
def test_a_number_is_kept_without_a_rollout(before: int, after: int) -> None:
    it = world(count=before)
    it.scale(after)
    it.run(20)
    assert sorted(m.index for m in it.ready) == list(range(after))
    assert it.rollout.from_count == after
    assert not [line for line in it.stops() if after > before]


def test_a_higher_count_and_a_version_come_together() -> None:
    it = world(count=2)
    it.apply(count=4)
    it.run_until(State.DONE)
    assert it.fewest_ready == 2
    assert it.most_live == 5
    assert sorted(m.index for m in it.ready) == [0, 1, 2, 3]
