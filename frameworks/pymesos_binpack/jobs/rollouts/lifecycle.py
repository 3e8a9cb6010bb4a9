"""The life of a rollout, as a table."""

from __future__ import annotations

from enum import StrEnum

from pymesos_core.lifecycle import Lifecycle, Row


class State(StrEnum):
    """Where a rollout is."""

    ROLLING = "rolling"
    WAITING_CAPACITY = "waiting_capacity"  # no agent has room for a new instance
    WAITING_IMAGE = "waiting_image"  # the registry of its image does not answer
    WAITING_PROMOTION = "waiting_promotion"  # the canaries are stable, and somebody has to say so
    PAUSED = "paused"
    DONE = "done"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    ROLLBACK_FAILED = "rollback_failed"
    ABORTED = "aborted"


class Turn(StrEnum):
    """What happens to a rollout."""

    LACKS_ROOM = "no room for a new instance"
    LACKS_IMAGE = "the image cannot be had at present"
    CANARIES_STABLE = "the canaries are stable"
    GOES_ON = "there is something to do again"
    PROMOTED = "promoted"
    PAUSED = "paused"
    RESUMED = "resumed"
    RESUMED_BACK = "resumed on its way back"
    ALL_STABLE = "all instances are stable"
    FAILED = "failed"
    FAILED_AND_HELD = "failed and to be held"
    ALL_BACK = "every changed instance is back"
    FAILED_AGAIN = "failed on its way back"
    ABORTED = "aborted"


WAITING = (State.WAITING_CAPACITY, State.WAITING_IMAGE, State.WAITING_PROMOTION)
FORWARD = (State.ROLLING, *WAITING)
GOING = (*FORWARD, State.ROLLING_BACK, State.PAUSED)  # the others are final

ROLLOUT_LIFE: Lifecycle[State, Turn, str] = Lifecycle(
    "A rollout of a task of a job",
    (State.ROLLING, State.DONE),  # of a job that has just begun there is nothing to replace
    [
        Row(FORWARD, Turn.LACKS_ROOM, State.WAITING_CAPACITY),
        Row(FORWARD, Turn.LACKS_IMAGE, State.WAITING_IMAGE),
        Row(FORWARD, Turn.CANARIES_STABLE, State.WAITING_PROMOTION),
        Row(FORWARD, Turn.GOES_ON, State.ROLLING),
        Row(State.WAITING_PROMOTION, Turn.PROMOTED, State.ROLLING),
        Row((*FORWARD, State.ROLLING_BACK), Turn.PAUSED, State.PAUSED),
        Row(State.PAUSED, Turn.RESUMED, State.ROLLING),
        Row(State.PAUSED, Turn.RESUMED_BACK, State.ROLLING_BACK),
        Row(FORWARD, Turn.ALL_STABLE, State.DONE),
        Row(FORWARD, Turn.FAILED, State.ROLLING_BACK),
        Row(FORWARD, Turn.FAILED_AND_HELD, State.PAUSED),
        Row(State.ROLLING_BACK, Turn.ALL_BACK, State.ROLLED_BACK),
        Row(State.ROLLING_BACK, Turn.FAILED_AGAIN, State.ROLLBACK_FAILED),
        Row(GOING, Turn.ABORTED, State.ABORTED),
    ],
)
