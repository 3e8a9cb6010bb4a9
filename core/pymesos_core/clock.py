"""Time as a core sees it: handed in, never asked for."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import NamedTuple

CLOCKS_APART_S = 86400.0  # that one machine's clock may be ahead of the next one's

# A day, perhaps with a time, perhaps in a zone: some of ISO 8601, and all that people write of it.
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9:.]+(Z|[-+][0-9:]+)?)?")


class Now(NamedTuple):
    """One instant: `mono_s` for durations and deadlines, `wall_s` (Unix time) for people."""

    mono_s: float
    wall_s: float


def read_clock() -> Now:
    """The instant that is now. For shells only."""
    return Now(time.monotonic(), time.time())


def parse_moment(text: str) -> datetime:
    """A time as in 2026-12-01T22:00, with a zone or without. Raises ValueError.

    `datetime` takes more: any character between day and time, and what is behind a NUL.
    """
    if not _MOMENT.fullmatch(text):
        raise ValueError("no time in ISO 8601")
    return datetime.fromisoformat(text)


def is_over(ends_at_s: float, longest_s: float, wall_s: float) -> bool:
    """Whether what lasts for `longest_s` at most is over, by when it ends.

    What would last longer was begun by a clock that was ahead, and has been set back: it is over,
    too, or it would last until that time comes.
    """
    return not wall_s < ends_at_s <= wall_s + longest_s + CLOCKS_APART_S


def utc(wall_s: float) -> str:
    """A time for people, to the second. Others say when, and not always with sense."""
    try:
        return datetime.fromtimestamp(wall_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"a time that there is not ({wall_s:g})"
