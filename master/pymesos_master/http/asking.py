"""What a request asks for: the parameters of its query, checked and read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from pymesos_core.json_dialect import Json
from pymesos_core.numbers import NumberSyntaxError, parse_real
from pymesos_core.text import quoted
from pymesos_core.transport import CallError, Code

MAX_QUERY = 2048  # characters
MAX_PARAMETERS = 32
MAX_VALUE = 255  # characters of one
NO_CONTROLS = r"^[^\x00-\x1f\x7f]*$"  # for those who read the document

Read = Callable[[str], Any]  # raises ValueError, with what is expected


@dataclass(frozen=True)
class Parameter:
    """One parameter of a query."""

    name: str
    what: str  # it does, as a sentence
    schema: Json  # of a value
    read: Read
    many: bool = False  # it may be given more than once


class Asked:
    """The parameters that were given, by their names, as they were read."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given

    def text(self, name: str) -> str:
        """A text; empty if it was not given."""
        return str(self._given.get(name, ""))

    def number(self, name: str) -> Any:
        """A number; 0 if it was not given."""
        return self._given.get(name, 0)

    def flag(self, name: str) -> bool:
        """Whether it was given as true."""
        return bool(self._given.get(name, False))

    def several(self, name: str) -> Sequence[str]:
        """All that was given of it."""
        return self._given.get(name, ())  # type: ignore[no-any-return]


def read_query(query: str, parameters: Sequence[Parameter]) -> Asked:
    """Read a query as it came. Raises CallError (INVALID_ARGUMENT)."""
    if len(query) > MAX_QUERY:
        raise _bad(f"the query has {len(query)} characters; at most {MAX_QUERY} are accepted")
    try:
        pairs = parse_qsl(
            query,
            keep_blank_values=True,
            strict_parsing=bool(query),
            errors="strict",
            max_num_fields=MAX_PARAMETERS,
        )
    except ValueError:  # UnicodeDecodeError is one
        raise _bad(
            f"the query {quoted(query)} cannot be read; expected are at most {MAX_PARAMETERS} of"
            f" NAME=VALUE with & between them, percent-encoded in UTF-8"
        ) from None
    by_name = {parameter.name: parameter for parameter in parameters}
    given: dict[str, Any] = {}
    for name, value in pairs:
        parameter = by_name.get(name)
        if parameter is None:
            known = ", ".join(by_name) or "it takes none"
            raise _bad(f"there is no parameter {quoted(name)} here; these are: {known}")
        read = _read(parameter, value)
        if parameter.many:
            given[name] = [*given.get(name, ()), read]
        elif name in given:
            raise _bad(f"the parameter {name} is given twice; give it once")
        else:
            given[name] = read
    return Asked(given)


def _read(parameter: Parameter, value: str) -> Any:
    try:
        if len(value) > MAX_VALUE or any(c < " " or c == "\x7f" for c in value):
            raise ValueError(f"at most {MAX_VALUE} characters, and none is a control character")
        return parameter.read(value)
    except ValueError as error:
        raise _bad(f"{parameter.name}={quoted(value)}: expected is {error}") from None


def _bad(message: str) -> CallError:
    return CallError(Code.INVALID_ARGUMENT, message)


# Kinds of parameters.


def text(name: str, what: str) -> Parameter:
    """Any text of one line."""
    schema = {"type": "string", "maxLength": MAX_VALUE, "pattern": NO_CONTROLS}
    return Parameter(name, what, schema, str)


def flag(name: str, what: str) -> Parameter:
    """Yes or no: `true` or `false`."""

    def read(value: str) -> bool:
        if value not in ("true", "false"):
            raise ValueError("true or false")
        return value == "true"

    return Parameter(name, what, {"type": "boolean"}, read)


def whole(name: str, what: str, least: int, most: int) -> Parameter:
    """A whole number."""

    def read(value: str) -> int:
        number = int(value) if value.isascii() and value.isdigit() and len(value) < 20 else -1
        if not least <= number <= most:
            raise ValueError(f"a whole number from {least} to {most}")
        return number

    return Parameter(name, what, {"type": "integer", "minimum": least, "maximum": most}, read)


def seconds(name: str, what: str) -> Parameter:
    """A number of seconds, 0 or more."""

    def read(value: str) -> float:
        try:
            number = parse_real(value)
        except NumberSyntaxError:
            number = -1.0
        if not 0 <= number <= 1e11:
            raise ValueError("a number of seconds from 0 on, as in 1767225600")
        return number

    return Parameter(name, what, {"type": "number", "minimum": 0, "maximum": 1e11}, read)


def one_of(name: str, what: str, choices: Sequence[str], *, many: bool = False) -> Parameter:
    """One of some words, or with `many` several of them, each with the name again."""

    def read(value: str) -> str:
        if value not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return value

    return Parameter(name, what, {"type": "string", "enum": [*choices]}, read, many)
