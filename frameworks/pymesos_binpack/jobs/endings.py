"""How a task ended: by itself, by somebody's will, or with its agent.

What ended by itself is a crash, which is tried again ever later. What people ended, or what was
lost with its agent, is not: it is started again at once, and nothing is counted against it.
"""

from __future__ import annotations

from pymesos_binpack.jobs.steps import End
from pymesos_proto.v1 import types_pb2 as pb

# How a task can end without having failed: it is run again, and no retry is counted.
LOST = frozenset(
    {pb.TASK_LOST, pb.TASK_DROPPED, pb.TASK_GONE, pb.TASK_GONE_BY_OPERATOR, pb.TASK_UNKNOWN}
)
_WITH_ITS_AGENT = frozenset(
    {
        pb.REASON_AGENT_REMOVED,
        pb.REASON_AGENT_REMOVED_BY_OPERATOR,
        pb.REASON_AGENT_DRAINING,
        pb.REASON_RESOURCES_REVOKED,
        pb.REASON_CONFIG_CHANGED,
    }
)
_STARTED = frozenset({pb.TASK_RUNNING, pb.TASK_KILLING, pb.TASK_UNREACHABLE})


def reason_of(status: pb.TaskStatus) -> int:
    """Why it is as it is: an answer of the master's repeats what its agent said."""
    reconciled = status.reason == pb.REASON_RECONCILIATION
    return status.repeated_reason if reconciled else status.reason


def was_lost(status: pb.TaskStatus) -> bool:
    """Whether it ended through no doing of its own or of a person who meant this task."""
    with_its_agent = status.state == pb.TASK_KILLED and reason_of(status) in _WITH_ITS_AGENT
    return status.state in LOST or with_its_agent


def was_unhealthy(status: pb.TaskStatus) -> bool:
    """Whether its health check ended it."""
    return reason_of(status) == pb.REASON_TASK_HEALTH_CHECK_STATUS_UPDATED


def is_crash(end: End, *, preempted: bool, sidecar_failed: bool) -> bool:
    """Whether it ended by itself, or was lost before it had run: then it may be again at once."""
    status = end.status
    if reason_of(status) in _WITH_ITS_AGENT or preempted or end.met_its_data:
        return False
    if was_lost(status):
        return end.state_before not in _STARTED
    if status.state == pb.TASK_KILLED:
        return was_unhealthy(status) or sidecar_failed
    return True
