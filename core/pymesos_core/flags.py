"""Types of command-line flags that refuse what click's own let through."""

from __future__ import annotations

import math
import time
from pathlib import Path
from types import MappingProxyType
from typing import Any

import click

from pymesos_core.clock import parse_moment
from pymesos_core.numbers import NumberSyntaxError, parse_real, parse_whole
from pymesos_core.text import quoted


class FiniteRange(click.FloatRange):
    """A number in a range, as pymesos_core.numbers has it; NaN is in none."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """See click."""
        if isinstance(value, str):
            try:
                value = parse_real(value)
            except NumberSyntaxError as error:
                self.fail(f"{error}; the range is {self._describe_range()}.", param, ctx)
        return float(super().convert(value, param, ctx))


class WholeRange(click.IntRange):
    """A whole number in a range, as pymesos_core.numbers has it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """See click."""
        if isinstance(value, str):
            try:
                value = parse_whole(value)
            except NumberSyntaxError as error:
                self.fail(f"{error}; the range is {self._describe_range()}.", param, ctx)
        return int(super().convert(value, param, ctx))


class Lifetime(click.ParamType[float]):
    """A time as in 90s, 30m, 1h or 7d, in seconds."""

    name = "time"
    units_s = MappingProxyType({"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0})

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """See click.ParamType."""
        if isinstance(value, float):
            return value
        number, unit = str(value)[:-1], str(value)[-1:]
        try:
            seconds = parse_real(number) * self.units_s[unit]
        except (NumberSyntaxError, KeyError):
            seconds = math.nan
        if not 0 <= seconds < math.inf:
            expected = "expected is a time, as in 30m, 1h or 7d"
            self.fail(f"{quoted(str(value))} is given; {expected}", param, ctx)
        return seconds


class Moment(click.ParamType[float]):
    """A time as in 2026-12-01T22:00, 2026-12-01T22:00Z or +30m, as Unix time in seconds."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """See click.ParamType."""
        if isinstance(value, float):
            return value
        text = str(value)
        try:
            if text.startswith("+"):
                return time.time() + Lifetime().convert(text[1:], None, None)
            return parse_moment(text).timestamp()
        except (ValueError, OverflowError, OSError, click.BadParameter):
            self.fail(
                f"{quoted(text)} is given; expected is a time, as in 2026-12-01T22:00 (of this"
                f" machine's clock), 2026-12-01T22:00Z, or +30m, which is in 30 minutes",
                param,
                ctx,
            )


class Folder(click.Path):
    """A directory; an empty one, as of a variable that is not set, is not this one."""

    def __init__(self, *, exists: bool = False) -> None:
        super().__init__(exists=exists, file_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See click."""
        if isinstance(value, str) and not value.strip():
            self.fail("it is empty; a directory is expected, and . is this one", param, ctx)
        path = super().convert(value, param, ctx)
        assert isinstance(path, Path)
        if _is_other(path):  # a pipe, of which click says nothing
            self.fail(f"{quoted(str(path))} is no directory, and one is expected", param, ctx)
        return path


def _is_other(path: Path) -> bool:
    """Whether something is there that is no directory; what cannot be looked at is said later."""
    try:
        return path.exists() and not path.is_dir()
    except OSError:
        return False
