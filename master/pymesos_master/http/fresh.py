"""Answers of a moment ago, for who says in `Cache-Control: max-age` that one may be that old.

Many pages look at the same, and ask for it again and again: it is made once for those who may see
the same. Who says nothing of an age gets what is so now.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

MOST_AGE_S = 2.0
MOST_BYTES = 8 << 20
MOST_ANSWERS = 256
_MAX_AGE = re.compile(r"(?:^|[\s,])max-age=([0-9]{1,9})(?:$|[\s,])", re.IGNORECASE)

Answer = TypeVar("Answer")


def max_age_s(cache_control: str) -> float:
    """How old an answer may be for who sent this header; 0 for who did not say."""
    found = _MAX_AGE.search(cache_control)
    return min(float(found[1]), MOST_AGE_S) if found else 0.0


@dataclass(frozen=True, slots=True)
class Kept(Generic[Answer]):
    """An answer that is kept for others."""

    answer: Answer
    size_bytes: int
    of: object  # the leader and its policy by which it was made: by others it is another


@dataclass(frozen=True, slots=True)
class Begun:
    """When an answer began to be made, and what had been changed from here by then."""

    at_s: float
    changes: int


class Fresh(Generic[Answer]):
    """Answers by what was asked and who may see them; only the latest, and few."""

    def __init__(self, mono_s: Callable[[], float]) -> None:
        self._mono_s = mono_s
        self._kept: dict[Hashable, tuple[float, Kept[Answer]]] = {}  # the oldest first
        self._bytes = 0
        self._changes = 0

    def begin(self) -> Begun:
        """An answer begins to be made: what it says may be as old as this."""
        return Begun(self._mono_s(), self._changes)

    def find(self, key: Hashable, age_s: float, of: object) -> Answer | None:
        """The answer, if one is no older than this, and made by the same leader and policy."""
        at_s, kept = self._kept.get(key, (0.0, None))
        if kept is None or kept.of != of or self._mono_s() - at_s > age_s:
            return None
        return kept.answer

    def keep(self, key: Hashable, begun: Begun, kept: Kept[Answer]) -> None:
        """Keep an answer, unless something has been changed since it began to be made."""
        if begun.changes != self._changes:
            return
        self._drop(key)
        self._kept[key] = begun.at_s, kept
        self._bytes += kept.size_bytes
        too_old_s = self._mono_s() - MOST_AGE_S
        while self._kept:
            oldest = next(iter(self._kept))
            is_too_much = self._bytes > MOST_BYTES or len(self._kept) > MOST_ANSWERS
            if not is_too_much and self._kept[oldest][0] >= too_old_s:
                return
            self._drop(oldest)

    def forget(self) -> None:
        """Something was changed from here, and is to be seen at once."""
        self._kept.clear()
        self._bytes = 0
        self._changes += 1

    def _drop(self, key: Hashable) -> None:
        if key in self._kept:
            self._bytes -= self._kept.pop(key)[1].size_bytes
