"""Health and readiness of a task: when it is asked, and what its answers mean.

Defaults and meaning are Mesos' (`docs/health-checks.md`): the first question `delay_s` after the
start, the next `interval_s` after each answer. Failed health checks in the first `grace_period_s`
do not count, unless one has succeeded before; `consecutive_failures` in a row end the task.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pymesos_proto.v1 import types_pb2 as pb

HEALTH, READINESS = "health", "readiness"
DELAY_S, INTERVAL_S, TIMEOUT_S, GRACE_S, FAILURES = 15.0, 10.0, 20.0, 10.0, 3


@dataclass(slots=True)
class CheckState:
    """What is known from the answers since the agent watches the task."""

    since_s: float  # monotonic
    last: bool | None = None
    failures: int = 0  # in a row
    succeeded: bool = False


def checks_of(info: pb.TaskInfo) -> Iterator[tuple[str, pb.Check]]:
    """The checks of a task, by name."""
    if info.HasField("health_check") and info.health_check.WhichOneof("kind"):
        yield HEALTH, info.health_check
    if info.HasField("readiness_check") and info.readiness_check.WhichOneof("kind"):
        yield READINESS, info.readiness_check


def delay_s(check: pb.Check) -> float:
    """Before the first question."""
    return check.delay_s if check.HasField("delay_s") else DELAY_S


def interval_s(check: pb.Check) -> float:
    """From an answer to the next question."""
    return check.interval_s if check.HasField("interval_s") else INTERVAL_S


def timeout_s(check: pb.Check) -> float:
    """For an answer; one that takes longer is a failure."""
    return check.timeout_s if check.HasField("timeout_s") and check.timeout_s else TIMEOUT_S


def take_answer(
    state: CheckState, check: pb.Check, now_s: float, healthy: bool
) -> tuple[bool, bool]:
    """Whether the answer is to be reported, and whether the task is to be ended for it."""
    if healthy:
        state.failures, state.succeeded = 0, True
        changed, state.last = state.last is not True, True
        return changed, False
    grace = check.grace_period_s if check.HasField("grace_period_s") else GRACE_S
    if not state.succeeded and now_s - state.since_s < grace:
        return False, False
    state.failures += 1
    changed, state.last = state.last is not False, False
    most = check.consecutive_failures if check.HasField("consecutive_failures") else FAILURES
    return changed, 0 < most <= state.failures
