"""What tasks have on each agent, by role and priority: kept up to date, so that nobody counts it.

A task that preempts in vain asks at every offer, and there may be 100,000 that run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pymesos_binpack.jobs.instance import Instance


class _Counted(NamedTuple):
    """How a task is counted."""

    role: str
    agent_id: str
    priority: int
    scalars: Mapping[str, int]


@dataclass(slots=True)
class _Tasks:
    """Tasks, and the sum of their scalars."""

    by_id: dict[str, Instance] = field(default_factory=dict)
    scalars: dict[str, int] = field(default_factory=dict)  # none is 0

    def add(self, scalars: Mapping[str, int], sign: int) -> None:
        """Count what a task has, or, with -1, do not any more."""
        for name, value in scalars.items():
            if together := self.scalars.get(name, 0) + sign * value:
                self.scalars[name] = together
            else:
                self.scalars.pop(name, None)


@dataclass(slots=True)
class Occupancy:
    """The tasks that may run, by agent."""

    _counted: dict[str, _Counted] = field(default_factory=dict)  # by task id
    _on: dict[tuple[str, str], dict[int, _Tasks]] = field(default_factory=dict)  # then priority

    def begin(self, role: str, priority: int, instance: Instance) -> None:
        """Count the task of an instance; anew, if that is counted otherwise."""
        task_id, agent_id = instance.saved.task_id, instance.saved.agent_id
        counted = _Counted(role, agent_id, priority, instance.spec.scalars)
        if self._counted.get(task_id) == counted:
            return
        self.end(task_id)
        self._counted[task_id] = counted
        on = self._on.setdefault((role, agent_id), {})
        there = on.get(priority)
        if there is None:
            there = on[priority] = _Tasks()
        there.by_id[task_id] = instance
        there.add(counted.scalars, 1)

    def end(self, task_id: str) -> None:
        """A task has ended, if it was there."""
        if (was := self._counted.pop(task_id, None)) is None:
            return
        on = self._on[was.role, was.agent_id]
        there = on[was.priority]
        there.add(was.scalars, -1)
        del there.by_id[task_id]
        if not there.by_id:
            del on[was.priority]
            if not on:
                del self._on[was.role, was.agent_id]

    def below(self, role: str, agent_id: str, priority: int) -> Iterator[Instance]:
        """The instances of a role on an agent whose priority is lower."""
        for own, there in self._on.get((role, agent_id), {}).items():
            if own < priority:
                yield from there.by_id.values()

    def held_below(self, role: str, agent_id: str, priority: int) -> Mapping[str, int]:
        """What these have, together."""
        here = self._on.get((role, agent_id), {})
        some = [there.scalars for own, there in here.items() if own < priority]
        if len(some) == 1:
            return some[0]
        together = Counter[str]()
        for each in some:
            together.update(each)
        return together
