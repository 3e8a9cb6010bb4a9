"""Secrets: files with them, which nobody but their owner may read, and whether one is right."""

from __future__ import annotations

import errno
import hmac
import os
import shlex
import stat
from pathlib import Path
from typing import BinaryIO


def open_regular(path: Path) -> BinaryIO:
    """A file, opened to be read; for what may be read again at any time, and waits for nobody.

    Raises OSError, also for a pipe, which would be waited for.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "it is no regular file, and one is expected", str(path))


def read_private(path: Path, most: int, *, pipes: bool = True) -> bytes:
    """The first bytes of a file with a secret, at most so many; without `pipes` of no pipe.

    Raises OSError, also where others than the owner may read or write the file.
    """
    with path.open("rb") if pipes else open_regular(path) as file:
        check_private(path, os.fstat(file.fileno()))
        return file.read(most)


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
