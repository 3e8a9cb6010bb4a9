"""What the allocator knows: agents, frameworks, and who holds what of which agent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pymesos_core.reservations import unreserved
from pymesos_core.resources import EMPTY, Resources, for_good
from pymesos_core.timers import Timers
from pymesos_master.allocator.interface import NOTHING, PLAIN_TERMS, Client, Settings, Terms
from pymesos_master.allocator.minimum import Minimum, Scalars
from pymesos_master.allocator.quotas import Quotas, uncharged
from pymesos_master.allocator.refusals import AgentRefusals, Refusals
from pymesos_master.allocator.tree import Node, Tree


@dataclass(slots=True)
class FrameworkEntry:
    """A framework: which offers it wants, and its leaves in the tree."""

    framework_id: str
    roles: tuple[str, ...]
    active: bool
    suppressed: frozenset[str]
    terms: Terms = PLAIN_TERMS
    leaves: dict[str, Node] = field(default_factory=dict)  # by role; of one left while it holds

    def wants(self, role: str) -> bool:
        """Whether it wants offers in a role."""
        return self.active and role in self.roles and role not in self.suppressed


@dataclass(slots=True, eq=False)
class AgentEntry:
    """An agent: what is available of it, who holds the rest, who was asked and who refused."""

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
    granted_with: dict[Client, Scalars] = field(default_factory=dict)  # the room of who was asked
    was_cut: bool = False  # less was granted of it than is usable: it comes first the next time
    uncharged: dict[Client, dict[str, int]] = field(default_factory=dict)  # of `held`, if any

    def hold(self, client: Client, resources: Resources, sign: int) -> Scalars:
        """A client holds more of it, or less; what of that counts against no quota."""
        scalars = resources.quantities
        if free := uncharged(resources):
            mine = self.uncharged.setdefault(client, {})
            for name, value in free.items():
                mine[name] = mine.get(name, 0) + sign * value
            if not any(mine.values()):
                del self.uncharged[client]
        held = self.held.get(client)
        if held is None and sign > 0:
            self.held[client] = dict(scalars)
            return free
        held = self.held.setdefault(client, {})
        for name, value in scalars.items():
            held[name] = held.get(name, 0) + sign * value
        if sign < 0 and not any(held.values()):
            del self.held[client]
        return free

    def unreserved(self) -> Scalars:
        """What is available to everybody, and for good."""
        return self.available.where(unreserved).quantities


class Present(NamedTuple):
    """Which of the things that some checks are about there are anywhere."""

    constraints: bool  # of frameworks that do not want offers of all agents
    gpus: bool
    cuts: bool
    claims: bool
    tags: bool


class AllocatorState:
    """Shared by the modules of the allocator, which change it by these methods."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.minimum = Minimum(settings.minimum)
        self.tree = Tree(self.minimum)
        self.quotas = Quotas(self.tree)
        self.refusals = Refusals()
        self.frameworks: dict[str, FrameworkEntry] = {}
        self.agents: dict[str, AgentEntry] = {}
        self.dirty: dict[str, None] = {}  # agents to look at, in the order they changed
        self.kept_back: dict[str, None] = {}  # of which a quota kept something back
        self.less_held = False  # since: a limit may be off, or headroom no longer needed
        self.free: dict[str, int] = {}  # scalars available on active agents to everybody
        self.particular = 0  # frameworks that do not want offers of all agents
        self.gpu_agents = 0  # agents that have GPUs
        self.claim_ends: Timers[str] = Timers()  # of each agent that there is a claim to

    @property
    def cuts(self) -> bool:
        """Whether anything but tags can make what is granted less than what is available."""
        return bool(self.quotas.by_role) or self.settings.max_fraction < 1

    def present(self, *, tags: bool) -> Present:
        """What there is now; `tags`: whether anything of the agents that are looked at has one."""
        return Present(
            self.particular > 0, self.gpu_agents > 0, self.cuts, bool(self.claim_ends), tags
        )

    def terms(self, leaf: Node) -> Terms:
        """What the framework of a leaf can use."""
        return self.frameworks[leaf.framework_id].terms

    def leaf(self, framework: FrameworkEntry, role: str) -> Node:
        """The leaf of a framework in a role."""
        leaf = framework.leaves.get(role)
        if leaf is None:
            leaf = framework.leaves[role] = self.tree.leaf(role, framework.framework_id)
        return leaf

    def forget_if_left(self, framework: FrameworkEntry, role: str) -> None:
        """Forget the leaf of a role that the framework is not in, once it holds nothing."""
        leaf = framework.leaves[role]
        if role not in framework.roles and not any(leaf.held.values()):
            del framework.leaves[role]
            self.tree.remove(leaf)

    def look_at(self, agent: AgentEntry) -> None:
        """Something changed about an agent."""
        if agent.active:
            self.dirty[agent.agent_id] = None

    def look_at_all(self) -> None:
        """Something changed about everybody."""
        for agent_id, agent in self.agents.items():
            if agent.active and agent.available:
                self.dirty[agent_id] = None

    def add_agent(self, agent_id: str, total: Resources, used: Mapping[Client, Resources]) -> None:
        """A new agent. Tasks that exceed a shrunken total leave nothing available."""
        agent = AgentEntry(agent_id, total, EMPTY, {}, self.refusals.of(agent_id))
        agent.has_gpus = "gpus" in total.quantities
        self.gpu_agents += agent.has_gpus
        self.agents[agent_id] = agent
        available = total
        for client, resources in used.items():
            agent.owed = agent.owed + resources.minus_what_is_there(available)
            available = available.minus_what_is_there(resources)
            self.hold(agent, client, resources, 1)
        self._change_total(total, 1)
        self.set_available(agent, available)
        self.dirty[agent_id] = None

    def set_revocable(self, agent: AgentEntry, there: Resources, used: Resources) -> None:
        """Another part of an agent is revocable than was."""
        self._change_total(agent.total, -1)
        agent.total = for_good(agent.total) + there
        self._change_total(agent.total, 1)
        agent.owed = for_good(agent.owed) + used.minus_what_is_there(there)
        self.set_available(agent, for_good(agent.available) + there.minus_what_is_there(used))
        self.look_at(agent)

    def remove_agent(self, agent: AgentEntry) -> None:
        """Forget an agent, with all that anybody holds of it."""
        self.deactivate_agent(agent)
        self.set_available(agent, EMPTY)
        del self.agents[agent.agent_id]
        self.gpu_agents -= agent.has_gpus
        self.kept_back.pop(agent.agent_id, None)
        for client, scalars in agent.held.items():
            self._hold_in_tree(client, scalars, -1, agent.uncharged.get(client, NOTHING))
        self._change_total(agent.total, -1)
        self.refusals.forget_agent(agent.agent_id)

    def _change_total(self, total: Resources, sign: int) -> None:
        self.tree.change_total(total.quantities, sign, uncharged(total))

    def deactivate_agent(self, agent: AgentEntry) -> None:
        """Nothing of it is free."""
        if agent.active:
            self._count_free(agent.available, -1)
            agent.active = False
            self.dirty.pop(agent.agent_id, None)

    def hold(self, agent: AgentEntry, client: Client, resources: Resources, sign: int) -> None:
        """A client holds more of an agent, or less."""
        free = agent.hold(client, resources, sign)
        self._hold_in_tree(client, resources.quantities, sign, free)

    def _hold_in_tree(self, client: Client, scalars: Scalars, sign: int, free: Scalars) -> None:
        framework = self.frameworks.get(client[0])
        if framework is not None:
            self.tree.hold(self.leaf(framework, client[1]), scalars, sign, free)
            if sign < 0:
                self.forget_if_left(framework, client[1])

    def hold_all(self, framework: FrameworkEntry, sign: int) -> None:
        """What agents say that a framework holds counts in the tree, or no longer does."""
        for agent in self.agents.values():
            for client, scalars in agent.held.items():
                if client[0] == framework.framework_id:
                    free = agent.uncharged.get(client, NOTHING)
                    self.tree.hold(self.leaf(framework, client[1]), scalars, sign, free)

    def set_available(self, agent: AgentEntry, resources: Resources) -> None:
        """Set how much of an agent is available now."""
        if self.quotas.by_role and agent.active:
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
                self.tree.reserve(tag.role, bag.scalars, sign)

    def count_free_anew(self) -> None:
        """There are quotas, or none any more."""
        self.free = {}
        for agent in self.agents.values():
            if agent.active:
                self._count_free(agent.available, 1)

    def _count_free(self, resources: Resources, sign: int) -> None:
        """Only where there are quotas: nobody else asks."""
        if self.quotas.by_role:
            for name, value in resources.where(unreserved).quantities.items():
                self.free[name] = self.free.get(name, 0) + sign * value

    def surplus(self) -> dict[str, int]:
        """What need not stay free for guarantees."""
        headroom = self.quotas.headroom
        return {name: max(0, self.free.get(name, 0) - need) for name, need in headroom.items()}
