"""Secrets: files with them, which nobody but their owner may read, and whether one is right.

And how files that a process was given are read, whatever they are, without a wait for ever.
"""

from __future__ import annotations

import errno
import hmac
import os
import select
import shlex
import stat
import time
from pathlib import Path
from typing import BinaryIO

PIPE_WAIT_S = 5.0  # for all that comes through a pipe


def open_regular(path: Path) -> BinaryIO:
    """A file, opened to be read; for what may be read again at any time, and waits for nobody.

    Raises OSError, also for a pipe, which would be waited for.
    """
    file = _open(path)
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise OSError(errno.EINVAL, "it is no regular file, and one is expected", str(path))


def read_file(path: Path, most: int, *, pipes: bool = False) -> bytes:
    """The first bytes of a file, at most so many; with `pipes` of one that is read once.

    Raises OSError, also for a pipe into which nobody writes.
    """
    with _open(path) if pipes else open_regular(path) as file:
        return _read(file, path, most)


def read_private(path: Path, most: int, *, pipes: bool = False) -> bytes:
    """The same of a file with a secret.

    Raises OSError, also where others than the owner may read or write the file.
    """
    with _open(path) if pipes else open_regular(path) as file:
        check_private(path, os.fstat(file.fileno()))
        return _read(file, path, most)


def _open(path: Path) -> BinaryIO:
    """A file, opened to be read; a pipe without a wait for who writes. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb", buffering=0)
    os.close(descriptor)
    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))


def _read(file: BinaryIO, path: Path, most: int) -> bytes:
    """What a file has, at most so many bytes. Raises OSError."""
    data = b""
    poll = select.poll()
    poll.register(file, select.POLLIN)
    ends_s = time.monotonic() + PIPE_WAIT_S
    while len(data) < most:
        # Until somebody has opened a pipe to write, a read would say that it has ended.
        if not poll.poll(max(0.0, ends_s - time.monotonic()) * 1000):
            told = f"it is a pipe, and nobody has written and closed it within {PIPE_WAIT_S:g} s"
            raise TimeoutError(errno.ETIMEDOUT, told, str(path))
        if not (part := file.read(most - len(data))):
            break
        data += part
    return data


def is_same(secret: str, given: str) -> bool:
    """Whether the given text is the secret, in a time that tells nothing of where they differ.

    What comes in a header may be no text in UTF-8: then it is another one.
    """
    return hmac.compare_digest(secret.encode(), given.encode("utf-8", "backslashreplace"))


def check_private(path: Path, status: os.stat_result) -> None:
    """Raises PermissionError where others may read or write the file; a pipe has no others."""
    if stat.S_ISREG(status.st_mode) and status.st_mode & 0o077:
        raise PermissionError(
            errno.EACCES,
            f"can be read by others than its owner: chmod 600 {shlex.quote(str(path))}",
            str(path),
        )
