"""What one ACCEPT may hold: so many tasks, and so many bytes."""

from __future__ import annotations

from collections import Counter
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
    tasks: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    later: set[str] = set()
    for unit in units.values():
        more_tasks: Counter[str] = Counter()
        more_bytes: Counter[str] = Counter()
        for launch in unit:
            part, agent_id = part_of(launch), launch.offer.agent.agent_id
            more_tasks[agent_id] += part.tasks
            more_bytes[agent_id] += part.size_bytes
        if any(
            too_much(Part(tasks[agent_id] + n, sizes[agent_id] + more_bytes[agent_id]))
            for agent_id, n in more_tasks.items()
        ):
            later.update(i for launch in unit if launch.task.gang for i in launch.offer.offer_ids)
            continue
        tasks.update(more_tasks)
        sizes.update(more_bytes)
        for launch in unit:
            by_agent.setdefault(launch.offer.agent.agent_id, []).append(launch)
    return by_agent, later
