"""What one ACCEPT may hold: so many tasks, and so many bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass

from pymesos_binpack.placement.planner import Launch
from pymesos_core import limits

MAX_TASKS = limits.CALL_TASKS.most
MAX_BYTES = limits.ACCEPT.most


@dataclass(frozen=True, slots=True)
class Part:
    """The part of an ACCEPT that a launch takes: its tasks, and about the bytes of them."""

    tasks: int
    size_bytes: int

    def __add__(self, other: Part) -> Part:
        return Part(self.tasks + other.tasks, self.size_bytes + other.size_bytes)


NOTHING = Part(0, 0)


def too_much(part: Part) -> bool:
    """Whether no ACCEPT holds it."""
    return part.tasks > MAX_TASKS or part.size_bytes > MAX_BYTES


def as_accepts(
    launches: Sequence[Launch], part_of: Callable[[Launch], Part]
) -> tuple[Mapping[str, Sequence[Launch]], Set[str]]:
    """As many by agent as an ACCEPT may hold, gangs whole; and the offers of gangs left out.

    The others are planned again with what it leaves.
    """
    units: dict[str, list[Launch]] = {}
    for launch in launches:
        units.setdefault(launch.task.gang or f"task {launch.task.task_id}", []).append(launch)
    by_agent: dict[str, list[Launch]] = {}
    taken: dict[str, Part] = {}
    later: set[str] = set()
    for unit in units.values():
        after: dict[str, Part] = {}
        for launch in unit:
            agent_id = launch.offer.agent.agent_id
            before = after.get(agent_id) or taken.get(agent_id, NOTHING)
            after[agent_id] = before + part_of(launch)
        if any(map(too_much, after.values())):
            later.update(i for launch in unit if launch.task.gang for i in launch.offer.offer_ids)
            continue
        taken |= after
        for launch in unit:
            by_agent.setdefault(launch.offer.agent.agent_id, []).append(launch)
    return by_agent, later
