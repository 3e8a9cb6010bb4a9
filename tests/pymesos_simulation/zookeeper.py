"""ZooKeeper, cut at kazoo's client calls, so that `pymesos_core.coordination.zookeeper` runs on it.

The ensemble keeps what it has acknowledged; what fails is the way to it. It can be away for
everybody (then it ends no session, and starts counting anew when it is back) or for one process
(then its sessions end after their timeout, and another master is elected). A request that was sent
when the way broke may have arrived or not, and nobody is told which.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

from kazoo.client import KazooState
from kazoo.exceptions import (
    BadVersionError,
    ConnectionClosedError,
    ConnectionLoss,
    KazooException,
    NodeExistsError,
    NoNodeError,
    RolledBackError,
    RuntimeInconsistency,
    SessionExpiredError,
)

from pymesos_simulation.threads import wait
from pymesos_simulation.world import FSYNC_S, Node, World
from pymesos_simulation.znodes import Past, Tree, Znode

SESSION_S = 10.0
NOTICE_S = 4.0  # a client finds out that its server is silent after two thirds of a session at most
STOP_CHANCE = 0.01
STARVED_S = 1.0  # how long a thread may not run when its process goes on
LONGEST_LAG_S = 20.0  # of a server behind the others
LONGEST_DELAY_S = 0.2  # of a message; the ensemble is nearer than the rest of the cluster

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


@dataclass
class _Request:
    """One that is on its way."""

    operation: Operation
    answer: Callable[..., None]
    writes: bool
    arrived: bool = False
    over: bool = field(default=False)


class Client:
    """What stands for a KazooClient in one process."""

    def __init__(self, ensemble: Ensemble, node: Node) -> None:
        self.node = node
        self.state = KazooState.LOST
        self.client_state = "CLOSED"
        self.session = 0
        self.closed = False
        self.watches: dict[int, tuple[str, Watch]] = {}
        self.handler = Handler()
        self._ensemble = ensemble
        self._world = ensemble.world
        self._listeners: list[Callable[[str], object]] = []
        self._pending: list[_Request] = []
        self._queued: deque[_Request] = deque()  # until it is connected
        self._connection = 0  # counts up
        self._outlives = False  # what was sent on it arrives though its process has died
        self._arrives_s = 0.0  # the latest request
        self._heard_s = 0.0  # the latest answer
        self._noticing = 0
        self._is_new = True  # it has never been connected
        self.reads: Tree = ensemble  # as far as its server knows
        ensemble.clients.append(self)

    # Kazoo's calls, as far as they are used.

    @property
    def connected(self) -> bool:
        """See kazoo."""
        return bool(self.state == KazooState.CONNECTED)

    @property
    def client_id(self) -> tuple[int, bytes]:
        """See kazoo."""
        return self.session, b""

    def add_listener(self, listener: Callable[[str], object]) -> None:
        """See kazoo."""
        self._listeners.append(listener)

    def start_async(self) -> None:
        """See kazoo."""
        self.client_state = "CONNECTING"
        self.reconnect()

    def stop(self) -> None:
        """See kazoo."""
        if self.closed:
            return
        if self.connected:
            session = self.session
            self._call(lambda: self._ensemble.end_session(session), writes=True)
        self._close()

    def close(self) -> None:
        """See kazoo."""
        self._close()

    def _close(self) -> None:
        self.closed = True
        self.state = KazooState.LOST
        if self in self._ensemble.clients:
            self._ensemble.clients.remove(self)

    def ensure_path(self, path: str) -> bool:
        """See kazoo."""
        return bool(self.ensure_path_async(path).get())

    def ensure_path_async(self, path: str) -> Answer:
        """See kazoo."""
        return Answer(self, lambda: self._ensemble.ensure(path), writes=True)

    def get_children(self, path: str, watch: Watch | None = None) -> list[str]:
        """See kazoo."""

        def read() -> list[str]:
            out = self.reads.children(path)
            if watch is not None:
                self._ensemble.watch("children", path, self, watch)
            return out

        out: list[str] = self._call(read)
        return out

    def get_children_async(self, path: str) -> Answer:
        """See kazoo."""
        return Answer(self, lambda: self.reads.children(path))

    def get(self, path: str) -> tuple[bytes, Any]:
        """See kazoo."""
        out: tuple[bytes, Any] = self.get_async(path).get()
        return out

    def get_async(self, path: str, watch: Watch | None = None) -> Answer:
        """See kazoo."""

        def read() -> tuple[bytes, Any]:
            out = self.reads.get(path)
            if watch is not None:
                self._ensemble.watch("data", path, self, watch)
            return out

        return Answer(self, read)

    def exists(self, path: str, watch: Watch | None = None) -> Any:
        """See kazoo."""

        def read() -> Any:
            out = self.reads.exists(path)
            if watch is not None:
                self._ensemble.watch("data", path, self, watch)
            return out

        return self._call(read)

    def create(
        self,
        path: str,
        value: bytes = b"",
        acl: None = None,
        *,
        ephemeral: bool = False,
        sequence: bool = False,
    ) -> str:
        """See kazoo. Masters have no credentials here, so that no znode has rights of its own."""

        def make() -> str:
            owner = self.session if ephemeral else 0
            return self._ensemble.create(path, value, owner, sequence=sequence)

        return str(self._call(make, writes=True))

    def delete(self, path: str) -> bool:
        """See kazoo."""
        return bool(self._call(lambda: self._ensemble.delete(path), writes=True))

    def transaction(self) -> Transaction:
        """See kazoo."""
        return Transaction(self._ensemble, lambda run: Answer(self, run, writes=True))

    # Requests.

    def _call(self, operation: Operation, *, writes: bool = False) -> Any:
        return Answer(self, operation, writes=writes).get()

    def ask(self, operation: Operation, answer: Callable[..., None], *, writes: bool) -> None:
        """Send it, unless the process is stopped just now."""
        send = partial(self.send, operation, answer, writes=writes)
        if writes and self._stops_here():
            # When it goes on, its threads run in any order, and may find a new session.
            late_s = self._world.random.uniform(0.0, STARVED_S)
            self.node.soon(0.0, lambda: self.node.soon(late_s, send))
        else:
            send()

    def _stops_here(self) -> bool:
        """Now and then a process is stopped just when it was about to write."""
        world = self._world
        if not world.faulty or world.weather.pause_gap_s == float("inf"):
            return False
        if world.random.random() >= STOP_CHANCE:
            return False
        world.counts["stopped before a write"] += 1
        self.node.pause(world.random.uniform(1, 40))
        return True

    def send(self, operation: Operation, answer: Callable[..., None], *, writes: bool) -> None:
        """Have something done there, and be answered once."""
        if self.closed:
            answer(error=ConnectionClosedError("Connection has been closed"))
            return
        request = _Request(operation, answer, writes)
        if self.connected:
            self._send(request)
        else:
            self._queued.append(request)

    def _send(self, request: _Request) -> None:
        self._pending.append(request)
        connection, session = self._connection, self.session

        def arrive() -> None:
            if request.over or not self._ensemble.lives(session) or connection != self._connection:
                return
            if self._ensemble.reached_by(self.node):
                self._carry_out(request)
            else:  # until the connection is given up
                back_s = self._ensemble.back_at_s(self.node) - self._world.now_s
                self._world.at(back_s + self._delay_s(), arrive)

        slow_s = self._world.random.choice([0.0, 0.0, 1.0]) if self._world.faulty else 0.0
        fsync_s = FSYNC_S + slow_s if request.writes else 0.0
        self._arrives_s = max(self._arrives_s, self._world.now_s + self._delay_s() + fsync_s)
        send = self._world.at if self._outlives else self.node.soon
        send(self._arrives_s - self._world.now_s, arrive)

    def _delay_s(self) -> float:
        return min(self._world.delay_s(), self._world.random.uniform(0.0001, LONGEST_DELAY_S))

    def _carry_out(self, request: _Request) -> None:
        request.arrived = True
        result, error = None, None
        if request.writes:
            self.catch_up()
        try:
            result = request.operation()
        except KazooException as raised:
            error = raised

        def answered(_event: Any) -> None:
            if request in self._pending:
                self._pending.remove(request)
                request.answer(result, error)

        self.hear(answered)

    def hear(self, tell: Watch) -> None:
        """What the service says comes in order, and not on a connection that has gone."""
        connection = self._connection
        self._heard_s = max(self._heard_s, self._world.now_s + self._delay_s())

        def heard() -> None:
            if connection == self._connection and not self.closed and self.connected:
                tell(None)

        self.node.soon(self._heard_s - self._world.now_s, heard)

    def fire(self, number: int, _event: None = None, *, is_lost: bool = False) -> None:
        """A watch is told, once: of a write, or that it is lost."""
        path, watch = self.watches.pop(number, (None, None))
        if watch is not None:
            watch(SimpleNamespace(path=None if is_lost else path))

    def catch_up(self) -> None:
        """The server of a client knows what the others know."""
        if self.reads is not self._ensemble:
            self.reads = self._ensemble
            for number in list(self.watches):
                self.hear(partial(self.fire, number))

    # The connection.

    def notice_later(self, longest_s: float) -> None:
        """The service is silent: that is noticed after a while, if it is so then."""
        self._noticing += 1
        number, connection = self._noticing, self._connection

        def notice() -> None:
            there = self._ensemble.reached_by(self.node) and self._ensemble.lives(self.session)
            if self._noticing == number and self._connection == connection and not there:
                self._lose()

        self.node.soon(self._world.random.uniform(0, longest_s), notice)

    def _lose(self) -> None:
        """The connection is given up: of what was sent nobody knows what became."""
        if self.closed or self.state != KazooState.CONNECTED:
            return
        self._break(ConnectionLoss)
        self._tell(KazooState.SUSPENDED)
        self.reads = self._ensemble
        self._ensemble.forget_watches(self)
        # kazoo calls them all, those included of which it did not hear, and sets none again.
        for number in list(self.watches):
            self.node.soon(0.0, partial(self.fire, number, is_lost=True))
        self.reconnect()

    def _break(self, error: type[KazooException]) -> None:
        lost, self._pending = self._pending, []
        for request in lost:
            if request.writes:
                self._world.counts["unknown write"] += 1
            lives = self._ensemble.lives(self.session)
            if not request.arrived and lives and self._world.random.random() < 0.5:
                with contextlib.suppress(KazooException):
                    request.operation()  # it arrived, the answer did not
            request.over = True
            request.answer(error=error())
        self._connection += 1

    def reconnect(self) -> None:
        """As soon as the service is reached."""
        if self.closed or self.connected:
            return
        connection = self._connection

        def arrive() -> None:
            if self.closed or self.connected or connection != self._connection:
                return
            if self._ensemble.reached_by(self.node):
                self._connected()
            else:
                self.reconnect()

        wait_s = max(0.0, self._ensemble.back_at_s(self.node) - self._world.now_s)
        self.node.soon(wait_s + self._delay_s(), arrive)

    def _connected(self) -> None:
        ensemble = self._ensemble
        if self.session and not ensemble.lives(self.session):
            # It has ended meanwhile: what was asked for in it is not done.
            queued, self._queued = self._queued, deque()
            for request in queued:
                request.answer(error=SessionExpiredError())
            self.session = 0
            self._connection += 1
            self._tell(KazooState.LOST)
            self.reconnect()
            return
        self.session = self.session or ensemble.begin_session(self)
        if self._is_new and self._world.now_s < ensemble.lags_until_s and ensemble.past is not None:
            self.reads = past = ensemble.past
            late_s = ensemble.lags_until_s - self._world.now_s
            self._world.at(late_s, lambda: self.catch_up() if self.reads is past else None)
        self._is_new = False
        self._connection += 1
        self._outlives = self._world.random.random() < 0.5
        self.client_state = "CONNECTED"
        self._tell(KazooState.CONNECTED)
        while self._queued:
            self._send(self._queued.popleft())

    def _tell(self, state: str) -> None:
        if self.state != state:
            self._world.trace(f"{self.node.name}: its session {self.session} is {state}")
        self.state = state
        for listener in list(self._listeners):
            listener(state)


class Handler:
    """What calls back. Watches are told where their events arrive, so that none waits here."""

    def async_result(self) -> Any:
        """See kazoo."""
        return SimpleNamespace(set=lambda value: None, get=lambda timeout: None)

    def dispatch_callback(self, callback: Any) -> None:
        """See kazoo."""
        callback.func(*callback.args)


class Answer:
    """An asynchronous call of kazoo: sent at once, waited for later."""

    def __init__(self, client: Client, operation: Operation, *, writes: bool = False) -> None:
        self._outcome: tuple[Any, BaseException | None] | None = None
        self._tell: Callable[..., None] | None = None
        client.ask(operation, self._answered, writes=writes)

    def set_exception(self, error: BaseException) -> None:
        """See kazoo."""
        self._answered(error=error)

    def _answered(self, result: Any = None, error: BaseException | None = None) -> None:
        self._outcome = (result, error)
        if self._tell is not None:
            self._tell(result, error)

    def get(self) -> Any:
        """See kazoo."""

        def begin(answer: Callable[..., None]) -> None:
            if self._outcome is not None:
                answer(*self._outcome)
            else:
                self._tell = answer

        return wait("a request to ZooKeeper", begin)


class Transaction:
    """What stands for kazoo's TransactionRequest: each operation is tested before any is done."""

    def __init__(self, ensemble: Ensemble, ask: Callable[[Operation], Answer]) -> None:
        self._ensemble = ensemble
        self._ask = ask
        self._operations: list[tuple[str, Any, Any]] = []
        self._there: dict[str, bool] = {}  # what earlier operations make and delete

    def check(self, path: str, version: int) -> None:
        """See kazoo."""
        self.add("check", lambda: self._ensemble.check(path, version), lambda: True)

    def create(self, path: str, value: bytes = b"") -> None:
        """See kazoo."""

        def test() -> None:
            if self._exists(path):
                raise NodeExistsError(path)
            if not self._exists(path.rpartition("/")[0] or "/"):
                raise NoNodeError(path)
            self._there[path] = True

        self.add("create", test, lambda: self._ensemble.create(path, value))

    def set_data(self, path: str, value: bytes, version: int = -1) -> None:
        """See kazoo."""

        def test() -> None:
            if not self._exists(path):
                raise NoNodeError(path)
            if version != -1:
                self._ensemble.check(path, version)

        self.add("set", test, lambda: self._ensemble.set_data(path, value, -1))

    def delete(self, path: str) -> None:
        """See kazoo."""

        def test() -> None:
            if not self._exists(path):
                raise NoNodeError(path)
            self._there[path] = False

        self.add("delete", test, lambda: self._ensemble.delete(path))

    def _exists(self, path: str) -> bool:
        return self._there.get(path, self._ensemble.exists(path) is not None)

    def add(self, kind: str, test: Operation, do: Operation) -> None:
        """One more that is tested before any is done, whose `test` raises what is wrong."""
        self._operations.append((kind, test, do))

    def commit(self) -> list[Any]:
        """See kazoo."""
        out: list[Any] = self.commit_async().get()
        return out

    def commit_async(self) -> Answer:
        """See kazoo."""

        def run() -> list[Any]:
            self._there.clear()
            results = self._ensemble.transact(self._operations)
            if isinstance(results[0], BadVersionError):
                self._ensemble.world.counts["fenced write"] += 1
            return results

        return self._ask(run)
