"""Dominant resource fairness over frameworks (Ghodsi et al., NSDI'11, algorithm 1).

Every agent with something to offer goes, whole, to the framework with the lowest dominant share
that wants it and holds no other offer of it: else frameworks that are slow to answer would hold an
agent in pieces, none of them of use to those who answer at once. Only agents about which something
changed are looked at: one that came or got resources back, one whose filter ran out, or all of them
when a framework came or revived.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pymesos_core.resources import EMPTY, MILLI, Resources
from pymesos_core.timers import Timers
from pymesos_master.allocator.interface import Grant

MIN_CPUS_MILLI = 10  # Mesos' MIN_CPUS and MIN_MEM: either makes an offer worth sending
MIN_MEM_MILLI = 32 * MILLI

BACKOFF_MIN_S = 0.005
BACKOFF_MAX_S = 1.0


@dataclass(slots=True)
class _Refusal:
    """What a framework refused of an agent in a role, and until when it is not asked again.

    It stops matching as soon as the agent has more to offer than what was refused.
    """

    resources: Resources
    until_s: float


@dataclass(slots=True)
class _Framework:
    framework_id: str
    order: int  # of arrival: the tie-break among equal shares
    roles: tuple[str, ...]
    active: bool
    suppressed: frozenset[str]
    held: dict[str, int] = field(default_factory=dict)  # scalar name → thousandths
    refusals: dict[tuple[str, str], _Refusal] = field(default_factory=dict)  # (role, agent)
    streaks: dict[str, int] = field(default_factory=dict)  # agent → declines without a filter

    @property
    def wants(self) -> bool:
        return self.active and any(role not in self.suppressed for role in self.roles)


@dataclass(slots=True)
class _Agent:
    total: Resources
    available: Resources
    held: dict[str, Resources]  # framework → what it was granted and holds
    asked: set[str] = field(default_factory=set)  # frameworks that have not answered a grant
    active: bool = True


def _worth_offering(resources: Resources) -> bool:
    return resources.scalar("cpus") >= MIN_CPUS_MILLI or resources.scalar("mem") >= MIN_MEM_MILLI


class DrfAllocator:
    """The Allocator of one level: frameworks by dominant share."""

    def __init__(self) -> None:
        self._frameworks: dict[str, _Framework] = {}
        self._agents: dict[str, _Agent] = {}
        self._total: dict[str, int] = {}
        self._dirty: dict[str, None] = {}  # agents to look at, in the order they changed
        self._refusal_ends: Timers[tuple[str, str, str]] = Timers()
        self._arrivals = 0

    @property
    def changed(self) -> bool:
        """Whether an agent is to be looked at."""
        return bool(self._dirty)

    def next_s(self) -> float | None:
        """When the next refusal ends."""
        return self._refusal_ends.next_s()

    def add_framework(
        self,
        framework_id: str,
        roles: Sequence[str],
        *,
        active: bool,
        suppressed: frozenset[str] = frozenset(),
    ) -> None:
        """See Allocator."""
        framework = self._frameworks.get(framework_id)
        if framework is None:
            self._arrivals += 1
            framework = _Framework(framework_id, self._arrivals, tuple(roles), active, suppressed)
            self._frameworks[framework_id] = framework
            for agent in self._agents.values():
                if framework_id in agent.held:
                    self._count(framework_id, agent.held[framework_id], 1)
        framework.roles = tuple(roles)
        framework.active = active
        framework.suppressed = suppressed
        self._forget_refusals(framework, framework.roles)
        if framework.wants:
            self._look_at_all()

    def remove_framework(self, framework_id: str) -> None:
        """See Allocator."""
        framework = self._frameworks.pop(framework_id, None)
        if framework is not None:
            self._forget_refusals(framework, None)

    def deactivate_framework(self, framework_id: str) -> None:
        """See Allocator."""
        framework = self._frameworks[framework_id]
        framework.active = False
        self._forget_refusals(framework, None)

    def suppress(self, framework_id: str, roles: Sequence[str]) -> None:
        """See Allocator."""
        framework = self._frameworks[framework_id]
        framework.suppressed |= frozenset(roles or framework.roles)

    def revive(self, framework_id: str, roles: Sequence[str]) -> None:
        """See Allocator."""
        framework = self._frameworks[framework_id]
        revived = roles or framework.roles
        framework.suppressed -= frozenset(revived)
        self._forget_refusals(framework, revived)
        if framework.wants:
            self._look_at_all()

    def suppressed(self, framework_id: str) -> frozenset[str]:
        """See Allocator."""
        framework = self._frameworks.get(framework_id)
        return framework.suppressed if framework else frozenset()

    def add_agent(self, agent_id: str, total: Resources, used: Mapping[str, Resources]) -> None:
        """See Allocator. Tasks that exceed a shrunken total leave nothing available."""
        self.remove_agent(agent_id)
        available = total
        for framework_id, resources in used.items():
            available = available.minus_what_is_there(resources)
            self._count(framework_id, resources, 1)
        self._agents[agent_id] = _Agent(total, available, dict(used))
        for name, value in total.scalars.items():
            self._total[name] = self._total.get(name, 0) + value
        self._dirty[agent_id] = None

    def remove_agent(self, agent_id: str) -> None:
        """See Allocator."""
        agent = self._agents.pop(agent_id, None)
        if agent is None:
            return
        self._dirty.pop(agent_id, None)
        for framework_id, resources in agent.held.items():
            self._count(framework_id, resources, -1)
        for name, value in agent.total.scalars.items():
            self._total[name] -= value
        for framework in self._frameworks.values():
            framework.streaks.pop(agent_id, None)
            for role in framework.roles:
                if framework.refusals.pop((role, agent_id), None):
                    self._refusal_ends.cancel((framework.framework_id, role, agent_id))

    def deactivate_agent(self, agent_id: str) -> None:
        """See Allocator."""
        if agent_id in self._agents:
            self._agents[agent_id].active = False
            self._dirty.pop(agent_id, None)

    def recover(
        self,
        framework_id: str,
        agent_id: str,
        role: str,
        resources: Resources,
        *,
        now_s: float,
        refuse_s: float | None = None,
    ) -> None:
        """See Allocator."""
        agent = self._agents.get(agent_id)
        if agent is None or not resources:
            return
        held = agent.held.get(framework_id, EMPTY) - resources
        if held:
            agent.held[framework_id] = held
        else:
            agent.held.pop(framework_id, None)
        self._count(framework_id, resources, -1)
        # What an agent lost while tasks used it does not come back with them.
        free = agent.total
        for others in agent.held.values():
            free = free.minus_what_is_there(others)
        agent.available = free
        if agent.active:
            self._dirty[agent_id] = None
        framework = self._frameworks.get(framework_id)
        if refuse_s is not None and framework is not None:
            self._refuse(framework, role, agent_id, agent.available, now_s, refuse_s)

    def _refuse(
        self,
        framework: _Framework,
        role: str,
        agent_id: str,
        resources: Resources,
        now_s: float,
        refuse_s: float,
    ) -> None:
        """Set a filter; without one, back off: at once the first time, then 5 ms to 1 s."""
        if refuse_s <= 0:
            streak = framework.streaks.get(agent_id, 0)
            framework.streaks[agent_id] = streak + 1
            if streak == 0:
                return
            refuse_s = min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2 ** min(streak - 1, 16))
        framework.refusals[role, agent_id] = _Refusal(resources, now_s + refuse_s)
        self._refusal_ends.set((framework.framework_id, role, agent_id), now_s + refuse_s)

    def answered(self, framework_id: str, agent_id: str) -> None:
        """See Allocator."""
        agent = self._agents.get(agent_id)
        if agent is not None:
            agent.asked.discard(framework_id)
            if agent.active and agent.available:
                self._dirty[agent_id] = None

    def used(self, framework_id: str, agent_id: str) -> None:
        """See Allocator."""
        framework = self._frameworks.get(framework_id)
        if framework is not None:
            framework.streaks.pop(agent_id, None)

    def allocate(self, now_s: float) -> list[Grant]:
        """See Allocator."""
        for framework_id, role, agent_id in self._refusal_ends.due(now_s):
            self._frameworks[framework_id].refusals.pop((role, agent_id), None)
            if agent_id in self._agents:
                self._dirty[agent_id] = None
        looked_at, self._dirty = self._dirty, {}
        order = [
            (self.dominant_share(f.framework_id), f.order, f.framework_id)
            for f in self._frameworks.values()
            if f.wants
        ]
        heapq.heapify(order)
        grants: list[Grant] = []
        for agent_id in looked_at:
            agent = self._agents[agent_id]
            if not agent.active or not _worth_offering(agent.available):
                continue
            passed_over: list[tuple[float, int, str]] = []
            while order:
                entry = heapq.heappop(order)
                framework = self._frameworks[entry[2]]
                wanted_in = self._role_for(framework, agent_id, agent)
                if wanted_in is None:
                    passed_over.append(entry)
                    continue
                grants.append(self._grant(framework, wanted_in, agent_id, agent))
                share = self.dominant_share(framework.framework_id)
                passed_over.append((share, framework.order, framework.framework_id))
                break
            for entry in passed_over:
                heapq.heappush(order, entry)
        return grants

    def _role_for(self, framework: _Framework, agent_id: str, agent: _Agent) -> str | None:
        """The first role in which the framework may be offered the agent."""
        if framework.framework_id in agent.asked:
            return None
        for role in framework.roles:
            if role in framework.suppressed:
                continue
            refusal = framework.refusals.get((role, agent_id))
            if refusal is None or not refusal.resources.contains(agent.available):
                return role
        return None

    def _grant(self, framework: _Framework, role: str, agent_id: str, agent: _Agent) -> Grant:
        granted = agent.available
        agent.available = EMPTY
        agent.held[framework.framework_id] = agent.held.get(framework.framework_id, EMPTY) + granted
        agent.asked.add(framework.framework_id)
        self._count(framework.framework_id, granted, 1)
        return Grant(framework.framework_id, role, agent_id, granted)

    def dominant_share(self, framework_id: str) -> float:
        """See Allocator."""
        framework = self._frameworks.get(framework_id)
        if framework is None:
            return 0.0
        return max(
            (
                value / self._total[name]
                for name, value in framework.held.items()
                if value and self._total.get(name)
            ),
            default=0.0,
        )

    def _count(self, framework_id: str, resources: Resources, sign: int) -> None:
        framework = self._frameworks.get(framework_id)
        if framework is None:
            return
        for name, value in resources.scalars.items():
            held = framework.held.get(name, 0) + sign * value
            assert held >= 0, f"{framework_id} holds {held} of {name}"
            framework.held[name] = held

    def _forget_refusals(self, framework: _Framework, roles: Sequence[str] | None) -> None:
        framework.streaks.clear()
        for role, agent_id in list(framework.refusals):
            if roles is None or role in roles:
                del framework.refusals[role, agent_id]
                self._refusal_ends.cancel((framework.framework_id, role, agent_id))

    def _look_at_all(self) -> None:
        for agent_id, agent in self._agents.items():
            if agent.active and agent.available:
                self._dirty[agent_id] = None
