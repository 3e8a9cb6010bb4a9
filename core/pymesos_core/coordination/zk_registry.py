"""The registry in ZooKeeper: records as znodes, written in batches that check the epoch."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote, unquote

from kazoo.client import KazooClient
from kazoo.exceptions import (
    BadVersionError,
    ConnectionLoss,
    KazooException,
    NoNodeError,
    RolledBackError,
)
from kazoo.handlers.threading import KazooTimeoutError

from pymesos_core.coordination.interface import RegistryError, StaleEpochError
from pymesos_core.coordination.zk_client import in_words
from pymesos_core.store import MAX_GROUP_BYTES, Change, Records, weight_bytes

log = logging.getLogger(__name__)

MAX_RECORD_BYTES = 512 * 1024  # ZooKeeper's jute.maxbuffer is 1 MiB for a whole batch

Place = tuple[str, str]  # the kind and the key of a record


class ZkRecords:
    """Records as znodes, to be read."""

    def __init__(self, client: KazooClient, path: str) -> None:
        self._client = client
        self._root = f"{path}/registry"
        self._others: list[str] = []  # znodes of which was warned: others made them

    def places(self, wanted: Callable[[str], bool] = lambda kind: True) -> list[Place]:
        """Which records there are of the kinds that are wanted. Raises RegistryError."""
        try:
            # All requests at once, here and below: one after the other, ten thousand take seconds.
            listed = [
                (kind, self._client.get_children_async(f"{self._root}/{kind}"))
                for kind in self._client.get_children(self._root)
                if wanted(kind)
            ]
            found = [(kind, name) for kind, names in listed for name in names.get()]
        except (KazooException, KazooTimeoutError) as error:
            raise unread(error) from error
        others = [f"{kind}/{name}" for kind, name in found if _name_of(unquote(name)) != name]
        if others and others != self._others:
            log.warning(
                "%s/%s in ZooKeeper has no name that a record can have (one of %d): it is left"
                " alone; delete it if it is of nobody",
                *(self._root, others[0], len(others)),
            )
        self._others = others
        return [(kind, unquote(name)) for kind, name in found if _name_of(unquote(name)) == name]

    def read(self, places: Iterable[Place]) -> Records:
        """Return records; those that are gone are left out. Raises RegistryError."""
        nodes = {self._node(*place): place for place in places}
        return {nodes[node]: value for node, value in self._contents(nodes).items()}

    def forget(self) -> None:
        """Keep nothing of what was read, if anything was kept."""

    def _contents(
        self, nodes: Iterable[str], watch: Callable[[Any], None] | None = None
    ) -> dict[str, bytes]:
        """Return what is in znodes, without those that are gone. Raises RegistryError."""
        found: dict[str, bytes] = {}
        try:
            asked = [(node, self._client.get_async(node, watch)) for node in nodes]
            for node, answer in asked:
                with contextlib.suppress(NoNodeError):
                    found[node] = answer.get()[0]
        except (KazooException, KazooTimeoutError) as error:
            raise unread(error) from error
        return found

    def _node(self, kind: str, key: str) -> str:
        return f"{self._root}/{kind}/{_name_of(key)}"


def _name_of(key: str) -> str:
    """Return the name of the znode of a record's key."""
    return quote(key, safe="")


def unread(error: Exception) -> RegistryError:
    """Return what is raised where the registry cannot be read."""
    return RegistryError(f"the registry in ZooKeeper cannot be read: {in_words(error)}")


class ZkRegistry(ZkRecords):
    """Records as znodes. A deposed leader's write fails on the epoch's version."""

    def __init__(self, client: KazooClient, path: str, epoch_version: int) -> None:
        super().__init__(client, path)
        self._epoch_path = f"{path}/epoch"
        self._epoch_version = epoch_version
        self._reader: ZkRecords = self
        self._known: set[str] = set()
        self._asked: Any = None  # the answer that a write waits for
        self._given_up = False

    def read_through(self, reader: ZkRecords) -> None:
        """Have the records read by another, which may have some already."""
        self._reader = reader

    def load(self) -> Records:
        """All records. Raises RegistryError."""
        try:
            self._client.ensure_path(self._root)
        except (KazooException, KazooTimeoutError) as error:
            raise unread(error) from error
        places = self.places()
        records = self._reader.read(places)
        self._reader.forget()  # what is written from now on is this one's own
        if len(records) < len(places):
            raise RegistryError("the registry in ZooKeeper was written while it was read")
        self._known.update(self._node(*place) for place in records)
        return records

    def commit(self, changes: list[Change]) -> None:
        """Write in one batch what ZooKeeper takes in one. Raises StaleEpochError, RegistryError.

        A CommitQueue asks for more only for a single request that is larger, as when very many
        agents are forgotten; that one may be written in part.
        """
        latest = {(change.kind, change.key): change for change in changes}
        batch: list[Change] = []
        size = 0
        for change in latest.values():
            weight = weight_bytes([change])
            if weight > MAX_RECORD_BYTES:
                raise RegistryError(
                    f"the record {change.kind}/{change.key} has {weight} bytes;"
                    f" at most {MAX_RECORD_BYTES} are kept"
                )
            if batch and size + weight > MAX_GROUP_BYTES:
                self._write(batch)
                batch, size = [], 0
            batch.append(change)
            size += weight
        if batch or not latest:
            self._write(batch)

    def give_up(self) -> None:
        """Have the write that waits fail now, and all later ones.

        kazoo keeps what it is asked for while it reaches no server, however long that takes. A
        write that arrives after all is taken only if no epoch was raised since.
        """
        self._given_up = True
        if (asked := self._asked) is not None:
            asked.set_exception(ConnectionLoss())

    def _answer(self, asked: Any) -> Any:
        self._asked = asked
        try:
            if self._given_up:  # between the two
                raise ConnectionLoss
            return asked.get()
        finally:
            self._asked = None

    def _write(self, changes: list[Change]) -> None:
        if self._given_up:
            raise RegistryError("the registry in ZooKeeper is not written: leadership was given up")
        try:
            for kind in dict.fromkeys(c.kind for c in changes):
                if f"{self._root}/{kind}" not in self._known:
                    self._answer(self._client.ensure_path_async(f"{self._root}/{kind}"))
                    self._known.add(f"{self._root}/{kind}")
            transaction = self._client.transaction()
            transaction.check(self._epoch_path, self._epoch_version)
            after = set(self._known)
            for change in changes:
                node = self._node(change.kind, change.key)
                if change.value is None:
                    if node in after:
                        transaction.delete(node)
                        after.discard(node)
                elif node in after:
                    transaction.set_data(node, change.value)
                else:
                    transaction.create(node, change.value)
                    after.add(node)
            results = self._answer(transaction.commit_async())
        except (KazooException, KazooTimeoutError) as error:
            raise RegistryError(
                f"the registry in ZooKeeper cannot be written: {in_words(error)}"
            ) from error
        failures = [
            r for r in results if isinstance(r, Exception) and not isinstance(r, RolledBackError)
        ]
        if failures:
            if isinstance(results[0], BadVersionError | NoNodeError):
                raise StaleEpochError("another one has raised the epoch")
            raise RegistryError(
                f"the registry in ZooKeeper refused a write: {in_words(failures[0])}"
            )
        self._known = after
