"""Becomes a program that is told to end when its parent does: bound.py PARENT PROGRAM ARGUMENT…

A parent that runs gRPC cannot have its child do so between fork and exec: gRPC's own handlers of a
fork may abort there. So this file is run by itself, and needs the standard library only.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # of <sys/prctl.h>; it outlives an exec


def die_with_parent() -> None:
    """Have the kernel send this process SIGTERM when its parent ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)


def argv_of(parent: int) -> list[str]:
    """What stands before a command line for it to end with a parent. It starts at once."""
    return [sys.executable, "-I", "-S", __file__, str(parent)]


if __name__ == "__main__":
    die_with_parent()
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the process that started this has ended before it could be told")
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - there is no shell in it
