"""Claims: who is to see a part of an agent together with the rest.

One that refuses a part of an agent while others hold the rest has a claim: until they have
answered, at most for as long as an offer lasts, that part goes to nobody else. So whoever answers
sees all that is free of an agent, whatever others do. It has one claim to an agent until it uses
some of it.
"""

from __future__ import annotations

from collections.abc import Callable

from pymesos_master.allocator.checks import usable
from pymesos_master.allocator.state import AgentEntry, AllocatorState
from pymesos_master.allocator.tree import Node


class Claims:
    """All of them, with their ends."""

    def __init__(self, state: AllocatorState) -> None:
        self._state = state
        self._ends = state.claim_ends
        self._claimed: dict[str, set[str]] = {}  # framework → agents it has had a claim to

    def next_s(self) -> float | None:
        """When the next one ends."""
        return self._ends.next_s()

    def end_due(self, now_s: float) -> None:
        """End those that are over."""
        for agent_id in self._ends.due(now_s):
            agent = self._state.agents[agent_id]
            agent.claim = None
            self._state.dirty[agent_id] = None

    def make(self, agent: AgentEntry, leaf: Node, now_s: float) -> None:
        """A leaf has refused a part of it."""
        claimed = self._claimed.setdefault(leaf.framework_id, set())
        if agent.agent_id not in claimed:
            claimed.add(agent.agent_id)
            self.keep_for(agent, leaf, now_s)

    def keep_for(self, agent: AgentEntry, leaf: Node, now_s: float) -> None:
        """What comes free of it next is for this leaf."""
        agent.claim = leaf
        self._ends.set(agent.agent_id, now_s + self._state.settings.claim_s)

    def end(self, agent: AgentEntry) -> None:
        """Nobody has a claim to it."""
        agent.claim = None
        self._ends.cancel(agent.agent_id)

    def settle(self, agent: AgentEntry, claim: Node) -> None:
        """A claim is of no use when nothing more can come, or its holder wants nothing now."""
        refused = agent.refusals.match(claim, usable(self._state, claim, agent.available))
        if not claim.wanting or (refused and not agent.asked):
            self.end(agent)

    def forget_agent(self, agent_id: str) -> None:
        """Forget an agent that is gone."""
        self._ends.cancel(agent_id)
        for claimed in self._claimed.values():
            claimed.discard(agent_id)

    def forget_framework(self, framework_id: str) -> None:
        """Forget a framework that is gone: what it had a claim to is for others."""
        self._claimed.pop(framework_id, None)
        self._end_where(lambda claim: claim.framework_id == framework_id)

    def forget_leaf(self, leaf: Node) -> None:
        """A leaf wants nothing now: what it has a claim to is for others."""
        self._end_where(lambda claim: claim is leaf)

    def _end_where(self, is_meant: Callable[[Node], bool]) -> None:
        for agent in self._state.agents.values() if self._ends else ():
            if agent.claim is not None and is_meant(agent.claim):
                self.end(agent)
                self._state.look_at(agent)

    def used(self, framework_id: str, agent_id: str) -> None:
        """The framework used some of it, and may have a claim to it again."""
        self._claimed.get(framework_id, set()).discard(agent_id)
