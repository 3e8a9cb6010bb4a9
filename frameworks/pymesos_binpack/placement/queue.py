"""The queue: what waits to be launched, in lines of those that need the same.

A job may have ten thousand instances of a task, and an offer room for one of them. So a plan looks
at no more of a line than the offers could hold, and one: that one says why all the others wait.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

from pymesos_binpack.placement.hand import AgentOffers
from pymesos_binpack.placement.reasons import has, needs
from pymesos_binpack.placement.tasks import Cause, PendingTask, Refusal
from pymesos_core.resources import Resources, to_proto
from pymesos_proto.v1 import types_pb2 as pb


class Waiter(Protocol):
    """What waits in a line."""

    line: Any  # Line of these, while it waits
    refusals_before: int  # of its line, before it waited
    offers_before: int
    preempt_again_s: float  # others were killed for it, and others may be then
    kept_agents: frozenset[str]  # where they were; until then for nothing less urgent

    @property
    def key(self) -> str:
        """The waiter's own key."""

    @property
    def next_task_id(self) -> str:
        """The id of the task that it is launched as."""


W = TypeVar("W", bound=Waiter)


@dataclass(slots=True, eq=False)
class Line(Generic[W]):
    """Waiters for the same: what is said of one of them is true for all."""

    name: str
    role: str
    job_id: str
    task: PendingTask  # each of them, but for its id
    preempt: bool
    waiters: dict[str, W] = field(default_factory=dict)  # by key
    joined: bool = True  # somebody has, since the latest plan
    refusal: Refusal | None = None  # by that plan
    refusals: int = 0
    offers_seen: int = 0  # that did not do
    needs: list[pb.Resource] = field(init=False)  # the scalars of each, for those who ask

    def __post_init__(self) -> None:
        self.needs = to_proto(Resources(dict(self.task.scalars)))

    def refuse(self, refusal: Refusal, offers: int) -> bool:
        """Note that `offers` have no place for the rest of it; returns whether that is news.

        Without any, what was seen of a host port before says more.
        """
        seen = self.refusal
        if not offers and refusal.cause is Cause.NOT_OFFERED and seen is not None:
            refusal = seen if seen.cause is Cause.PORT_TAKEN else refusal
        news = self.joined or self.refusal is None or self.refusal.text != refusal.text
        self.refusal, self.joined = refusal, False
        self.refusals += 1
        self.offers_seen += offers
        return news


class Queue(Generic[W]):
    """Lines by what they are of; none is empty."""

    def __init__(self) -> None:
        self._lines: dict[str, Line[W]] = {}

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[Line[W]]:
        return iter(self._lines.values())

    def keys(self) -> set[str]:
        """The keys of all that wait."""
        return {key for line in self for key in line.waiters}

    def join(self, waiter: W, name: str, new_line: Callable[[], Line[W]]) -> bool:
        """Join the end of the line of a name; whether it wants what nobody before it did."""
        assert waiter.line is None
        line = self._lines.get(name)
        new = line is None or line.preempt
        if line is None:
            line = self._lines[name] = new_line()
        line.waiters[waiter.key] = waiter
        line.joined = True
        waiter.line = line
        waiter.refusals_before, waiter.offers_before = line.refusals, line.offers_seen
        return new

    def leave(self, waiter: W) -> None:
        """Take a waiter out of its line, if it is in one."""
        line, waiter.line = waiter.line, None
        if line is not None:
            del line.waiters[waiter.key]
            if not line.waiters:
                del self._lines[line.name]


def to_plan(line: Line[W], offers: Sequence[AgentOffers]) -> dict[str, tuple[PendingTask, W]]:
    """By task id: as many as might fit and one more; all of a gang, and of those that preempt."""
    everybody = line.preempt or line.task.gang or line.task.is_of_agent  # that is one
    number = len(line.waiters) if everybody else _at_most(line.task, offers) + 1
    return {
        task_id: (replace(line.task, task_id=task_id), waiter)
        for waiter in islice(line.waiters.values(), number)
        for task_id in (waiter.next_task_id,)
    }


def _at_most(task: PendingTask, offers: Sequence[AgentOffers]) -> int:
    """No more than so many can fit, whatever the order."""
    needed = needs(task)
    most = 1 if task.host_ports else sys.maxsize  # on one agent
    return sum(
        min(most, *(has(offer.available, name) // value for name, value in needed))
        for offer in offers
    )
