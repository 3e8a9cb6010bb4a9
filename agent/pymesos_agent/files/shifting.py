"""A volume moves from one range of ids to another, when its tasks get a user namespace or lose it.

The users of an image are the machine's users 0 to 65535 without a namespace, and those from
`--user-namespace-base` on within one. Which of them a volume was written by is noted on its folder,
where only root of the machine writes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

from pymesos_agent.files.trees import see_below
from pymesos_agent.files.turns import HandingStoppedError

IDS = 65536
NOTE = "trusted.pymesos.base"


def base_of(volume: Path) -> int:
    """The first id of the range that a volume was written in; 0: the machine's own users."""
    try:
        return int(os.getxattr(volume, NOTE))
    except ValueError:
        return 0
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.EOPNOTSUPP):
            return 0
        raise


def forget_base(volume: int) -> None:
    """Note that all in an opened volume is given to one user of the machine."""
    with contextlib.suppress(OSError):  # it has none
        os.removexattr(volume, NOTE)


def shift(volume: Path, base: int, stopped: Callable[[], bool] = lambda: False) -> None:
    """Have a volume belong to users from `base` on, with all in it, who were others so far. Blocks.

    Within a namespace whoever is in neither range is root. A file of several names stays the
    machine's root's if it is: one of them may be outside. What was cut short is done again. Raises
    OSError, also for ranges that have ids in common, and HandingStoppedError.
    """
    if stopped():
        raise HandingStoppedError
    before = base_of(volume)
    if before == base:
        return
    if abs(base - before) < IDS:
        # Of an id in both nobody would know whether it was moved before that was cut short.
        raise OSError(
            f"the volume {volume.name} has ids from {before} to {before + IDS - 1}, and those from"
            f" {base} on are some of them: choose a --user-namespace-base that is {before}, or"
            f" {IDS} or more away from that"
        )

    def moved(number: int) -> int:
        if base <= number < base + IDS:
            return number  # it was moved before it was cut short
        if before <= number < before + IDS:
            return number - before + base
        return base or number

    def move(inside: int, name: str, status: os.stat_result) -> None:
        if stopped():
            raise HandingStoppedError
        several = status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode)
        if not (several and status.st_uid == 0):
            ids = moved(status.st_uid), moved(status.st_gid)
            os.chown(name, *ids, dir_fd=inside, follow_symlinks=False)

    top = os.open(volume, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        see_below(top, move, all_of_it=True)
        with contextlib.suppress(OSError):  # without notes it is looked through each time
            os.setxattr(top, NOTE, b"%d" % base)
    finally:
        os.close(top)
