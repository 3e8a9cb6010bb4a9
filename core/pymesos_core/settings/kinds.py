"""Kinds of values: how each is written on the command line and in a file, and what it refuses.

A value has three forms. *Written* is the text of a flag or a variable. *Raw* is what a file holds
and --print-config prints: text, a number, a boolean or a list of texts. *Read* is what the program
uses. All methods raise ValueError, with a sentence that says what is wrong and what is expected.
"""

from __future__ import annotations

import datetime
import math
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymesos_core.numbers import NumberSyntaxError, parse_real, parse_whole
from pymesos_core.text import cut, quoted

Raw = str | int | float | bool | list[str]
NOTHING, A_DIRECTORY, A_FILE = "nothing", "a directory", "a file"
MAX_BITS = 1024  # of a number that is shown
_SWITCHES = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


@dataclass(frozen=True)
class Unit:
    """What a number counts, and the suffix of the names of such fields."""

    suffix: str
    plural: str


SECONDS = Unit("s", "seconds")
MIB = Unit("mib", "MiB")
DAYS = Unit("days", "days")


def shown(value: object) -> str:
    """A value as a refusal quotes it: short, on one line, and safe to print."""
    if value is None:
        return "no value"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, datetime.date | datetime.time):
        return f"the date or time {value}"
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        return "a number of hundreds of digits"  # Python refuses to write thousands
    return quoted(value) if isinstance(value, str) else cut(repr(value))


class Kind(ABC):
    """What values a setting takes. `expected` completes "… is expected"."""

    metavar: str
    expected: str
    unit: Unit | None = None

    def from_text(self, written: str) -> Raw:
        """The raw value of a flag or a variable."""
        return written

    def from_file(self, value: object) -> Raw:
        """The raw value of what a file holds."""
        if not isinstance(value, str):
            raise self.refusal(value)
        if "\0" in value:
            raise self.refusal(value, ", without a NUL character")
        return value

    @abstractmethod
    def read(self, raw: Raw) -> Any:
        """The value that the program uses."""

    def refusal(self, value: object, hint: str = "") -> ValueError:
        """The error for a value that is not what is expected."""
        return ValueError(f"{shown(value)} is given, and {self.expected} is expected{hint}")


@dataclass(frozen=True)
class Text(Kind):
    """Any text that `reader` accepts."""

    reader: Callable[[str], Any] = str
    metavar: str = "TEXT"
    expected: str = "text"

    def read(self, raw: Raw) -> Any:
        """See Kind."""
        return self.reader(str(raw))


@dataclass(frozen=True)
class Texts(Kind):
    """Several texts: a list in a file, else separated by commas. `reader` is given all of them."""

    reader: Callable[[list[str]], Any] = tuple
    metavar: str = "TEXT,…"
    expected: str = "a list of texts"

    def from_text(self, written: str) -> Raw:
        """See Kind. An empty text is the empty list."""
        return [part.strip() for part in written.split(",") if part.strip()]

    def from_file(self, value: object) -> Raw:
        """See Kind."""
        if not isinstance(value, list):
            raise self.refusal(value, ', as in ["a", "b"]')
        for item in value:
            if not isinstance(item, str):
                raise ValueError(f"{shown(item)} is in the list, and text is expected")
            if "\0" in item:
                raise ValueError(f"{shown(item)} is in the list, and it has a NUL character")
            if "," in item:
                raise ValueError(f"{shown(item)} is in the list; give its parts as items")
        return [str(item) for item in value]

    def read(self, raw: Raw) -> Any:
        """See Kind."""
        assert isinstance(raw, list)
        return self.reader(raw)


@dataclass(frozen=True)
class Choice(Kind):
    """One of some words."""

    words: tuple[str, ...]

    @property
    def metavar(self) -> str:  # type: ignore[override]
        """See Kind."""
        return f"[{'|'.join(self.words)}]"

    @property
    def expected(self) -> str:  # type: ignore[override]
        """See Kind."""
        return f"one of {', '.join(self.words)}"

    def read(self, raw: Raw) -> str:
        """See Kind."""
        if raw not in self.words:
            raise self.refusal(raw)
        return str(raw)


@dataclass(frozen=True)
class Switch(Kind):
    """Yes or no."""

    metavar: str = "[true|false]"
    expected: str = "true or false"

    def from_text(self, written: str) -> Raw:
        """See Kind."""
        try:
            return _SWITCHES[written.strip().lower()]
        except KeyError:
            raise self.refusal(written) from None

    def from_file(self, value: object) -> Raw:
        """See Kind."""
        if isinstance(value, bool):
            return value
        quoted = isinstance(value, str) and value.strip().lower() in ("true", "false")
        raise self.refusal(value, ", without quotes" if quoted else "")

    def read(self, raw: Raw) -> bool:
        """See Kind."""
        assert isinstance(raw, bool)
        return raw


@dataclass(frozen=True)
class Number(Kind):
    """A number from `least` to `most`, both included; `whole` ones have no fraction."""

    least: float
    most: float | None = None
    unit: Unit | None = None
    whole: bool = False

    @property
    def metavar(self) -> str:  # type: ignore[override]
        """See Kind."""
        return self.unit.plural.upper() if self.unit else "NUMBER"

    @property
    def expected(self) -> str:  # type: ignore[override]
        """See Kind."""
        what = "a whole number" if self.whole else "a number"
        return f"{what}{f' of {self.unit.plural}' if self.unit else ''} {self.range}"

    @property
    def range(self) -> str:
        """The range in words."""
        if self.most is None:
            return f"from {_plain(self.least)} up"
        return f"from {_plain(self.least)} to {_plain(self.most)}"

    def from_text(self, written: str) -> Raw:
        """See Kind."""
        try:
            return parse_whole(written) if self.whole else parse_real(written)
        except NumberSyntaxError:
            raise self.refusal(written) from None

    def from_file(self, value: object) -> Raw:
        """See Kind."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.refusal(value, ", without quotes" if isinstance(value, str) else "")
        if self.whole and isinstance(value, float):
            raise self.refusal(value)
        return value

    def read(self, raw: Raw) -> int | float:
        """See Kind. What is not finite is in no range."""
        assert isinstance(raw, int | float)
        inside = raw >= self.least and (self.most is None or raw <= self.most)
        try:
            if inside and math.isfinite(raw):
                return int(raw) if self.whole else float(raw)
        except OverflowError:  # a whole number that is no float
            pass
        raise self.refusal(raw)


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


@dataclass(frozen=True)
class Folder(Kind):
    """A directory; one that `exists`, or that will be made."""

    exists: bool = False
    metavar: str = "DIRECTORY"
    expected: str = "a directory"

    def read(self, raw: Raw) -> Path:
        """See Kind. An empty text, as of a variable that is not set, is not this directory."""
        path = _path(raw, self)
        found = _found(path)
        if found == A_DIRECTORY or (found == NOTHING and not self.exists):
            return path
        raise self.refusal(raw, f", and {found} is there")


@dataclass(frozen=True)
class File(Kind):
    """A file; one that `exists`, or that may be missing."""

    exists: bool = True
    metavar: str = "FILE"
    expected: str = "a file"

    def read(self, raw: Raw) -> Path:
        """See Kind."""
        path = _path(raw, self)
        found = _found(path)
        if found == A_FILE or (found == NOTHING and not self.exists):
            return path
        raise self.refusal(raw, f", and {found} is there")


def _path(raw: Raw, kind: Kind) -> Path:
    text = str(raw)
    if not text.strip() or "\0" in text:
        raise kind.refusal(raw, "; . is this directory" if isinstance(kind, Folder) else "")
    if text.startswith("~"):
        raise kind.refusal(raw, "; ~ is a home to shells alone: its whole path, or ./~")
    return Path(text)


def _found(path: Path) -> str:
    try:
        mode = path.stat().st_mode
    except OSError:
        return NOTHING
    return A_DIRECTORY if stat.S_ISDIR(mode) else A_FILE
