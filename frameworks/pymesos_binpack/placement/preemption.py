"""Which running tasks of lower priority would have to go so that one of higher priority fits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import islice, product

from pymesos_binpack.placement.agents import KnownAgents, OfferedAgent, Placements
from pymesos_binpack.placement.eligibility import refusal_of_agent
from pymesos_binpack.placement.packing.shape import GPUS
from pymesos_binpack.placement.ports import has_ports, ranges_of
from pymesos_binpack.placement.tasks import PendingTask
from pymesos_core.resource_values import MILLI, count
from pymesos_core.resources import Resources, devices

MOST_WAYS = 64  # of choosing whom services spare on an agent
MOST_WAYS_TOGETHER = 4000  # on all agents, for all that is placed together


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

    def less(self, task: RunningTask) -> _Room:
        """What is left if a task that was thought away stays."""
        return _Room(
            _sum(self.scalars, {name: -value for name, value in task.scalars.items()}),
            self.ports - len(task.ports),
            self.named - task.ports,
            _sum(self.devices, {name: -value for name, value in task.devices.items()}),
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

    def may_fit(self, task: PendingTask, more: Mapping[str, int]) -> bool:
        """Whether a task has scalars enough with more than is free, whatever else it needs."""
        have = self.scalars
        return all(
            have.get(name, 0) + more.get(name, 0) >= value
            for name, value in task.scalars.items()
            if name != GPUS
        )

    def fits(self, task: PendingTask) -> bool:
        for name, value in task.scalars.items():
            if name != GPUS and self.scalars.get(name, 0) < value:
                return False
        least, number = _gpus(task)
        enough = sum(left >= least for left in self.devices.values()) >= number
        return enough and self.ports >= task.ports and self.named.issuperset(task.host_ports)


_NO_ROOM = _Room({}, 0, frozenset(), {})


def _sum(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}


def _gpus(task: PendingTask) -> tuple[int, int]:
    """How much of how many devices."""
    gpus = task.scalars.get(GPUS, 0)
    return (MILLI, gpus // MILLI) if gpus >= MILLI else (gpus, 1 if gpus else 0)


class Running:
    """The tasks that may be killed, found by agent: there may be 100,000 where few can help.

    `on` are those of an agent that are of a lower priority than one, and `may_free` is at least
    what they have.
    """

    def __init__(
        self,
        on: Callable[[str, int], Iterable[RunningTask]],
        may_free: Callable[[str, int], Mapping[str, int]],
    ) -> None:
        self.may_free = may_free
        self._on = on
        self._found: dict[tuple[str, int], list[RunningTask]] = {}
        self.gone: set[str] = set()  # task ids of those that were chosen
        self.missing: Counter[str] = Counter()  # of them, by service
        self.ways_left = MOST_WAYS_TOGETHER

    @classmethod
    def of(cls, tasks: Iterable[RunningTask]) -> Running:
        """Return these tasks."""
        by_agent: dict[str, list[RunningTask]] = {}
        for task in tasks:
            by_agent.setdefault(task.agent_id, []).append(task)

        def on(agent_id: str, below: int) -> list[RunningTask]:
            return [task for task in by_agent.get(agent_id, ()) if task.priority < below]

        def may_free(agent_id: str, below: int) -> Mapping[str, int]:
            freed: dict[str, int] = {}
            for task in on(agent_id, below):
                freed = _sum(freed, task.scalars)
            return freed

        return cls(on, may_free)

    def on(self, agent_id: str, below: int) -> list[RunningTask]:
        """Return the tasks of an agent that are of a lower priority, but for those chosen."""
        key = (agent_id, below)
        if key not in self._found:
            self._found[key] = list(self._on(agent_id, below))
        return [task for task in self._found[key] if task.task_id not in self.gone]

    def choose(self, victims: Iterable[RunningTask]) -> None:
        """Count tasks as gone."""
        for victim in victims:
            self.gone.add(victim.task_id)
            self.missing[victim.service] += 1


class MakingRoom:
    """Chooses whom to kill for one unit after another, each in the room that those before it left.

    `free` is what agents offer now; `host_ports` are those that the units want by number.
    """

    def __init__(
        self,
        running: Running,
        free: Mapping[str, Resources],
        agents: Sequence[OfferedAgent],
        placed: Placements,
        host_ports: Iterable[int],
    ) -> None:
        self._running, self._free = running, free
        self._agents, self._known = agents, KnownAgents(agents)
        self._by_number = frozenset(host_ports)
        self._rooms: dict[str, _Room] = {}  # of agents of which that was asked
        self._placed = placed.copy()

    def choose(self, unit: Sequence[PendingTask], homes: Mapping[str, str]) -> Preemption | None:
        """Whom to kill for a task, or for all tasks of a gang; None if that does not help, or
        nobody has to go.

        `homes` are the agents that have the volumes of a task, by task id. One task after another
        goes to the agent where the fewest go that their services cannot spare, then where the most
        important victim is the least important, then where the fewest go.
        """
        rooms, gone = dict(self._rooms), dict[str, RunningTask]()
        missing = self._running.missing.copy()
        used: set[str] = set()
        for number, wanted in enumerate(unit):
            best = self._best(wanted, rooms, gone.keys(), missing, homes)
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
        self._rooms = rooms
        self._running.choose(gone.values())
        return Preemption(tuple(gone), frozenset(used)) if gone else None

    def _best(
        self,
        wanted: PendingTask,
        rooms: dict[str, _Room],
        gone: Set[str],
        missing: Counter[str],
        homes: Mapping[str, str],
    ) -> tuple[OfferedAgent, list[RunningTask]] | None:
        best: tuple[tuple[int, int, int], OfferedAgent, list[RunningTask]] | None = None
        for agent in self._agents:
            agent_id = agent.agent_id
            if homes.get(wanted.task_id, agent_id) != agent_id:
                continue
            if refusal_of_agent(wanted, agent, self._placed, self._known) is not None:
                continue
            if agent_id not in rooms:
                rooms[agent_id] = _room(self._free.get(agent_id), self._by_number)
            room = rooms[agent_id]
            if not room.may_fit(wanted, self._running.may_free(agent_id, wanted.priority)):
                continue
            there = self._running.on(agent_id, wanted.priority)
            lower = [task for task in there if task.task_id not in gone]
            victims = _victims(wanted, lower, room, missing, self._running)
            if victims is not None:
                cost = _cost(victims, missing)
                if best is None or cost < best[0]:
                    best = (cost, agent, victims)
        return best[1:] if best is not None else None


def preemption(
    unit: Sequence[PendingTask],
    running: Running,
    free: Mapping[str, Resources],
    agents: Sequence[OfferedAgent],
    placed: Placements,
    homes: Mapping[str, str],
) -> Preemption | None:
    """Whom to kill for one unit by itself: see `MakingRoom`."""
    ports = {port for wanted in unit for port in wanted.host_ports}
    return MakingRoom(running, free, agents, placed, ports).choose(unit, homes)


def _room(free: Resources | None, by_number: Iterable[int]) -> _Room:
    if free is None:
        return _NO_ROOM
    ports = count(tuple(ranges_of(free)))
    named = frozenset(port for port in by_number if has_ports(free, (port,)))
    scalars = {n: v for n, v in free.quantities.items() if n != GPUS}
    return _Room(scalars, ports, named, devices(free))


def _victims(
    task: PendingTask,
    lower: Sequence[RunningTask],
    room: _Room,
    missing: Counter[str],
    running: Running,
) -> list[RunningTask] | None:
    """Choose of the tasks of an agent who makes room: whom their services can spare, if they do."""
    if not _with(room, lower).fits(task):
        return None
    lower = sorted(lower, key=lambda r: (r.priority, -sum(r.scalars.values()), r.task_id))
    missed = {victim.task_id for victim in _missed(lower, missing)}
    spared = [each for each in lower if each.task_id not in missed]
    ways = _ways_to_spare(task, lower, spared, missing, running)
    found = [way for each in ways if (way := _fewest(task, each, room, missing)) is not None]
    if found:
        return min(found, key=lambda way: _cost(way, missing))
    others = [each for each in lower if each.task_id in missed]
    return _fewest(task, [*spared, *others], room, missing)


def _cost(victims: Sequence[RunningTask], missing: Counter[str]) -> tuple[int, int, int]:
    """How many their services cannot spare, how important the most important is, how many."""
    highest = max((victim.priority for victim in victims), default=-1)
    return len(_missed(victims, missing)), highest, len(victims)


def _fewest(
    task: PendingTask, candidates: Iterable[RunningTask], room: _Room, missing: Counter[str]
) -> list[RunningTask] | None:
    """Choose one candidate after another until there is room; then spare who need not go.

    Whose services cannot spare so many are spared first, and of these, and then of all, the last.
    """
    chosen, freed = list[RunningTask](), room
    for candidate in candidates:
        if freed.fits(task):
            break
        chosen.append(candidate)
        freed = freed.plus(candidate)
    if not freed.fits(task):
        return None
    left, short = chosen[::-1], _short_of(chosen, missing)
    while left:
        victim = next((each for each in left if each.service in short), left[0])
        left.remove(victim)
        if (rest := freed.less(victim)).fits(task):
            freed = rest
            chosen.remove(victim)
            short = _short_of(chosen, missing)
    return chosen


def _short_of(victims: Iterable[RunningTask], missing: Counter[str]) -> set[str]:
    """The services that cannot spare all of these."""
    return {victim.service for victim in _missed(victims, missing)}


def _ways_to_spare(
    task: PendingTask,
    lower: Sequence[RunningTask],
    spared: Sequence[RunningTask],
    missing: Counter[str],
    running: Running,
) -> Iterator[Sequence[RunningTask]]:
    """Choose whom services spare: `spared`, and some others where a service has more there.

    Which of them goes matters where they do not hold the same, as those of two versions. So many
    agents may have such services that others have to do with the first way.
    """
    yield spared
    if not running.ways_left:
        return
    choices: dict[str, list[list[RunningTask]]] = {}
    for service, number in Counter(each.service for each in spared if each.service).items():
        kinds: dict[object, list[RunningTask]] = {}
        for each in lower:
            if each.service == service:
                kinds.setdefault(_kind(each, task.host_ports), []).append(each)
        if len(kinds) > 1 and sum(map(len, kinds.values())) > number:
            some = islice(_choices(list(kinds.values()), number), MOST_WAYS)
            choices[service] = [each for each in some if not _missed(each, missing)]
    most = min(MOST_WAYS, running.ways_left)
    for made in islice(product(*choices.values()), most) if choices else ():
        running.ways_left -= 1
        going = {each.task_id for some in made for each in some}
        going.update(each.task_id for each in spared if each.service not in choices)
        yield [each for each in lower if each.task_id in going]


def _kind(task: RunningTask, host_ports: Sequence[int]) -> object:
    """What decides whether another of its service would make room as well."""
    wanted = task.ports.intersection(host_ports)
    has = (frozenset(task.scalars.items()), len(task.ports), frozenset(task.devices.items()))
    return task.spare, wanted, has


def _choices(kinds: Sequence[Sequence[RunningTask]], number: int) -> Iterator[list[RunningTask]]:
    """Choose so many: the first of each kind, in any numbers."""
    if not kinds:
        yield from [[]] if not number else []
        return
    first, *rest = kinds
    least = max(0, number - sum(map(len, rest)))
    for taken in range(min(len(first), number), least - 1, -1):
        for others in _choices(rest, number - taken):
            yield [*first[:taken], *others]


def _missed(victims: Iterable[RunningTask], missing: Counter[str]) -> list[RunningTask]:
    """Whom their services cannot spare, if they go in this order and some are missing."""
    gone: dict[str, Counter[int]] = {}  # by service, of those that are spared: by their `spare`
    out: list[RunningTask] = []
    for victim in victims:
        if not victim.service:
            continue
        others = gone.setdefault(victim.service, Counter())
        before = missing[victim.service]
        # What one may miss counts those that may miss no more than it.
        if all(
            before + sum(n for at, n in others.items() if at <= spare) < spare
            for spare in (victim.spare, *(at for at in others if at > victim.spare))
        ):
            others[victim.spare] += 1
        else:
            out.append(victim)
    return out


def _with(room: _Room, gone: Iterable[RunningTask]) -> _Room:
    for task in gone:
        room = room.plus(task)
    return room
