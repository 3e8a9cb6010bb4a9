"""Making files below a folder from names that are not trusted: nothing leads out of it."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

NEW = ".pymesos-config.new"  # how a file is called until it is whole
NO_WAIT = os.O_NONBLOCK | os.O_CLOEXEC  # as a pipe would have us wait
MAX_LINKS = 40  # on one way, as the kernel's


class OutsideError(Exception):
    """The name leads elsewhere: the message says how."""


def parts_of(name: str) -> list[str]:
    """The parts of a path that is taken as below a folder. Raises OutsideError."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in name:
        raise OutsideError(f"{name[:200]!r} leads out of it")
    return parts


def open_real(path: str, flags: int = os.O_PATH) -> int:
    """A descriptor of what is at an absolute path that goes through no link.

    What was checked by its path is opened so: who swaps a part of it for a link gets an error, and
    nothing else. Raises OSError.
    """
    parts = [part for part in path.split("/") if part]
    assert path.startswith("/") and ".." not in parts
    folder = os.open("/", FOLDER)
    try:
        for part in parts[:-1]:
            inner = os.open(part, FOLDER, dir_fd=folder)
            os.close(folder)
            folder = inner
        last = parts[-1] if parts else "."
        found = os.open(last, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        if stat.S_ISLNK(os.fstat(found).st_mode):  # O_PATH opens the link itself
            os.close(found)
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        return found
    finally:
        os.close(folder)


def followed(root: int, parts: Sequence[str]) -> list[str]:
    """The folder that a path leads to, by its name without links; it need not be there.

    Raises OutsideError for a link that leads out, and one that leads in circles.
    """
    real: list[str] = []
    left = list(reversed(parts))
    links = 0
    while left:
        part = left.pop()
        if part == ".." and not real:
            raise OutsideError(f"{'/'.join(parts)[:200]!r} leads out of it through a link")
        if part == "..":
            real.pop()
        elif part not in ("", "."):
            target = _target_of(root, "/".join((*real, part)))
            if target is None:
                real.append(part)
                continue
            links += 1
            if target.startswith("/") or links > MAX_LINKS:
                raise OutsideError(
                    f"{'/'.join(parts)[:200]!r} leads out of it through a link, or in circles"
                )
            left.extend(reversed(target.split("/")))
    return real


def _target_of(root: int, name: str) -> str | None:
    try:
        return os.readlink(name, dir_fd=root)
    except OSError:  # no link, or not there: who makes it sees which
        return None


@contextlib.contextmanager
def parent_of(
    root: int, parts: Sequence[str], owner: tuple[int, int] | None = None, *, make: bool = True
) -> Iterator[int]:
    """Open the folder of the last part; folders that are missing are made, if `make`.

    Links are not followed. Raises OutsideError and OSError.
    """
    folder = os.dup(root)
    try:
        for part in parts[:-1]:
            if make:
                _make(folder, part, owner)
            try:
                inner = os.open(part, FOLDER, dir_fd=folder)
            except NotADirectoryError:
                raise OutsideError(
                    f"{'/'.join(parts)[:200]!r} goes through a link or a file"
                ) from None
            os.close(folder)
            folder = inner
        yield folder
    finally:
        os.close(folder)


def _make(folder: int, name: str, owner: tuple[int, int] | None) -> None:
    """Make a folder unless something of that name is there. Raises OSError."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o755, dir_fd=folder)
        if owner is not None:
            os.chown(name, *owner, dir_fd=folder, follow_symlinks=False)


@contextlib.contextmanager
def opened(path: Path, flags: int = FOLDER) -> Iterator[int]:
    """A folder, while it is needed. Raises OSError."""
    folder = os.open(path, flags)
    try:
        yield folder
    finally:
        os.close(folder)


def put_whole(
    name: str, data: bytes, owner: tuple[int, int] | None, folder: int, mode: int = 0o644
) -> None:
    """Put a file whole in the place of what a folder has by its name. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(NEW, dir_fd=folder)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    made = os.open(NEW, flags, mode, dir_fd=folder)
    with os.fdopen(made, "wb") as stream:
        stream.write(data)
        if owner is not None:
            os.fchown(stream.fileno(), *owner)
    os.rename(NEW, name, src_dir_fd=folder, dst_dir_fd=folder)


def read_whole(folder: int, name: str, most_bytes: int) -> bytes | None:
    """What a file has now, and a byte more than the most; None: nothing that could be ours.

    Raises OSError.
    """
    try:
        there = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | NO_WAIT, dir_fd=folder)
    except OSError:
        return None
    with os.fdopen(there, "rb") as stream:
        if not stat.S_ISREG(os.fstat(there).st_mode):
            return None
        return stream.read(most_bytes + 1)
