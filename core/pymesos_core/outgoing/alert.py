"""One alert for one receiver: it pends, fires and is resolved, and its receiver is told of it.

What decides whether its condition holds, stores it, and has its receiver told, is its owner's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pymesos_core.clock import utc
from pymesos_core.lifecycle import Story
from pymesos_core.outgoing.alert_life import ALERT_LIFE, State, Turn
from pymesos_core.text import cut

ROUNDING_S = 1e-6  # what Unix times lose as numbers
TOLD = (State.FIRING, State.RESOLVED)  # what receivers are told


@dataclass(slots=True, eq=False)
class Alert:
    """An alert. Its times are Unix times, `since_s` by its owner's steady clock."""

    key: str
    state: State = State.QUIET
    since_s: float = 0.0  # since when its condition holds; 0: it does not
    fired_s: float = 0.0
    ended_s: float = 0.0
    known: bool = False  # its receiver has taken that it fires
    told: bool = True  # its receiver is told; else it was silenced when it fired
    summary: str = ""
    story: Story = ()

    @property
    def label(self) -> str:
        """For people."""
        return f"alert {self.key}"

    @property
    def over_s(self) -> float:
        """When it was over; 0: it is not."""
        return self.ended_s if self.state is State.RESOLVED else 0.0

    def move(self, turn: Turn, wall_s: float) -> None:
        """Raises ImpossibleTransitionError, with its story."""
        ALERT_LIFE.move(self, turn, wall_s)

    def hold(
        self, summary: str, for_s: float, wall_s: float, steady_s: float, *, silenced: bool
    ) -> float | None:
        """The condition of the alert holds. Return the seconds until it fires, or None.

        What has come back before its receiver has taken that it was over fires in silence once
        that has been taken, or aloud once it is silenced no more.
        """
        if self.state is State.FIRING:
            return None
        if not self.since_s:
            self.move(Turn.BEGAN, wall_s)
            self.since_s = steady_s
        # A clock that was ahead as it began, and is set back, would keep it until that time comes.
        self.since_s = min(self.since_s, steady_s)
        left_s = self.since_s + for_s - steady_s
        if left_s > ROUNDING_S:
            return left_s
        if not (self.state is State.RESOLVED and silenced):
            self.move(Turn.LASTED, wall_s)
            self.fired_s, self.ended_s, self.known = wall_s, 0.0, False
            self.summary = summary
        return None

    def cease(self, wall_s: float) -> None:
        """The condition of the alert holds no longer."""
        if self.since_s:
            self.move(Turn.ENDED, wall_s)
            self.since_s = 0.0
            if not self.ended_s and self.state is State.RESOLVED:
                self.ended_s = max(wall_s, self.fired_s)

    def came_to(self, before: State, wall_s: float, *, silenced: bool) -> bool:
        """Whether its receiver is to be told of what it came to from the state `before`.

        It is settled where it is over, and its receiver was never told that it fired.
        """
        if self.state is before or self.state not in TOLD:
            return False
        if self.state is State.FIRING:
            self.told = not silenced
        elif not self.told:
            self.settle(wall_s)
            return False
        return self.told

    def taken(self, began_s: float, wall_s: float, *, is_over: bool) -> bool:
        """A receiver has taken a notice. Return whether it is another for that.

        Of an earlier time that it fired it does not matter.
        """
        if self.fired_s != began_s:
            return False
        if not is_over:
            was_known, self.known = self.known, True
            return not was_known
        if self.state is not State.RESOLVED:
            return False
        self.settle(wall_s)
        return True

    def settle(self, wall_s: float) -> None:
        """The receiver of the alert knows that it is over, or was never told that it fired."""
        since_s, self.since_s = self.since_s, 0.0
        self.move(Turn.TOLD, wall_s)
        self.known, self.told, self.fired_s, self.ended_s = False, True, 0.0, 0.0
        if since_s:  # it has come back meanwhile
            self.move(Turn.BEGAN, wall_s)
            self.since_s = since_s

    def check(self) -> None:
        """Assert what follows from its state; for tests and the simulator."""
        assert self.state is not State.QUIET, self.key
        begun = self.state in (State.PENDING, State.FIRING)
        assert self.since_s or not begun, f"{self.key} is {self.state} since never"
        assert self.fired_s or self.state is State.PENDING, self.key
        assert bool(self.ended_s) == (self.state is State.RESOLVED), self.key

    def times_problem(self) -> str | None:
        """Why its times cannot be, as they were read; None: they can."""
        times = (self.since_s, self.fired_s, self.ended_s)
        return None if all(map(is_time, times)) else "has an impossible time"


def silence_told(until_s: float, by: str, why: str) -> str:
    """Return the sentence for a silence that another takes the place of."""
    who = f" by {by}" if by else ""
    return cut(f"they were silenced{who} until {utc(until_s)}{f': {why}' if why else ''}", 1000)


def is_time(value: object) -> bool:
    """Whether this can be a Unix time."""
    return isinstance(value, int | float) and 0 <= value < 2**40 and math.isfinite(value)
