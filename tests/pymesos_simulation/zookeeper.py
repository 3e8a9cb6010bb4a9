"""ZooKeeper, cut at kazoo's client calls, so that `pymesos_core.coordination.zookeeper` runs on it.

A request that was sent when the way to the ensemble broke may have arrived or not, and nobody is
told which.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
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
    SessionExpiredError,
)

from pymesos_simulation.ensemble import Ensemble, Operation, Watch
from pymesos_simulation.threads import wait
from pymesos_simulation.world import FSYNC_S, Node
from pymesos_simulation.znodes import Tree

STOP_CHANCE = 0.01
STARVED_S = 1.0  # how long a thread may not run when its process goes on
LONGEST_DELAY_S = 0.2  # of a message; the ensemble is nearer than the rest of the cluster


@dataclass
class _Request:
    """One that is on its way."""

    operation: Operation
    answer: Callable[..., None]
    writes: bool
    arrived: bool = False
    over: bool = field(default=False)


class Client:
    """What stands for a KazooClient in one process.

    It has more than 300 lines and is better whole, as the one that it stands for.
    """

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
