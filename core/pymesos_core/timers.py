"""Deadlines for a core that has no clock of its own."""

from __future__ import annotations

import heapq
import math
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Timers(Generic[Key]):
    """One deadline per key. Setting a key again moves it; a due key is handed out once."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Key]] = []
        self._live: dict[Key, tuple[float, int]] = {}
        self._sequence = 0

    def set(self, key: Key, at_s: float) -> None:
        """Make `key` due at `at_s`, whatever it was before.

        Every time from outside is a number by now: NaN would keep all deadlines from coming.
        """
        assert not math.isnan(at_s), key
        self._sequence += 1
        self._live[key] = (at_s, self._sequence)
        heapq.heappush(self._heap, (at_s, self._sequence, key))
        if len(self._heap) > 64 and len(self._heap) > 2 * len(self._live):
            self._heap = [(at, seq, k) for k, (at, seq) in self._live.items()]
            heapq.heapify(self._heap)

    def cancel(self, key: Key) -> None:
        """Forget `key`, if it is there."""
        self._live.pop(key, None)

    def __contains__(self, key: Key) -> bool:
        return key in self._live

    def next_s(self) -> float | None:
        """When the earliest key is due, or None."""
        while self._heap:
            at, sequence, key = self._heap[0]
            if self._live.get(key) == (at, sequence):
                return at
            heapq.heappop(self._heap)
        return None

    def due(self, now_s: float) -> list[Key]:
        """Take out the keys whose time has come, the earliest first."""
        out: list[Key] = []
        while (at := self.next_s()) is not None and at <= now_s:
            _, _, key = heapq.heappop(self._heap)
            del self._live[key]
            out.append(key)
        return out
