"""Records that are kept until they are written, on a client whose server tells of writes."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from kazoo.exceptions import NoNodeError
from kazoo.handlers.threading import KazooTimeoutError

from pymesos_core.coordination import RegistryError
from pymesos_core.coordination.zk_registry import ZkRegistry
from pymesos_core.coordination.zk_watched import WatchedRecords

A, B = ("job", "a"), ("job", "b/c")
NODES = {A: "/p/registry/job/a", B: "/p/registry/job/b%2Fc"}
BROKEN = SimpleNamespace(path=None)


class Client:
    """What kazoo's client is asked; its thread calls back when the test or `_hear` says so."""

    def __init__(self) -> None:
        self.there = {NODES[A]: b"a1", NODES[B]: b"b1"}
        self.asked: list[str] = []
        self.before_answer: Callable[[], None] = lambda: None
        self.told: list[Callable[[], None]] = []
        self.lives = True
        self._watches: dict[str, Callable[[Any], None]] = {}
        self.handler: Any = self

    def get_async(self, node: str, watch: Callable[[Any], None]) -> Any:
        self.asked.append(node)
        value = self.there.get(node)
        if value is not None:
            self._watches[node] = watch

        def answer() -> tuple[bytes, None]:
            self.before_answer()
            if value is None:
                raise NoNodeError
            return value, None

        return SimpleNamespace(get=answer)

    def write(self, node: str, value: bytes | None) -> None:
        if value is None:
            del self.there[node]
        else:
            self.there[node] = value
        if (watch := self._watches.pop(node, None)) is not None:
            self.told.append(lambda: watch(SimpleNamespace(path=node)))

    def break_off(self) -> None:
        watches, self._watches = list(self._watches.values()), {}
        self.told += [lambda watch=watch: watch(BROKEN) for watch in watches]  # type: ignore[misc]

    def tell(self) -> None:
        told, self.told = self.told, []
        for tell in told:
            tell()

    # Of its handler.

    def async_result(self) -> Any:
        done: list[bool] = []

        def get(timeout: float) -> None:
            self.tell()
            if not done:
                raise KazooTimeoutError

        return SimpleNamespace(set=done.append, get=get)

    def dispatch_callback(self, callback: Any) -> None:
        if self.lives:
            self.told.append(lambda: callback.func(*callback.args))

    # Of the registry.

    def ensure_path(self, _path: str) -> None:
        pass

    def get_children(self, _path: str) -> list[str]:
        return ["job"]

    def get_children_async(self, folder: str) -> Any:
        names = [node.rpartition("/")[2] for node in self.there if node.startswith(folder)]
        return SimpleNamespace(get=lambda: names)


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def records(client: Client) -> WatchedRecords:
    return WatchedRecords(client, "/p")


def test_what_nobody_writes_is_read_once(client: Client, records: WatchedRecords) -> None:
    for _ in range(3):
        assert records.read([A, B]) == {A: b"a1", B: b"b1"}
    assert records.read([B]) == {B: b"b1"}
    assert client.asked == [NODES[A], NODES[B]]


def test_what_was_written_is_read_again(client: Client, records: WatchedRecords) -> None:
    records.read([A, B])
    for value in (b"b2", b"b3"):
        client.write(NODES[B], value)
        assert records.read([A, B]) == {A: b"a1", B: value}
    client.write(NODES[A], None)
    assert records.read([A, B]) == {B: b"b3"}
    client.write(NODES[A], b"a2")  # of what is not there nothing is told
    assert records.read([A]) == {A: b"a2"}
    assert client.asked == [NODES[each] for each in (A, B, B, B, A, A)]


def test_what_is_written_while_it_is_read_is_not_kept(
    client: Client, records: WatchedRecords
) -> None:
    def write() -> None:
        client.before_answer = lambda: None
        client.write(NODES[A], b"a2")
        client.tell()

    client.before_answer = write
    assert records.read([A]) == {A: b"a1"}
    assert records.read([A]) == {A: b"a2"}


def test_of_two_that_read_none_keeps_what_was_written_since(
    client: Client, records: WatchedRecords
) -> None:
    def write_and_read() -> None:
        client.before_answer = lambda: None
        client.write(NODES[A], b"a2")
        assert records.read([A]) == {A: b"a2"}
        records.forget()

    client.before_answer = write_and_read
    assert records.read([A]) == {A: b"a1"}
    assert records.read([A]) == {A: b"a2"}


def test_nothing_is_kept_over_a_broken_connection(client: Client, records: WatchedRecords) -> None:
    records.read([A, B])
    client.break_off()
    client.there[NODES[A]] = b"a2"  # nobody is told of that
    assert records.read([A, B]) == {A: b"a2", B: b"b1"}
    assert len(client.asked) == 4


def test_a_client_that_was_closed_does_not_tell(client: Client, records: WatchedRecords) -> None:
    client.lives = False
    with pytest.raises(RegistryError, match="cannot be read: it did not answer in time"):
        records.read([A])


def test_a_leader_reads_what_was_written_since(client: Client, records: WatchedRecords) -> None:
    registry = ZkRegistry(client, "/p", 0)
    registry.read_through(records)
    records.read([A, B])
    client.write(NODES[A], b"a2")
    assert registry.load() == {A: b"a2", B: b"b1"}
    assert client.asked == [NODES[each] for each in (A, B, A)]
    # What it writes itself it need not be told of.
    assert registry.load() == {A: b"a2", B: b"b1"}
    assert len(client.asked) == 5
