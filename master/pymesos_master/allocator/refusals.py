"""What frameworks refused: filters, and the back-off of those that set none.

There may be as many as agents times frameworks, so each is small: an entry of its agent, one of its
framework, and one in a bucket of those that end within the same five milliseconds.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pymesos_core.reservations import unreserved
from pymesos_core.resources import EMPTY, Resources
from pymesos_master.allocator.minimum import Scalars
from pymesos_master.allocator.quotas import Quotas
from pymesos_master.allocator.tree import Node

BACKOFF_MIN_S = 0.005
BACKOFF_MAX_S = 1.0
BUCKETS_PER_S = 200


@dataclass(slots=True)
class AgentRefusals:
    """What leaves refused of one agent, and in which bucket each refusal ends.

    A refusal holds as long as the agent has no more than what was refused.
    """

    by_leaf: dict[Node, tuple[Resources, int]] = field(default_factory=dict)
    latest: Resources = EMPTY
    same: int = 0  # how many refused `latest`, the same object

    def by_everybody(self, available: Resources, wanting: int) -> bool:
        """Whether it is known at a glance that all who want offers have refused this."""
        return available is self.latest and self.same >= wanting

    def match(self, leaf: Node, available: Resources) -> bool:
        """Whether a leaf has refused as much."""
        refusal = self.by_leaf.get(leaf)
        return refusal is not None and (refusal[0] is available or refusal[0].contains(available))

    def matching(self, available: Resources) -> Callable[[Node], bool]:
        """Whether a leaf has refused as much, of many leaves."""
        find = self.by_leaf.get

        def matches(leaf: Node) -> bool:
            refusal = find(leaf)
            return refusal is not None and (
                refusal[0] is available or refusal[0].contains(available)
            )

        return matches

    def ends_s(self, leaf: Node) -> float:
        """When its refusal ends."""
        return self.by_leaf[leaf][1] / BUCKETS_PER_S

    def interned(self, available: Resources) -> Resources:
        """The object that was refused before, if it is the same."""
        return self.latest if available == self.latest else available

    def add(self, leaf: Node, resources: Resources, bucket: int) -> None:
        """A leaf refuses."""
        self.discard(leaf)
        if resources is not self.latest:
            self.latest = resources
            self.same = sum(refused is resources for refused, _ in self.by_leaf.values())
        self.by_leaf[leaf] = (resources, bucket)
        self.same += 1

    def discard(self, leaf: Node) -> None:
        """Forget what a leaf refused."""
        refusal = self.by_leaf.pop(leaf, None)
        if refusal is not None and refusal[0] is self.latest:
            self.same -= 1


class Refusals:
    """All of them, with their ends. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._agents: dict[str, AgentRefusals] = {}
        self._of_leaf: dict[Node, dict[str, None]] = {}
        self._buckets: dict[int, list[tuple[Node, str]]] = {}
        self._order: list[int] = []  # a heap of the buckets' numbers
        self._entries = 0  # in all buckets, those too whose refusal was forgotten
        self._streaks: dict[str, dict[str, int]] = {}  # framework → agent → declines in a row

    def of(self, agent_id: str) -> AgentRefusals:
        """The refusals of an agent."""
        found = self._agents.get(agent_id)
        if found is None:
            found = self._agents[agent_id] = AgentRefusals()
        return found

    def next_s(self) -> float | None:
        """When the next one ends, or would have ended if it is forgotten."""
        return self._order[0] / BUCKETS_PER_S if self._order else None

    def due(self, now_s: float) -> list[str]:
        """End those that are over; their agents."""
        out: list[str] = []
        while self._order and self._order[0] <= now_s * BUCKETS_PER_S:
            number = heapq.heappop(self._order)
            ending = self._buckets.pop(number)
            self._entries -= len(ending)
            for leaf, agent_id in ending:
                refusals = self._agents.get(agent_id)
                refusal = refusals.by_leaf.get(leaf) if refusals is not None else None
                if refusals is not None and refusal is not None and refusal[1] == number:
                    refusals.discard(leaf)
                    self._of_leaf[leaf].pop(agent_id, None)
                    out.append(agent_id)
        return out

    def add(
        self, leaf: Node, agent_id: str, resources: Resources, now_s: float, refuse_s: float
    ) -> None:
        """Set a filter; without one, back off: at once the first time, then 5 ms to 1 s."""
        if refuse_s <= 0:
            streaks = self._streaks.setdefault(leaf.framework_id, {})
            streak = streaks.get(agent_id, 0)
            streaks[agent_id] = streak + 1
            if streak == 0:
                return
            refuse_s = min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2 ** min(streak - 1, 16))
        bucket = math.ceil((now_s + refuse_s) * BUCKETS_PER_S)
        self.of(agent_id).add(leaf, resources, bucket)
        self._of_leaf.setdefault(leaf, {})[agent_id] = None
        self._end_in(bucket, leaf, agent_id)
        if self._entries > 1024 and self._entries > 2 * sum(map(len, self._of_leaf.values())):
            self._drop_forgotten()

    def _end_in(self, bucket: int, leaf: Node, agent_id: str) -> None:
        self._entries += 1
        ending = self._buckets.get(bucket)
        if ending is None:
            self._buckets[bucket] = [(leaf, agent_id)]
            heapq.heappush(self._order, bucket)
        else:
            ending.append((leaf, agent_id))

    def _drop_forgotten(self) -> None:
        self._buckets, self._order, self._entries = {}, [], 0
        for agent_id, refusals in self._agents.items():
            for leaf, (_, bucket) in refusals.by_leaf.items():
                self._end_in(bucket, leaf, agent_id)

    def forget_streak(self, framework_id: str, agent_id: str) -> None:
        """The framework used something of the agent."""
        self._streaks.get(framework_id, {}).pop(agent_id, None)

    def forget_leaf(self, leaf: Node) -> None:
        """Forget a leaf's refusals: it revived, is gone, or wants nothing."""
        for agent_id in self._of_leaf.pop(leaf, ()):
            self._agents[agent_id].discard(leaf)
        self._streaks.pop(leaf.framework_id, None)

    def forget(self, leaf: Node, agent_id: str) -> None:
        """Forget one refusal: the leaf is to see the agent again."""
        if self._of_leaf.get(leaf, {}).pop(agent_id, self) is not self:
            self._agents[agent_id].discard(leaf)

    def forget_agent(self, agent_id: str) -> None:
        """Forget the refusals of an agent that is gone."""
        found = self._agents.pop(agent_id, None)
        for leaf in found.by_leaf if found is not None else ():
            self._of_leaf[leaf].pop(agent_id, None)
        for streaks in self._streaks.values():
            streaks.pop(agent_id, None)


class CutRefusals:
    """Refusals of what a limit had cut: they end when the role has more room than it had then.

    A refusal is of all that is usable of the agent, and else would hold though more can be offered.
    """

    def __init__(self, quotas: Quotas) -> None:
        self._quotas = quotas
        self._room: dict[Node, dict[str, dict[str, int]]] = {}  # by agent: of what was cut
        self._least: dict[Node, dict[str, int]] = {}  # of all its agents

    def note(
        self, leaf: Node, agent_id: str, usable: Resources, granted_with: Scalars | None
    ) -> None:
        """A leaf has refused an agent, of which so much is usable.

        `granted_with` is the room there was when it was granted, if that is known: what others were
        granted in the same cycle, and refused at the same time, may have come back since.
        """
        room = self._quotas.room(leaf)
        if granted_with is not None:
            room = {name: min(left, granted_with.get(name, left)) for name, left in room.items()}
        whole = usable.where(unreserved).quantities
        if lacks := {name: left for name, left in room.items() if whole.get(name, 0) > left}:
            self._room.setdefault(leaf, {})[agent_id] = lacks
            least = self._least.setdefault(leaf, {})
            for name, value in lacks.items():
                least[name] = min(least.get(name, value), value)

    def has_more_room(self) -> bool:
        """Whether any role has more room by now."""
        return any(self._has_more(leaf, least) for leaf, least in self._least.items())

    def with_more_room(self) -> list[tuple[Node, str]]:
        """Take out those whose role has more room by now."""
        out: list[tuple[Node, str]] = []
        for leaf in [leaf for leaf, least in self._least.items() if self._has_more(leaf, least)]:
            by_agent = self._room.pop(leaf)
            del self._least[leaf]
            out += [(leaf, a) for a, lacked in by_agent.items() if self._has_more(leaf, lacked)]
            self._keep(leaf, {a: v for a, v in by_agent.items() if not self._has_more(leaf, v)})
        return out

    def _has_more(self, leaf: Node, lacked: Mapping[str, int]) -> bool:
        room = self._quotas.room(leaf)
        return any(room.get(name, value + 1) > value for name, value in lacked.items())

    def _keep(self, leaf: Node, by_agent: dict[str, dict[str, int]]) -> None:
        if by_agent:
            self._room[leaf] = by_agent
            least = self._least[leaf] = {}
            for lacked in by_agent.values():
                for name, value in lacked.items():
                    least[name] = min(least.get(name, value), value)

    def forget_leaf(self, leaf: Node) -> None:
        """Forget a leaf that has no refusals any more."""
        self._room.pop(leaf, None)
        self._least.pop(leaf, None)

    def forget_agent(self, agent_id: str) -> None:
        """Forget an agent that is gone."""
        for by_agent in self._room.values():
            by_agent.pop(agent_id, None)
