"""Files with secrets, which nobody but their owner may read: a secret that others had is none."""

from __future__ import annotations

import errno
import os
import shlex
import stat
from pathlib import Path


def read_private(path: Path, most: int) -> bytes:
    """The first bytes of a file with a secret, at most so many.

    Raises OSError, also where others than the owner may read or write the file.
    """
    with path.open("rb") as file:
        check_private(path, os.fstat(file.fileno()))
        return file.read(most)


def check_private(path: Path, status: os.stat_result) -> None:
    """Raises PermissionError where others may read or write the file; a pipe has no others."""
    if stat.S_ISREG(status.st_mode) and status.st_mode & 0o077:
        raise PermissionError(
            errno.EACCES,
            f"can be read by others than its owner: chmod 600 {shlex.quote(str(path))}",
            str(path),
        )
