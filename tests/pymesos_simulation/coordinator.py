"""ZooKeeper, as masters see it: sessions, an election, an epoch, a registry with fencing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pymesos_core.store import Change
from pymesos_simulation.world import World

if TYPE_CHECKING:
    from pymesos_simulation.roles import MasterNode

SESSION_S = 10.0


class Coordinator:
    """One service that does not fail; its clients' sessions do."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.epoch = 0
        self.acts: dict[int, str] = {}  # epoch → the master that raised it
        self.registry: dict[tuple[str, str], bytes] = {}
        self._candidates: list[tuple[MasterNode, int]] = []  # with its session, the lowest first
        self._sessions = 0
        self.masters: list[MasterNode] = []

    @property
    def leader(self) -> MasterNode | None:
        """Whose znode is the lowest."""
        return self._candidates[0][0] if self._candidates else None

    def join(self, node: MasterNode) -> None:
        """Contend in a new session."""
        self._sessions += 1
        node.session = self._sessions
        self._candidates.append((node, node.session))
        self._elect()

    def expire(self, node: MasterNode) -> None:
        """The session of a node ends; the node learns it when it next hears anything."""
        session = node.session
        if (node, session) not in self._candidates:
            return
        self.world.trace(f"the session of {node.name} expires")
        self._candidates.remove((node, session))

        def told() -> None:
            if node.session == session:
                node.on_session_lost()

        late_s = 15 if self.world.faulty else 0.1
        node.soon(self.world.random.uniform(0, late_s), told)
        self._elect()

    def node_died(self, node: MasterNode) -> None:
        """A dead client's session ends after its timeout."""
        dead = (node, node.session)

        def end() -> None:
            if dead in self._candidates:
                self._candidates.remove(dead)
                self._elect()

        self.world.at(SESSION_S, end)

    def _elect(self) -> None:
        """Tell the lowest, unless its znode is of a session that its process no longer has."""
        if not self._candidates:
            return
        node, session = self._candidates[0]

        def told() -> None:
            if node.session == session:
                node.on_elected()

        node.soon(self.world.delay_s(), told)

    def raise_epoch(self, node: MasterNode) -> int | None:
        """By compare-and-set, together with a check that the node's znode is still the lowest."""
        if not self._candidates or self._candidates[0] != (node, node.session):
            return None
        self.epoch += 1
        assert self.epoch not in self.acts
        self.acts[self.epoch] = node.name
        return self.epoch

    def commit(self, epoch: int, changes: tuple[Change, ...], done: Callable[[bool], None]) -> None:
        """One atomic batch; refused when the epoch has been raised."""
        if epoch != self.epoch:
            self.world.counts["fenced write"] += 1
            done(False)
            return
        for change in changes:
            if change.value is None:
                self.registry.pop((change.kind, change.key), None)
            else:
                self.registry[change.kind, change.key] = change.value
        done(True)
