"""Which running tasks of lower priority would have to go so that one of higher priority fits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from pymesos_binpack.placement.agents import KnownAgents, OfferedAgent, Placements
from pymesos_binpack.placement.eligibility import refusal_of_agent
from pymesos_binpack.placement.packing.shape import GPUS
from pymesos_binpack.placement.ports import has_ports, ranges_of
from pymesos_binpack.placement.tasks import PendingTask
from pymesos_core.resource_values import MILLI, count
from pymesos_core.resources import Resources, devices


@dataclass(frozen=True)
class RunningTask:
    """A task that runs; `devices` are its GPUs, in thousandths of each, `ports` its own.

    `spare` is how many of its `service` may end, itself among them, by the budget that rollouts and
    drains have. No service: nobody misses it.
    """

    task_id: str
    agent_id: str
    priority: int
    scalars: Mapping[str, int]
    ports: frozenset[int]
    devices: Mapping[str, int]
    service: str = ""
    spare: int = 0


@dataclass(frozen=True)
class Preemption:
    """The task ids to kill, and the agents where all of it then fits."""

    victims: tuple[str, ...]
    agents: frozenset[str]


@dataclass(frozen=True)
class _Room:
    """What an agent has free; more as tasks are thought away.

    Ports are counted; `named` are those of them that are free and may be wanted by number.
    """

    scalars: Mapping[str, int]
    ports: int
    named: frozenset[int]
    devices: Mapping[str, int]

    def plus(self, task: RunningTask) -> _Room:
        return _Room(
            _sum(self.scalars, task.scalars),
            self.ports + len(task.ports),
            self.named | task.ports,
            _sum(self.devices, task.devices),
        )

    def minus(self, task: PendingTask) -> _Room:
        """What is left with a task placed, on the fullest GPUs that will do."""
        taken = {name: -value for name, value in task.scalars.items() if name != GPUS}
        least, number = _gpus(task)
        fitting = sorted((left, name) for name, left in self.devices.items() if left >= least)
        gone = {name: -least for _, name in fitting[:number]}
        return _Room(
            _sum(self.scalars, taken),
            self.ports - task.ports,
            self.named.difference(task.host_ports),
            _sum(self.devices, gone),
        )

    def fits(self, task: PendingTask) -> bool:
        for name, value in task.scalars.items():
            if name != GPUS and self.scalars.get(name, 0) < value:
                return False
        least, number = _gpus(task)
        enough = sum(left >= least for left in self.devices.values()) >= number
        return enough and self.ports >= task.ports and self.named.issuperset(task.host_ports)


def _sum(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}


def _gpus(task: PendingTask) -> tuple[int, int]:
    """How much of how many devices."""
    gpus = task.scalars.get(GPUS, 0)
    return (MILLI, gpus // MILLI) if gpus >= MILLI else (gpus, 1 if gpus else 0)


class MakingRoom:
    """Chooses whom to kill for one unit after another, each in the room that those before it left.

    `free` is what agents offer now; `host_ports` are those that the units want by number.
    """

    def __init__(
        self,
        running: Iterable[RunningTask],
        free: Mapping[str, Resources],
        agents: Sequence[OfferedAgent],
        placed: Placements,
        host_ports: Iterable[int],
    ) -> None:
        self._agents, self._known = agents, KnownAgents(agents)
        by_number = frozenset(host_ports)
        self._rooms = {
            agent.agent_id: _room(free.get(agent.agent_id), by_number) for agent in agents
        }
        self._placed = placed.copy()
        self._gone: set[str] = set()  # task ids
        self._missing: Counter[str] = Counter()  # of them, by service
        self._on: dict[str, list[RunningTask]] = {}
        for task in running:
            self._on.setdefault(task.agent_id, []).append(task)

    def choose(self, unit: Sequence[PendingTask], homes: Mapping[str, str]) -> Preemption | None:
        """Whom to kill for a task, or for all tasks of a gang; None if that does not help, or
        nobody has to go.

        `homes` are the agents that have the volumes of a task, by task id. One task after another
        goes to the agent where the fewest go that their services cannot spare, then where the most
        important victim is the least important, then where the fewest go.
        """
        rooms, gone = dict(self._rooms), dict[str, RunningTask]()
        missing = self._missing.copy()
        used: set[str] = set()
        for number, wanted in enumerate(unit):
            best = self._best(wanted, rooms, gone.keys() | self._gone, missing, homes)
            if best is None:
                for placed in unit[:number]:
                    self._placed.undo(placed.group)
                return None
            agent, victims = best
            for victim in victims:
                rooms[agent.agent_id] = rooms[agent.agent_id].plus(victim)
                gone[victim.task_id] = victim
                missing[victim.service] += 1
            rooms[agent.agent_id] = rooms[agent.agent_id].minus(wanted)
            self._placed.add(wanted.group, agent.attributes)
            used.add(agent.agent_id)
        self._rooms, self._missing = rooms, missing
        self._gone |= gone.keys()
        return Preemption(tuple(gone), frozenset(used)) if gone else None

    def _best(
        self,
        wanted: PendingTask,
        rooms: Mapping[str, _Room],
        gone: Set[str],
        missing: Counter[str],
        homes: Mapping[str, str],
    ) -> tuple[OfferedAgent, list[RunningTask]] | None:
        best: tuple[tuple[int, int, int], OfferedAgent, list[RunningTask]] | None = None
        for agent in self._agents:
            if homes.get(wanted.task_id, agent.agent_id) != agent.agent_id:
                continue
            if refusal_of_agent(wanted, agent, self._placed, self._known) is not None:
                continue
            lower = [
                task
                for task in self._on.get(agent.agent_id, ())
                if task.priority < wanted.priority and task.task_id not in gone
            ]
            victims = _fewest(wanted, lower, rooms[agent.agent_id], missing)
            if victims is not None:
                highest = max((victim.priority for victim in victims), default=-1)
                cost = (len(_missed(victims, missing)), highest, len(victims))
                if best is None or cost < best[0]:
                    best = (cost, agent, victims)
        return best[1:] if best is not None else None


def preemption(
    unit: Sequence[PendingTask],
    running: Iterable[RunningTask],
    free: Mapping[str, Resources],
    agents: Sequence[OfferedAgent],
    placed: Placements,
    homes: Mapping[str, str],
) -> Preemption | None:
    """Whom to kill for one unit by itself: see `MakingRoom`."""
    ports = {port for wanted in unit for port in wanted.host_ports}
    return MakingRoom(running, free, agents, placed, ports).choose(unit, homes)


def without(there: Sequence[RunningTask], victims: Iterable[str]) -> list[RunningTask]:
    """Return the tasks that are left when some have gone, with what each service can spare then."""
    gone = frozenset(victims)
    missing = Counter(task.service for task in there if task.service and task.task_id in gone)
    return [  # most stay as they are: there may be 100,000, for each of many that wait
        replace(task, spare=task.spare - missing[task.service]) if task.service in missing else task
        for task in there
        if task.task_id not in gone
    ]


def _room(free: Resources | None, by_number: Iterable[int]) -> _Room:
    if free is None:
        return _Room({}, 0, frozenset(), {})
    ports = count(tuple(ranges_of(free)))
    named = frozenset(port for port in by_number if has_ports(free, (port,)))
    scalars = {n: v for n, v in free.quantities.items() if n != GPUS}
    return _Room(scalars, ports, named, devices(free))


def _fewest(
    task: PendingTask, lower: Iterable[RunningTask], room: _Room, missing: Counter[str]
) -> list[RunningTask] | None:
    """Choose whom his service can spare first, then the lowest priority, then the largest.

    Of these the last are spared first that need not go.
    """
    chosen: list[RunningTask] = []
    least_first = sorted(lower, key=lambda r: (r.priority, -sum(r.scalars.values()), r.task_id))
    missed = {victim.task_id for victim in _missed(least_first, missing)}
    least_first.sort(key=lambda r: r.task_id in missed)
    for victim in least_first:
        if _with(room, chosen).fits(task):
            break
        chosen.append(victim)
    if not _with(room, chosen).fits(task):
        return None
    for victim in reversed(chosen):
        rest = [other for other in chosen if other is not victim]
        if _with(room, rest).fits(task):
            chosen = rest
    return chosen


def _missed(victims: Iterable[RunningTask], missing: Counter[str]) -> list[RunningTask]:
    """Whom their services cannot spare, if they go one after another and some are missing."""
    gone, out = missing.copy(), list[RunningTask]()
    for victim in victims:
        gone[victim.service] += 1
        if victim.service and gone[victim.service] > victim.spare:
            out.append(victim)
    return out


def _with(room: _Room, gone: Iterable[RunningTask]) -> _Room:
    for task in gone:
        room = room.plus(task)
    return room
