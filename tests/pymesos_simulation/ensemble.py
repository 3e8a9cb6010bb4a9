"""The servers of ZooKeeper keep what they have acknowledged; what fails is the way to them.

They can be away for everybody (then they end no session, and start counting anew when they are
back) or for one process (then its sessions end after their timeout, and another master is elected).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from kazoo.exceptions import (
    BadVersionError,
    KazooException,
    NodeExistsError,
    RolledBackError,
    RuntimeInconsistency,
)

from pymesos_simulation.world import Node, World
from pymesos_simulation.znodes import Past, Tree, Znode

if TYPE_CHECKING:
    from pymesos_simulation.zookeeper import Client


SESSION_S = 10.0
NOTICE_S = 4.0  # a client finds out that its server is silent after two thirds of a session at most
LONGEST_LAG_S = 20.0  # of a server behind the others
Watch = Callable[[Any], object]
Operation = Callable[[], Any]


class Ensemble(Tree):
    """The service: a tree, sessions, watches, and who reaches it."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.down_until_s = 0.0
        self.past: Past | None = None  # what a server knows that lags
        self.lags_until_s = 0.0
        self._away_until_s: dict[str, float] = {}  # by the name of the process
        self.clients: list[Client] = []
        self._sessions: dict[int, str] = {}  # those that have not ended → who has them
        self._numbers = itertools.count(1)
        self._watches: dict[tuple[str, str], dict[int, Client]] = {}
        self._watch_numbers = itertools.count()
        self.on_change: Callable[[str, bytes | None], None] = lambda path, data: None

    # Who reaches it.

    def reached_by(self, node: Node) -> bool:
        """Whether a process's requests arrive now."""
        return self.world.now_s >= self.back_at_s(node)

    def back_at_s(self, node: Node) -> float:
        """When they will, if nothing else happens."""
        return max(self.down_until_s, self._away_until_s.get(node.name, 0.0))

    def of(self, nodes: Iterable[Node]) -> list[Client]:
        """The clients of some processes."""
        names = [node.name for node in nodes]
        return [client for client in self.clients if client.node.name in names]

    def interrupt(self, nodes: Sequence[Node], seconds: float, *, down: bool) -> None:
        """Take the service away from some processes, or, when it is down, from all of them."""
        until_s = self.world.now_s + seconds
        if down:
            self.down_until_s = max(self.down_until_s, until_s)
        for node in nodes:
            self._away_until_s[node.name] = max(self._away_until_s.get(node.name, 0.0), until_s)
        for client in self.clients if down else self.of(nodes):
            client.notice_later(NOTICE_S)
            if not down:
                self._expire_later(client, SESSION_S)
        self.world.trace(f"ZooKeeper is away for {seconds:.1f} s: {[n.name for n in nodes]}")

    def heal(self) -> None:
        """Everybody reaches it."""
        self.down_until_s = 0.0
        self._away_until_s.clear()
        self.lags_until_s = 0.0
        for client in self.clients:
            client.catch_up()
            client.reconnect()

    # Sessions.

    def stopped(self, node: Node, seconds: float) -> None:
        """A process is stopped: its sessions end if that takes too long."""
        if seconds > SESSION_S:
            for client in self.of([node]):
                self._expire_later(client, SESSION_S)

    def died(self, node: Node) -> None:
        """The sessions of a dead process end after their timeout."""
        for client in self.of([node]):
            self.clients.remove(client)
            self.forget_watches(client)
            client.closed = True
            session = client.session
            back_s = max(0.0, self.down_until_s - self.world.now_s)
            self.world.at(back_s + SESSION_S, lambda s=session: self.end_session(s))  # type: ignore[misc]

    def _expire_later(self, client: Client, seconds: float) -> None:
        session = client.session

        def expire() -> None:
            silent = not self.reached_by(client.node) or client.node.stopped
            if client.session == session and silent and self.world.now_s >= self.down_until_s:
                self.end_session(session)
                client.notice_later(NOTICE_S)

        self.world.at(seconds, expire)

    def expire(self, node: Node) -> None:
        """The sessions of a process end; it learns it when it next hears anything."""
        for client in self.of([node]):
            self.end_session(client.session)
            late_s = self.world.random.choice([15.0, 15.0, 60.0]) if self.world.faulty else 0.1
            client.notice_later(late_s)

    def begin_session(self, client: Client) -> int:
        """A new one."""
        session = next(self._numbers)
        self._sessions[session] = client.node.name
        return session

    def lives(self, session: int) -> bool:
        """Whether a session has not ended."""
        return session in self._sessions

    def end_session(self, session: int) -> None:
        """A session ends, and its ephemeral nodes go."""
        name = self._sessions.pop(session, None)
        if name is None:
            return
        mine = [path for path, znode in self._tree.items() if znode.owner == session]
        if mine:
            self.world.trace(f"the session of {name} ends")
            self._lag()
        for path in mine:
            self.delete(path)

    def _lag(self) -> None:
        """One of the servers does not hear of what is changed from now on, for a while."""
        world = self.world
        lags = world.now_s < self.lags_until_s
        if not (world.faulty and world.weather.local_sessions) or lags:
            return
        seconds = world.aside.uniform(5, LONGEST_LAG_S)
        world.counts["ZooKeeper lags"] += 1
        world.trace(f"a server of ZooKeeper lags behind for {seconds:.1f} s")
        self.past, self.lags_until_s = Past(self), world.now_s + seconds

    # The tree.

    def create(self, path: str, data: bytes, owner: int = 0, *, sequence: bool = False) -> str:
        """The path made. Raises NodeExistsError, NoNodeError."""
        parent, _, name = path.rpartition("/")
        parent = parent or "/"
        above = self._find(parent)
        if sequence:
            name = f"{name}{above.made:010}"
            path = f"{parent}/{name}"
            above.made += 1
        if path in self._tree:
            raise NodeExistsError(path)
        self._tree[path] = Znode(data, owner=owner)
        self._children[path] = {}
        self._children[parent][name] = None
        self._changed(path, parent, data)
        return path

    def ensure(self, path: str) -> bool:
        """Make what is missing of it."""
        made = ""
        for name in path.strip("/").split("/"):
            made += f"/{name}"
            if made not in self._tree:
                self.create(made, b"")
        return True

    def set_data(self, path: str, data: bytes, version: int) -> Any:
        """Raises NoNodeError, BadVersionError."""
        self.check(path, version)
        znode = self._find(path)
        znode.data = data
        znode.version += 1
        self._changed(path, None, data)
        return self.exists(path)

    def check(self, path: str, version: int) -> bool:
        """Raises NoNodeError, BadVersionError."""
        if version not in (-1, self._find(path).version):
            raise BadVersionError(path)
        return True

    def delete(self, path: str) -> bool:
        """Raises NoNodeError."""
        self._find(path)
        parent, _, name = path.rpartition("/")
        del self._tree[path], self._children[path]
        del self._children[parent or "/"][name]
        self._changed(path, parent or "/", None)
        return True

    def transact(self, operations: Sequence[tuple[str, Operation, Operation]]) -> list[Any]:
        """All or none: what each gave, or why it was not done."""
        for index, (_, test, _do) in enumerate(operations):
            try:
                test()
            except KazooException as error:
                later = [RuntimeInconsistency() for _ in operations[index + 1 :]]
                return [*(RolledBackError() for _ in range(index)), error, *later]
        return [do() for _, _, do in operations]

    # Watches.

    def watch(self, kind: str, path: str, client: Client, watch: Watch) -> None:
        """Tell it once, when the `children` or the `data` of a path change."""
        number = next(self._watch_numbers)
        client.watches[number] = path, watch
        if client.reads is self:
            self._watches.setdefault((kind, path), {})[number] = client

    def forget_watches(self, client: Client) -> None:
        """The watches of a client go with its connection."""
        for watches in self._watches.values():
            for number in [n for n, whose in watches.items() if whose is client]:
                del watches[number]

    def _changed(self, path: str, parent: str | None, data: bytes | None) -> None:
        self.on_change(path, data)
        keys = [("data", path)] + ([("children", parent)] if parent is not None else [])
        for key in keys:
            for number, client in self._watches.pop(key, {}).items():
                client.hear(partial(client.fire, number))

    # What the simulation wants to know.

    def records(self, root: str) -> dict[tuple[str, str], bytes]:
        """Everything two levels below a path, by the names of both."""
        return {
            (kind, key): self._tree[f"{root}/{kind}/{key}"].data
            for kind in self._children.get(root, {})
            for key in self._children[f"{root}/{kind}"]
        }

    def data_of(self, path: str) -> bytes | None:
        """What is there, if anything is."""
        return self._tree[path].data if path in self._tree else None

    def lowest(self, path: str, prefix: str) -> Znode | None:
        """The lowest of the sequential nodes of that name."""
        names = sorted(name for name in self._children.get(path, {}) if name.startswith(prefix))
        return self._tree[f"{path}/{names[0]}"] if names else None
