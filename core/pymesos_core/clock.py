"""Time as a core sees it: handed in, never asked for."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import NamedTuple


class Now(NamedTuple):
    """One instant: `mono_s` for durations and deadlines, `wall_s` (Unix time) for people."""

    mono_s: float
    wall_s: float


def read_clock() -> Now:
    """The instant that is now. For shells only."""
    return Now(time.monotonic(), time.time())


def utc(wall_s: float) -> str:
    """A time for people, to the second."""
    return datetime.fromtimestamp(wall_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
