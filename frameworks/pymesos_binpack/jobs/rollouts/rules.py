"""What a job says of how its instances are replaced."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

MOST = 100_000  # instances
MOST_S = 7 * 86_400.0


class RulesError(ValueError):
    """Rules that cannot be: the message says what was expected instead."""


class Promote(StrEnum):
    """Who says that the canaries are good enough for the rest to follow."""

    MANUAL = "manual"
    AUTO = "auto"


class OnFailure(StrEnum):
    """What follows when the new version fails."""

    ROLLBACK = "rollback"
    PAUSE = "pause"


@dataclass(frozen=True, slots=True)
class Amount:
    """A number of instances, or of each hundred."""

    number: int
    percent: bool = False

    def __post_init__(self) -> None:
        most = 100 if self.percent else MOST
        if not 0 <= self.number <= most:
            raise RulesError(f"{self} is out of range: a number from 0 to {most} was expected")

    def __str__(self) -> str:
        return f"{self.number}%" if self.percent else str(self.number)

    def of(self, count: int, *, up: bool) -> int:
        """Return how many that are of so many instances, a fraction rounded up or down."""
        if not self.percent:
            return self.number
        product = self.number * count
        return -(-product // 100) if up else product // 100


class Numbers(NamedTuple):
    """The rules as they are for a certain number of instances."""

    surge: int  # how many may run beyond those that are wanted
    unavailable: int  # how many of those that are wanted may be missing
    canaries: int  # how many of the new version are tried first, beside all others


NONE = Amount(0)


@dataclass(frozen=True, slots=True)
class UpdateRules:
    """How the instances of a task are replaced; the defaults are those of a job file."""

    max_surge: Amount = Amount(25, percent=True)
    max_unavailable: Amount = NONE
    canary: Amount = NONE
    canary_promote: Promote = Promote.MANUAL
    canary_serve: bool = True  # whether canaries are in discovery before they are promoted
    min_healthy_s: float = 10.0  # an instance that was ready for so long is stable
    healthy_deadline_s: float = 300.0  # in which each new instance is to become stable
    progress_deadline_s: float = 600.0  # in which the next one is to become stable
    on_failure: OnFailure = OnFailure.ROLLBACK
    stop_first: bool = False  # an instance holds what its successor needs: it ends before
    moves_first: bool = True  # but on another agent the successor may start before
    of_agents: bool = False  # each instance is an agent's own: none does the work of another

    def __post_init__(self) -> None:
        if self.stop_first and (self.max_surge.number or self.canary.number):
            raise RulesError(
                "max_surge and canary must be 0 where an instance has volumes or host ports, and of"
                " a daemon: the old one is stopped before the new one starts"
            )
        if not self.max_surge.number and not self.max_unavailable.number:
            raise RulesError(
                "max_surge and max_unavailable are both 0, so that nothing could be replaced:"
                " let one of them be more"
            )
        for name in ("min_healthy_s", "healthy_deadline_s", "progress_deadline_s"):
            if not 0 <= getattr(self, name) <= MOST_S:
                raise RulesError(f"{name} must be from 0 to {MOST_S:g} seconds")
        if self.healthy_deadline_s <= self.min_healthy_s:
            raise RulesError("healthy_deadline_s must be more than min_healthy_s")
        if self.progress_deadline_s < self.healthy_deadline_s:
            raise RulesError("progress_deadline_s must not be less than healthy_deadline_s")

    def in_numbers(self, count: int) -> Numbers:
        """Return the rules for so many instances: surge is rounded up, unavailable down.

        Where both come to nothing, as 25% of 3 unavailable do, one may be unavailable: a job that
        was scaled can still be changed.
        """
        surge = self.max_surge.of(count, up=True)
        unavailable = self.max_unavailable.of(count, up=False)
        if not surge and not unavailable:
            unavailable = 1
        return Numbers(surge, unavailable, min(count, self.canary.of(count, up=True)))


# Of tasks with volumes.
STOP_FIRST = UpdateRules(
    max_surge=NONE, max_unavailable=Amount(1), stop_first=True, moves_first=False
)
# Of tasks with host ports, each of which other agents may have, too.
HOST_PORTS = replace(STOP_FIRST, moves_first=True)
# Of daemons, of which an agent never has two.
DAEMON = replace(STOP_FIRST, of_agents=True)
