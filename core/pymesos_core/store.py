"""A small durable table on SQLite, with group commit.

Records are `(kind, key) → bytes`. SQLite runs in WAL mode with `synchronous=FULL`, so a commit that
returned has been fsynced. Changes that arrive while a commit runs are committed together next.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path


class StoreError(Exception):
    """The table cannot be opened, read or written: the message names the file and the way out."""


@dataclass(frozen=True)
class Change:
    """Write one record, or delete it when `value` is None."""

    kind: str
    key: str
    value: bytes | None


Records = Mapping[tuple[str, str], bytes]


class Store:
    """The table in one file. Not safe for two processes at once; callers hold a lock file."""

    def __init__(self, path: Path | str) -> None:
        """Open or create. Raises StoreError when the file is no such table."""
        self.path = str(path)
        try:
            _make_private(Path(path))
            self._db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("PRAGMA busy_timeout=5000")
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS record"
                " (kind TEXT, key TEXT, value BLOB, PRIMARY KEY (kind, key)) WITHOUT ROWID"
            )
            problem = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if problem != "ok":
                raise StoreError(f"{self.path} is damaged: {problem}")
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"cannot open {self.path}: {error}") from error

    def load(self) -> dict[tuple[str, str], bytes]:
        """All records. Raises StoreError."""
        try:
            rows = self._db.execute("SELECT kind, key, value FROM record").fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"cannot read {self.path}: {error}") from error
        return {(kind, key): bytes(value) for kind, key, value in rows}

    def commit(
        self, changes: Iterable[Change], check: Callable[[sqlite3.Cursor], None] | None = None
    ) -> None:
        """Apply all changes durably, or none. `check` may raise to refuse. Raises StoreError."""
        cursor = self._db.cursor()
        try:
            cursor.execute("BEGIN IMMEDIATE")
            if check is not None:
                check(cursor)
            for change in changes:
                if change.value is None:
                    cursor.execute(
                        "DELETE FROM record WHERE kind=? AND key=?", (change.kind, change.key)
                    )
                else:
                    cursor.execute(
                        "INSERT INTO record VALUES (?,?,?)"
                        " ON CONFLICT (kind, key) DO UPDATE SET value=excluded.value",
                        (change.kind, change.key, change.value),
                    )
            cursor.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                cursor.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise StoreError(f"cannot write {self.path}: {error}") from error
            raise
        finally:
            cursor.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _make_private(path: Path) -> None:
    """Environments, with what is secret in them, are for its owner only. Raises OSError."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    for file in (path, *path.parent.glob(f"{path.name}-*")):  # its log and index, left by a crash
        if file.stat().st_uid == os.geteuid():
            file.chmod(0o600)


class GroupCommit:
    """Commits from an event loop, one at a time, in the order asked, many requests in one.

    `done(token, error)` is called in the loop, in the order of the requests.
    """

    def __init__(
        self,
        commit: Callable[[list[Change]], None],
        done: Callable[[int, Exception | None], None],
    ) -> None:
        self._commit = commit
        self._done = done
        self._waiting: list[tuple[int, tuple[Change, ...]]] = []
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="commit")

    def submit(self, token: int, changes: tuple[Change, ...]) -> None:
        """Ask for `changes` to be committed; `done` follows."""
        self._waiting.append((token, changes))
        self._idle.clear()
        self._wake.set()

    async def run(self) -> None:
        """Commit until cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._waiting:
                    batch, self._waiting = self._waiting, []
                    changes = [change for _, group in batch for change in group]
                    failure: Exception | None = None
                    try:
                        await loop.run_in_executor(self._thread, self._commit, changes)
                    except Exception as error:
                        failure = error
                    for token, _ in batch:
                        self._done(token, failure)
                self._idle.set()
        finally:
            self._thread.shutdown(wait=True)

    async def flushed(self) -> None:
        """Wait until nothing is asked for that is not committed."""
        await self._idle.wait()
