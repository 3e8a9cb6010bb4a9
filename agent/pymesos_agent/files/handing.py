"""A persistent volume is its task's, and then its next task's: each has another user."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from pymesos_agent.files.shifting import forget_base
from pymesos_agent.files.trees import see_below
from pymesos_agent.files.turns import HandingStoppedError


def belongs_to(folder: Path, owner: tuple[int, int]) -> bool:
    """Whether it was handed over to that user, with all below it. Raises OSError."""
    status = folder.stat()
    return (status.st_uid, status.st_gid) == owner


def hand_over(folder: Path, owner: tuple[int, int], stopped: Callable[[], bool]) -> None:
    """Give a user a folder with all in it. Blocks.

    A file of several names stays root's if it is: one of them may be outside. The folder itself is
    root's until all else is given: what was cut short is done again for whatever user comes next.
    Raises OSError, HandingStoppedError.
    """

    def give(inside: int, name: str, status: os.stat_result) -> None:
        if stopped():
            raise HandingStoppedError
        several = status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode)
        if (status.st_uid, status.st_gid) != owner and not (several and status.st_uid == 0):
            os.chown(name, *owner, dir_fd=inside, follow_symlinks=False)

    top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if stopped():
            raise HandingStoppedError
        os.chown(top, 0, 0)
        forget_base(top)
        see_below(top, give, all_of_it=True)
        os.chown(top, *owner)
    finally:
        os.close(top)
