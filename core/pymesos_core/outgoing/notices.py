"""A notice: something that holds, or is over, and that somebody is to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

FIRING, RESOLVED = "firing", "resolved"


@dataclass(frozen=True, slots=True)
class Notice:
    """An alert that fires, or is resolved, for one receiver. Times are Unix times.

    The `key` of an alert is the same whenever it fires and after every restart. `labels` are the
    names by which systems of alerts know it again, `summary` is for people.
    """

    key: str
    receiver: str
    labels: Mapping[str, str]
    summary: str
    began_s: float
    ended_s: float = 0.0  # 0: it holds still
    known: bool = False  # the receiver has taken before that it fires

    @property
    def is_over(self) -> bool:
        """Whether it is resolved."""
        return self.ended_s > 0

    @property
    def status(self) -> str:
        """firing or resolved."""
        return RESOLVED if self.is_over else FIRING
