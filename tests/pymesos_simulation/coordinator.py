"""ZooKeeper, as masters see it: sessions, an election, an epoch, a registry with fencing.

The ensemble keeps what it has acknowledged; what fails is the way to it. It can be away for
everybody (then it ends no session, and starts counting anew when it is back) or for one master
(then that session ends after its timeout, and another master is elected).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pymesos_core.store import Change
from pymesos_simulation.world import World

if TYPE_CHECKING:
    from pymesos_simulation.masters import MasterNode

SESSION_S = 10.0
NO_SESSION = 0
NOTICE_S = 4.0  # a client finds out that its server is silent after two thirds of a session at most


class Coordinator:
    """The service, and for each master whether it is reached."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.epoch = 0
        self.acts: dict[int, str] = {}  # epoch → the master that raised it
        self.registry: dict[tuple[str, str], bytes] = {}
        self._candidates: list[tuple[MasterNode, int]] = []  # with its session, the lowest first
        self._sessions = 0
        self._away_until_s: dict[str, float] = {}  # by the name of the master
        self.down_until_s = 0.0
        self.masters: list[MasterNode] = []

    @property
    def leader(self) -> MasterNode | None:
        """Whose znode is the lowest."""
        return self._candidates[0][0] if self._candidates else None

    def reached_by(self, node: MasterNode) -> bool:
        """Whether a master's requests arrive now."""
        return self.world.now_s >= self._back_at_s(node)

    def _back_at_s(self, node: MasterNode) -> float:
        return max(self.down_until_s, self._away_until_s.get(node.name, 0.0))

    def when_reached(self, node: MasterNode, action: Callable[[], None]) -> None:
        """A master's request: it waits until the service is reached, and dies with the session."""
        session = node.session

        def arrive() -> None:
            if node.session == session:
                action()

        wait_s = max(0.0, self._back_at_s(node) - self.world.now_s)
        node.soon(wait_s + self.world.delay_s(), arrive)

    def interrupt(self, nodes: Sequence[MasterNode], seconds: float, *, down: bool) -> None:
        """Take the service away from some masters, or, when it is down, from all clients."""
        until_s = self.world.now_s + seconds
        if down:
            self.down_until_s = max(self.down_until_s, until_s)
        for node in nodes:
            self._away_until_s[node.name] = max(self._away_until_s.get(node.name, 0.0), until_s)
            self._interrupt(node, seconds, down=down)
        self.world.trace(f"ZooKeeper is away for {seconds:.1f} s: {[n.name for n in nodes]}")

    def _interrupt(self, node: MasterNode, seconds: float, *, down: bool) -> None:
        session = node.session

        def notice() -> None:
            if node.session == session and not self.reached_by(node):
                node.on_suspended()

        def back() -> None:
            if self.reached_by(node):
                self._tell(node, session)

        def expire() -> None:
            if self.world.now_s >= self.down_until_s and not self.reached_by(node):
                self.expire(node)

        node.soon(self.world.random.uniform(0, NOTICE_S), notice)
        node.soon(seconds + self.world.delay_s(), back)
        if not down:
            self.world.at(SESSION_S, expire)

    def heal(self) -> None:
        """Everybody reaches it; who was suspended is told."""
        self.down_until_s = 0.0
        self._away_until_s.clear()
        for node in self.masters:
            if node.session != NO_SESSION:
                session = node.session
                node.soon(self.world.delay_s(), lambda n=node, s=session: self._tell(n, s))  # type: ignore[misc]

    def _tell(self, node: MasterNode, session: int) -> None:
        """What became of the session that a master has."""
        if node.session != session:
            return
        if (node, session) in self._candidates:
            node.on_resumed()
        else:
            node.on_session_lost()

    def join(self, node: MasterNode) -> None:
        """Contend in a new session, once the service is reached."""
        self._sessions += 1
        node.session = self._sessions

        def joined() -> None:
            self._candidates.append((node, node.session))
            self._elect()

        self.when_reached(node, joined)

    def resign(self, node: MasterNode) -> None:
        """Delete the znode of a master and contend anew, once the service is reached."""
        mine, node.session = (node, node.session), NO_SESSION

        def resigned() -> None:
            self._forget(mine)
            if node.session == NO_SESSION:
                self.join(node)

        wait_s = max(0.0, self._back_at_s(node) - self.world.now_s)
        node.soon(wait_s + self.world.delay_s(), resigned)

    def expire(self, node: MasterNode) -> None:
        """The session of a node ends; the node learns it when it next hears anything."""
        session = node.session
        if (node, session) not in self._candidates:
            return
        self.world.trace(f"the session of {node.name} expires")
        self._forget((node, session))

        def told() -> None:
            if node.session == session:
                node.on_session_lost()

        late_s = self.world.random.choice([15.0, 15.0, 60.0]) if self.world.faulty else 0.1
        wait_s = max(0.0, self._back_at_s(node) - self.world.now_s)
        node.soon(wait_s + self.world.random.uniform(0, late_s), told)

    def _forget(self, candidate: tuple[MasterNode, int]) -> None:
        if candidate in self._candidates:
            self._candidates.remove(candidate)
            self._elect()

    def node_died(self, node: MasterNode) -> None:
        """A dead client's session ends after its timeout."""
        for dead in [c for c in self._candidates if c[0] is node]:
            back_s = max(0.0, self.down_until_s - self.world.now_s)
            self.world.at(back_s + SESSION_S, lambda c=dead: self._forget(c))  # type: ignore[misc]

    def _elect(self) -> None:
        """Tell the lowest, unless its znode is of a session that its process no longer has."""
        if self._candidates:
            node, _ = self._candidates[0]
            self.when_reached(node, node.on_elected)

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
