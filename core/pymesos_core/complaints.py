"""What is wrong with what peers send, said without flooding the log: one line, then a count."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from pymesos_core.text import one_line

INTERVAL_S = 60.0
MAX_KEPT = 1000  # kinds and peers; the one that was silent for longest is forgotten
MAX_TEXT = 500


@dataclass(slots=True)
class _Said:
    at_s: float
    since: int = 0  # not said since


class Complaints:
    """Says the first of each kind and peer, then at most one a minute with how many there were."""

    def __init__(self, log: logging.Logger, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock_s = clock_s
        self._said: OrderedDict[tuple[str, str], _Said] = OrderedDict()

    def say(self, peer: str, kind: str, message: str) -> None:
        """One line at most, whatever is in it."""
        now_s = self._clock_s()
        said = self._said.pop((peer, kind), None)
        if said is None:
            self._write(peer, kind, message, 0)
            said = _Said(now_s)
        elif now_s - said.at_s < INTERVAL_S:
            said.since += 1
        else:
            self._write(peer, kind, message, said.since)
            said = _Said(now_s)
        self._said[peer, kind] = said
        if len(self._said) > MAX_KEPT:
            self._said.popitem(last=False)

    def _write(self, peer: str, kind: str, message: str, since: int) -> None:
        more = f" (and {since} more like it before)" if since else ""
        self._log.warning(
            "%s: %s: %s%s", one_line(peer, MAX_TEXT), kind, one_line(message, MAX_TEXT), more
        )
