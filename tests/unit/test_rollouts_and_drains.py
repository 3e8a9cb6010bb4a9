"""Rollouts and drains share one budget, by stories."""

from __future__ import annotations

import pytest

from pymesos_binpack.jobs.rollouts.lifecycle import State
from pymesos_binpack.jobs.rollouts.rules import (
    HOST_PORTS,
    NONE,
    STOP_FIRST,
    Amount,
    UpdateRules,
)
from pymesos_testing.rollout_world import Kind
from pymesos_testing.settled_world import world

CANARY = UpdateRules(canary=Amount(1))


BLUE_GREEN = UpdateRules(canary=Amount(100, percent=True), canary_serve=False)


@pytest.mark.parametrize("rules", [UpdateRules(), CANARY])
def test_what_leaves_a_drained_agent_is_replaced_first(rules: UpdateRules) -> None:
    it = world(rules, count=2)
    it.alter("i1", draining=True)
    it.run(10)
    assert sorted(m.index for m in it.ready) == [0, 1]
    assert "i1" not in it.members
    assert it.fewest_ready == 2


def test_drains_and_a_rollout_share_one_budget() -> None:
    it = world(count=4)
    it.apply()
    for key in ("i2", "i3"):
        it.alter(key, draining=True)
    it.run_until(State.DONE)
    assert it.fewest_ready == 4
    assert it.most_live <= 4 + 1 + 2


def test_while_canaries_are_tried_drained_ones_move_as_they_are() -> None:
    it = world(CANARY, count=2)
    it.apply()
    it.run_until(State.WAITING_PROMOTION)
    it.alter("i1", draining=True)
    it.run(20)
    assert [m.version for m in it.ready] in ([1, 1, 2], [1, 2, 1], [2, 1, 1])
    assert it.fewest_ready >= 2
    it.promote()
    it.run_until(State.DONE)


def test_what_has_host_ports_moves_first_and_is_changed_stopped_first() -> None:
    it = world(HOST_PORTS, count=2)
    it.alter("i1", draining=True)
    it.run(30)
    assert {m.key for m in it.ready} == {"i2", "i3"}
    assert (it.fewest_ready, it.most_live) == (2, 3)
    it.apply()
    it.run_until(State.DONE)
    assert (it.fewest_ready, it.most_live) == (1, 2)


def test_what_has_its_data_on_a_drained_agent_stays() -> None:
    it = world(STOP_FIRST, count=2)
    it.alter("i1", draining=True, pinned=True)
    it.run(100)
    assert {m.key for m in it.ready} == {"i1", "i2"}


# Agents that are lost.


def test_an_unreachable_one_is_left_until_nothing_else_can_move() -> None:
    it = world(UpdateRules(max_surge=NONE, max_unavailable=Amount(2)), count=3)
    it.lose("i1")
    it.apply()
    it.run_until(State.DONE)
    assert ["'i1'" in line for line in it.stops()] == [False, False, True]


def test_data_on_an_unreachable_agent_are_waited_for() -> None:
    it = world(STOP_FIRST, count=2)
    it.alter("i2", pinned=True)
    it.lose("i2")
    it.apply()
    it.run(5000)
    assert it.rollout.state is State.WAITING_CAPACITY
    assert "instance 1 has its data on an agent that is unreachable" in it.rollout.why
    it.find("i2")
    it.run_until(State.DONE)


def test_a_version_that_never_ran_is_not_known_to_work() -> None:
    it = world(count=0)
    it.apply(Kind.NEVER_READY)
    it.run_until(State.DONE)
    assert it.rollout.to_version == 2
    it.apply(Kind.NEVER_READY, count=2)
    assert it.rollout.from_version == 1
    it.run_until(State.ROLLED_BACK)
    it.run(10)
    assert len(it.ready) == 2


def test_the_room_of_one_that_departs_is_nobody_elses() -> None:
    it = world(BLUE_GREEN, count=0)
    it.apply(count=2)
    it.run(1)
    it.apply()
    it.alter("i1", draining=True)
    it.run_until(State.WAITING_PROMOTION)  # at no step there were too many
