"""The stage of a story: a small cluster, and the lines that it understands."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

from pymesos_master.commands import Commands
from pymesos_master.core.state import Agent
from pymesos_simulation.cluster import Cluster
from pymesos_simulation.masters import MasterNode
from pymesos_simulation.scripted import ScriptedFramework
from pymesos_simulation.world import Node, World

ELECTION_S = 2.0
EXPECT = re.compile(r"expect (?P<what>.+?)(?: (?P<how>within|for) (?P<seconds>\d+) s| now)")


class StoryError(Exception):
    """A story that cannot be read: the message says which line."""


Step = Callable[..., Any]
ACTIONS: list[tuple[re.Pattern[str], Step]] = []
CONDITIONS: list[tuple[re.Pattern[str], Step]] = []


def _into(table: list[tuple[re.Pattern[str], Step]], pattern: str) -> Callable[[Step], Step]:
    def add(step: Step) -> Step:
        table.append((re.compile(pattern), step))
        return step

    return add


def action(pattern: str) -> Callable[[Step], Step]:
    """What may happen; its groups are the arguments."""
    return _into(ACTIONS, pattern)


def condition(pattern: str) -> Callable[[Step], Step]:
    """What may be expected."""
    return _into(CONDITIONS, pattern)


class Stage:
    """A cluster on which a story happens, in calm weather."""

    def __init__(self, trace: Callable[[str], object] | None, seed: int) -> None:
        self.world = World(seed, trace)
        self.world.faulty = False
        self.cluster = Cluster(self.world)
        self.last_leader: MasterNode | None = None

    def act(self, line: str) -> None:
        """One step."""
        expected = EXPECT.fullmatch(line)
        if expected:
            self._expect(expected["what"], expected["how"], float(expected["seconds"] or 0))
        else:
            self._find(ACTIONS, line)()

    def _find(self, table: list[tuple[re.Pattern[str], Step]], text: str) -> Callable[[], Any]:
        for pattern, step in table:
            if found := pattern.fullmatch(text):
                return lambda: step(self, *found.groups())
        raise StoryError(f"nothing is known that reads like {text!r}")

    def _expect(self, what: str, how: str | None, seconds: float) -> None:
        holds = self._find(CONDITIONS, what)
        until_s = self.world.now_s + seconds
        if how == "for":
            broken = self.world.run(lambda: not holds(), until_s)
            assert not broken, f"not so any more: {self.cluster.what_is_missing()}"
        else:
            held = holds() or (how == "within" and self.world.run(holds, until_s))
            assert held, f"not so: {self.cluster.what_is_missing()}; {self._seen()}"

    def _seen(self) -> str:
        return "; ".join(f"{f.name} heard {f.states}, {f.errors}" for f in self.scripted())

    def start(self, *nodes: Node) -> None:
        """A moment after another, as people would."""
        for node in nodes:
            node.start()
            self.passes(0.01)

    def passes(self, seconds: float) -> None:
        """Let time pass."""
        self.world.run(lambda: False, self.world.now_s + seconds)

    def scripted(self) -> list[ScriptedFramework]:
        """The frameworks that a story moves."""
        return [f for f in self.cluster.others if isinstance(f, ScriptedFramework)]

    def by_name(self, name: str) -> ScriptedFramework:
        """One of them."""
        return {f.name: f for f in self.scripted()}[name]

    def leader(self) -> MasterNode:
        """Who leads, after an election if there is one; the assertion fails when nobody does."""

        def leads() -> bool:
            leader = self.cluster.coordinator.leader
            return leader is not None and leader.core is not None

        assert leads() or self.world.run(leads, self.world.now_s + ELECTION_S), "nobody leads"
        leader = self.cluster.coordinator.leader
        assert leader is not None
        return leader

    def agent(self, name: str) -> Agent | None:
        """As the leader sees it: the latest that registered from the machine."""
        leader = self.cluster.coordinator.leader
        if leader is None or leader.core is None:
            return None
        seen = [a for a in leader.core.state.agents.values() if a.info.address.hostname == name]
        return max(seen, key=lambda a: a.registered_at_s, default=None)

    def ask_operator(self, decide: Callable[[Commands], Awaitable[None]]) -> None:
        """What somebody types; answered without a problem."""
        answers: list[str | None] = []
        self.leader().ask(decide, answers.append)
        assert self.world.run(lambda: bool(answers), self.world.now_s + 10), "no answer"
        assert answers[0] is None, answers[0]

    def runs(self, task_id: str) -> bool:
        """Whether a container of the task runs somewhere."""
        return any(
            key[1] == task_id for agent in self.cluster.agents for key in agent.machine.live()
        )
