"""The instances that wait to be launched, in lines of those that need the same.

A job may have ten thousand instances of a task, and an offer room for one of them. So a plan looks
at no more of a line than the offers could hold, and one: that one says why all the others wait.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from pymesos_binpack.jobs.launching import next_task_id, pending_task
from pymesos_binpack.jobs.state import Instance, JobState, Line
from pymesos_binpack.placement.hand import OfferInHand
from pymesos_binpack.placement.reasons import has, needs
from pymesos_binpack.placement.tasks import PendingTask


class Waiting:
    """Lines by what they are of; none is empty."""

    def __init__(self) -> None:
        self._lines: dict[str, Line] = {}

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[Line]:
        return iter(self._lines.values())

    def keys(self) -> set[str]:
        """The keys of all instances."""
        return {key for line in self for key in line.instances}

    def join(self, instance: Instance, job: JobState) -> bool:
        """At the end of its line; whether it wants what nobody before it did."""
        assert instance.line is None
        name = _line_of(instance)
        line = self._lines.get(name)
        new = line is None or line.preempt
        if line is None:
            task = pending_task(instance, job.job.priority)
            line = self._lines[name] = Line(name, instance.job_id, task, job.job.preempt)
        line.instances[instance.key] = instance
        line.joined = True
        instance.line = line
        instance.refusals_before, instance.offers_before = line.refusals, line.offers_seen
        return new

    def leave(self, instance: Instance) -> None:
        """It does not wait any more, or never did."""
        line, instance.line = instance.line, None
        if line is not None:
            del line.instances[instance.key]
            if not line.instances:
                del self._lines[line.name]


def _line_of(instance: Instance) -> str:
    """An instance whose data are somewhere waits for another agent than the others."""
    return instance.key if instance.saved.data_on else instance.group


def to_plan(line: Line, offers: Sequence[OfferInHand]) -> dict[str, tuple[PendingTask, Instance]]:
    """By task id: as many as might fit and one more; all of a gang, and of those that preempt."""
    everybody = line.preempt or line.task.gang
    number = len(line.instances) if everybody else _at_most(line.task, offers) + 1
    return {
        task_id: (replace(line.task, task_id=task_id), instance)
        for instance in islice(line.instances.values(), number)
        for task_id in (next_task_id(instance),)
    }


def _at_most(task: PendingTask, offers: Sequence[OfferInHand]) -> int:
    """No more than so many can fit, whatever the order."""
    needed = needs(task)
    return sum(
        min(has(offer.available, name) // value for name, value in needed) for offer in offers
    )
