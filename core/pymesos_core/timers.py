"""Deadlines for a core that has no clock of its own."""

from __future__ import annotations

import heapq
import math
from collections.abc import Hashable, Iterable, Iterator
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

AT_ONCE = 50  # deadlines that one step meets: thousands may be due, as of all agents after a pause


def earlier(one: float | None, other: float | None) -> float | None:
    """The earlier of two times, either of which may never come."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


class Timers(Generic[Key]):
    """One deadline per key. Setting a key again moves it; a due key is handed out once."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Key]] = []
        self._live: dict[Key, tuple[float, int, Key]] = {}  # what is in the heap and still meant
        self._sequence = 0

    def set(self, key: Key, at_s: float) -> None:
        """Make `key` due at `at_s`, whatever it was before.

        Every time from outside is a number by now: NaN would keep all deadlines from coming.
        """
        assert not math.isnan(at_s), key
        self._sequence += 1
        self._live[key] = entry = (at_s, self._sequence, key)
        heapq.heappush(self._heap, entry)
        if len(self._heap) > 64 and len(self._heap) > 2 * len(self._live):
            self._heap = list(self._live.values())
            heapq.heapify(self._heap)

    def cancel(self, key: Key) -> None:
        """Forget `key`, if it is there."""
        self._live.pop(key, None)

    def __bool__(self) -> bool:
        return bool(self._live)

    def __contains__(self, key: Key) -> bool:
        return key in self._live

    def at_s(self, key: Key) -> float | None:
        """When `key` is due; None when it is not set."""
        live = self._live.get(key)
        return live[0] if live is not None else None

    def next_s(self) -> float | None:
        """When the earliest key is due, or None."""
        while self._heap:
            entry = self._heap[0]
            if self._live.get(entry[2]) is entry:
                return entry[0]
            heapq.heappop(self._heap)
        return None

    def cancel_each(self, keys: Iterable[Key]) -> None:
        """Forget all of these that are there."""
        for key in keys:
            self._live.pop(key, None)

    def due(self, now_s: float) -> list[Key]:
        """Take out the keys whose time has come, the earliest first."""
        return list(self.each_due(now_s, len(self._heap)))

    def each_due(self, now_s: float, most: int = AT_ONCE) -> Iterable[Key]:
        """Take them out one after the other, as something is done about each.

        When there are more than `most`, others may come between: the rest is due still.

        One that is cancelled, or set anew, by what was done about an earlier one is not handed out:
        after a pause of the process many are due at once.
        """
        if not self._heap or self._heap[0][0] > now_s:
            return ()  # as in most steps, each of which a generator would cost half a microsecond
        return self._each_due(now_s, most)

    def _each_due(self, now_s: float, most: int) -> Iterator[Key]:
        ready: list[tuple[float, int, Key]] = []
        while self._heap and self._heap[0][0] <= now_s and len(ready) < most:
            ready.append(heapq.heappop(self._heap))
        for entry in ready:
            key = entry[2]
            if self._live.get(key) is entry:
                del self._live[key]
                yield key
