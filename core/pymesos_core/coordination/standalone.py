"""Coordination without ZooKeeper: the one master leads at once; SQLite holds epoch and registry."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from pymesos_core.addresses import HostPort
from pymesos_core.coordination.interface import (
    CoordinationError,
    MasterInfo,
    RegistryError,
    StaleEpochError,
    Term,
    read_epoch,
)
from pymesos_core.directories import disk_problem
from pymesos_core.exits import RoleError
from pymesos_core.store import Change, Records, Store, StoreError
from pymesos_core.text import os_problem

EPOCH = ("epoch", "")


class LockedError(RoleError):
    """Another process holds the directory."""


def lock_directory(directory: Path, name: str = "lock") -> int:
    """Hold `directory` for this process; the lock ends with it. Raises LockedError, OSError.

    If it is not there it is made, for its owner only.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(directory / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise LockedError(
            f"{directory} is in use by another process; stop that one, or give another directory"
        ) from None
    return descriptor


class SqliteRegistry:
    """The registry of a standalone master; every write checks the epoch's row as it commits."""

    def __init__(self, store: Store, epoch: int) -> None:
        self._store = store
        self._epoch = epoch

    def load(self) -> Records:
        """All records but the epoch. Raises RegistryError."""
        try:
            records = self._store.load()
        except StoreError as error:
            raise RegistryError(str(error)) from error
        return {key: value for key, value in records.items() if key != EPOCH}

    def commit(self, changes: list[Change]) -> None:
        """Write all or none. Raises StaleEpochError or RegistryError."""
        try:
            self._store.commit(changes, self._check_epoch)
        except StoreError as error:
            raise RegistryError(str(error)) from error

    def _check_epoch(self, cursor: sqlite3.Cursor) -> None:
        row = cursor.execute("SELECT value FROM record WHERE kind=? AND key=?", EPOCH).fetchone()
        if row is None or row[0] != str(self._epoch).encode():
            raise StaleEpochError(
                f"the epoch is {repr(row[0][:40]) if row else 'missing'}, not {self._epoch}"
            )


def raise_epoch(store: Store, min_epoch: int = 0) -> int:
    """Raise the epoch's row by one, or to `min_epoch`, if nobody else did. Raises StoreError."""
    before = store.load().get(EPOCH)
    try:
        epoch = max(read_epoch(b"0" if before is None else before) + 1, min_epoch)
    except ValueError as error:
        message = f"{store.path} is damaged: its record epoch holds {error}"
        raise StoreError(message, damaged=True) from error

    def unchanged(cursor: sqlite3.Cursor) -> None:
        row = cursor.execute("SELECT value FROM record WHERE kind=? AND key=?", EPOCH).fetchone()
        if (row[0] if row else None) != before:
            raise StaleEpochError("another master raised the epoch at the same time")

    store.commit([Change(*EPOCH, str(epoch).encode())], unchanged)
    return epoch


def _unusable(error: StoreError) -> CoordinationError:
    if not error.damaged:
        return CoordinationError(str(error))
    return CoordinationError(
        f"{error}. The registry is never replaced silently: restore the file from a backup, or"
        f" move it away to start with an empty cluster"
    )


class StandaloneContender:
    """Leads at once and until it is closed."""

    def __init__(self, work_dir: Path, min_epoch: int = 0) -> None:
        """Open the registry under `work_dir`. Raises CoordinationError."""
        self._min_epoch = min_epoch
        try:
            self._lock = lock_directory(work_dir)
            self._store = Store(work_dir / "registry.sqlite")
        except LockedError as error:
            raise CoordinationError(f"cannot use the work directory: {error}") from error
        except OSError as error:
            why = disk_problem(error) or os_problem(error)
            raise CoordinationError(f"cannot use the work directory (--work-dir): {why}") from error
        except StoreError as error:
            raise _unusable(error) from error
        self._led = False

    async def lead(self) -> Term:
        """Raise the epoch and lead; a second call waits for ever, since nobody takes over."""
        if self._led:
            await asyncio.Event().wait()
        self._led = True
        try:
            epoch = await asyncio.to_thread(raise_epoch, self._store, self._min_epoch)
        except StoreError as error:
            raise _unusable(error) from error
        return Term(epoch, SqliteRegistry(self._store, epoch))

    async def resign(self, term: Term) -> None:
        """End the term; a standalone master then ends too."""
        term.end()

    async def close(self) -> None:
        """Close the registry."""
        self._store.close()
        os.close(self._lock)


class StandaloneDetector:
    """Knows the addresses it was given, and follows what a master says of its leader."""

    def __init__(self, addresses: Sequence[HostPort]) -> None:
        assert addresses
        self._addresses = list(addresses)
        self._next = 0
        self._leader = MasterInfo("", self._addresses[0])
        self._changed = asyncio.Condition()

    async def start(self, *, patient: bool = False) -> None:
        """Nothing to watch."""

    @property
    def leader(self) -> MasterInfo | None:
        """The address in use."""
        return self._leader

    @property
    def in_doubt(self) -> bool:
        """Never: there is nobody who would know better."""
        return False

    async def changed(self, seen: MasterInfo | None) -> MasterInfo | None:
        """Wait for a hint that changes the address."""
        while self._leader == seen:
            async with self._changed:
                await self._changed.wait()
        return self._leader

    async def masters(self) -> list[MasterInfo]:
        """See Detector."""
        return [self._leader]

    def hint(self, leader: HostPort | None) -> None:
        """Use `leader` next; None: the address in use was not reached, try the next one given."""
        if leader is None:
            self._next = (self._next + 1) % len(self._addresses)
            leader = self._addresses[self._next]
        self._leader = MasterInfo("", leader)

    async def close(self) -> None:
        """Nothing to close."""
