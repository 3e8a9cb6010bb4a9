"""Placement: what waits is planned over the offers in hand, again and again as either changes.

It knows nothing of jobs: who waits is a `Waiter`, and what runs comes as a `Situation`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Generic

from pymesos_binpack.placement.accepts import Part, as_accepts
from pymesos_binpack.placement.agents import KnownAgents, Placements
from pymesos_binpack.placement.hand import AgentOffers, OffersInHand
from pymesos_binpack.placement.packing import Policy, Workload
from pymesos_binpack.placement.planner import Launch, Situation, plan
from pymesos_binpack.placement.preemption import Running, preemption
from pymesos_binpack.placement.queue import Queue, W, to_plan
from pymesos_binpack.placement.tasks import PendingTask, Refusal
from pymesos_core.resources import Resources
from pymesos_proto.v1 import types_pb2 as pb

REFUSE_S = 60.0  # what does not fit now fits when the agent has more, which ends the filter
NO_FILTER_S = 0.0
HOLD_S = 3.0  # an offer is kept for a gang that needs others, too
GANG_REFUSE_S = 1.0  # shorter than HOLD_S: then what is offered at different times meets
GANG_REFUSE_MAX_S = 30.0


@dataclass(frozen=True)
class Chosen(Generic[W]):
    """Launches on one agent, and who is launched, by task id."""

    launches: Sequence[Launch]
    who: Mapping[str, W]


@dataclass(frozen=True)
class Eviction(Generic[W]):
    """Tasks that are killed for others, which then fit on these agents."""

    waiters: Sequence[W]
    victims: Sequence[str]  # task ids
    agents: frozenset[str]


@dataclass(frozen=True)
class Answer:
    """What is said to the master when everything is placed: offers given back, more asked for."""

    declined: tuple[str, ...] = ()
    refuse_s: float = 0.0
    suppress: bool = False
    revive: bool = False


@dataclass
class _Round(Generic[W]):
    """One plan, while it is carried out."""

    offers: Sequence[AgentOffers]
    situation: Situation
    who: dict[str, W]
    tasks: list[PendingTask]
    unplaced: Set[str]
    of_use_to_gangs: Set[str]
    too_large: Sequence[W]  # of gangs that no ACCEPT holds


@dataclass
class Placement(Generic[W]):
    """What waits in one role, the offers in hand, and the agents that were seen.

    Policy and agents are those of all roles: see `by_role`.
    """

    role: str
    policy: Policy
    agents: KnownAgents
    queue: Queue[W] = field(default_factory=Queue)
    hand: OffersInHand = field(default_factory=OffersInHand)
    due: bool = False  # a plan is to be made
    explaining: bool = False  # why nothing is placed is to be said although nothing is offered
    wants_offers: bool = True
    looks_out: bool = False  # for agents that come, whether or not something waits
    moved: set[str] = field(default_factory=set)  # jobs with constraints that began or ended tasks
    _new_demand: bool = False  # for which offers that were refused, or suppressed, may do
    _agents_changed: bool = False  # so constraints may be met that were not
    _gang_refuse_s: float = GANG_REFUSE_S
    _shut_out: str = ""  # why nothing is offered to the role; empty: it is

    # What happens.

    def connect(self) -> None:
        """A master has taken the framework in; who was lost meanwhile nobody told."""
        self._new_demand = not self.wants_offers
        self.hand.clear()
        self.due = True

    def demand(self) -> None:
        """There is something new to place."""
        self._new_demand = self.due = True
        self._gang_refuse_s = GANG_REFUSE_S

    def take(self, offer: pb.Offer, now_s: float) -> None:
        """An offer has come."""
        self.hand.add(offer, now_s)
        self.due = True

    def explain(self) -> None:
        """What waits is to be told why, whether or not anything is offered."""
        self.due = self.explaining = True

    def look_out(self, *, wanted: bool) -> None:
        """Have every agent offered, or only where something waits."""
        if wanted and not self.looks_out:
            self.demand()
        self.due = self.due or wanted != self.looks_out
        self.looks_out = wanted

    def shut_out(self, why: str) -> None:
        """No master takes the framework into this role, so nothing is offered; empty: it does."""
        self._shut_out = why
        self.explain()

    def agents_changed(self) -> None:
        """Constraints may be met that were not: offers are asked for, if somebody has some."""
        self._agents_changed = True
        self.due = self.due or self._may_be_met_now()

    # One plan: `place`, then what it chose is carried out, then `evict` and `answer`.

    def place(
        self,
        offers: Sequence[AgentOffers],
        placed: Placements,
        workload: Workload,
        wanted_ports: Resources,
        now_s: float,
        part_of: Callable[[W], Part],
    ) -> tuple[_Round[W], list[Chosen[W]], list[str]]:
        """The plan, what it launches, and the jobs of which something new is to be said."""
        lines = [(line, to_plan(line, offers)) for line in self.queue]
        tasks = [task for _, planned in lines for task, _ in planned.values()]
        who = {task_id: w for _, planned in lines for task_id, (_, w) in planned.items()}
        self.policy.learn(workload)
        situation = Situation(self.agents, placed, self.kept(now_s), wanted_ports)
        made = plan(tasks, offers, self.policy, situation)
        news = []
        for line, planned in lines:
            refusals = (made.unplaced[task_id] for task_id in planned if task_id in made.unplaced)
            refusal = next(refusals, None)
            if refusal is not None and self._shut_out:
                refusal = Refusal(self._shut_out, lasting=False)
            if refusal is not None and line.refuse(refusal, len(offers)):
                news.append(line.job_id)
        accepts = as_accepts(made.launches, lambda launch: part_of(who[launch.task.task_id]))
        chosen = [Chosen(launches, who) for launches in accepts.by_agent.values()]
        unplaced = made.unplaced.keys()
        of_use = made.of_use_to_gangs | accepts.later
        too_large = [who[launch.task.task_id] for launch in accepts.never]
        round_ = _Round(offers, situation, who, tasks, unplaced, of_use, too_large)
        return round_, chosen, news

    def culprit(self, offers: Sequence[AgentOffers], placed: Placements, now_s: float) -> str:
        """The job that cannot be planned by itself, either; empty: none, or not one alone can."""
        situation = Situation(self.agents, placed, self.kept(now_s))
        failed: list[str] = []
        for line in self.queue:
            try:
                tasks = [task for task, _ in to_plan(line, offers).values()]
                plan(tasks, offers, self.policy, situation)
            except Exception:
                failed.append(line.job_id)
        others = len(self.queue) > len(failed)
        return failed[0] if failed and (others or len(failed) == 1) else ""

    def hold_back(self, round_: _Round[W], now_s: float) -> float | None:
        """A gang needs several offers at a time: keep those of use to it, and until when.

        They come again soon after they are declined, so that those of different times meet.
        """
        hand = self.hand
        hand.held = {
            offer_id
            for offer_id in round_.of_use_to_gangs & hand.offers.keys()
            if hand.since_s.get(offer_id, 0.0) + HOLD_S > now_s
        }
        hand.gang_waits = bool(round_.of_use_to_gangs)
        since_s = [hand.since_s[offer_id] for offer_id in hand.held]
        return min(since_s) + HOLD_S if since_s else None

    def evict(
        self,
        round_: _Round[W],
        may_preempt: Callable[[W], bool],
        running: Callable[[], Running],
    ) -> list[Eviction[W]]:
        """Whom to kill for those that may have others killed and were not placed.

        Victims end at different times. Meanwhile nothing less urgent gets what is free where they
        are, themselves included. Whom nothing helps helps nobody after it of the same kind.
        """
        units: dict[str, list[PendingTask]] = {}
        for task in round_.tasks:
            may = not task.revocable and may_preempt(round_.who[task.task_id])
            if may and task.task_id in round_.unplaced:
                units.setdefault(task.gang or task.task_id, []).append(task)
        if not units:
            return []
        lasting = (offer for offer in round_.offers if not offer.revocable)
        free = {offer.agent.agent_id: offer.available for offer in lasting}
        kept = dict(round_.situation.kept)
        most_urgent = sorted(units.values(), key=lambda unit: -unit[0].priority)
        there = running()
        hopeless: set[object] = set()
        out: list[Eviction[W]] = []
        for unit in most_urgent:
            priority = unit[0].priority
            kind = (priority, *(task.kind() for task in unit))
            if kind in hopeless:
                continue
            agents = [a for a in self.agents if kept.get(a.agent_id, priority - 1) < priority]
            homes = {task.task_id: task.home for task in unit if task.home}
            made = preemption(unit, there, free, agents, round_.situation.placed, homes)
            if made is None:
                hopeless.add(kind)
                continue
            kept |= dict.fromkeys(made.agents, priority)
            waiters = [round_.who[task.task_id] for task in unit]
            out.append(Eviction(waiters, made.victims, made.agents))
        return out

    def kept(self, now_s: float) -> dict[str, int]:
        """The agents where room is being made for a task that waits, with its priority."""
        out: dict[str, int] = {}
        for line in self.queue:
            for waiter in line.waiters.values() if line.preempt else ():
                if waiter.preempt_again_s > now_s:
                    for agent_id in waiter.kept_agents:
                        out[agent_id] = max(line.task.priority, out.get(agent_id, 0))
        return out

    def answer(self) -> Answer:
        """What is of no use is declined; more is asked for, or nothing."""
        self.explaining = False
        suppress = revive = False
        if not self.queue:
            self.hand.held.clear()
            self.hand.gang_waits = False
        if not (self.queue or self.looks_out):
            declined, refuse_s = self._give_back(), NO_FILTER_S
            suppress = self.wants_offers and not self._shut_out
            self.wants_offers = False
        else:
            refuse_s = self._gang_refuse_s if self.hand.gang_waits else REFUSE_S
            declined = self._give_back()
            if self.hand.gang_waits and not self.hand.held:
                # It was in vain, so others are to have what it was held for, ever longer.
                self._gang_refuse_s = min(GANG_REFUSE_MAX_S, 2 * self._gang_refuse_s)
            if self._new_demand or self._may_be_met_now():
                self._new_demand = False
                self.wants_offers = True
                revive = not self._shut_out
        self.moved.clear()
        self._agents_changed = False
        return Answer(declined, refuse_s, suppress, revive)

    def _give_back(self) -> tuple[str, ...]:
        given_back = tuple(i for i in self.hand.offers if i not in self.hand.held)
        for offer_id in given_back:
            self.hand.drop(offer_id)
        return given_back

    def _may_be_met_now(self) -> bool:
        """Whether a constraint may be met on an agent that was refused for it."""
        if not (self.moved or self._agents_changed):
            return False
        return any(
            line.task.constraints and (self._agents_changed or line.job_id in self.moved)
            for line in self.queue
        )
