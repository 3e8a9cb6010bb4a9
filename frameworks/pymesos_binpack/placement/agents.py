"""The agents that were seen, and where instances run: what is asked of all of them, kept ready.

There may be ten thousand agents, and every offer asks; so answers are kept until one comes or goes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pymesos_binpack.placement.tasks import Refusal
from pymesos_core.resources import Resources

Attributes = Mapping[str, str]


@dataclass(frozen=True)
class OfferedAgent:
    """An agent as its offers showed it. `attributes` has the host name under "hostname"."""

    agent_id: str
    attributes: Attributes
    total: Resources
    runtimes: tuple[str, ...] = ()
    knows_secrets: bool = True
    knows_signals: bool = True
    knows_config: bool = True
    knows_addresses: bool = True
    knows_secret_addresses: bool = True
    ip: str = ""  # where ports of its tasks are reached

    @property
    def hostname(self) -> str:
        """For people."""
        return self.attributes.get("hostname", self.agent_id)


class KnownAgents:
    """The agents, by their ids."""

    def __init__(self, agents: Iterable[OfferedAgent] = ()) -> None:
        self._agents: dict[str, OfferedAgent] = {}
        self._largest: dict[str, int] | None = None
        self._values: dict[str, frozenset[str]] = {}
        self.refusals: dict[object, Refusal | None] = {}  # by what was asked; see `reasons`
        self.lost: set[str] = set()  # agents that were heard to be unreachable, and not seen since
        self.news: set[str] = set()  # that came, changed or went since somebody looked
        for agent in agents:
            self.see(agent)

    def see(self, agent: OfferedAgent) -> bool:
        """One was offered; whether it is another than it was."""
        self.lost.discard(agent.agent_id)
        before = self._agents.get(agent.agent_id)
        if before != agent:
            self.news.add(agent.agent_id)
            self._agents[agent.agent_id] = agent
            self._forget_answers()
        return before is not None and before.attributes != agent.attributes

    def clear(self) -> None:
        """Forget all of them."""
        self.news.update(self._agents)
        self._agents.clear()
        self.lost.clear()
        self._forget_answers()

    def lose(self, agent_id: str) -> None:
        """One is gone, or cannot be reached."""
        self.lost.add(agent_id)
        if self._agents.pop(agent_id, None) is not None:
            self.news.add(agent_id)
            self._forget_answers()

    def _forget_answers(self) -> None:
        self._largest = None
        self._values.clear()
        self.refusals.clear()

    def __len__(self) -> int:
        return len(self._agents)

    def __iter__(self) -> Iterator[OfferedAgent]:
        return iter(self._agents.values())

    def get(self, agent_id: str) -> OfferedAgent | None:
        """The agent, if it was seen and is not lost."""
        return self._agents.get(agent_id)

    def largest(self) -> Mapping[str, int]:
        """The most that any has of each resource."""
        if self._largest is None:
            self._largest = {}
            for agent in self:
                for name, value in agent.total.quantities.items():
                    self._largest[name] = max(self._largest.get(name, 0), value)
        return self._largest

    def values(self, field: str) -> frozenset[str]:
        """All that an attribute is anywhere."""
        if field not in self._values:
            found = (agent.attributes.get(field) for agent in self)
            self._values[field] = frozenset(value for value in found if value is not None)
        return self._values[field]


class Placements:
    """The agents of the instances of each group, one for each instance."""

    def __init__(self, agents: Mapping[str, Sequence[Attributes]] | None = None) -> None:
        self._agents = {group: list(where) for group, where in (agents or {}).items()}
        self._counts: dict[tuple[str, str], Counter[str | None]] = {}

    def copy(self) -> Placements:
        """One that can be changed by itself."""
        return Placements(self._agents)

    def add(self, group: str, agent: Attributes) -> None:
        """One more instance."""
        self._agents.setdefault(group, []).append(agent)
        for (of, field), counts in self._counts.items():
            if of == group:
                counts[agent.get(field)] += 1

    def undo(self, group: str) -> None:
        """The one that was added last is not there."""
        agent = self._agents[group].pop()
        for (of, field), counts in self._counts.items():
            if of == group:
                counts[agent.get(field)] -= 1

    def counts(self, group: str, field: str) -> Counter[str | None]:
        """How many run on agents with each value of an attribute."""
        key = (group, field)
        if key not in self._counts:
            self._counts[key] = Counter(agent.get(field) for agent in self._agents.get(group, ()))
        return self._counts[key]
