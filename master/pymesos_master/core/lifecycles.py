"""The life cycles of what a master knows, as tables; docs/life-cycles.md shows them."""

from __future__ import annotations

from enum import StrEnum

from pymesos_core.lifecycle import Lifecycle, Row


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
    RECORD_RELEASED = "record released"
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
            FrameworkState.QUARANTINED, FrameworkEvent.RECORD_RELEASED, FrameworkState.DISCONNECTED
        ),
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
