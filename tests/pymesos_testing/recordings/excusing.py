"""Differences that are meant: one list, each entry with its reason."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from pathlib import Path

import yaml

from pymesos_testing.recordings.comparing import Difference

FILE = Path(__file__).with_name("excused.yaml")
# What a task did, and why: never excused.
NEVER = ("event UPDATE update.status.state", "event UPDATE update.status.reason")


@dataclass(frozen=True)
class Excuse:
    """Fields that may differ so, and why; one that is `open` is a fault that is not mended yet."""

    where: str
    reason: str
    recorded: str = "*"
    ours: str = "*"
    step: str = "*"
    open: bool = False

    def fits(self, difference: Difference) -> bool:
        """Whether it is of this difference."""
        return (
            fnmatch.fnmatchcase(difference.where, self.where)
            and fnmatch.fnmatchcase(difference.recorded, self.recorded)
            and fnmatch.fnmatchcase(difference.ours, self.ours)
            and fnmatch.fnmatchcase(difference.step, self.step)
        )


def excuses() -> list[Excuse]:
    """The list. Raises ValueError for an entry that excuses what a task did."""
    found = [Excuse(**entry) for entry in yaml.safe_load(FILE.read_text("utf-8"))]
    for one in found:
        if not one.open and any(fnmatch.fnmatchcase(never, one.where) for never in NEVER):
            raise ValueError(f"{one.where}: states and reasons are not excused")
    return found
