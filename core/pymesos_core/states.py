"""Task states and reasons, and what follows from them (Mesos' docs/task-state-reasons.md)."""

from __future__ import annotations

from pymesos_proto.v1 import types_pb2 as pb
from pymesos_proto.v1.operator_pb2 import ClusterEvent

TERMINAL = frozenset(
    {
        pb.TASK_FINISHED,
        pb.TASK_FAILED,
        pb.TASK_KILLED,
        pb.TASK_ERROR,
        pb.TASK_LOST,
        pb.TASK_DROPPED,
        pb.TASK_GONE,
        pb.TASK_GONE_BY_OPERATOR,
    }
)

# What a framework without PARTITION_AWARE is told instead.
LOST_IF_NOT_PARTITION_AWARE = frozenset(
    {
        pb.TASK_DROPPED,
        pb.TASK_UNREACHABLE,
        pb.TASK_GONE,
        pb.TASK_GONE_BY_OPERATOR,
        pb.TASK_UNKNOWN,
    }
)


def is_terminal(state: pb.TaskState) -> bool:
    """Whether a task in this state never runs again under its id."""
    return state in TERMINAL


def state_for(state: pb.TaskState, *, partition_aware: bool) -> pb.TaskState:
    """The state as a framework with or without PARTITION_AWARE is told it."""
    if partition_aware or state not in LOST_IF_NOT_PARTITION_AWARE:
        return state
    return pb.TASK_LOST


# What an agent may say of a task: the rest is for masters to say.
FROM_AGENTS = frozenset(
    {pb.TASK_STAGING, pb.TASK_STARTING, pb.TASK_RUNNING, pb.TASK_KILLING, pb.TASK_FINISHED,
     pb.TASK_FAILED, pb.TASK_KILLED, pb.TASK_ERROR, pb.TASK_LOST, pb.TASK_DROPPED, pb.TASK_GONE}
)  # fmt: skip


def state_name(state: pb.TaskState) -> str:
    """TASK_RUNNING and the like, also for a state of a newer version."""
    try:
        return pb.TaskState.Name(state)
    except ValueError:
        return f"TASK_STATE_{state}"


def reason_name(reason: pb.Reason) -> str:
    """The reason without its REASON_ prefix; empty when there is none."""
    if reason == pb.REASON_UNSPECIFIED:
        return ""
    try:
        return pb.Reason.Name(reason).removeprefix("REASON_")
    except ValueError:
        return str(reason)


def kind_name(kind: ClusterEvent.Kind) -> str:
    """`task_added` and the like, also for a kind of a newer version."""
    try:
        return ClusterEvent.Kind.Name(kind).lower()
    except ValueError:
        return f"kind_{kind}"
