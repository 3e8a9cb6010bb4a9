"""Weighted dominant resource fairness over a tree of roles, with quota.

Every agent with something to offer goes, whole, to the framework that is first in the tree (see
`tree.py`), wants it and holds no other offer of it: else frameworks that are slow to answer would
hold an agent in pieces, none of them of use to those who answer at once. Where there are quotas,
guarantees are served before that, and what is granted is cut to the limits and to what must stay
free for guarantees that are not met yet (see `quotas.py`).

What is reserved goes to its role and those below it only, what is revocable, shared or a GPU to
those who declare that they can use it. What one may not have is offered to the next in the same
cycle, as is what is beyond `max_fraction` of an agent. `checks.py` has all such rules.

Only agents about which something changed are looked at: one that came or got resources back, one
whose filter ran out, or all of them when a framework came, revived or entered a role.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pymesos_core.resources import Resources
from pymesos_core.security.roles import EVERY_ROLE, Roles
from pymesos_core.timers import earlier
from pymesos_master.allocator.checks import Look, are_free, may_see, usable
from pymesos_master.allocator.claims import Claims
from pymesos_master.allocator.explaining import standing
from pymesos_master.allocator.granting import Granting
from pymesos_master.allocator.interface import (
    NOTHING,
    PLAIN_TERMS,
    Client,
    Grant,
    Quota,
    Settings,
    Standing,
    Terms,
)
from pymesos_master.allocator.minimum import Scalars
from pymesos_master.allocator.refusals import CutRefusals
from pymesos_master.allocator.state import AgentEntry, AllocatorState, FrameworkEntry
from pymesos_master.allocator.tree import Node


class DrfAllocator:
    """See Allocator.

    It has more than 300 lines and is better whole: every method is one of that interface, a few
    lines which say to whom of the others in this room the work goes, and all are about one state.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._state = AllocatorState(settings or Settings())
        self._claims = Claims(self._state)
        self._granting = Granting(self._state, self._claims)
        self._cut = CutRefusals(self._state.quotas)

    @property
    def changed(self) -> bool:
        """See Allocator."""
        return bool(self._state.dirty) or (self._state.less_held and self._cut.has_more_room())

    def next_s(self) -> float | None:
        """See Allocator."""
        return earlier(self._state.refusals.next_s(), self._claims.next_s())

    # Frameworks.

    def add_framework(
        self,
        framework_id: str,
        roles: Sequence[str],
        *,
        active: bool,
        suppressed: frozenset[str] = frozenset(),
        terms: Terms = PLAIN_TERMS,
        keep_filters: bool = False,
    ) -> None:
        """See Allocator."""
        state = self._state
        framework = state.frameworks.get(framework_id)
        if framework is None:
            framework = FrameworkEntry(framework_id, tuple(roles), active, suppressed)
            state.frameworks[framework_id] = framework
            state.hold_all(framework, 1)
        framework.roles = tuple(roles)
        framework.active = active
        framework.suppressed = suppressed
        state.particular += bool(terms.wants_agent) - bool(framework.terms.wants_agent)
        sees_more = not keep_filters or terms != framework.terms
        framework.terms = terms
        for role in roles:
            state.leaf(framework, role)
        if not keep_filters:
            self._forget_refusals(framework, framework.leaves)
        sees_more |= self._update_wants(framework)
        for role in list(framework.leaves):
            state.forget_if_left(framework, role)
        if sees_more and any(map(framework.wants, roles)):
            state.look_at_all()

    def _update_wants(self, framework: FrameworkEntry) -> bool:
        """Tell the tree which leaves want offers; whether any does now that did not."""
        more = False
        for role, leaf in framework.leaves.items():
            wants = framework.wants(role)
            if leaf.wanting and not wants:
                self._forget_leaf(leaf)
                self._claims.forget_leaf(leaf)
            more |= wants and not leaf.wanting
            self._state.tree.want(leaf, wants)
        return more

    def remove_framework(self, framework_id: str) -> None:
        """See Allocator."""
        state = self._state
        framework = state.frameworks.get(framework_id)
        if framework is None:
            return
        state.particular -= bool(framework.terms.wants_agent)
        self._forget_refusals(framework, framework.leaves)
        state.hold_all(framework, -1)
        self._claims.forget_framework(framework_id)
        for leaf in framework.leaves.values():
            state.tree.remove(leaf)
        del state.frameworks[framework_id]
        state.less_held = True

    def deactivate_framework(self, framework_id: str) -> None:
        """See Allocator."""
        framework = self._state.frameworks[framework_id]
        framework.active = False
        self._update_wants(framework)

    def suppress(self, framework_id: str, roles: Sequence[str]) -> None:
        """See Allocator."""
        framework = self._state.frameworks[framework_id]
        framework.suppressed |= frozenset(roles or framework.roles)
        self._update_wants(framework)

    def revive(self, framework_id: str, roles: Sequence[str]) -> None:
        """See Allocator."""
        framework = self._state.frameworks[framework_id]
        revived = frozenset(roles or framework.roles)
        framework.suppressed -= revived
        self._forget_refusals(framework, revived)
        self._update_wants(framework)
        if any(map(framework.wants, revived)):
            self._state.look_at_all()

    def _forget_refusals(self, framework: FrameworkEntry, roles: Iterable[str]) -> None:
        for role in roles:
            if role in framework.leaves:
                self._forget_leaf(framework.leaves[role])

    def _forget_leaf(self, leaf: Node) -> None:
        self._state.refusals.forget_leaf(leaf)
        self._cut.forget_leaf(leaf)

    # Agents.

    def add_agent(self, agent_id: str, total: Resources, used: Mapping[Client, Resources]) -> None:
        """See Allocator."""
        self.remove_agent(agent_id)
        self._state.add_agent(agent_id, total, used)

    def remove_agent(self, agent_id: str) -> None:
        """See Allocator."""
        agent = self._state.agents.get(agent_id)
        if agent is not None:
            self._state.remove_agent(agent)
            self._claims.forget_agent(agent_id)
            self._cut.forget_agent(agent_id)

    def deactivate_agent(self, agent_id: str) -> None:
        """See Allocator."""
        agent = self._state.agents.get(agent_id)
        if agent is not None:
            self._state.deactivate_agent(agent)

    def set_revocable(self, agent_id: str, there: Resources, used: Resources) -> None:
        """See Allocator."""
        agent = self._state.agents.get(agent_id)
        if agent is not None:
            self._state.set_revocable(agent, there, used)

    # What comes back.

    def recover(
        self,
        framework_id: str,
        agent_id: str,
        role: str,
        resources: Resources,
        *,
        now_s: float,
        refuse_s: float | None = None,
        timed_out: bool = False,
    ) -> None:
        """See Allocator."""
        state = self._state
        agent = state.agents.get(agent_id)
        if agent is None or not resources:
            return
        state.hold(agent, (framework_id, role), resources, -1)
        granted_with = None
        if refuse_s is not None or (framework_id, role) not in agent.held:
            granted_with = agent.granted_with.pop((framework_id, role), None)
        back = resources
        if agent.owed:
            back = resources.minus_what_is_there(agent.owed)
            agent.owed = agent.owed.minus_what_is_there(resources)
        state.set_available(agent, agent.refusals.interned(agent.available + back))
        if agent.active:
            state.dirty[agent_id] = None
        state.less_held = True
        framework = state.frameworks.get(framework_id)
        if refuse_s is not None and framework is not None and framework.wants(role):
            leaf = framework.leaves[role]
            whole = usable(state, leaf, agent.available)
            self._refuse(agent, leaf, whole, granted_with, now_s, refuse_s)
            if agent.asked and agent.claim is None and not timed_out:
                self._claims.make(agent, leaf, now_s)

    def _refuse(
        self,
        agent: AgentEntry,
        leaf: Node,
        whole: Resources,
        granted_with: Scalars | None,
        now_s: float,
        refuse_s: float,
    ) -> None:
        """A leaf refuses an agent: see CutRefusals."""
        self._state.refusals.add(leaf, agent.agent_id, whole, now_s, refuse_s)
        if self._state.quotas.by_role:
            self._cut.note(leaf, agent.agent_id, whole, granted_with)

    def answered(self, framework_id: str, agent_id: str) -> None:
        """See Allocator."""
        agent = self._state.agents.get(agent_id)
        if agent is not None:
            agent.asked.discard(framework_id)
            if agent.available:
                self._state.look_at(agent)

    def keep_for(self, framework_id: str, role: str, agent_id: str, now_s: float) -> None:
        """See Allocator."""
        agent = self._state.agents.get(agent_id)
        framework = self._state.frameworks.get(framework_id)
        if agent is not None and agent.claim is None and framework is not None:
            self._claims.keep_for(agent, framework.leaves[role], now_s)

    def used(self, framework_id: str, agent_id: str) -> None:
        """See Allocator."""
        self._state.refusals.forget_streak(framework_id, agent_id)
        self._claims.used(framework_id, agent_id)

    def refuse(
        self,
        framework_id: str,
        role: str,
        agent_id: str,
        resources: Resources,
        *,
        now_s: float,
        refuse_s: float,
    ) -> None:
        """See Allocator."""
        framework = self._state.frameworks.get(framework_id)
        agent = self._state.agents.get(agent_id)
        if framework is not None and framework.wants(role) and agent is not None:
            leaf = framework.leaves[role]
            self._refuse(agent, leaf, resources, None, now_s, refuse_s)

    def transfer(self, agent_id: str, resources: Resources, giver: Client, taker: Client) -> None:
        """See Allocator."""
        agent = self._state.agents[agent_id]
        self._state.hold(agent, giver, resources, -1)
        self._state.hold(agent, taker, resources, 1)
        self._state.less_held = True

    # Roles.

    def set_weight(self, role: str, weight: float) -> None:
        """See Allocator."""
        self._state.tree.set_weight(role, weight)

    def set_quota(self, role: str, quota: Quota) -> None:
        """See Allocator."""
        state = self._state
        state.quotas.set(role, quota)
        state.count_free_anew()
        # What was refused was cut to the limits, and to what had to stay free, as they were.
        for framework in state.frameworks.values():
            self._forget_refusals(framework, framework.leaves)
        state.look_at_all()

    # What there is to know.

    def held(self, role: str) -> Scalars:
        """See Allocator."""
        node = self._state.tree.find(role)
        return {n: v for n, v in node.held.items() if v} if node is not None else {}

    def charged(self, role: str) -> Scalars:
        """See Allocator."""
        node = self._state.tree.find(role)
        if node is None:
            return {}
        return {name: node.charged(name) for name in (*node.held, *node.reserved)}

    def held_by(self, framework_id: str, roles: Roles = EVERY_ROLE) -> Scalars:
        """See Allocator."""
        framework = self._state.frameworks.get(framework_id)
        held: dict[str, int] = {}
        for role, leaf in framework.leaves.items() if framework is not None else ():
            if role not in roles:
                continue
            for name, value in leaf.held.items():
                held[name] = held.get(name, 0) + value
        return held

    def reserved(self, role: str) -> Scalars:
        """See Allocator."""
        node = self._state.tree.find(role)
        return {n: v for n, v in node.reserved.items() if v} if node is not None else {}

    def dominant_share(self, framework_id: str) -> float:
        """See Allocator."""
        held = self.held_by(framework_id)
        whole = self._state.tree.total
        return max((v / whole[n] for n, v in held.items() if v and whole.get(n)), default=0.0)

    def starved(self) -> Mapping[str, Scalars]:
        """See Allocator."""
        state = self._state
        if not state.quotas:
            return {}
        state.tree.refresh()
        state.quotas.refresh()
        out: dict[str, Scalars] = {}
        for node in state.quotas.unsatisfied():
            missing = state.quotas.missing(node.role)
            lacks = {name: v for name, v in missing.items() if v > state.free.get(name, 0)}
            if lacks:
                out[node.role] = lacks
        return out

    def may_see(self, framework_id: str, role: str, agent_id: str, resources: Resources) -> bool:
        """See Allocator."""
        framework = self._state.frameworks.get(framework_id)
        agent = self._state.agents.get(agent_id)
        if framework is None or agent is None or not framework.wants(role):
            return False
        look = Look(self._state, whole=True).at(agent, resources)
        return may_see(look, framework.leaves[role])

    def explain(self, framework_id: str, needs: Scalars = NOTHING) -> list[Standing]:
        """See Allocator."""
        framework = self._state.frameworks.get(framework_id)
        if framework is None:
            return []
        self._state.tree.refresh()
        self._state.quotas.refresh()
        self._end_cut_refusals()
        return [standing(self._state, framework, role, needs) for role in framework.roles]

    def allocate(self, now_s: float) -> list[Grant]:
        """See Allocator."""
        state = self._state
        for agent_id in state.refusals.due(now_s):
            if agent_id in state.agents:
                state.dirty[agent_id] = None
        self._claims.end_due(now_s)
        state.tree.refresh()
        state.quotas.refresh()
        if state.less_held:
            self._end_cut_refusals()
            if state.kept_back and self._granting.may_share():
                state.dirty.update(state.kept_back)
                state.kept_back.clear()
        state.less_held = False
        dirty, state.dirty = state.dirty, {}
        looked_at = are_free(state, map(state.agents.__getitem__, dirty))
        for agent in looked_at:
            if agent.claim is not None:
                self._claims.settle(agent, agent.claim)
        return self._granting.grant(looked_at)

    def _end_cut_refusals(self) -> None:
        """A role has more room, as its tasks have ended: more can be offered than was refused."""
        for leaf, agent_id in self._cut.with_more_room():
            self._state.refusals.forget(leaf, agent_id)
            if (agent := self._state.agents.get(agent_id)) is not None:
                self._state.look_at(agent)
