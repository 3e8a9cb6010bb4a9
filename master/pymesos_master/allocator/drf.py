"""Weighted dominant resource fairness over a tree of roles, with quota.

Every agent with something to offer goes, whole, to the framework that is first in the tree (see
`tree.py`), wants it and holds no other offer of it: else frameworks that are slow to answer would
hold an agent in pieces, none of them of use to those who answer at once. Where there are quotas,
guarantees are served before that, and what is granted is cut to the limits and to what must stay
free for guarantees that are not met yet (see `quotas.py`).

One that refuses a part of an agent while others hold the rest has a claim: until they have
answered, at most for as long as an offer lasts, that part goes to nobody else. So whoever answers
sees all that is free of an agent, whatever others do. It has one claim to an agent until it uses
some of it.

What is reserved goes to its role and those below it only, what is revocable, shared or a GPU to
those who declare that they can use it. What one may not have is offered to the next in the same
cycle, as is what is beyond `max_fraction` of an agent.

Only agents about which something changed are looked at: one that came or got resources back, one
whose filter ran out, or all of them when a framework came or revived.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pymesos_core.reservations import unreserved
from pymesos_core.resources import EMPTY, Resources, Tag
from pymesos_core.timers import Timers, earlier
from pymesos_master.allocator.interface import (
    NOTHING,
    PLAIN_TERMS,
    Client,
    Grant,
    Quota,
    Settings,
    Standing,
    Terms,
    Withheld,
)
from pymesos_master.allocator.minimum import Minimum, Scalars
from pymesos_master.allocator.quotas import Lacking, Quotas, chop
from pymesos_master.allocator.refusals import AgentRefusals, Refusals
from pymesos_master.allocator.tree import Node, Tree


@dataclass(slots=True)
class _Framework:
    framework_id: str
    roles: tuple[str, ...]
    active: bool
    suppressed: frozenset[str]
    terms: Terms = PLAIN_TERMS
    leaves: dict[str, Node] = field(default_factory=dict)  # by role, old roles too while they hold

    def wants(self, role: str) -> bool:
        return self.active and role in self.roles and role not in self.suppressed


@dataclass(slots=True, eq=False)
class _Agent:
    agent_id: str
    total: Resources
    available: Resources
    held: dict[Client, dict[str, int]]  # the scalars of what each was granted and holds
    refusals: AgentRefusals
    owed: Resources = EMPTY  # used, and not there any more: it does not come back
    active: bool = True
    asked: set[str] = field(default_factory=set)  # frameworks that have not answered a grant
    claim: Node | None = None  # who is to see this part together with the rest
    has_gpus: bool = False

    def unreserved(self) -> Scalars:
        """What is available to everybody, and for good."""
        return self.available.where(unreserved).quantities


class DrfAllocator:
    """See Allocator."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or Settings()
        self._minimum = Minimum(self._settings.minimum)
        self._claim_ends: Timers[str] = Timers()
        self._claimed: dict[str, set[str]] = {}  # framework → agents it has had a claim to
        self._tree = Tree(self._minimum)
        self._quotas = Quotas(self._tree)
        self._frameworks: dict[str, _Framework] = {}
        self._agents: dict[str, _Agent] = {}
        self._refusals = Refusals()
        self._dirty: dict[str, None] = {}  # agents to look at, in the order they changed
        self._kept_back: dict[str, None] = {}  # of which a quota kept something back
        self._less_held = False  # since: a limit may be off, or headroom no longer needed
        self._free: dict[str, int] = {}  # scalars available on active agents to everybody
        self._particular = 0  # frameworks that do not want offers of all agents

    @property
    def changed(self) -> bool:
        """See Allocator."""
        return bool(self._dirty)

    def next_s(self) -> float | None:
        """See Allocator."""
        return earlier(self._refusals.next_s(), self._claim_ends.next_s())

    # Frameworks.

    def add_framework(
        self,
        framework_id: str,
        roles: Sequence[str],
        *,
        active: bool,
        suppressed: frozenset[str] = frozenset(),
        terms: Terms = PLAIN_TERMS,
    ) -> None:
        """See Allocator."""
        framework = self._frameworks.get(framework_id)
        if framework is None:
            framework = _Framework(framework_id, tuple(roles), active, suppressed)
            self._frameworks[framework_id] = framework
            for agent in self._agents.values():
                for client, scalars in agent.held.items():
                    if client[0] == framework_id:
                        self._tree.hold(self._leaf(framework, client[1]), scalars, 1)
        framework.roles = tuple(roles)
        framework.active = active
        framework.suppressed = suppressed
        self._particular += bool(terms.wants_agent) - bool(framework.terms.wants_agent)
        framework.terms = terms
        for role in roles:
            self._leaf(framework, role)
        self._forget_refusals(framework, framework.leaves)
        self._update_wants(framework)

    def _leaf(self, framework: _Framework, role: str) -> Node:
        leaf = framework.leaves.get(role)
        if leaf is None:
            leaf = framework.leaves[role] = self._tree.leaf(role, framework.framework_id)
        return leaf

    def _update_wants(self, framework: _Framework) -> None:
        """Tell the tree which leaves want offers; those that do see every agent."""
        for role, leaf in framework.leaves.items():
            wants = framework.wants(role)
            if not wants:
                self._refusals.forget_leaf(leaf)
            self._tree.want(leaf, wants)
        if any(framework.wants(role) for role in framework.roles):
            self._look_at_all()

    def remove_framework(self, framework_id: str) -> None:
        """See Allocator."""
        framework = self._frameworks.pop(framework_id, None)
        self._claimed.pop(framework_id, None)
        if framework is None:
            return
        self._particular -= bool(framework.terms.wants_agent)
        self._forget_refusals(framework, framework.leaves)
        for agent in self._agents.values():
            for client, scalars in agent.held.items():
                if client[0] == framework_id:
                    self._tree.hold(framework.leaves[client[1]], scalars, -1)
            if agent.claim is not None and agent.claim.framework_id == framework_id:
                self._end_claim(agent)
                if agent.active:
                    self._dirty[agent.agent_id] = None
        for leaf in framework.leaves.values():
            self._tree.remove(leaf)
        self._less_held = True

    def deactivate_framework(self, framework_id: str) -> None:
        """See Allocator."""
        framework = self._frameworks[framework_id]
        framework.active = False
        self._update_wants(framework)

    def suppress(self, framework_id: str, roles: Sequence[str]) -> None:
        """See Allocator."""
        framework = self._frameworks[framework_id]
        framework.suppressed |= frozenset(roles or framework.roles)
        self._update_wants(framework)

    def revive(self, framework_id: str, roles: Sequence[str]) -> None:
        """See Allocator."""
        framework = self._frameworks[framework_id]
        revived = roles or framework.roles
        framework.suppressed -= frozenset(revived)
        self._forget_refusals(framework, revived)
        self._update_wants(framework)

    def suppressed(self, framework_id: str) -> frozenset[str]:
        """See Allocator."""
        framework = self._frameworks.get(framework_id)
        return framework.suppressed if framework else frozenset()

    def _forget_refusals(
        self, framework: _Framework, roles: Sequence[str] | Mapping[str, Node]
    ) -> None:
        for role in roles:
            if role in framework.leaves:
                self._refusals.forget_leaf(framework.leaves[role])

    # Agents.

    def add_agent(self, agent_id: str, total: Resources, used: Mapping[Client, Resources]) -> None:
        """See Allocator. Tasks that exceed a shrunken total leave nothing available."""
        self.remove_agent(agent_id)
        agent = _Agent(agent_id, total, EMPTY, {}, self._refusals.of(agent_id))
        agent.has_gpus = "gpus" in total.quantities
        self._agents[agent_id] = agent
        available = total
        for client, resources in used.items():
            agent.owed = agent.owed + resources.minus_what_is_there(available)
            available = available.minus_what_is_there(resources)
            self._hold(agent, client, resources.quantities, 1)
        self._tree.change_total(total.quantities, 1)
        self._set_available(agent, available)
        self._dirty[agent_id] = None

    def remove_agent(self, agent_id: str) -> None:
        """See Allocator."""
        agent = self._agents.get(agent_id)
        if agent is None:
            return
        self.deactivate_agent(agent_id)
        self._set_available(agent, EMPTY)
        del self._agents[agent_id]
        self._claim_ends.cancel(agent_id)
        for claimed in self._claimed.values():
            claimed.discard(agent_id)
        self._kept_back.pop(agent_id, None)
        for client, scalars in list(agent.held.items()):
            self._hold(agent, client, dict(scalars), -1)
        self._tree.change_total(agent.total.quantities, -1)
        self._refusals.forget_agent(agent_id)

    def deactivate_agent(self, agent_id: str) -> None:
        """See Allocator."""
        agent = self._agents.get(agent_id)
        if agent is not None and agent.active:
            self._count_free(agent.available, -1)
            agent.active = False
            self._dirty.pop(agent_id, None)

    def _hold(self, agent: _Agent, client: Client, scalars: Scalars, sign: int) -> None:
        """A client holds more of an agent, or less."""
        held = agent.held.get(client)
        if held is None and sign > 0:
            agent.held[client] = dict(scalars)
        else:
            held = agent.held.setdefault(client, {})
            for name, value in scalars.items():
                held[name] = held.get(name, 0) + sign * value
            if sign < 0 and not any(held.values()):
                del agent.held[client]
        framework = self._frameworks.get(client[0])
        if framework is not None:
            self._tree.hold(self._leaf(framework, client[1]), scalars, sign)

    def _set_available(self, agent: _Agent, resources: Resources) -> None:
        if agent.active and self._quotas:
            self._count_free(agent.available, -1)
            self._count_free(resources, 1)
        if agent.available.tagged or resources.tagged:
            # In this order no role is forgotten in between.
            self._count_reserved(resources, 1)
            self._count_reserved(agent.available, -1)
        agent.available = resources

    def _count_reserved(self, resources: Resources, sign: int) -> None:
        for tag, bag in resources.tagged.items():
            if tag.role and not tag.shared:
                self._tree.reserve(tag.role, bag.scalars, sign)

    def _count_free(self, resources: Resources, sign: int) -> None:
        """Only where there are quotas: nobody else asks."""
        if self._quotas:
            for name, value in resources.where(unreserved).quantities.items():
                self._free[name] = self._free.get(name, 0) + sign * value

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
        agent = self._agents.get(agent_id)
        if agent is None or not resources:
            return
        self._hold(agent, (framework_id, role), resources.quantities, -1)
        back = resources
        if agent.owed:
            back = resources.minus_what_is_there(agent.owed)
            agent.owed = agent.owed.minus_what_is_there(resources)
        self._set_available(agent, agent.refusals.interned(agent.available + back))
        if agent.active:
            self._dirty[agent_id] = None
        self._less_held = True
        framework = self._frameworks.get(framework_id)
        if refuse_s is not None and framework is not None and framework.wants(role):
            leaf = framework.leaves[role]
            self._refusals.add(leaf, agent_id, self._usable(agent, leaf), now_s, refuse_s)
            if agent.asked and agent.claim is None and not timed_out:
                self._make_claim(agent, leaf, now_s)

    def _make_claim(self, agent: _Agent, leaf: Node, now_s: float) -> None:
        claimed = self._claimed.setdefault(leaf.framework_id, set())
        if agent.agent_id not in claimed:
            claimed.add(agent.agent_id)
            agent.claim = leaf
            self._claim_ends.set(agent.agent_id, now_s + self._settings.claim_s)

    def _end_claim(self, agent: _Agent) -> None:
        agent.claim = None
        self._claim_ends.cancel(agent.agent_id)

    def _settle_claim(self, agent: _Agent, claim: Node) -> None:
        """A claim is of no use when nothing more can come, or its holder wants nothing now."""
        refused = agent.refusals.match(claim, self._usable(agent, claim))
        if not claim.wanting or (refused and not agent.asked):
            self._end_claim(agent)

    def answered(self, framework_id: str, agent_id: str) -> None:
        """See Allocator."""
        agent = self._agents.get(agent_id)
        if agent is not None:
            agent.asked.discard(framework_id)
            if agent.active and agent.available:
                self._dirty[agent_id] = None

    def keep_for(self, framework_id: str, role: str, agent_id: str, now_s: float) -> None:
        """See Allocator."""
        agent = self._agents.get(agent_id)
        framework = self._frameworks.get(framework_id)
        if agent is not None and agent.claim is None and framework is not None:
            agent.claim = framework.leaves[role]
            self._claim_ends.set(agent_id, now_s + self._settings.claim_s)

    def used(self, framework_id: str, agent_id: str) -> None:
        """See Allocator."""
        self._refusals.forget_streak(framework_id, agent_id)
        self._claimed.get(framework_id, set()).discard(agent_id)

    # Roles.

    def set_weight(self, role: str, weight: float) -> None:
        """See Allocator."""
        self._tree.set_weight(role, weight)

    def weight(self, role: str) -> float:
        """See Allocator."""
        return self._tree.weight(role)

    def set_quota(self, role: str, quota: Quota) -> None:
        """See Allocator."""
        self._quotas.set(role, quota)
        self._free = {}
        for agent in self._agents.values():
            if agent.active:
                self._count_free(agent.available, 1)
        # What was refused was cut to the limits, and to what had to stay free, as they were.
        for framework in self._frameworks.values():
            self._forget_refusals(framework, framework.leaves)
        self._look_at_all()

    def quota(self, role: str) -> Quota:
        """See Allocator."""
        return self._quotas.of(role)

    def quotas(self) -> Mapping[str, Quota]:
        """See Allocator."""
        return self._quotas.by_role

    def weights(self) -> Mapping[str, float]:
        """See Allocator."""
        return self._tree.weights

    def held(self, role: str) -> Scalars:
        """See Allocator."""
        node = self._tree.find(role)
        return {n: v for n, v in node.held.items() if v} if node is not None else {}

    def held_by(self, framework_id: str) -> Scalars:
        """See Allocator."""
        framework = self._frameworks.get(framework_id)
        held: dict[str, int] = {}
        for leaf in framework.leaves.values() if framework is not None else ():
            for name, value in leaf.held.items():
                held[name] = held.get(name, 0) + value
        return held

    def reserved(self, role: str) -> Scalars:
        """See Allocator."""
        node = self._tree.find(role)
        return {n: v for n, v in node.reserved.items() if v} if node is not None else {}

    def may_see(self, framework_id: str, role: str, agent_id: str, resources: Resources) -> bool:
        """See Allocator."""
        framework = self._frameworks.get(framework_id)
        agent = self._agents.get(agent_id)
        if framework is None or agent is None or not framework.wants(role):
            return False
        leaf = framework.leaves[role]
        return (
            self._unfit(agent, leaf) is None
            and resources.where(lambda tag: self._may_use(leaf, tag)) == resources
            and not agent.refusals.match(leaf, resources)
            and (not self._quotas or chop(resources, self._quotas.room(leaf)) == resources)
        )

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
        framework = self._frameworks.get(framework_id)
        if framework is not None and framework.wants(role) and agent_id in self._agents:
            self._refusals.add(framework.leaves[role], agent_id, resources, now_s, refuse_s)

    def transfer(self, agent_id: str, resources: Resources, giver: Client, taker: Client) -> None:
        """See Allocator."""
        agent = self._agents[agent_id]
        self._hold(agent, giver, resources.quantities, -1)
        self._hold(agent, taker, resources.quantities, 1)
        self._less_held = True

    def dominant_share(self, framework_id: str) -> float:
        """See Allocator."""
        held = self.held_by(framework_id)
        whole = self._tree.total
        return max((v / whole[n] for n, v in held.items() if v and whole.get(n)), default=0.0)

    def explain(self, framework_id: str, needs: Scalars = NOTHING) -> list[Standing]:
        """See Allocator."""
        framework = self._frameworks.get(framework_id)
        if framework is None:
            return []
        self._tree.refresh()
        self._quotas.refresh()
        return [self._standing(framework, role, needs) for role in framework.roles]

    def _standing(self, framework: _Framework, role: str, needs: Scalars) -> Standing:
        leaf = framework.leaves[role]
        assert leaf.parent is not None
        # Not the shares that nodes keep: an only child's is not reckoned, since it needs none.
        share = {other: self._share_of(other) for other in leaf.parent.children.values()}
        mine = (share[leaf], leaf.order)
        rivals = [(share[other], other.order) for other in share if other.wanting]
        withheld: dict[str, Withheld] = {}
        until_s: dict[str, float] = {}
        for agent in self._agents.values():
            if reason := self._why_not(agent, leaf, needs):
                withheld[agent.agent_id] = reason
            if reason == Withheld.REFUSED:
                until_s[agent.agent_id] = agent.refusals.ends_s(leaf)
        return Standing(
            role,
            role in framework.suppressed,
            share[leaf],
            sum(rival < mine for rival in rivals) + 1,
            len(rivals),
            withheld,
            until_s,
        )

    def _share_of(self, node: Node) -> float:
        return self._tree.dominant_share(node) / node.weight

    def _why_not(self, agent: _Agent, leaf: Node, needs: Scalars) -> Withheld | None:
        """By what is for good first: a filter that the framework set may be for what it was cut to,
        and it sets another as long as that is so."""

        def enough(bag: Resources) -> bool:
            there = bag.quantities
            will_do = all(there.get(name, 0) >= value for name, value in needs.items())
            return will_do and self._minimum.met(there)

        if not agent.active:
            return Withheld.DISCONNECTED
        if not enough(agent.available):
            return Withheld.UNANSWERED if leaf.framework_id in agent.asked else Withheld.IN_USE
        if reason := self._unfit(agent, leaf):
            return reason
        usable = self._usable(agent, leaf)
        if not enough(usable):
            return Withheld.RESERVED
        if self._quotas:
            if not enough(self._within_limits(leaf, usable)):
                return Withheld.LIMIT
            left = self._within_limits(leaf, usable, self._surplus())
            if not self._quotas.missing(leaf.role) and not enough(left):
                return Withheld.HEADROOM
        return _withheld(agent, leaf, usable)

    # Who may have what.

    def _unfit(self, agent: _Agent, leaf: Node) -> Withheld | None:
        """Why nothing of an agent is for a framework."""
        terms = self._frameworks[leaf.framework_id].terms
        wanted = terms.wants_agent.get(leaf.role)
        if wanted is not None and not wanted(agent.agent_id):
            return Withheld.CONSTRAINT
        if agent.has_gpus and self._settings.keep_gpu_agents and not terms.gpus:
            return Withheld.CAPABILITY
        return None

    def _may_use(self, leaf: Node, tag: Tag) -> bool:
        terms = self._frameworks[leaf.framework_id].terms
        return (
            tag.usable_by(leaf.role)
            and (terms.revocable or not tag.revocable)
            and (terms.shared or not tag.shared)
            and (terms.gpus or not tag.device)
        )

    def _usable(self, agent: _Agent, leaf: Node) -> Resources:
        """What of an agent a framework may be offered, by what sets it apart."""
        if not agent.available.tagged:
            return agent.available
        return agent.available.where(lambda tag: self._may_use(leaf, tag))

    def _within_limits(
        self, leaf: Node, usable: Resources, bounds: Scalars | None = None
    ) -> Resources:
        """Usable resources, cut to the limits of the roles and to `bounds`.

        What is reserved counts already for its role and those above.
        """
        if not usable.tagged:
            return chop(usable, _lower(bounds or {}, self._quotas.room(leaf)))
        out = chop(usable.where(unreserved), _lower(bounds or {}, self._quotas.room(leaf)))
        for role in {tag.role for tag in usable.tagged if tag.role}:
            mine = usable.where(lambda tag, role=role: tag.role == role)  # type: ignore[misc]
            out = out + chop(mine, self._quotas.room(leaf, below=role))
        return out + usable.where(lambda tag: tag.revocable and not tag.role)

    def _look_at_all(self) -> None:
        for agent_id, agent in self._agents.items():
            if agent.active and agent.available:
                self._dirty[agent_id] = None

    # Grants.

    def allocate(self, now_s: float) -> list[Grant]:
        """See Allocator."""
        for agent_id in self._refusals.due(now_s):
            if agent_id in self._agents:
                self._dirty[agent_id] = None
        for agent_id in self._claim_ends.due(now_s):
            self._agents[agent_id].claim = None
            self._dirty[agent_id] = None
        self._tree.refresh()
        self._quotas.refresh()
        if self._kept_back and self._less_held and self._may_share():
            self._dirty.update(self._kept_back)
            self._kept_back.clear()
        self._less_held = False
        dirty, self._dirty = self._dirty, {}
        met = self._minimum.met
        looked_at = [
            agent
            for agent in map(self._agents.__getitem__, dirty)
            if agent.active and met(agent.available.quantities)
        ]
        for agent in looked_at:
            if agent.claim is not None:
                self._settle_claim(agent, agent.claim)
        if self._quotas:
            return self._allocate_with_quota(looked_at)
        grants: list[Grant] = []
        tree = self._tree
        whole = self._settings.max_fraction >= 1
        for agent in looked_at:
            available = agent.available
            if available.tagged or not whole:
                grants += self._allocate_in_parts(agent)
                continue
            if agent.refusals.same and agent.refusals.by_everybody(available, tree.wanting):
                continue
            leaf = tree.first(tree.root, self._whole(agent))
            if leaf is not None:
                self._take(agent, leaf, available)
                grants.append(Grant(leaf.framework_id, leaf.role, agent.agent_id, available))
        return grants

    def _whole(self, agent: _Agent) -> Callable[[Node], Node | None]:
        """The leaf itself, if it may be granted all that is available."""
        if (
            not (agent.asked or agent.refusals.by_leaf or agent.has_gpus or self._particular)
            and agent.claim is None
        ):
            return _anybody

        available, has_refused = agent.available, agent.refusals.match

        def use(leaf: Node) -> Node | None:
            # Most of those who are passed over have refused it, so that is looked at first.
            if has_refused(leaf, available) or _withheld(agent, leaf, available):
                return None
            return None if self._unfit(agent, leaf) else leaf

        return use

    def _allocate_in_parts(self, agent: _Agent) -> list[Grant]:
        granted: dict[tuple[_Agent, Node], Resources] = {}
        self._share(agent, granted)
        return _as_grants(granted)

    def _take(self, agent: _Agent, leaf: Node, resources: Resources) -> None:
        """A leaf is granted some of what is available."""
        if resources is agent.available and not (self._quotas or resources.tagged):
            agent.available = EMPTY
        else:
            self._set_available(agent, agent.available - resources)
        agent.asked.add(leaf.framework_id)
        if agent.claim is leaf:
            self._end_claim(agent)
        self._hold(agent, (leaf.framework_id, leaf.role), resources.quantities, 1)

    def _allocate_with_quota(self, agents: Sequence[_Agent]) -> list[Grant]:
        """Guarantees first, then fair shares of what need not stay free for guarantees."""
        granted: dict[tuple[_Agent, Node], Resources] = {}
        lacking = Lacking(self._quotas)
        for agent in agents:
            self._guarantee(agent, lacking, granted)
        for agent in agents:
            if self._may_share() or agent.available.tagged:
                self._share(agent, granted)
            if agent.available:
                self._kept_back[agent.agent_id] = None
        return _as_grants(granted)

    def _may_share(self) -> bool:
        """Whether anything of any agent could go to anybody, guarantees aside."""
        return self._minimum.met_within(self._surplus()) and self._tree.anybody()

    def _surplus(self) -> dict[str, int]:
        """What need not stay free for guarantees."""
        headroom = self._quotas.headroom
        return {name: max(0, self._free.get(name, 0) - need) for name, need in headroom.items()}

    def _guarantee(
        self, agent: _Agent, lacking: Lacking, granted: dict[tuple[_Agent, Node], Resources]
    ) -> None:
        """Give of one agent to roles that lack something, in order of share.

        Of what a role has no guarantee for it gets what need not stay free.
        """
        passed_over: list[Node] = []
        while (node := lacking.next(agent.unreserved())) is not None:
            bounds = {
                **self._surplus(),
                **dict.fromkeys(self._quotas.of(node.role).guarantees, 0),
                **self._quotas.missing(node.role),
            }

            def cut(leaf: Node, bounds: Scalars = bounds) -> Resources:
                return self._cut(agent, leaf, bounds)

            if self._grant(agent, node, cut, granted):
                lacking.add(node)
            else:
                passed_over.append(node)
        for node in passed_over:
            lacking.add(node)

    def _share(self, agent: _Agent, granted: dict[tuple[_Agent, Node], Resources]) -> None:
        """Give of one agent in fair shares, as often as somebody can use a part."""

        def cut(leaf: Node) -> Resources:
            return self._cut(agent, leaf, self._surplus())

        while agent.available.tagged or self._minimum.met(
            chop(agent.available, self._surplus()).quantities
        ):
            if not self._grant(agent, self._tree.root, cut, granted):
                return

    def _cut(self, agent: _Agent, leaf: Node, bounds: Scalars) -> Resources:
        """What of an agent a leaf may be granted now."""
        usable = self._usable(agent, leaf)
        if self._settings.max_fraction < 1:
            usable = _fraction(usable, agent.total, self._settings.max_fraction)
        return self._within_limits(leaf, usable, bounds) if self._quotas else usable

    def _grant(
        self,
        agent: _Agent,
        below: Node,
        cut: Callable[[Node], Resources],
        granted: dict[tuple[_Agent, Node], Resources],
    ) -> bool:
        """Grant the first leaf that can use the agent what `cut` allows it."""
        claims = below is self._tree.root  # what is guaranteed comes before any claim

        def use(leaf: Node) -> tuple[Node, Resources] | None:
            again = (agent, leaf) in granted
            if (again and self._settings.max_fraction < 1) or self._unfit(agent, leaf):
                return None
            usable = self._usable(agent, leaf)
            if _withheld(agent, leaf, usable, again=again, claims=claims) is not None:
                return None
            resources = cut(leaf)
            return (leaf, resources) if self._minimum.met(resources.quantities) else None

        found = self._tree.first(below, use)
        if found is None:
            return False
        leaf, resources = found
        self._take(agent, leaf, resources)
        granted[agent, leaf] = granted.get((agent, leaf), EMPTY) + resources
        self._quotas.refresh()
        return True


def _withheld(
    agent: _Agent, leaf: Node, usable: Resources, *, again: bool = False, claims: bool = True
) -> Withheld | None:
    """Why a leaf may not be granted what it can use of an agent, quota aside.

    `again`: it is granted more of it in the same cycle.
    """
    if claims and agent.claim is not None and agent.claim is not leaf:
        return Withheld.CLAIMED
    if leaf.framework_id in agent.asked and not again:
        return Withheld.UNANSWERED
    if agent.refusals.match(leaf, usable):
        return Withheld.REFUSED
    return None


def _as_grants(granted: Mapping[tuple[_Agent, Node], Resources]) -> list[Grant]:
    return [
        Grant(leaf.framework_id, leaf.role, agent.agent_id, resources)
        for (agent, leaf), resources in granted.items()
    ]


def _fraction(usable: Resources, total: Resources, fraction: float) -> Resources:
    """At most a part of what an agent has of each scalar; what is reserved is not cut."""
    bounds = {name: int(value * fraction) for name, value in total.quantities.items()}
    return chop(usable.where(unreserved), bounds) + usable.where(lambda tag: not unreserved(tag))


def _anybody(leaf: Node) -> Node | None:
    return leaf


def _lower(one: Scalars, other: Scalars) -> dict[str, int]:
    """The lower of two bounds for each name."""
    out = dict(one)
    for name, value in other.items():
        out[name] = min(out.get(name, value), value)
    return out
