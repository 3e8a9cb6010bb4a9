"""The life cycles of what a master knows, as tables; docs/life-cycles.md shows them."""

from __future__ import annotations

from enum import StrEnum

from pymesos_core.lifecycle import Lifecycle, Row
from pymesos_core.states import FROM_AGENTS, is_terminal, state_name
from pymesos_proto.v1 import types_pb2 as pb


class FrameworkState(StrEnum):
    """Where a framework stands with the master."""

    ACTIVE = "active"
    DISCONNECTED = "disconnected"
    QUARANTINED = "quarantined"  # its record cannot be handled; see quarantine.py
    COMPLETED = "completed"  # removed; its tasks may still be ending


class FrameworkEvent(StrEnum):
    """What changes the state of a framework."""

    SUBSCRIBED = "subscribed"
    STREAM_ENDED = "stream ended"
    REMOVED = "removed"


FRAMEWORK_LIFE: Lifecycle[FrameworkState, FrameworkEvent, str] = Lifecycle(
    "A framework, as the master knows it",
    # New, of the registry, and of the registry when its record cannot be handled.
    (FrameworkState.ACTIVE, FrameworkState.DISCONNECTED, FrameworkState.QUARANTINED),
    (
        Row(
            (FrameworkState.ACTIVE, FrameworkState.DISCONNECTED),
            FrameworkEvent.SUBSCRIBED,
            FrameworkState.ACTIVE,
        ),
        Row(FrameworkState.ACTIVE, FrameworkEvent.STREAM_ENDED, FrameworkState.DISCONNECTED),
        Row(
            (FrameworkState.ACTIVE, FrameworkState.DISCONNECTED, FrameworkState.QUARANTINED),
            FrameworkEvent.REMOVED,
            FrameworkState.COMPLETED,
        ),
    ),
)


class AgentState(StrEnum):
    """Where an agent stands with the master."""

    RECOVERING = "recovering"  # in the registry; not registered with this leader yet
    ACTIVE = "active"
    DISCONNECTED = "disconnected"
    UNREACHABLE = "unreachable"
    GONE = "gone"


class AgentEvent(StrEnum):
    """What changes the state of an agent; what is to be stored for it is stored before."""

    REGISTERED = "registered"
    STREAM_ENDED = "stream ended"
    LOST = "not heard of for too long"
    MARKED_GONE = "marked gone by an operator"


_AWAY = (AgentState.RECOVERING, AgentState.DISCONNECTED)

AGENT_LIFE: Lifecycle[AgentState, AgentEvent, str] = Lifecycle(
    "An agent, as the master knows it",
    # New; of the registry, where the last two stay what they are until they are forgotten.
    (AgentState.ACTIVE, AgentState.RECOVERING, AgentState.UNREACHABLE, AgentState.GONE),
    (
        Row((*_AWAY, AgentState.UNREACHABLE), AgentEvent.REGISTERED, AgentState.ACTIVE),
        Row(AgentState.ACTIVE, AgentEvent.STREAM_ENDED, AgentState.DISCONNECTED),
        Row(_AWAY, AgentEvent.LOST, AgentState.UNREACHABLE),
        Row((*_AWAY, AgentState.UNREACHABLE), AgentEvent.MARKED_GONE, AgentState.GONE),
    ),
)


class DrainState(StrEnum):
    """What an operator has decided of an agent, beside the state that it is in."""

    NONE = "none"  # it is offered
    CORDONED = "cordoned"  # it is offered to nobody
    DRAINING = "draining"  # that, and what runs on it is to end
    DRAINED = "drained"  # nothing is left on it


class DrainEvent(StrEnum):
    """What changes that; it is stored before."""

    CORDON = "an operator cordons it"
    DRAIN = "an operator drains it"
    EMPTIED = "all that ran on it has ended, and is acknowledged"
    TASKS_FOUND = "it registers with tasks"
    ACTIVATE = "an operator activates it"


_WITHHELD = (DrainState.CORDONED, DrainState.DRAINING, DrainState.DRAINED)

DRAIN_LIFE: Lifecycle[DrainState, DrainEvent, str] = Lifecycle(
    "What operators have decided of an agent",
    # None, and of the registry.
    (DrainState.NONE, *_WITHHELD),
    (
        Row((DrainState.NONE, *_WITHHELD), DrainEvent.CORDON, DrainState.CORDONED),
        Row((DrainState.NONE, *_WITHHELD), DrainEvent.DRAIN, DrainState.DRAINING),
        Row(DrainState.DRAINING, DrainEvent.EMPTIED, DrainState.DRAINED),
        Row(DrainState.DRAINED, DrainEvent.TASKS_FOUND, DrainState.DRAINING),
        Row((DrainState.NONE, *_WITHHELD), DrainEvent.ACTIVATE, DrainState.NONE),
    ),
)


class TaskEvent(StrEnum):
    """What changes the state of a task."""

    SAID_STAGING = "its agent says TASK_STAGING"
    SAID_STARTING = "its agent says TASK_STARTING"
    SAID_RUNNING = "its agent says TASK_RUNNING"
    SAID_KILLING = "its agent says TASK_KILLING"
    SAID_FINISHED = "its agent says TASK_FINISHED"
    SAID_FAILED = "its agent says TASK_FAILED"
    SAID_KILLED = "its agent says TASK_KILLED"
    SAID_ERROR = "its agent says TASK_ERROR"
    SAID_LOST = "its agent says TASK_LOST"
    SAID_DROPPED = "its agent says TASK_DROPPED"
    SAID_GONE = "its agent says TASK_GONE"
    AGENT_LOST = "its agent is unreachable"
    AGENT_GONE = "its agent is gone"
    UNREPORTED = "its agent does not know it"
    FRAMEWORK_REMOVED = "its framework is removed, its agent unreachable"


class TaskEffect(StrEnum):
    """What is done when a task changes."""

    FREE = "free its resources"


# What an agent says of a task, in an update or as it registers.
SAID = {
    pb.TASK_STAGING: TaskEvent.SAID_STAGING,
    pb.TASK_STARTING: TaskEvent.SAID_STARTING,
    pb.TASK_RUNNING: TaskEvent.SAID_RUNNING,
    pb.TASK_KILLING: TaskEvent.SAID_KILLING,
    pb.TASK_FINISHED: TaskEvent.SAID_FINISHED,
    pb.TASK_FAILED: TaskEvent.SAID_FAILED,
    pb.TASK_KILLED: TaskEvent.SAID_KILLED,
    pb.TASK_ERROR: TaskEvent.SAID_ERROR,
    pb.TASK_LOST: TaskEvent.SAID_LOST,
    pb.TASK_DROPPED: TaskEvent.SAID_DROPPED,
    pb.TASK_GONE: TaskEvent.SAID_GONE,
}
assert SAID.keys() == FROM_AGENTS

_HOLDING = (pb.TASK_STAGING, pb.TASK_STARTING, pb.TASK_RUNNING, pb.TASK_KILLING)


def _end(event: TaskEvent, state: pb.TaskState) -> tuple[Row, Row]:
    """An unreachable task holds nothing."""
    return (
        Row(_HOLDING, event, state, (TaskEffect.FREE,)),
        Row(pb.TASK_UNREACHABLE, event, state),
    )


TASK_LIFE: Lifecycle[pb.TaskState, TaskEvent, TaskEffect] = Lifecycle(
    "A task, as the master knows it",
    (pb.TASK_STAGING,),
    (
        # Its agent holds the truth about a task as long as that has not ended.
        *(
            Row((*_HOLDING, pb.TASK_UNREACHABLE), event, state)
            for state, event in SAID.items()
            if not is_terminal(state)
        ),
        *(row for state, event in SAID.items() if is_terminal(state) for row in _end(event, state)),
        Row(_HOLDING, TaskEvent.AGENT_LOST, pb.TASK_UNREACHABLE),
        *_end(TaskEvent.AGENT_GONE, pb.TASK_GONE_BY_OPERATOR),
        *_end(TaskEvent.UNREPORTED, pb.TASK_DROPPED),
        *_end(TaskEvent.FRAMEWORK_REMOVED, pb.TASK_KILLED),
    ),
    state_name,
    brief=True,
)


class OfferState(StrEnum):
    """What became of an offer."""

    OFFERED = "offered"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    RESCINDED = "rescinded"


class OfferEvent(StrEnum):
    """What happens to an offer."""

    ACCEPTED = "accepted"
    ANSWERED_IN_VAIN = "answered by a call that is refused"
    COPY_ACCEPTED = "passed on to who accepted a copy"
    DECLINED = "declined"
    TAKEN_BACK = "taken back"
    TIMED_OUT = "not answered in time"
    ORIGINAL_ENDED = "what it is a copy of has ended"


OFFER_LIFE: Lifecycle[OfferState, OfferEvent, str] = Lifecycle(
    "An offer, as the master knows it",
    (OfferState.OFFERED,),
    (
        Row(OfferState.OFFERED, OfferEvent.ACCEPTED, OfferState.ACCEPTED),
        Row(OfferState.OFFERED, OfferEvent.ANSWERED_IN_VAIN, OfferState.DECLINED),
        Row(OfferState.OFFERED, OfferEvent.COPY_ACCEPTED, OfferState.OFFERED),
        Row(OfferState.OFFERED, OfferEvent.DECLINED, OfferState.DECLINED),
        *(
            Row(OfferState.OFFERED, event, OfferState.RESCINDED)
            for event in (OfferEvent.TAKEN_BACK, OfferEvent.TIMED_OUT, OfferEvent.ORIGINAL_ENDED)
        ),
    ),
    brief=True,
)


class InverseOfferState(StrEnum):
    """What a framework says to a maintenance window of an agent."""

    OFFERED = "offered"  # it has not answered
    ACCEPTED = "accepted"
    DECLINED = "declined"
    RESCINDED = "rescinded"


class InverseOfferEvent(StrEnum):
    """What happens to an inverse offer."""

    ACCEPTED = "accepted"
    DECLINED = "declined"
    TAKEN_BACK = "taken back"


_ANSWERS = (InverseOfferState.OFFERED, InverseOfferState.ACCEPTED, InverseOfferState.DECLINED)

INVERSE_OFFER_LIFE: Lifecycle[InverseOfferState, InverseOfferEvent, str] = Lifecycle(
    "An inverse offer, as the master knows it",
    (InverseOfferState.OFFERED,),
    (
        Row(_ANSWERS, InverseOfferEvent.ACCEPTED, InverseOfferState.ACCEPTED),
        Row(_ANSWERS, InverseOfferEvent.DECLINED, InverseOfferState.DECLINED),
        Row(_ANSWERS, InverseOfferEvent.TAKEN_BACK, InverseOfferState.RESCINDED),
    ),
    brief=True,
)


class OperationState(StrEnum):
    """What became of an operation."""

    PENDING = "pending"  # its framework has not been told
    FINISHED = "OPERATION_FINISHED"
    ERROR = "OPERATION_ERROR"
    DROPPED = "OPERATION_DROPPED"


class OperationEvent(StrEnum):
    """What ends an operation; its framework is told."""

    STORED = "what it reserves is stored"
    INVALID = "it cannot be done"
    NO_OFFERS = "its offers cannot be used"


OPERATION_LIFE: Lifecycle[OperationState, OperationEvent, str] = Lifecycle(
    "An operation on reservations or volumes, as the master knows it",
    (OperationState.PENDING,),
    (
        Row(OperationState.PENDING, OperationEvent.STORED, OperationState.FINISHED),
        Row(OperationState.PENDING, OperationEvent.INVALID, OperationState.ERROR),
        Row(OperationState.PENDING, OperationEvent.NO_OFFERS, OperationState.DROPPED),
    ),
    brief=True,
)
