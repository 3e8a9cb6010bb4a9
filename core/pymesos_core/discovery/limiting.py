"""How much one address may ask: so many questions in a second, and a burst."""

from __future__ import annotations

from collections import OrderedDict

RATE_PER_S = 2000.0
BURST = 4000.0
MAX_ADDRESSES = 4096  # that are remembered, of which those that were silent for longest are not


class Limiter:
    """What each address has left. What one asks beyond that is not answered."""

    def __init__(self, rate_per_s: float = RATE_PER_S, burst: float = BURST) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # and when that was

    def may(self, address: str, now_s: float) -> bool:
        """Whether an address may ask now; if so it has."""
        left, then_s = self._left.pop(address, (self._burst, now_s))
        left = min(self._burst, left + (now_s - then_s) * self._rate_per_s)
        may = left >= 1.0
        self._left[address] = (left - 1.0 if may else left, now_s)
        if len(self._left) > MAX_ADDRESSES:
            self._left.popitem(last=False)
        return may
