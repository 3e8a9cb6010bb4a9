"""Reading what a task wrote, over the files that rotation makes of it (`logfile.py`)."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import NamedTuple

from pymesos_agent.files.sandbox import SandboxError, opened

CHUNK_BYTES = 256 * 1024
MAX_FILES = 101


class LogPlace(NamedTuple):
    """A place in a log: the inode of the file, 0 before there is one, and how far it is read."""

    file_id: int = 0
    offset: int = 0


class LogReader:
    """One reader's place in the log `name` (stdout or stderr) of a sandbox.

    It holds the file it reads open, so that nothing is skipped when that is renamed. Blocking.
    """

    def __init__(
        self, sandbox: Path, name: str, tail_lines: int | None, after: LogPlace | None = None
    ) -> None:
        """Begins with the oldest file, or where the last `tail_lines` lines do, or `after` a place
        that was reached before, if its file is kept still.

        Raises SandboxError when nothing can be read.
        """
        self._sandbox = sandbox
        self._name = name
        self._file: int | None = None
        files = self._open_all()
        if not files:
            with opened(sandbox, ""):
                return  # the sandbox is there, and nothing has been written
        keep, offset = 0, 0
        if after is not None:
            keep, offset = _found(files, after)
        elif tail_lines is not None:
            keep, offset = _tail(files, tail_lines)
        for number, file in enumerate(files):
            if number != keep:
                os.close(file)
        self._file = files[keep]
        os.lseek(self._file, offset, os.SEEK_SET)

    @property
    def place(self) -> LogPlace:
        """How far it has read."""
        if self._file is None:
            return LogPlace()
        return LogPlace(os.fstat(self._file).st_ino, os.lseek(self._file, 0, os.SEEK_CUR))

    def _open_all(self) -> list[int]:
        """Descriptors of its files, the oldest first."""
        found: list[int] = []
        for number in range(MAX_FILES):
            name = f"{self._name}.{number}" if number else self._name
            try:
                with opened(self._sandbox, name) as file:
                    if stat.S_ISREG(os.fstat(file).st_mode):
                        found.append(os.dup(file))
            except SandboxError:
                if number:
                    break
        return found[::-1]

    def read(self) -> bytes:
        """What comes next, empty when there is no more now. Raises SandboxError."""
        if self._file is None:
            files = self._open_all()
            if not files:
                return b""
            self._file, *newer = files
            for file in newer:
                os.close(file)
        try:
            while True:
                if data := os.read(self._file, CHUNK_BYTES):
                    return data
                if not self._go_on():
                    return b""
        except OSError as error:
            raise SandboxError(
                f"{self._name!r} cannot be read: {os.strerror(error.errno or 0)}"
            ) from error

    def _go_on(self) -> bool:
        """From a file that was rotated to the next newer one; whether there is one."""
        assert self._file is not None
        mine = os.fstat(self._file)
        files = self._open_all()
        ids = [(s.st_dev, s.st_ino) for s in map(os.fstat, files)]
        place = ids.index((mine.st_dev, mine.st_ino)) if (mine.st_dev, mine.st_ino) in ids else -1
        newer: int | None = None
        if place + 1 < len(files):
            newer = files.pop(place + 1)
            # What was written to ours after we had looked, and before it was rotated, comes first.
            if os.fstat(self._file).st_size > os.lseek(self._file, 0, os.SEEK_CUR):
                os.close(newer)
                newer = None
        for file in files:
            os.close(file)
        if newer is None:
            return os.fstat(self._file).st_size > os.lseek(self._file, 0, os.SEEK_CUR)
        os.close(self._file)
        self._file = newer
        return True

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = None


def _found(files: list[int], place: LogPlace) -> tuple[int, int]:
    """The file of a place, and the offset in it; the beginning of the oldest if it is gone."""
    for number, status in enumerate(map(os.fstat, files)):
        if status.st_ino == place.file_id and status.st_size >= place.offset:
            return number, place.offset
    return 0, 0


def _tail(files: list[int], lines: int) -> tuple[int, int]:
    """The file and the offset where the last `lines` lines begin."""
    wanted = lines
    if not wanted:
        return len(files) - 1, os.fstat(files[-1]).st_size
    for number in range(len(files) - 1, -1, -1):
        size = os.fstat(files[number]).st_size
        end = size
        while end > 0:
            begin = max(0, end - CHUNK_BYTES)
            data = os.pread(files[number], end - begin, begin)
            if end == size and data.endswith(b"\n"):
                data = data[:-1]  # the end of the last line, not the beginning of another
            if data.count(b"\n") >= wanted:
                place = len(data)
                for _ in range(wanted):
                    place = data.rindex(b"\n", 0, place)
                return number, begin + place + 1
            wanted -= data.count(b"\n")
            end = begin
        if number and size:
            # A file ends with its last line, so a line begins with the next.
            wanted -= 1
            if wanted <= 0:
                return number, 0
    return 0, 0
