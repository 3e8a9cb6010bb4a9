"""A persistent volume is its task's, and then its next task's: each has another user."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

from pymesos_agent.files.trees import see_below

_ONE_AT_A_TIME = threading.Lock()  # what was cut short ends before the next begins


class HandingStoppedError(Exception):
    """It is not wanted any more."""


def belongs_to(folder: Path, owner: tuple[int, int]) -> bool:
    """Whether it was handed over to that user, with all below it. Raises OSError."""
    status = folder.stat()
    return (status.st_uid, status.st_gid) == owner


def hand_over(folder: Path, owner: tuple[int, int], stopped: Callable[[], bool]) -> None:
    """Give a user a folder with all in it. Blocks.

    A file of several names stays root's if it is: one of them may be outside. The folder itself is
    given last, so that what was cut short is done again. Raises OSError, HandingStoppedError.
    """
    with _ONE_AT_A_TIME:
        top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            problems: list[OSError] = []

            def give(inside: int, name: str, status: os.stat_result) -> None:
                if stopped():
                    raise HandingStoppedError
                several = status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode)
                if (status.st_uid, status.st_gid) == owner or (several and status.st_uid == 0):
                    return
                try:
                    os.chown(name, *owner, dir_fd=inside, follow_symlinks=False)
                except OSError as error:
                    problems.append(error)

            if stopped():
                raise HandingStoppedError
            see_below(top, give)
            if problems:
                raise problems[0]
            os.chown(top, *owner)
        finally:
            os.close(top)
