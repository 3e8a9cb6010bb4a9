"""How often Python looks for garbage in cycles."""

from __future__ import annotations

import gc

THRESHOLDS = (100_000, 50, 100)


def collect_seldom() -> None:
    """For a process whose many objects live long, and of which few are in cycles, as a master's,
    or a framework's with many jobs: looking for those as often as Python does by default costs a
    tenth of its time."""
    gc.set_threshold(*THRESHOLDS)
