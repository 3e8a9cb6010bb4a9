"""A small durable table on SQLite, and what is written to it together.

Records are `(kind, key) → bytes`. SQLite runs in WAL mode with `synchronous=FULL`, so a commit that
returned has been fsynced. Changes that arrive while a commit runs are committed together next. What
need only outlive the process is not fsynced (`commit_unsynced`): see docs/durability.md.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from pymesos_core.directories import GIVE_ACCESS, MAKE_ROOM, disk_problem
from pymesos_core.exits import RoleError


class StoreError(RoleError):
    """The table cannot be opened, read or written: the message names the file and the way out.

    Of one that is `damaged` the way out is the role's: what a lost file costs, only that knows.
    """

    def __init__(self, message: str, *, damaged: bool = False) -> None:
        super().__init__(message)
        self.damaged = damaged


CHECKPOINT_PAGES = 1000  # of SQLite's log, which is then emptied, as is its default

_FULL = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})
_NOT_OURS = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM})
_IN_USE = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


def _failed(what: str, path: str, error: sqlite3.Error | OSError) -> StoreError:
    """The sentence for an error of the disk or of SQLite."""
    if isinstance(error, OSError):
        said = disk_problem(error) or error.strerror or str(error)
        return StoreError(f"cannot {what} {path}: {said}")
    # Extended codes say more in their upper bits; Python's own errors have none.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE) & 0xFF
    if code in _FULL:
        return StoreError(f"cannot {what} {path}: {error}. Is the disk full? Then {MAKE_ROOM}")
    if code in _NOT_OURS:
        return StoreError(f"cannot {what} {path}: {error}; {GIVE_ACCESS}")
    if code in _IN_USE:
        return StoreError(f"cannot {what} {path}: {error}; another process has it open")
    return StoreError(f"cannot {what} {path}: {error}", damaged=True)


class Change(NamedTuple):
    """Write one record, or delete it when `value` is None."""

    kind: str
    key: str
    value: bytes | None


Records = Mapping[tuple[str, str], bytes]


class StateStore(Protocol):
    """Where a role keeps its records: a file of its own, or ZooKeeper."""

    def load(self) -> Records:
        """Return all records. Blocks. Raises RoleError."""

    def commit(self, changes: list[Change]) -> None:
        """Write all changes durably, or none. Blocks. Raises RoleError."""

    @property
    def room_bytes(self) -> int | None:
        """How much more is taken, less than nothing if there is too much; None: without a limit."""


class Store:
    """The table in one file. Not safe for two processes at once; callers hold a lock file."""

    def __init__(self, path: Path | str) -> None:
        """Open or create. Raises StoreError when the file is no such table."""
        self.path = str(path)
        try:
            _make_private(Path(path))
            self._db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._synced = False
            self._sync(True)
            # What a process wrote that was killed as it synced is read, and then told to others.
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")
            self._db.execute("PRAGMA busy_timeout=5000")
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS record"
                " (kind TEXT, key TEXT, value BLOB, PRIMARY KEY (kind, key)) WITHOUT ROWID"
            )
            problem = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if problem != "ok":
                raise StoreError(f"{self.path} is damaged: {problem}", damaged=True)
            self._absolute = Path(path).absolute()
            self._file = _identity(self._absolute)
        except (sqlite3.Error, OSError) as error:
            raise _failed("open", self.path, error) from error

    def load(self) -> dict[tuple[str, str], bytes]:
        """All records. Raises StoreError."""
        try:
            rows = self._db.execute("SELECT kind, key, value FROM record").fetchall()
        except sqlite3.Error as error:
            raise _failed("read", self.path, error) from error
        for kind, key, value in rows:
            if not (isinstance(kind, str) and isinstance(key, str) and isinstance(value, bytes)):
                where = f"{str(kind)[:40]}/{str(key)[:300]}"
                message = f"{self.path} is damaged: its record {where!r} holds no bytes"
                raise StoreError(message, damaged=True)
        return {(kind, key): value for kind, key, value in rows}

    def commit(
        self, changes: Iterable[Change], check: Callable[[sqlite3.Cursor], None] | None = None
    ) -> None:
        """Apply all changes durably, or none. `check` may raise to refuse. Raises StoreError."""
        self._write(changes, check, synced=True)

    def commit_unsynced(self, changes: Iterable[Change]) -> None:
        """Apply all changes, or none, so that they outlive this process. Raises StoreError.

        A crash of the machine may take them back, the latest first, until the next `commit`: it
        syncs all that was written before it. It takes a moment, so it may be called in a loop.
        """
        self._write(changes, None, synced=False)

    def _sync(self, synced: bool) -> None:
        """Have commits wait for the disk from now on, or not. Raises sqlite3.Error."""
        if synced != self._synced:
            self._db.execute(f"PRAGMA synchronous={'FULL' if synced else 'NORMAL'}")
            # What is not synced waits for no disk, so the log is emptied by those that are.
            self._db.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES if synced else 0}")
            self._synced = synced

    def _write(
        self,
        changes: Iterable[Change],
        check: Callable[[sqlite3.Cursor], None] | None,
        *,
        synced: bool,
    ) -> None:
        """Raises StoreError."""
        self._check_there()
        cursor = self._db.cursor()
        try:
            self._sync(synced)
            cursor.execute("BEGIN IMMEDIATE")
            if check is not None:
                check(cursor)
            for kind, key, value in changes:
                _check_bytes(kind, key, value)
                if value is None:
                    cursor.execute("DELETE FROM record WHERE kind=? AND key=?", (kind, key))
                else:
                    cursor.execute(
                        "INSERT INTO record VALUES (?,?,?)"
                        " ON CONFLICT (kind, key) DO UPDATE SET value=excluded.value",
                        (kind, key, value),
                    )
            cursor.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                cursor.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise _failed("write", self.path, error) from error
            raise
        finally:
            cursor.close()

    def _check_there(self) -> None:
        """Raises StoreError: a file without a name can be written, and nobody would read it."""
        with contextlib.suppress(OSError):  # SQLite has it open, and says what is wrong
            if _identity(self._absolute) != self._file:
                raise StoreError(
                    f"cannot write {self.path}: it was removed, moved or replaced while it was in"
                    f" use, so nothing that is written would last. Start this process again: it"
                    f" goes on from what is there then"
                )

    @property
    def room_bytes(self) -> int | None:
        """None: what a disk holds is its owner's to say."""
        return None

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _check_bytes(kind: str, key: str, value: object) -> None:
    """Raises TypeError for what SQLite would take, and the next start would find damaged."""
    if value is not None and not isinstance(value, bytes):
        raise TypeError(f"the value of {kind}/{key} is a {type(value).__name__}, not bytes")


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from any other of its name; None where there is none. Raises OSError."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _make_private(path: Path) -> None:
    """Environments, with what is secret in them, are for its owner only. Raises OSError."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    for file in (path, *path.parent.glob(f"{path.name}-*")):  # its log and index, left by a crash
        if file.stat().st_uid == os.geteuid():
            file.chmod(0o600)


MAX_GROUP_BYTES = 768 * 1024  # what is written at once; ZooKeeper takes 1 MiB
RECORD_BYTES = 512  # about what a record takes beside its value


def weight_bytes(changes: Iterable[Change]) -> int:
    """About what it takes to write them."""
    return sum(len(change.value or b"") + RECORD_BYTES for change in changes)


@dataclass(frozen=True)
class _Request:
    token: int
    changes: tuple[Change, ...]
    synced: bool


class CommitQueue:
    """Requests to write, in the order asked: which are written together, and what each is told.

    A request is written whole or not at all. When a write fails, everything asked for behind it
    fails, too, unwritten: whoever asked counted on what came before. With `goes_on` a request is
    tried again once its asker has been told of every failure, and may count with them; without,
    nothing is written any more, for the state has to be read again. Requests that need not be
    synced are written with those that must: what is synced has all that was asked for before.
    """

    def __init__(self, *, goes_on: bool = False) -> None:
        self.failure: Exception | None = None  # nothing is written any more
        self._goes_on = goes_on
        self._waiting: deque[_Request] = deque()
        self._group: list[_Request] = []

    def submit(self, token: int, changes: tuple[Change, ...], *, synced: bool = True) -> None:
        """Ask for `changes` to be written, to outlive the machine's crash or the process alone."""
        self._waiting.append(_Request(token, changes, synced))

    def take(self) -> list[Change] | None:
        """What is to be written now, until `settle`; None when nothing waits."""
        assert not self._group, "one write at a time"
        size = 0
        while self._waiting:
            size += weight_bytes(self._waiting[0].changes)
            if self._group and size > MAX_GROUP_BYTES:
                break
            self._group.append(self._waiting.popleft())
        if not self._group:
            return None
        return [change for request in self._group for change in request.changes]

    @property
    def synced(self) -> bool:
        """Whether what `take` gave has to outlive a crash of the machine."""
        return any(request.synced for request in self._group)

    def settle(self, failure: Exception | None) -> Iterator[tuple[int, Exception | None]]:
        """Whom to tell what, one after the other, when the write is done or has failed.

        What is asked for while a failure is being told fails with it.
        """
        if failure is not None and not self._goes_on:
            self.failure = failure
        for request in self._group:
            yield request.token, failure
        self._group = []
        while failure is not None and self._waiting:
            yield self._waiting.popleft().token, failure
