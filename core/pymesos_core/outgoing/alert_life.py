"""The life of an alert, as a table."""

from __future__ import annotations

from enum import StrEnum

from pymesos_core.lifecycle import Lifecycle, Row


class State(StrEnum):
    """Where an alert is."""

    QUIET = "quiet"  # nothing is wrong, and nothing is kept of it
    PENDING = "pending"  # something is wrong, not yet for long enough
    FIRING = "firing"  # its receiver is to know
    RESOLVED = "resolved"  # its receiver is to know that it is over


class Turn(StrEnum):
    """What happens to an alert."""

    BEGAN = "its condition holds"
    LASTED = "it has held for long enough"
    ENDED = "its condition holds no more"
    TOLD = "its receiver knows that it is over"


ALERT_LIFE: Lifecycle[State, Turn, str] = Lifecycle(
    "An alert",
    (State.QUIET, State.PENDING, State.FIRING, State.RESOLVED),  # after a restart, too
    [
        Row(State.QUIET, Turn.BEGAN, State.PENDING),
        Row(State.PENDING, Turn.ENDED, State.QUIET),
        Row(State.PENDING, Turn.LASTED, State.FIRING),
        Row(State.FIRING, Turn.ENDED, State.RESOLVED),
        # It may come back before its receiver has been told that it was over.
        Row(State.RESOLVED, Turn.BEGAN, State.RESOLVED),
        Row(State.RESOLVED, Turn.ENDED, State.RESOLVED),
        Row(State.RESOLVED, Turn.LASTED, State.FIRING),
        Row(State.RESOLVED, Turn.TOLD, State.QUIET),
    ],
)
