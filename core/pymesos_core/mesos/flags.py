"""Settings by the names of Mesos' flags, which its tools show and look for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Write = Callable[[Any], str]


def seconds(value: float) -> str:
    """Return a time as Mesos' flags have it."""
    return f"{value:g}secs"


def flags_of(settings: object, names: Mapping[str, tuple[str, Write]]) -> Mapping[str, str]:
    """Return settings as flags; `names` are ours by Mesos', each with how it is written."""
    return {
        flag: write(value)
        for flag, (name, write) in names.items()
        if (value := getattr(settings, name)) is not None
    }
