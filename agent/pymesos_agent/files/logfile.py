"""What a task writes, as files in its sandbox that do not grow without bound.

`stdout` is written to; full, it becomes `stdout.1`, that `stdout.2`, and so on; the oldest is
deleted. No line is cut in two unless it is longer than a whole file. The standard library only: the
supervisor imports this.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

OPEN = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
PLANTED = (errno.EEXIST, errno.ELOOP, errno.ENXIO)  # another's file, a link, a pipe
MAX_PLANTED = 8  # how often what a task puts in the place of its log is removed


class RotatingLog:
    """The writing end. `folder` is an open descriptor of the sandbox."""

    def __init__(
        self, folder: int, name: str, max_bytes: int, files: int, owner: tuple[int, int] | None
    ) -> None:
        """Goes on where an earlier one ended. Raises OSError."""
        assert max_bytes > 0
        assert files > 0
        self._folder = folder
        self._name = name
        self._max_bytes = max_bytes
        self._files = files
        self._owner = owner
        self._lost_bytes = 0
        self._at_line_start = True
        try:
            self._file = self._open(0)
        except OSError as error:
            if error.errno not in PLANTED:
                raise
            self._file = self._open_fresh()
        self._size = os.fstat(self._file).st_size

    def _open(self, flags: int) -> int:
        """Raises OSError; FileExistsError too for what a task may have put in its place."""
        file = os.open(self._name, OPEN | flags, 0o644, dir_fd=self._folder)
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            os.close(file)
            raise FileExistsError(errno.EEXIST, "it is a link, or no file", self._name)
        if self._owner is not None:
            os.fchown(file, *self._owner)
        return file

    def write(self, data: bytes) -> None:
        """Never fails: what a full disk does not take is counted, and said when it takes more."""
        while data:
            if self._size >= self._max_bytes and (
                self._at_line_start or self._size >= 2 * self._max_bytes
            ):
                self._rotate()
            piece = data
            if self._size + len(data) > self._max_bytes:
                newline = data.find(b"\n", max(0, self._max_bytes - self._size - 1))
                piece = data[: newline + 1] if newline >= 0 else data
                piece = piece[: 2 * self._max_bytes - self._size]
            self._append(piece)
            self._at_line_start = piece.endswith(b"\n")
            data = data[len(piece) :]

    def _append(self, data: bytes) -> None:
        if self._lost_bytes:
            note = f"\n[pymesos: {self._lost_bytes} bytes are lost; the disk was full]\n".encode()
            if not self._put(note):
                self._lost_bytes += len(data)
                return
            self._lost_bytes = 0
        rest = memoryview(data)
        while rest:
            written = self._put(rest)
            if not written:
                self._lost_bytes += len(rest)
                return
            rest = rest[written:]

    def _put(self, data: bytes | memoryview) -> int:
        try:
            written = os.write(self._file, data)
        except OSError:
            return 0
        self._size += written
        return written

    def _rotate(self) -> None:
        """Where it cannot be done the file grows on, which is better than a lost line."""
        try:
            for number in range(self._files - 1, 0, -1):
                newer = f"{self._name}.{number - 1}" if number > 1 else self._name
                with contextlib.suppress(FileNotFoundError):
                    os.rename(
                        newer,
                        f"{self._name}.{number}",
                        src_dir_fd=self._folder,
                        dst_dir_fd=self._folder,
                    )
            if self._files == 1:
                os.unlink(self._name, dir_fd=self._folder)
            fresh = self._open_fresh()
        except OSError:
            return
        os.close(self._file)
        self._file, self._size = fresh, 0

    def _open_fresh(self) -> int:
        for _ in range(MAX_PLANTED):
            try:
                return self._open(os.O_EXCL)
            except FileExistsError:
                os.unlink(self._name, dir_fd=self._folder)
        return self._open(os.O_EXCL)

    def close(self) -> None:
        """Close the file; the folder's descriptor is the caller's."""
        os.close(self._file)
