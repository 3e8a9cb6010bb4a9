"""Peers that have much to say at once take turns, so that none keeps the others waiting."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator

ROUND_S = 0.004  # in which each that has something to say has its turn
MIN_SLICE_S = 0.0005  # what a well-behaved peer says at once is not to be cut into pieces


class Turn:
    """What one peer says, in slices."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._until_s = time.monotonic() + turns.slice_s

    async def pause(self) -> None:
        """Return at once while the slice lasts; else let the others have their turn first."""
        if time.monotonic() >= self._until_s:
            await asyncio.sleep(0)
            self._until_s = time.monotonic() + self._turns.slice_s


class Turns:
    """Shares the loop's time among peers: as many slices in a round as there are busy ones.

    A budget that nobody has to choose: one that is alone gets all, and beside some that flood a
    call waits for one round. At least one item is taken in each turn.
    """

    def __init__(self) -> None:
        self._busy = 0
        self._lock = asyncio.Lock()

    @property
    def slice_s(self) -> float:
        """How long a turn is now."""
        return max(MIN_SLICE_S, ROUND_S / max(1, self._busy))

    @contextlib.contextmanager
    def taken(self) -> Iterator[Turn]:
        """While a peer's items are gone through, with a `pause` after each."""
        self._busy += 1
        try:
            yield Turn(self)
        finally:
            self._busy -= 1

    async def next(self) -> None:
        """Wait, in the order of coming, for a turn of the loop that nobody else here has."""
        async with self._lock:
            await asyncio.sleep(0)
