"""The files of a task, and nothing outside its sandbox.

A path from the network is opened one component at a time without following symbolic links, so that
neither `..` nor a link that the task made leads anywhere else.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pymesos_agent.containers.spec import Mount
from pymesos_agent.files.trees import see_below

MAX_FILES = 10_000
MAX_READ_BYTES = 512 * 1024
MAX_PATH_LENGTH = 4096


class SandboxError(Exception):
    """The path cannot be read: the message says why."""


@dataclass(frozen=True)
class Files:
    """What a task shows of its files: the sandbox and, while it lives, the volumes in it."""

    sandbox: Path
    ended: bool
    volumes: tuple[Mount, ...] = ()

    def locate(self, path: str) -> tuple[Path, str]:
        """The folder that a path is in, and the way from there, which may still lead out of it."""
        parts = _parts(path)
        for volume in self.volumes:
            inside = _parts(volume.container_path)
            if not volume.container_path.startswith("/") and parts[: len(inside)] == inside:
                return volume.host_path, "/".join(parts[len(inside) :])
        return self.sandbox, path


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


@contextmanager
def opened(sandbox: Path, path: str) -> Iterator[int]:
    """A descriptor of a file or folder in the sandbox. Raises SandboxError."""
    parts = _parts(path)
    if len(path) > MAX_PATH_LENGTH or ".." in parts or "\0" in path:
        raise SandboxError(f"{path[:200]!r} leads out of the sandbox")
    try:
        descriptor = os.open(sandbox, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise SandboxError("the sandbox has been removed") from error
    try:
        for part in parts[:-1]:
            inner = _open(part, os.O_PATH | os.O_DIRECTORY, descriptor, path)
            os.close(descriptor)
            descriptor = inner
        last = parts[-1] if parts else "."
        # O_NONBLOCK: a FIFO that the task made must not stop the agent.
        target = _open(last, os.O_RDONLY | os.O_NONBLOCK, descriptor, path)
        os.close(descriptor)
        descriptor = target
        yield descriptor
    except OSError as error:  # of a disk that cannot be read, or of a place that no file has
        raise SandboxError(f"{path!r} cannot be read: {os.strerror(error.errno or 0)}") from error
    finally:
        os.close(descriptor)


def _open(part: str, flags: int, folder: int, path: str) -> int:
    try:
        return os.open(part, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP or error.errno == errno.ENOTDIR:
            raise SandboxError(f"{path!r} goes through a link or a file") from error
        raise SandboxError(f"{path!r}: {os.strerror(error.errno or 0)}") from error


def list_files(sandbox: Path, path: str) -> list[tuple[str, os.stat_result]]:
    """Names with what lstat says of them, sorted. Raises SandboxError."""
    with opened(sandbox, path) as descriptor:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise SandboxError(f"{path!r} is not a folder")
        found: list[tuple[str, os.stat_result]] = []
        with os.scandir(descriptor) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # it went while we looked
                    found.append((entry.name, entry.stat(follow_symlinks=False)))
                if len(found) == MAX_FILES:
                    break
        return sorted(found, key=lambda item: item[0])


def disk_usage(folders: Iterable[Path]) -> int:
    """Bytes on the disk below some folders, on their own file systems; links are not followed."""
    total = 0
    seen: set[tuple[int, int]] = set()

    def see(_folder: int, _name: str, status: os.stat_result) -> None:
        nonlocal total
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            if (status.st_dev, status.st_ino) in seen:
                return
            seen.add((status.st_dev, status.st_ino))
        total += status.st_blocks * 512

    for folder in folders:
        with contextlib.suppress(OSError):  # it went while we looked
            top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                see_below(top, see)
            finally:
                os.close(top)
    return total


def read_file(sandbox: Path, path: str, offset: int, length: int) -> tuple[bytes, int, int]:
    """Bytes, where they begin, and the size of the file; a negative offset counts from the end.

    Raises SandboxError.
    """
    with opened(sandbox, path) as descriptor:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise SandboxError(f"{path!r} is not a file")
        begin = max(0, status.st_size + offset) if offset < 0 else offset
        length = min(length or MAX_READ_BYTES, MAX_READ_BYTES)
        return os.pread(descriptor, length, begin), begin, status.st_size
