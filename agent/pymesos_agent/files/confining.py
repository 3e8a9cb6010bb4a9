"""What a process gives up that is to handle what comes from outside. The standard library only."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Sequence

PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 24, 38
CAPABILITY_VERSION = 0x20080522
LAST_CAPABILITY = 40
LIBC = ctypes.CDLL(None, use_errno=True)


def become(user: tuple[int, int, Sequence[int]] | None) -> None:
    """This process becomes a user if it is root, and gives up every capability."""
    if os.geteuid() == 0:
        if user is not None:
            uid, gid, groups = user
            os.setgroups(groups)
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
        else:
            drop_capabilities(frozenset())
    end_with_the_agent()


def drop_capabilities(kept: frozenset[int]) -> None:
    """Give up all capabilities but some."""
    for capability in range(LAST_CAPABILITY + 1):
        if capability not in kept:
            LIBC.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)  # one that the kernel has not is none
    bits = sum(1 << capability for capability in kept)
    low, high = bits & 0xFFFFFFFF, bits >> 32
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    data = (ctypes.c_uint32 * 6)(low, low, 0, high, high, 0)
    if LIBC.capset(header, data) != 0:
        raise OSError(ctypes.get_errno(), "capabilities cannot be given up")


def end_with_the_agent() -> None:
    """Also if that is killed. Last, since a change of the user takes it back."""
    LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
