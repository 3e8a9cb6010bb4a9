"""How often one caller may begin something: more than that waits its turn, and is not refused.

Some of Mesos' clients come again at once whenever their stream ends.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class _Account:
    left: float  # that may begin at once
    at_s: float  # when that was so


class Pace:
    """Says how long whoever comes has to wait; it has no clock of its own."""

    def __init__(self, at_once: int = 10, per_s: float = 2.0, most_waiting: int = 50) -> None:
        self._at_once, self._per_s, self._most_waiting = at_once, per_s, most_waiting
        self._accounts: dict[str, _Account] = {}

    def wait_s(self, who: str, now_s: float) -> float | None:
        """Return how long to wait; None: too many of this caller wait already."""
        self._forget(now_s)
        account = self._accounts.setdefault(who, _Account(self._at_once, now_s))
        left = min(self._at_once, account.left + (now_s - account.at_s) * self._per_s)
        if left - 1 < -self._most_waiting:
            account.left, account.at_s = left, now_s
            return None
        account.left, account.at_s = left - 1, now_s
        return max(0.0, -account.left / self._per_s)

    def _forget(self, now_s: float) -> None:
        """Drop the accounts that are full again."""
        full = [
            who
            for who, account in self._accounts.items()
            if account.left + (now_s - account.at_s) * self._per_s >= self._at_once
        ]
        for who in full:
            del self._accounts[who]
