"""Which running tasks of lower priority would have to go so that one of higher priority fits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pymesos_binpack.packing.shape import GPUS
from pymesos_binpack.reasons import PendingTask, Placed, Seen, refusal_of_agent
from pymesos_core.resources import MILLI, Resources, count, devices


@dataclass(frozen=True)
class RunningTask:
    """A task that runs; `devices` are its GPUs, in thousandths of each."""

    task_id: str
    agent_id: str
    priority: int
    scalars: Mapping[str, int]
    ports: int
    devices: Mapping[str, int]


@dataclass
class _Room:
    """What an agent has free, and more as tasks are thought away."""

    scalars: dict[str, int]
    ports: int
    devices: dict[str, int]

    def add(self, task: RunningTask) -> None:
        for name, value in task.scalars.items():
            self.scalars[name] = self.scalars.get(name, 0) + value
        for name, value in task.devices.items():
            self.devices[name] = self.devices.get(name, 0) + value
        self.ports += task.ports

    def fits(self, task: PendingTask) -> bool:
        for name, value in task.scalars.items():
            if name != GPUS and self.scalars.get(name, 0) < value:
                return False
        gpus = task.scalars.get(GPUS, 0)
        least, number = (gpus, 1) if gpus < MILLI else (MILLI, gpus // MILLI)
        enough = not gpus or sum(left >= least for left in self.devices.values()) >= number
        return enough and self.ports >= task.ports


def victims(
    task: PendingTask,
    running: Sequence[RunningTask],
    free: Mapping[str, Resources],
    known: Sequence[Seen],
    placed: Placed,
) -> tuple[str, ...]:
    """The task ids to kill for `task` on one agent; none if that does not help.

    `free` is what agents offer now. The agent is chosen where the most important victim is the
    least important, then where the fewest go.
    """
    best: tuple[tuple[int, int], tuple[str, ...]] | None = None
    for agent in known:
        if refusal_of_agent(task, agent, placed, known) is not None:
            continue
        lower = [r for r in running if r.agent_id == agent.agent_id and r.priority < task.priority]
        chosen = _fewest(task, lower, _room(free.get(agent.agent_id)))
        if chosen:
            cost = (max(victim.priority for victim in chosen), len(chosen))
            if best is None or cost < best[0]:
                best = (cost, tuple(victim.task_id for victim in chosen))
    return best[1] if best else ()


def _room(free: Resources | None) -> _Room:
    if free is None:
        return _Room({}, 0, {})
    ports = sum(count(bag.ranges.get("ports", ())) for _, bag in free.parts())
    return _Room({n: v for n, v in free.quantities.items() if n != GPUS}, ports, devices(free))


def _fewest(task: PendingTask, lower: Iterable[RunningTask], room: _Room) -> list[RunningTask]:
    """Those of lowest priority first, the largest of those; then without any that need not go."""
    chosen: list[RunningTask] = []
    for victim in sorted(lower, key=lambda r: (r.priority, -sum(r.scalars.values()), r.task_id)):
        if room.fits(task):
            break
        room.add(victim)
        chosen.append(victim)
    if not room.fits(task):
        return []
    for victim in list(chosen):
        rest = [other for other in chosen if other is not victim]
        without = _Room(
            {n: v - victim.scalars.get(n, 0) for n, v in room.scalars.items()},
            room.ports - victim.ports,
            {n: v - victim.devices.get(n, 0) for n, v in room.devices.items()},
        )
        if without.fits(task):
            chosen, room = rest, without
    return chosen
