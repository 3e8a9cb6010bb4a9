"""Work over everything there is, in slices that other events may come between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

SLICE_S = 0.01

Item = TypeVar("Item")


async def in_slices(items: Iterable[Item], slice_s: float = SLICE_S) -> AsyncIterator[Item]:
    """Yield each item of a copy of `items`; after every `slice_s` the loop gets its turn.

    What an item refers to may have changed, or be gone, by the time it is yielded.
    """
    until_s = time.monotonic() + slice_s
    for item in list(items):
        yield item
        if time.monotonic() > until_s:
            await asyncio.sleep(0)
            until_s = time.monotonic() + slice_s
