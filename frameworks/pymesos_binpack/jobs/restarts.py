"""How an instance's task ended, and when the instance is started again.

What ended by itself is a crash, which is tried again ever later. What people ended, or what was
lost with its agent, is not: it is started again at once, and nothing is counted against it.
"""

from __future__ import annotations

from pymesos_binpack.jobs.state import Instance
from pymesos_core.clock import utc
from pymesos_core.states import is_terminal
from pymesos_proto.v1 import types_pb2 as pb

STABLE_S = 10.0  # a service that ran for so long is not failing quickly
RESTART_MIN_S = 0.5
RESTART_MAX_S = 60.0

# How a task can end without having failed: it is run again, and no retry is counted.
LOST = frozenset(
    {pb.TASK_LOST, pb.TASK_DROPPED, pb.TASK_GONE, pb.TASK_GONE_BY_OPERATOR, pb.TASK_UNKNOWN}
)
_WITH_ITS_AGENT = frozenset({pb.REASON_AGENT_REMOVED, pb.REASON_AGENT_REMOVED_BY_OPERATOR})
_STARTED = frozenset({pb.TASK_RUNNING, pb.TASK_KILLING, pb.TASK_UNREACHABLE})


def reason_of(status: pb.TaskStatus) -> int:
    """Why it is as it is: an answer of the master's repeats what its agent said."""
    reconciled = status.reason == pb.REASON_RECONCILIATION
    return status.repeated_reason if reconciled else status.reason


def was_lost(status: pb.TaskStatus) -> bool:
    """Whether it ended through no doing of its own or of a person who meant this task."""
    with_its_agent = status.state == pb.TASK_KILLED and reason_of(status) in _WITH_ITS_AGENT
    return status.state in LOST or with_its_agent


def is_final(instance: Instance, status: pb.TaskStatus, *, was_killed: bool) -> bool:
    """Whether the end of a task is the end of its instance. `was_killed`: by us."""
    state, saved = status.state, instance.saved
    if state == pb.TASK_ERROR:
        return True  # the master refused it, and would again
    if instance.spec.is_service or was_lost(status):
        return False
    if saved.preempted and state in (pb.TASK_KILLED, pb.TASK_FAILED):
        return False
    unhealthy = reason_of(status) == pb.REASON_TASK_HEALTH_CHECK_STATUS_UPDATED
    # Nobody here asked for it: it died with a sidecar that failed.
    with_sidecar = bool(instance.spec.sidecars) and not was_killed
    if state == pb.TASK_FAILED or (state == pb.TASK_KILLED and (unhealthy or with_sidecar)):
        saved.failures += 1
        return saved.failures > instance.spec.retries
    return True


def is_crash(instance: Instance, status: pb.TaskStatus, state_before: int) -> bool:
    """Whether it ended by itself, or was lost before it had run: then it may be again at once."""
    if reason_of(status) in _WITH_ITS_AGENT or instance.saved.preempted:
        return False
    if was_lost(status):
        return state_before not in _STARTED
    if status.state == pb.TASK_KILLED:
        unhealthy = reason_of(status) == pb.REASON_TASK_HEALTH_CHECK_STATUS_UPDATED
        return unhealthy or instance.sidecar_failed
    return True


def delay_s(instance: Instance, ran_s: float, *, crashed: bool) -> float:
    """How long it is kept back: not at all the first time, then ever longer until it runs well."""
    if ran_s >= STABLE_S:
        instance.quick_failures = 0
    elif crashed:
        instance.quick_failures += 1
    if not crashed or instance.quick_failures <= 1:
        return 0.0
    doublings = min(instance.quick_failures - 2, 16)
    return min(RESTART_MAX_S, RESTART_MIN_S * float(2**doublings))


def how_long(instance: Instance) -> str:
    """What is said of one that is kept back."""
    times, at = instance.quick_failures, utc(instance.next_start_at_s)
    return f"{instance.note}; it ended {times} times in a row soon after its start: again at {at}"


def sidecar_failed(status: pb.TaskStatus) -> bool:
    """Whether the end of a sidecar is what ends its task."""
    return is_terminal(status.state) and status.state not in (pb.TASK_FINISHED, pb.TASK_KILLED)
