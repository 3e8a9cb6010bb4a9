"""How long an instance that crashed is kept back, and when that ends."""

from __future__ import annotations

from collections.abc import Sequence

from pymesos_binpack.jobs.instance import Instance
from pymesos_binpack.specs import RestartRules
from pymesos_core.clock import utc

STABLE_S = 10.0  # a service that ran for so long is not failing quickly


def next_count(instance: Instance, ran_s: float, *, crashed: bool) -> int:
    """How often in a row it ended soon after its start."""
    if ran_s >= STABLE_S:
        return 0
    return instance.quick_failures + crashed


def delay_s(quick_failures: int, rules: RestartRules, *, crashed: bool) -> float:
    """How long it is kept back: not at all the first time, then ever longer until it runs well."""
    if not crashed or quick_failures <= 1:
        return 0.0
    doublings = min(quick_failures - 2, 16)
    return min(rules.backoff_max_s, rules.backoff_min_s * float(2**doublings))


def crashes_within(
    instance: Instance, rules: RestartRules, now_wall_s: float, *, crashed: bool
) -> Sequence[float]:
    """When it crashed, this time included, where it is not to do that too often."""
    if not rules.fails:
        return ()
    # Those far ahead are by a clock that was wrong: they would count until that time comes.
    within_s, crashed_s = rules.within_s, instance.saved.crashed_s
    times = [at_s for at_s in crashed_s if abs(now_wall_s - at_s) < within_s]
    return [*times, now_wall_s] if crashed else times


def how_long(instance: Instance) -> str:
    """What is said of one that is kept back."""
    times, at = instance.quick_failures, utc(instance.next_start_at_s)
    return f"{instance.note}; it ended {times} times in a row soon after its start: again at {at}"
