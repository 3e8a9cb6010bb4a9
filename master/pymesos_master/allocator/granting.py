"""A cycle of grants: what is available goes to the first in the tree whom no check blocks."""

from __future__ import annotations

from collections.abc import Sequence

from pymesos_core.resources import EMPTY, Resources
from pymesos_master.allocator.checks import NONE_GRANTED, Bind, Look, blocked, relevant
from pymesos_master.allocator.claims import Claims
from pymesos_master.allocator.interface import Grant
from pymesos_master.allocator.minimum import Scalars
from pymesos_master.allocator.quotas import Lacking, chop
from pymesos_master.allocator.state import AgentEntry, AllocatorState
from pymesos_master.allocator.tree import Node

Granted = dict[AgentEntry, dict[Node, Resources]]  # in one cycle


class Granting:
    """Grants of agents that are active and have something that is worth an offer."""

    def __init__(self, state: AllocatorState, claims: Claims) -> None:
        self._state = state
        self._claims = claims
        self._at_whole_agents = Look(state)

    def grant(self, agents: Sequence[AgentEntry]) -> list[Grant]:
        """Grant what these have."""
        state = self._state
        if state.quotas.by_role:
            return self._with_quota(agents)
        grants: list[Grant] = []
        tree, whole = state.tree, state.settings.max_fraction >= 1
        look, checks = self._at_whole_agents, relevant(state.present(tags=False))
        for agent in agents:
            available = agent.available
            if available.tagged or not whole:
                granted: Granted = {}
                self._share(agent, relevant(state.present(tags=True)), granted)
                grants += _as_grants(granted)
                continue
            if agent.refusals.same and agent.refusals.by_everybody(available, tree.wanting):
                continue
            leaf = tree.first(tree.root, blocked(look.at(agent, available), checks))
            if leaf is not None:
                self.take(agent, leaf, available)
                grants.append(Grant(leaf.framework_id, leaf.role, agent.agent_id, available))
        return grants

    def take(self, agent: AgentEntry, leaf: Node, resources: Resources) -> None:
        """A leaf is granted some of what is available."""
        state = self._state
        if resources is agent.available and not (resources.tagged or state.quotas.by_role):
            agent.available = EMPTY
        else:
            state.set_available(agent, agent.available - resources)
        agent.asked.add(leaf.framework_id)
        if agent.claim is leaf:
            self._claims.end(agent)
        free = agent.hold((leaf.framework_id, leaf.role), resources, 1)
        state.tree.hold(leaf, resources.quantities, 1, free)

    def _with_quota(self, agents: Sequence[AgentEntry]) -> list[Grant]:
        """Guarantees first, then fair shares of what need not stay free for guarantees.

        Whoever refuses the agents that come first, each time, would else never see more than the
        rest of the others (Mesos shuffles the agents for that).
        """
        state = self._state
        agents = sorted(agents, key=lambda agent: not agent.was_cut)
        granted: Granted = {}
        lacking = Lacking(state.quotas)
        checks = relevant(state.present(tags=True))
        for agent in agents:
            self._guarantee(agent, lacking, checks, granted)
        for agent in agents:
            if self.may_share() or agent.available.tagged:
                self._share(agent, checks, granted)
            if agent.available:
                state.kept_back[agent.agent_id] = None
        return _as_grants(granted)

    def may_share(self) -> bool:
        """Whether anything of any agent could go to anybody, guarantees aside."""
        state = self._state
        return state.minimum.met_within(state.surplus()) and state.tree.anybody()

    def _guarantee(
        self, agent: AgentEntry, lacking: Lacking, checks: Sequence[Bind], granted: Granted
    ) -> None:
        """Give of one agent to roles that lack something, in order of share.

        Of what a role has no guarantee for it gets what need not stay free.
        """
        passed_over: list[Node] = []
        while (node := lacking.next(agent.unreserved())) is not None:
            bounds = guaranteed(self._state, node.role)
            if self._grant(agent, node, bounds, checks, granted, first=True):
                lacking.add(node)
            else:
                passed_over.append(node)
        for node in passed_over:
            lacking.add(node)

    def _share(self, agent: AgentEntry, checks: Sequence[Bind], granted: Granted) -> None:
        """Give of one agent in fair shares, as often as somebody can use a part."""
        state = self._state
        while True:
            available, surplus = agent.available, state.surplus()
            if not (available.tagged or state.minimum.met(chop(available, surplus).quantities)):
                return
            if not self._grant(agent, state.tree.root, surplus, checks, granted):
                return

    def _grant(
        self,
        agent: AgentEntry,
        below: Node,
        bounds: Scalars,
        checks: Sequence[Bind],
        granted: Granted,
        *,
        first: bool = False,
    ) -> bool:
        """Grant the first leaf below a node that can use the agent its part."""
        already = granted.get(agent, NONE_GRANTED)
        look = Look(self._state, bounds, granted=already, first=first).at(agent, agent.available)
        leaf = self._state.tree.first(below, blocked(look, checks))
        if leaf is None:
            return False
        resources = look.part(leaf)
        if room := self._state.quotas.room(leaf):
            agent.granted_with[leaf.framework_id, leaf.role] = room
        agent.was_cut = resources is not look.usable(leaf) and resources != look.usable(leaf)
        self.take(agent, leaf, resources)
        parts = granted.setdefault(agent, {})
        parts[leaf] = parts.get(leaf, EMPTY) + resources
        self._state.quotas.refresh()
        return True


def guaranteed(state: AllocatorState, role: str) -> Scalars:
    """How much a role that lacks some of its guarantee may be granted for it."""
    return {
        **state.surplus(),
        **dict.fromkeys(state.quotas.of(role).guarantees, 0),
        **state.quotas.missing(role),
    }


def _as_grants(granted: Granted) -> list[Grant]:
    return [
        Grant(leaf.framework_id, leaf.role, agent.agent_id, resources)
        for agent, parts in granted.items()
        for leaf, resources in parts.items()
    ]
