"""Work over everything there is, in slices that other events may come between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import TypeVar

SLICE_S = 0.01
CHUNK = 1000

Item = TypeVar("Item")


class Slices:
    """Work that lasts: `pause` after each piece lets the loop have its turn when that is due."""

    def __init__(
        self, slice_s: float = SLICE_S, mono_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._slice_s = slice_s
        self._mono_s = mono_s
        self._until_s = mono_s() + slice_s

    async def pause(self) -> None:
        """Return at once while the slice lasts."""
        if self._mono_s() > self._until_s:
            await asyncio.sleep(0)
            self._until_s = self._mono_s() + self._slice_s


async def in_slices(items: Iterable[Item], slice_s: float = SLICE_S) -> AsyncIterator[Item]:
    """Yield each item of a copy of `items`; after every `slice_s` the loop gets its turn.

    What an item refers to may have changed, or be gone, by the time it is yielded.
    """
    slices = Slices(slice_s)
    for item in list(items):
        yield item
        await slices.pause()


async def in_chunks(items: Iterable[Item], size: int = CHUNK) -> AsyncIterator[Sequence[Item]]:
    """Yield all items of a copy of `items`, many together: for work that costs less than the yield
    of each would. As `in_slices` else."""
    slices, copied = Slices(), list(items)
    for begin in range(0, len(copied), size):
        yield copied[begin : begin + size]
        await slices.pause()
