"""A task that runs well, for rollouts to change."""

from __future__ import annotations

from pymesos_binpack.jobs.rollouts.rules import (
    UpdateRules,
)
from pymesos_testing.rollout_world import World


def world(rules: UpdateRules = UpdateRules(), count: int = 3, capacity: int = 1000) -> World:  # noqa: B008
    """A task that runs well."""
    made = World(rules, count, capacity)
    made.run(20)
    assert len(made.ready) == count
    made.log.clear()
    made.fewest_ready, made.most_live = count, count
    return made
