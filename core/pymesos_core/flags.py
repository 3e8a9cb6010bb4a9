"""Types of command-line flags that refuse what click's own let through."""

from __future__ import annotations

import getpass
import math
import os
from pathlib import Path
from typing import Any

import click


class FiniteRange(click.FloatRange):
    """A number in a range; NaN is in none, though every comparison with it is false."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """See click."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a number in the range {self._describe_range()}.", param, ctx)
        return number


class Folder(click.Path):
    """A directory; an empty one, as of a variable that is not set, is not this one."""

    def __init__(self, *, exists: bool = False) -> None:
        super().__init__(exists=exists, file_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See click."""
        if isinstance(value, str) and not value.strip():
            self.fail("it is empty; a directory is expected, and . is this one", param, ctx)
        return super().convert(value, param, ctx)


def current_user() -> str:
    """Who runs this, by name, or by number where the machine has no name for it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
