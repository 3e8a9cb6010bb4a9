"""The planner: pending tasks and offers in, launches and reasons out. A pure function.

All offers in hand are planned over together: tasks of the highest priority first, the largest of
those first, each onto the node that the policy scores lowest. A gang is placed whole or not at all.
If something is left over, a few other orders are tried, and the best plan is taken. What was not
placed comes back with the reason in words.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from pymesos_binpack.constraints import GPU_MODEL, gpu_models
from pymesos_binpack.placement.agents import KnownAgents, OfferedAgent, Placements
from pymesos_binpack.placement.decisions import (
    MAX_EXAMPLES,
    MAX_OTHERS,
    Choice,
    Decision,
    RuledOut,
    Rules,
)
from pymesos_binpack.placement.eligibility import lacks, rule_against
from pymesos_binpack.placement.hand import AgentOffers
from pymesos_binpack.placement.packing.policies import Policy
from pymesos_binpack.placement.packing.pool import Bools, Node, Placement, Pool
from pymesos_binpack.placement.packing.shape import GPUS, Shape, shape_of
from pymesos_binpack.placement.ports import PORTS, draw_ports, has_ports, ranges_of
from pymesos_binpack.placement.reasons import Free, explain
from pymesos_binpack.placement.tasks import PendingTask, Refusal
from pymesos_core.resource_tags import Tag
from pymesos_core.resource_values import Interval, count
from pymesos_core.resources import EMPTY, Resources, devices, total
from pymesos_sdk.tasks import draw

SEARCH_ORDERS = 6  # after the first
SEARCHED_AT_MOST = 200  # tasks and gangs
KEPT = "its room is kept for tasks of higher priority"
NO_VOLUMES = "it does not offer the task's volumes"
NO_PORTS = "it does not offer the task's ports"
ANOTHER = "the task is of another agent"


@dataclass(frozen=True)
class Launch:
    """A task, where it goes, and what of the offer it is given; with the volumes to be made."""

    task: PendingTask
    offer: AgentOffers
    resources: Resources
    decision: Decision | None = None  # why there; None: nobody chose

    @property
    def ports(self) -> tuple[Interval, ...]:
        """The ports it is given."""
        return tuple(ranges_of(self.resources))


@dataclass(frozen=True)
class Plan:
    """What to launch, and why each other task was not placed, by task id."""

    launches: tuple[Launch, ...]
    unplaced: Mapping[str, Refusal]
    of_use_to_gangs: frozenset[str] = frozenset()  # offers on which a part of one would fit


@dataclass
class Situation:
    """What the planner knows beside tasks and offers.

    `known` are the agents of earlier offers, for the reasons; those of the present ones are added.
    On an agent of `kept` nothing of a lower priority is placed. The ports of `wanted_ports` are
    given last to tasks that any port will do for: others want them by number.
    """

    known: KnownAgents = field(default_factory=KnownAgents)
    placed: Placements = field(default_factory=Placements)
    kept: Mapping[str, int] = field(default_factory=dict)
    wanted_ports: Resources = EMPTY


def plan(
    pending: Sequence[PendingTask],
    offers: Sequence[AgentOffers],
    policy: Policy,
    situation: Situation | None = None,
) -> Plan:
    """Place what fits."""
    situation = situation or Situation()
    known = situation.known
    for offer in offers:
        known.see(offer.agent)
    units = _units(pending)
    attempts = _Attempts(offers, policy, situation)
    best = attempts.run(_first_order(units, known.largest()))
    # In another order tasks of one kind go where they went; and a long queue has other concerns.
    kinds = {task.kind() for task in pending}
    worth_a_search = offers and len(kinds) > 1 and len(units) <= SEARCHED_AT_MOST
    for number in range(SEARCH_ORDERS if worth_a_search and best.may_do_better() else 0):
        attempt = attempts.run(_other_order(units, known.largest(), number))
        if attempt.worth() > best.worth():
            best = attempt
        if not best.may_do_better():
            break
    return Plan(best.decided(), best.refusals(), best.of_use_to_gangs())


def _units(pending: Sequence[PendingTask]) -> list[list[PendingTask]]:
    """Gangs, and tasks that are on their own."""
    units: dict[str, list[PendingTask]] = {}
    for task in pending:
        units.setdefault(f"gang {task.gang}" if task.gang else f"task {task.task_id}", []).append(
            task
        )
    return list(units.values())


Order = list[list[PendingTask]]


def _first_order(units: Order, largest: Mapping[str, int]) -> Order:
    """By priority, then the largest part of any resource that the unit takes."""

    def key(unit: list[PendingTask]) -> tuple[int, float, str]:
        size = sum(max(_parts(task, largest), default=0.0) for task in unit)
        return (-unit[0].priority, -size, unit[0].task_id)

    return sorted(units, key=key)


def _other_order(units: Order, largest: Mapping[str, int], number: int) -> Order:
    """By priority, then by the sum of the parts, then shuffled ever more, always the same way."""

    def key(unit: list[PendingTask]) -> tuple[int, float, str]:
        size = sum(sum(_parts(task, largest)) for task in unit)
        if number:
            draw = zlib.crc32(f"{number} {unit[0].task_id}".encode()) / 2**32
            size *= 1 + (draw - 0.5) * number / SEARCH_ORDERS
        return (-unit[0].priority, -size, unit[0].task_id)

    return sorted(units, key=key)


def _parts(task: PendingTask, largest: Mapping[str, int]) -> list[float]:
    return [value / largest[name] for name, value in task.scalars.items() if largest.get(name)]


@dataclass(frozen=True)
class Allowed:
    """The agents that may have a task, by row (None: all), and what rules out the others."""

    rows: Bools | None
    ruled_out: tuple[RuledOut, ...]


class _Attempts:
    """Runs the tasks over the offers in one order after another."""

    def __init__(self, offers: Sequence[AgentOffers], policy: Policy, situation: Situation) -> None:
        self.offers, self.known, self.placed = offers, situation.known, situation.placed
        self._nodes = [_node(offer) for offer in offers]
        self._rows = {
            offer.agent.agent_id: row for row, offer in enumerate(offers) if not offer.revocable
        }
        self._some_revocable = any(offer.revocable for offer in offers)
        self._devices = [sorted(devices(usable(offer.available))) for offer in offers]
        self.policy = policy
        self._kept = situation.kept
        self.wanted_ports = situation.wanted_ports
        self._runs: dict[tuple[object, ...], Allowed] = {}

    def run(self, order: Order) -> _Attempt:
        """One order."""
        attempt = _Attempt(self, Pool(self._nodes, self.policy))
        for unit in order:
            attempt.place(unit)
        return attempt

    def is_kept_from(self, task: PendingTask, agent: OfferedAgent) -> bool:
        """Whether the room there is for something more urgent."""
        return task.priority < self._kept.get(agent.agent_id, task.priority)

    def that_run(self, task: PendingTask) -> Allowed:
        """The agents that can run it and are not kept from it."""
        key = (task.runtimes, *task.needs, task.revocable, task.priority if self._kept else 0)
        if key not in self._runs:
            every = not (self._some_revocable or task.revocable) and all(
                lacks(task, offer.agent) is None and not self.is_kept_from(task, offer.agent)
                for offer in self.offers
            )
            self._runs[key] = (
                Allowed(None, ())
                if every
                else self.allowed(task, lambda _, agent: (lacks(task, agent) or "", ""))
            )
        return self._runs[key]

    def allowed(
        self, task: PendingTask, rule: Callable[[int, OfferedAgent], tuple[str, str]]
    ) -> Allowed:
        """The agents that no `rule`, by their rows, rules out, nor what is kept for others."""
        looked_at = self.rows_for(task)
        rows = np.zeros(len(self.offers), dtype=bool)
        rows[np.array(looked_at, dtype=np.int64)] = True
        rules = Rules()
        for row in looked_at:
            agent = self.offers[row].agent
            against, detail = rule(row, agent)
            if not against and self.is_kept_from(task, agent):
                against = KEPT
            if against:
                rows[row] = False
                rules.add(against, agent.hostname, detail)
        ruled_out = rules.ruled_out()
        if task.is_of_agent and (others := len(self.offers) - len(looked_at)):
            ruled_out = (*ruled_out, RuledOut(ANOTHER, others))
        return Allowed(None if rows.all() else rows, ruled_out)

    def rows_for(self, task: PendingTask) -> Sequence[int]:
        """The agents that are asked whether they do for a task: all, or the one that it is of.

        What is offered as revocable is for revocable tasks, and nothing else is.
        """
        if not task.is_of_agent:
            rows = range(len(self.offers))
            if not (self._some_revocable or task.revocable):
                return rows
            return [row for row in rows if self.offers[row].revocable == task.revocable]
        row = self._rows.get(task.home)
        return () if row is None else (row,)

    def device_names(self, placement: Placement) -> list[str]:
        """The devices of a placement."""
        return [self._devices[placement.node][column] for column in placement.devices]


class _Attempt:
    def __init__(self, attempts: _Attempts, pool: Pool) -> None:
        self._attempts = attempts
        self._pool = pool
        self._left = [offer.available for offer in attempts.offers]
        self._running = attempts.placed.copy()
        self._failed: set[tuple[object, ...]] = set()  # what did not fit does not fit again
        self._unplaced: list[PendingTask] = []
        self._choices: dict[str, Choice] = {}  # by task id
        self.launches: list[Launch] = []

    def place(self, unit: list[PendingTask]) -> None:
        """All of a gang, or nothing of it."""
        done: list[tuple[Placement, Launch]] = []
        for task in unit:
            if (made := self._place_one(task)) is None:
                break
            done.append(made)
        if len(done) == len(unit):
            self.launches += [launch for _, launch in done]
            return
        for placement, launch in reversed(done):
            self._pool.release(placement)
            self._left[placement.node] = self._left[placement.node] + launch.resources
            self._running.undo(launch.task.group)
        self._unplaced += unit

    def _place_one(self, task: PendingTask) -> tuple[Placement, Launch] | None:
        kind = task.kind()
        if kind in self._failed:
            return None
        shape = _shape(task)
        allowed = self._allowed(task)
        placement = self._pool.choose(shape, allowed.rows)
        if placement is None:
            if not task.gang:
                self._failed.add(kind)
            return None
        self._choices[task.task_id] = self._choice(placement, allowed)
        self._pool.take(placement)
        offer = self._attempts.offers[placement.node]
        given = self._draw(task, shape, placement)
        self._left[placement.node] = self._left[placement.node] - given
        self._running.add(task.group, offer.agent.attributes)
        return placement, Launch(task, offer, given)

    def _choice(self, placement: Placement, allowed: Allowed) -> Choice:
        """What was compared, before the task takes what it needs."""
        others = self._pool.next_best(placement, allowed.rows, MAX_OTHERS)
        short = self._pool.short(placement, allowed.rows, MAX_EXAMPLES)
        return Choice(placement.score, others, allowed.ruled_out, short)

    def decided(self) -> tuple[Launch, ...]:
        """The launches, each with the decision that it is of."""
        attempts = self._attempts
        offers, policy = attempts.offers, attempts.policy.name
        return tuple(
            replace(each, decision=self._choices[each.task.task_id].told(policy, offers))
            for each in self.launches
        )

    def _draw(self, task: PendingTask, shape: Shape, placement: Placement) -> Resources:
        """The resources themselves: with their reservations, devices, ports, volumes."""
        left = self._left[placement.node]
        given = draw(usable(left), dict(task.scalars) | {GPUS: 0})
        names = self._attempts.device_names(placement)
        given = given + total(_of_device(left, name, shape.gpu_share or 1000) for name in names)
        if task.ports:
            given = given + draw_ports(usable(left), task, self._attempts.wanted_ports)
        return given + _volumes(left, task)

    def _allowed(self, task: PendingTask) -> Allowed:
        attempts = self._attempts
        if not (task.constraints or task.volumes or task.host_ports or task.is_of_agent):
            return attempts.that_run(task)

        def rule(row: int, agent: OfferedAgent) -> tuple[str, str]:
            against = rule_against(task, agent, self._running, attempts.known)
            there = has_volumes(self._left[row], task) and task.may_be_on(agent.agent_id)
            if against is None and not there:
                against = (NO_VOLUMES, "")
            if against is None and not has_ports(usable(self._left[row]), task.host_ports):
                against = (NO_PORTS, "")
            return against or ("", "")

        return attempts.allowed(task, rule)

    def worth(self) -> tuple[tuple[int, float], ...]:
        """How much of each priority is placed, the highest first."""
        largest = self._attempts.known.largest()
        sums: dict[int, float] = {}
        for launch in self.launches:
            size = sum(_parts(launch.task, largest))
            sums[launch.task.priority] = sums.get(launch.task.priority, 0.0) + size
        for task in self._unplaced:
            sums.setdefault(task.priority, 0.0)
        return tuple(sorted(sums.items(), reverse=True))

    def may_do_better(self) -> bool:
        """Whether another order could place more: some that was left would fit where another is."""
        return bool(self._unplaced) and any(
            not refusal.lasting for refusal in self.refusals().values()
        )

    def of_use_to_gangs(self) -> frozenset[str]:
        """Offers that nothing was launched on, where a task of a gang that waits would fit."""
        used = {launch.offer.agent.agent_id for launch in self.launches}
        out: set[str] = set()
        for task in {task.kind(): task for task in self._unplaced if task.gang}.values():
            shape = _shape(task)
            rows = np.arange(len(self._attempts.offers), dtype=np.int64)
            allowed = self._allowed(task).rows
            fits = self._pool.fits(shape, rows)
            for row in np.flatnonzero(fits if allowed is None else fits & allowed):
                offer = self._attempts.offers[int(row)]
                if offer.agent.agent_id not in used:
                    out.update(offer.offer_ids)
        return frozenset(out)

    def refusals(self) -> dict[str, Refusal]:
        """Why each task that is left was not placed; each kind is explained once."""
        out: dict[str, Refusal] = {}
        known: dict[tuple[object, ...], Refusal] = {}
        attempts = self._attempts
        for task in self._unplaced:
            kind = (*task.kind(), task.gang, task.priority)
            if kind not in known:
                frees: list[Free] = []
                kept: list[Free] = []
                for row in attempts.rows_for(task):
                    offer = attempts.offers[row]
                    to = kept if attempts.is_kept_from(task, offer.agent) else frees
                    to.append((offer.agent, offer.available))
                known[kind] = explain(task, attempts.known, frees, self._running, kept)
            out[task.task_id] = known[kind]
        return out


def _shape(task: PendingTask) -> Shape:
    """The task as the pool sees it. Ports are counted."""
    ports = {PORTS: task.ports} if task.ports else {}
    return shape_of({**task.scalars, **ports}, gpu_models(task.constraints))


def usable(resources: Resources) -> Resources:
    """What a task may be given as it comes: no volume."""
    return resources.where(_is_usable)


def _is_usable(tag: Tag) -> bool:
    return tag.volume is None


def has_volumes(resources: Resources, task: PendingTask) -> bool:
    """Whether the volumes that a task has are there."""
    there = {tag.volume.id for tag in resources.tagged if tag.volume}
    return all(volume in there for volume in task.volumes)


def _volumes(resources: Resources, task: PendingTask) -> Resources:
    wanted = set(task.volumes)
    return resources.where(lambda tag: tag.volume is not None and tag.volume.id in wanted)


def _of_device(resources: Resources, name: str, milli: int) -> Resources:
    tag = next(t for t, bag in resources.tagged.items() if t.device == name and GPUS in bag.scalars)
    return Resources(tagged={tag: Resources({GPUS: milli})})


def _node(offer: AgentOffers) -> Node:
    """An offer as the pool sees it. Ports are counted."""
    free = usable(offer.available)
    scalars = {n: v for n, v in free.quantities.items() if n != GPUS}
    ports = count(tuple(ranges_of(free)))
    whole = {n: v for n, v in offer.agent.total.quantities.items() if n != GPUS}
    gpus = devices(free)
    return Node(
        {**scalars, **whole, PORTS: max(ports, 1)},
        {**scalars, PORTS: ports},
        tuple(gpus[name] for name in sorted(gpus)),
        offer.agent.attributes.get(GPU_MODEL, ""),
    )
