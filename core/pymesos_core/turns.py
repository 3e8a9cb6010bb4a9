"""Peers that have much to say at once take turns, so that none keeps the others waiting."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator

ROUND_S = 0.004  # in which each address that has something to say has its turn
MIN_SLICE_S = 0.0001  # what a well-behaved peer says at once is not to be cut into pieces


class Turn:
    """What one peer says, in slices."""

    def __init__(self, turns: Turns, host: str) -> None:
        self._turns = turns
        self._host = host
        self._until_s = time.monotonic() + turns.slice_s(host)

    async def pause(self) -> None:
        """Return at once while the slice lasts; else let the others have their turn first."""
        if time.monotonic() >= self._until_s:
            await self._turns.next(self._host)
            self._until_s = time.monotonic() + self._turns.slice_s(self._host)


class Turns:
    """Shares the loop's time among addresses, and among the peers of each.

    A budget that nobody has to choose: one that is alone gets all, and beside others each address
    has one turn in a round, however many calls and streams it has open. At least one item is taken
    in each turn.
    """

    def __init__(self) -> None:
        self._busy: Counter[str] = Counter()  # peers that are saying something, by address
        self._waiting: Counter[str] = Counter()
        self._locks: dict[str, asyncio.Lock] = {}

    def slice_s(self, host: str) -> float:
        """How long a turn of a peer of this address is now."""
        return max(MIN_SLICE_S, ROUND_S / max(1, len(self._busy)) / max(1, self._busy[host]))

    @contextlib.contextmanager
    def taken(self, host: str) -> Iterator[Turn]:
        """While a peer's items are gone through, with a `pause` after each."""
        self._busy[host] += 1
        try:
            yield Turn(self, host)
        finally:
            self._busy[host] -= 1
            if not self._busy[host]:
                del self._busy[host]

    async def next(self, host: str) -> None:
        """Wait for a turn of the loop that no other peer of this address has, first come first."""
        async with self._alone(host):
            await asyncio.sleep(0)

    @contextlib.asynccontextmanager
    async def _alone(self, host: str) -> AsyncIterator[None]:
        lock = self._locks.setdefault(host, asyncio.Lock())
        self._waiting[host] += 1
        try:
            async with lock:
                yield
        finally:
            self._waiting[host] -= 1
            if not self._waiting[host]:
                del self._waiting[host], self._locks[host]
