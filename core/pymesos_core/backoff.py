"""Exponential back-off with full jitter (AWS Architecture Blog, 2015)."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass
class Backoff:
    """Delays between `min_s` and a ceiling that doubles up to `max_s` until all is well."""

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

    def after(self, lasted_s: float) -> bool:
        """Note how long something went well: longer than the longest delay, and it starts again.

        Whether it does.

        A peer that takes a connection and ends it at once is not tried again at once for ever.
        """
        if well := lasted_s >= self.max_s:
            self.reset()
        return well
