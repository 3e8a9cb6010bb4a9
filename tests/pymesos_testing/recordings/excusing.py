"""Differences that are meant: one list, each entry with its reason."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from pymesos_testing.recordings.comparing import Difference

FILE = Path(__file__).with_name("excused.yaml")
# What a task did, and why: excused only where it is a fault of Mesos.
STRICT = ("state", "reason", "status_update_state")


@dataclass(frozen=True)
class Excuse:
    """Fields that may differ so, and why.

    `fault`: Mesos is wrong about what a task did. `open`: ours is a fault, and not mended yet.
    """

    where: str
    reason: str
    recorded: str = "*"
    ours: str = "*"
    of: str = "*"  # all that was recorded of the task
    fault: bool = False
    open: bool = False

    def fits(self, difference: Difference) -> bool:
        """Whether it is of this difference."""
        if is_strict(difference) and not (self.fault or self.open):
            return False
        return (
            _fits(difference.where, self.where)
            and _fits(difference.recorded, self.recorded)
            and _fits(difference.ours, self.ours)
            and _fits(difference.of, self.of)
        )


def is_strict(difference: Difference) -> bool:
    """Whether it is of the state of a task, or of the reason for that."""
    return difference.where.rpartition(".")[2] in STRICT


def _fits(text: str, pattern: str) -> bool:
    """As in a shell, but for brackets, of which paths are full: `[0-9]` is one only with a dash."""
    return fnmatch.fnmatchcase(text, re.sub(r"\[(?![^\]]*-)", "[[]", pattern))


def excuses() -> list[Excuse]:
    """The list. Raises TypeError for an entry that is not one."""
    return [Excuse(**entry) for entry in yaml.safe_load(FILE.read_text("utf-8"))]
