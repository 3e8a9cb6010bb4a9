"""How often Python looks for garbage in cycles, and when memory that is free goes back."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import resource
from collections.abc import Callable
from pathlib import Path

from pymesos_core.streams import in_thread

THRESHOLDS = (100_000, 50, 100)
LOOK_S = 20.0
WORTH_BYTES = 32 * 1024 * 1024  # of growth, which may be free by now
STATM = Path("/proc/self/statm")


def collect_seldom() -> None:
    """For a process whose many objects live long, and of which few are in cycles, as a master's,
    or a framework's with many jobs: looking for those as often as Python does by default costs a
    tenth of its time."""
    gc.set_threshold(*THRESHOLDS)


def resident_bytes() -> int:
    """How much memory of the machine this process has."""
    return int(STATM.read_text("ascii").split()[1]) * resource.getpagesize()


def trim() -> None:
    """Give back what is free between what is not, which malloc does not do by itself. Blocking."""
    found = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if found is not None:  # as in glibc, and not in musl
        found(0)


async def give_back_memory(
    used_bytes: Callable[[], int] = resident_bytes,
    trim: Callable[[], None] = trim,
    look_s: float = LOOK_S,
) -> None:
    """Memory that is free goes back to the machine, again and again, until this is cancelled.

    What many calls at once have used is kept else, since a little that stays lies between it:
    20,000 silent streams cost a master 110 MiB for good, and 40 with this. A process that has
    hardly grown is left alone.
    """
    least = used_bytes()
    while True:
        await asyncio.sleep(look_s)
        used = used_bytes()
        least = min(least, used)
        if used > least + WORTH_BYTES:
            await in_thread(trim)
