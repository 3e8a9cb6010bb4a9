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


@dataclass(frozen=True)
class Accepts:
    """Launches by agent, as many as an ACCEPT may hold, and gangs whole.

    What is left out is planned again: `later` are offers of gangs among it. A gang of `never` would
    not fit into an ACCEPT that holds nothing else.
    """

    by_agent: Mapping[str, Sequence[Launch]]
    later: Set[str]
    never: Sequence[Launch]


def as_accepts(launches: Sequence[Launch], part_of: Callable[[Launch], Part]) -> Accepts:
    """Divide the launches of a plan into what is sent and what is left out."""
    units: dict[str, list[Launch]] = {}
    for launch in launches:
        units.setdefault(launch.task.gang or f"task {launch.task.task_id}", []).append(launch)
    by_agent: dict[str, list[Launch]] = {}
    taken: dict[str, Part] = {}
    later: set[str] = set()
    never: list[Launch] = []
    for unit in units.values():
        own: dict[str, Part] = {}
        for launch in unit:
            agent_id = launch.offer.agent.agent_id
            own[agent_id] = own.get(agent_id, NOTHING) + part_of(launch)
        if any(map(too_much, own.values())):
            never += unit
            continue
        after = {agent_id: taken.get(agent_id, NOTHING) + part for agent_id, part in own.items()}
        if any(map(too_much, after.values())):
            later.update(i for launch in unit if launch.task.gang for i in launch.offer.offer_ids)
            continue
        taken |= after
        for launch in unit:
            by_agent.setdefault(launch.offer.agent.agent_id, []).append(launch)
    return Accepts(by_agent, later, never)
