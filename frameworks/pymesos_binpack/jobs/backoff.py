"""How long an instance that crashed is kept back."""

from __future__ import annotations

from pymesos_binpack.jobs.state import Instance
from pymesos_core.clock import utc

STABLE_S = 10.0  # a service that ran for so long is not failing quickly
RESTART_MIN_S = 0.5
RESTART_MAX_S = 60.0


def next_count(instance: Instance, ran_s: float, *, crashed: bool) -> int:
    """How often in a row it ended soon after its start."""
    if ran_s >= STABLE_S:
        return 0
    return instance.quick_failures + crashed


def delay_s(quick_failures: int, *, crashed: bool) -> float:
    """How long it is kept back: not at all the first time, then ever longer until it runs well."""
    if not crashed or quick_failures <= 1:
        return 0.0
    doublings = min(quick_failures - 2, 16)
    return min(RESTART_MAX_S, RESTART_MIN_S * float(2**doublings))


def how_long(instance: Instance) -> str:
    """What is said of one that is kept back."""
    times, at = instance.quick_failures, utc(instance.next_start_at_s)
    return f"{instance.note}; it ended {times} times in a row soon after its start: again at {at}"
