"""What the kernel is told of this process."""

from __future__ import annotations

import ctypes

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4  # of <sys/prctl.h>; an exec takes it back


def keep_to_itself() -> None:
    """Keep other programs of this user out of this process, and its memory off the disk.

    It holds keys, and its user may run tasks.
    """
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def hear_of_parents_end(signal_number: int) -> None:
    """Have the kernel send this process a signal when its parent ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
