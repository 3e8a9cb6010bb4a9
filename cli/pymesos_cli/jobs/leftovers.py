"""The folder of a `run` that is the framework of its job; those of runs that died are removed.

Who uses a folder holds a lock on a file in it, which the kernel gives up with the process.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PREFIX = "pymesos-run-"
LOCK = "lock"
YOUNG_S = 60.0  # a folder without a lock file may be one that is being made


@contextlib.contextmanager
def state_folder() -> Iterator[Path]:
    """A folder for this process alone, removed afterwards. Raises OSError."""
    remove_leftovers()
    while True:
        with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as name:
            folder = Path(name)
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if os.fstat(lock).st_nlink:  # else another took it for a leftover meanwhile
                    yield folder
                    return
            finally:
                os.close(lock)


def remove_leftovers() -> None:
    """Remove the folders of ours that nobody holds any more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            status = folder.lstat()
            if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid():
                _remove_unless_held(folder, time.time() - status.st_mtime)


def _remove_unless_held(folder: Path, age_s: float) -> None:
    try:
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        if age_s > YOUNG_S:
            shutil.rmtree(folder, ignore_errors=True)
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    else:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)
