"""A rollout as it is kept: what is durable of it is all that the next decision needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from typing import Any

from pymesos_binpack.jobs.rollouts.lifecycle import GOING, ROLLOUT_LIFE, State, Turn
from pymesos_binpack.jobs.rollouts.rules import UpdateRules
from pymesos_core.resource_values import Intervals, normalize


@dataclass(frozen=True, slots=True)
class Rollout:
    """The rollout of one task of a job, or the latest that it had. Times are Unix times."""

    from_version: int  # the latest that is known to work, to which it goes back
    to_version: int
    from_count: int  # how many instances there were before
    state: State = State.ROLLING
    why: str = ""  # why it is in this state, and what it waits for
    failure: str = ""  # why it went back, or is held
    by: str = ""  # who began it, or ended it
    began_s: float = 0.0
    since_s: float = 0.0  # when it began to go in its present direction
    promoted: bool = True  # whether its canaries are, or there are none
    backward: bool = False  # whether it goes, or went, back; while it is paused, too
    forgiven_s: float = 0.0  # when it was resumed: what was refused before is tried again
    exits: int = 0  # of the instances that it started, in a row: none became stable meanwhile
    exit_why: str = ""  # how the latest of them ended
    most_stable: int = 0  # how many of those were stable at the best time
    progress_by_s: float = 0.0  # by when another is to be
    stable_by_s: Mapping[str, float] = field(default_factory=dict)  # each of them, by its key
    still_since_s: float | None = None  # since when these deadlines stand still
    served: Intervals = ()  # of a daemon: the indices that did their work when it began

    @property
    def target(self) -> int:
        """The version that the instances are to have."""
        return self.from_version if self.backward else self.to_version

    @property
    def settled_version(self) -> int:
        """The version of an instance that is missing, when nothing is being replaced."""
        return self.to_version if self.state is State.DONE else self.from_version

    @property
    def going(self) -> bool:
        """Whether it has not ended."""
        return self.state in GOING

    @property
    def has_failed(self) -> bool:
        """Whether it went back, or is held, for a failure; not once somebody has ended it."""
        return bool(self.failure) and self.state is not State.ABORTED

    def record(self) -> dict[str, Any]:
        """Return it as it is stored, in JSON."""
        own = {"state": self.state.value, "stable_by_s": dict(self.stable_by_s)}
        return {**asdict(self), **own, "served": [list(interval) for interval in self.served]}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Rollout:
        """Return what was stored."""
        served = tuple((begin, end) for begin, end in record.get("served", ()))
        return cls(**{**record, "state": State(record["state"]), "served": served})

    def served_indices(self) -> Iterator[int]:
        """Return the indices that did their work when it began."""
        return chain.from_iterable(range(begin, end + 1) for begin, end in self.served)

    def moved(self, turn: Turn, why: str, **changes: Any) -> Rollout:
        """Return it after a turn. Raises AssertionError where its table has none."""
        transition = ROLLOUT_LIFE.after(self.state, turn)
        assert transition is not None, f"a rollout that is {self.state} cannot be {turn!r}"
        return replace(self, state=transition.target, why=why, **changes)


def begin(
    rules: UpdateRules,
    *,
    from_version: int,
    to_version: int,
    from_count: int,
    count: int,
    now_s: float,
    by: str = "",
    why: str = "",
    served: Iterable[int] = (),
) -> Rollout:
    """Return a rollout that begins, of a task that runs already.

    `from_version` is that to which it goes back, see `known_good`. `served` are the indices of a
    daemon that do their work.
    """
    return Rollout(
        from_version,
        to_version,
        from_count,
        why=why,
        by=by,
        began_s=now_s,
        since_s=now_s,
        promoted=not rules.in_numbers(count).canaries,
        progress_by_s=now_s + rules.progress_deadline_s,
        served=normalize((index, index) for index in served),
    )


def settled(version: int, count: int, now_s: float) -> Rollout:
    """Return the rollout of a task that is new: there was nothing to replace, so it is done."""
    return Rollout(version, version, count, State.DONE, began_s=now_s, since_s=now_s)


def known_good(previous: Rollout) -> int:
    """Return the version to which the next rollout of a task would go back.

    A rollout that was done while no instance was wanted has proved nothing.
    """
    proved = previous.state is State.DONE and previous.most_stable > 0
    return previous.to_version if proved else previous.from_version
