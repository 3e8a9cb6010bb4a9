"""Declarations of settings: fields of a frozen dataclass, each with all that is said of it.

    @dataclass(frozen=True)
    class CookSettings(Settings):
        oven_c: float = number(180, 50, 250, help="How hot the oven is.")

makes the flag --oven-c, the key `oven_c` and the variable PYMESOS_COOK_OVEN_C. A field whose kind
has a unit ends in the unit's suffix, which is left out of the setting's name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from pymesos_core.settings import kinds
from pymesos_core.settings.kinds import Kind, Raw, Unit

_KEY = "setting"


@dataclass(frozen=True)
class Declaration:
    """What is said of a setting, but for its name: `default` is raw, or makes a raw value."""

    kind: Kind
    default: Raw | Callable[[], Raw | Path] | None
    help: str
    default_text: str = ""  # what the help says of the default, where the value does not do
    required: bool = False
    mask: Callable[[str], str] | None = None  # how the value is shown, which is a secret in part
    also: str = ""  # a variable of several roles, after the role's own

    def raw_default(self) -> Raw | None:
        """The raw value that is in force if nothing is given; None: no value."""
        made = self.default() if callable(self.default) else self.default
        return str(made) if isinstance(made, Path) else made

    def read_default(self) -> Any:
        """The default as the program uses it."""
        raw = self.raw_default()
        return None if raw is None else self.kind.read(raw)


@dataclass(frozen=True)
class Setting:
    """A declaration with its names: `field` in the program, `name` for people."""

    field: str
    name: str
    declared: Declaration

    @property
    def flag(self) -> str:
        """The name of the setting on the command line."""
        return "--" + self.name.replace("_", "-")

    def variable(self, role: str) -> str:
        """The name of the setting in the environment of a role."""
        return f"PYMESOS_{role}_{self.name}".upper()


@dataclass(frozen=True)
class Settings:
    """The base of all settings of a role."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """What is wrong though each value alone is right: the field to change, and a sentence."""
        yield from ()


def settings_of(cls: type[Settings]) -> list[Setting]:
    """All settings of a class, in the order of their declarations."""
    out = []
    for one in fields(cls):
        declared: Declaration = one.metadata[_KEY]
        unit = declared.kind.unit
        suffix = f"_{unit.suffix}" if unit else ""
        assert one.name.endswith(suffix), f"{one.name} does not end in {suffix}"
        out.append(Setting(one.name, one.name.removesuffix(suffix), declared))
    return out


def _field(declared: Declaration) -> Any:
    return field(default_factory=declared.read_default, metadata={_KEY: declared})


def text(
    default: str | Callable[[], str] | None,
    *,
    help: str,  # noqa: A002 - as click calls it
    read: Callable[[str], Any] = str,
    metavar: str = "TEXT",
    default_text: str = "",
    required: str = "",
    mask: Callable[[str], str] | None = None,
    also: str = "",
) -> Any:
    """A text that `read` makes a value of, or refuses with ValueError.

    `required` says what is expected of a setting that somebody has to give.
    """
    kind = kinds.Text(read, metavar, required or "text")
    return _field(Declaration(kind, default, help, default_text, bool(required), mask, also))


def texts(
    *,
    help: str,  # noqa: A002
    read: Callable[[list[str]], Any] = tuple,
    metavar: str,
    default_text: str = "",
) -> Any:
    """A list of texts, empty by default."""
    return _field(Declaration(kinds.Texts(read, metavar), [], help, default_text))


def choice(default: str, words: Sequence[str], *, help: str) -> Any:  # noqa: A002
    """One of some words."""
    return _field(Declaration(kinds.Choice(tuple(words)), default, help))


def switch(default: bool, *, help: str) -> Any:  # noqa: A002
    """Yes or no: --NAME and --no-NAME."""
    return _field(Declaration(kinds.Switch(), default, help))


def whole(
    default: int | None,
    least: int,
    most: int | None = None,
    *,
    help: str,  # noqa: A002
    unit: Unit | None = None,
    default_text: str = "",
) -> Any:
    """A whole number."""
    kind = kinds.Number(least, most, unit, whole=True)
    return _field(Declaration(kind, default, help, default_text))


def number(
    default: float,
    least: float,
    most: float | None = None,
    *,
    help: str,  # noqa: A002
    unit: Unit | None = None,
) -> Any:
    """A number, with or without a fraction."""
    return _field(Declaration(kinds.Number(least, most, unit), float(default), help))


def folder(
    default: Callable[[], Path] | None,
    *,
    help: str,  # noqa: A002
    exists: bool = False,
    default_text: str = "",
) -> Any:
    """A directory."""
    return _field(Declaration(kinds.Folder(exists), default, help, default_text))


def file(*, help: str, default_text: str, exists: bool = True) -> Any:  # noqa: A002
    """A file; none by default."""
    return _field(Declaration(kinds.File(exists), None, help, default_text))
