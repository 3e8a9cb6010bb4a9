"""What a note of a recording says was done to the cluster, as an action of a type."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto


class Kind(Enum):
    """What is done."""

    CLOSE = auto()  # a client closes its stream
    SET_UP = auto()  # a framework and its tasks, before the first step
    KILL = auto()  # an agent, by SIGKILL
    START = auto()  # an agent, for the first time or again
    AWAIT = auto()  # until an agent has registered
    LEAVE = auto()  # an agent is told to end


@dataclass(frozen=True)
class Action:
    """One of these; `agent` counts from 0."""

    kind: Kind
    agent: int = 0


_NOTES = (
    (re.compile(r"closes the connection"), Kind.CLOSE),
    (re.compile(r"^a framework was subscribed, tasks "), Kind.SET_UP),
    (re.compile(r"^agent(?: (?P<number>\d+))? killed with SIGKILL"), Kind.KILL),
    (re.compile(r"^agent(?: (?P<number>\d+))? (?:started|starts again)"), Kind.START),
    (re.compile(r"^agent(?: (?P<number>\d+))? is active"), Kind.AWAIT),
    (re.compile(r"^agent(?: (?P<number>\d+))? told to shut down"), Kind.LEAVE),
)


def action_of(note: str) -> Action | None:
    """Return what a note says was done; None: it only tells."""
    for pattern, kind in _NOTES:
        if (found := pattern.search(note)) is not None:
            number = found.groupdict().get("number")
            return Action(kind, int(number) - 1 if number else 0)
    return None
