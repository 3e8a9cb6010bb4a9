"""The files of an audit: `audit-00000001.jsonl` and so on, of which the last is written.

All calls here block, so they are made in a thread. No file is written by two processes: each holds
a lock on its own. The oldest go when all together take more than they may.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pymesos_core.security.audit import Wanted

FILES = 8  # that are kept, if they are full
ROOM_BYTES = 1024 * 1024  # that have to be free, so that what is done can be written then
PAGE_BYTES = 256 * 1024  # of lines in an answer
SEARCHED_BYTES = 8 * 1024 * 1024  # that are read for one
_NAME = re.compile(r"audit-([0-9]{8})\.jsonl")


class AuditSink(Protocol):
    """Where lines go. What fails raises OSError."""

    def make_room(self) -> None:
        """See that what is done next can be written."""

    def append(self, lines: list[bytes], *, sync: bool) -> None:
        """Write lines; with `sync` they are on the disk then, with all before them."""

    def close(self) -> None:
        """Nothing more is written."""


class CursorError(ValueError):
    """This is no place in an audit: the message says what is one."""


@dataclass(frozen=True, slots=True)
class LinesPage:
    """Some lines, and the cursor to go on from; none: there are no more now."""

    lines: list[str]
    cursor: str


class AuditFiles:
    """The files in one folder, which is for its owner only."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        """`max_bytes` is what all of them may take."""
        self.folder = folder
        self._max_bytes = max_bytes
        self._file: int | None = None
        self._size = 0

    # Writing.

    def make_room(self) -> None:
        """Raises OSError if lines could not be written."""
        self.open()
        free = os.statvfs(self.folder)
        if free.f_bavail * free.f_frsize < ROOM_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.folder))

    def append(self, lines: list[bytes], *, sync: bool) -> None:
        """See AuditSink. What fails half-way is one torn line, which readers pass over."""
        for line in lines:
            if self._size and self._size + len(line) > self._max_bytes // FILES:
                self._next()
            self._write(self.open(), line)
        if sync and self._file is not None:
            os.fdatasync(self._file)

    def _write(self, file: int, line: bytes) -> None:
        written = 0
        try:
            while written < len(line):
                written += os.write(file, line[written:])
        except OSError:
            if written:  # what comes next begins a line of its own
                os.ftruncate(file, self._size)
            raise
        self._size += written

    def open(self) -> int:
        """The file to write: the last there is, unless another process writes that one.

        Raises OSError.
        """
        if self._file is None:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            numbers = self._numbers()
            last = numbers[-1] if numbers else 1
            if not self._take(last):
                self._create(last + 1)
            self._sync_folder()
            self._end_torn_line()
        assert self._file is not None
        return self._file

    def _take(self, number: int, more: int = 0) -> bool:
        """Whether the file is ours to write now."""
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | more
        file = os.open(self._path(number), flags, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        os.fchmod(file, 0o600)
        self._file, self._size = file, os.fstat(file).st_size
        return True

    def _create(self, number: int) -> None:
        while True:
            with contextlib.suppress(FileExistsError):
                if self._take(number, os.O_EXCL):
                    return
            number += 1

    def _sync_folder(self) -> None:
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _end_torn_line(self) -> None:
        file = self._file
        assert file is not None
        if self._size and os.pread(file, 1, self._size - 1) != b"\n":
            self._size += os.write(file, b"\n")

    def _next(self) -> None:
        """Go on in a new file, and remove the oldest if all are too large together."""
        self.close()
        self._create(self._numbers()[-1] + 1)
        self._sync_folder()
        *older, _ = self._numbers()
        sizes = {number: self._size_of(number) for number in older}
        room = self._max_bytes - self._max_bytes // FILES
        for number in older:
            if sum(sizes.values()) <= room:
                break
            self._path(number).unlink(missing_ok=True)
            del sizes[number]

    def _size_of(self, number: int) -> int:
        try:
            return self._path(number).stat().st_size
        except FileNotFoundError:  # another process has removed it
            return 0

    def close(self) -> None:
        """Write what the kernel still has, and let the file go."""
        if self._file is not None:
            file, self._file = self._file, None
            try:
                os.fdatasync(file)
            finally:
                os.close(file)

    # Reading.

    def _path(self, number: int) -> Path:
        return self.folder / f"audit-{number:08d}.jsonl"

    def _numbers(self) -> list[int]:
        """The numbers of the files, the oldest first."""
        found = (_NAME.fullmatch(path.name) for path in self.folder.iterdir())
        return sorted(int(match[1]) for match in found if match)

    def page(self, wanted: Wanted, cursor: str = "") -> LinesPage:
        """The lines that are wanted, from a cursor on, the oldest first.

        Raises CursorError and OSError.
        """
        at, offset = _read_cursor(cursor)
        lines: list[str] = []
        size = searched = 0
        for number in self._numbers() if self.folder.exists() else ():
            if number < at:
                continue
            start = offset if number == at else 0
            for line, end in self._lines(number, start, wanted.since_s):
                searched += len(line)
                if wanted.is_met_by(line):
                    lines.append(line.decode().rstrip("\n"))
                    size += len(line)
                if size >= PAGE_BYTES or searched >= SEARCHED_BYTES:
                    return LinesPage(lines, f"{number}:{end}")
        return LinesPage(lines, "")

    def _lines(self, number: int, start: int, since_s: float) -> Iterator[tuple[bytes, int]]:
        """Whole lines of a file, and where each ends; none of a file that is older."""
        with contextlib.suppress(FileNotFoundError), self._path(number).open("rb") as file:
            if os.fstat(file.fileno()).st_mtime < since_s:
                return
            file.seek(start)
            for line in file:
                start += len(line)
                if line.endswith(b"\n"):
                    yield line, start


def _read_cursor(cursor: str) -> tuple[int, int]:
    if not cursor:
        return 0, 0
    match = re.fullmatch(r"([0-9]{1,8}):([0-9]{1,15})", cursor)
    if match is None:
        raise CursorError("the cursor is not one of an answer of this call; begin without one")
    return int(match[1]), int(match[2])
