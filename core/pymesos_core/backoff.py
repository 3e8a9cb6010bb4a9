"""Exponential back-off with full jitter (AWS Architecture Blog, 2015)."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass
class Backoff:
    """Delays between `min_s` and a ceiling that doubles up to `max_s`; `reset` after a success."""

    min_s: float
    max_s: float
    random: random.Random
    _ceiling_s: float = 0.0

    def next_s(self) -> float:
        """The next delay in seconds."""
        self._ceiling_s = min(self.max_s, max(self.min_s, self._ceiling_s * 2))
        return self.random.uniform(self.min_s, self._ceiling_s)

    def reset(self) -> None:
        """Start again from `min_s`."""
        self._ceiling_s = 0.0
