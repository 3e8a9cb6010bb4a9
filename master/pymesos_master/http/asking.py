"""What a request asks for: parameters of its query, its path or its body, checked and read."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import parse_qsl, unquote

from pymesos_core.clock import parse_moment
from pymesos_core.json_dialect import Json
from pymesos_core.nearest import hint
from pymesos_core.numbers import NumberSyntaxError, parse_real
from pymesos_core.text import quoted
from pymesos_core.transport import CallError, Code

MAX_QUERY = 2048  # characters
MAX_PARAMETERS = 32
MAX_VALUE = 255  # characters of one
MOST_SECONDS = 1e11
_SHA256 = re.compile("[0-9a-f]{64}")
NO_CONTROLS = r"^[^\x00-\x1f\x7f]*$"  # for those who read the document


@dataclass(frozen=True)
class Parameter:
    """One parameter of a query, a part of a path, or one field of a body."""

    name: str
    what: str  # it does, as a sentence
    schema: Json  # of a value
    # Checks a value as JSON has it. Raises ValueError, with what is expected.
    read: Callable[[Any], Any]
    # From what a query has to what JSON has; what it cannot, it leaves for `read` to refuse.
    from_text: Callable[[str], Any] = str
    most: int = MAX_VALUE  # characters of its text in a query or a path
    many: int = 0  # of a query it may be given again, in a body it is a list: at most so many
    required: bool = False


class Asked:
    """The parameters that were given, by their names, as they were read."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given

    def __contains__(self, name: str) -> bool:
        return name in self._given

    def __or__(self, other: Asked) -> Asked:
        """Both: no two parameters of a route have one name."""
        return Asked({**self._given, **other._given})

    def text(self, name: str) -> str:
        """A text; empty if it was not given."""
        return str(self._given.get(name, ""))

    def number(self, name: str) -> Any:
        """A number; 0 if it was not given."""
        return self._given.get(name, 0)

    def flag(self, name: str) -> bool:
        """Whether it was given as true."""
        return bool(self._given.get(name, False))

    def several(self, name: str) -> Sequence[Any]:
        """All that was given of it."""
        return self._given.get(name, ())  # type: ignore[no-any-return]

    def value(self, name: str) -> Any:
        """What was read of it; None if it was not given."""
        return self._given.get(name)


NOTHING = Asked({})


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
            raise _bad(f"there is no parameter {quoted(name)} here; {_instead(name, by_name)}")
        read = _from_text(parameter, value)
        if parameter.many:
            given[name] = [*given.get(name, ()), read]
        elif name in given:
            raise _bad(f"the parameter {name} is given twice; give it once")
        else:
            given[name] = read
    _check_required(parameters, given, "the query has no parameter")
    return Asked(given)


def _instead(name: str, known: Mapping[str, Parameter]) -> str:
    return hint(name, known, "these are:") if known else "it takes none"


def read_part(part: str, parameter: Parameter) -> Any:
    """Read a part of a path, percent-encoded as it came. Raises CallError (INVALID_ARGUMENT)."""
    try:
        text = unquote(part, errors="strict")
    except UnicodeDecodeError:
        raise _bad(f"the path has {quoted(part)}, which is not UTF-8 percent-encoded") from None
    return _from_text(parameter, text)


def read_body(body: bytes, fields: Sequence[Parameter]) -> Asked:
    """Read a JSON object. Raises CallError (INVALID_ARGUMENT), which quotes no value of it."""
    said = _object_of(body)
    by_name = {field.name: field for field in fields}
    given: dict[str, Any] = {}
    for name, value in said.items():
        field = by_name.get(name)
        if field is None:
            raise _bad(f"there is no field {quoted(name)} here; {_instead(name, by_name)}")
        if value is None:  # as if it was left out: what is not known is null
            continue
        try:
            given[name] = _listed(field, value) if field.many else field.read(value)
        except ValueError as error:
            raise _bad(f"the field {name}: expected is {error}") from None
    _check_required(fields, given, "the body has no field")
    return Asked(given)


def _object_of(body: bytes) -> Json:
    """The one object of a body. Raises CallError."""

    def pairs(items: list[tuple[str, Any]]) -> Json:
        found: Json = {}
        for name, value in items:
            if name in found:
                raise _bad(f"the field {quoted(name)} is given twice; give it once")
            found[name] = value
        return found

    try:
        said = json.loads(body.decode(), object_pairs_hook=pairs, parse_constant=_no_constant)
    except (ValueError, RecursionError):  # UnicodeDecodeError is one
        said = None
    if not isinstance(said, dict):
        raise _bad("the body is not one JSON object in UTF-8, as in {}")
    return said


def _no_constant(_name: str) -> NoReturn:
    raise ValueError("JSON has no such number")


def _listed(field: Parameter, value: Any) -> list[Any]:
    if not isinstance(value, list) or not 1 <= len(value) <= field.many:
        raise ValueError(f"a list of 1 to {field.many}")
    return [field.read(one) for one in value]


def _check_required(parameters: Sequence[Parameter], given: Mapping[str, Any], lacks: str) -> None:
    """Raises CallError."""
    for parameter in parameters:
        if parameter.required and parameter.name not in given:
            raise _bad(f"{lacks} {parameter.name}, which has to be given: {parameter.what}")


def _from_text(parameter: Parameter, value: str) -> Any:
    try:
        return parameter.read(parameter.from_text(one_line_text(value, parameter.most)))
    except ValueError as error:
        raise _bad(f"{parameter.name}={quoted(value)}: expected is {error}") from None


def _bad(message: str) -> CallError:
    return CallError(Code.INVALID_ARGUMENT, message)


# What is read. Each raises ValueError, with what is expected.


def one_line_text(value: Any, most: int = MAX_VALUE) -> str:
    """A text of one line."""
    if (
        not isinstance(value, str)
        or len(value) > most
        or any(c < " " or c == "\x7f" or "\ud800" <= c <= "\udfff" for c in value)
    ):
        raise ValueError(f"a text of at most {most} characters, and none is a control character")
    return value


def is_text(value: Any) -> bool:
    """Whether it is a text, of any lines; half a character is none."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_number(value: Any) -> bool:
    """Whether it is a number of JSON that a float can hold; true and false are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


# Kinds of parameters.


def text(name: str, what: str, *, required: bool = False) -> Parameter:
    """Any text of one line."""
    schema = {"type": "string", "maxLength": MAX_VALUE, "pattern": NO_CONTROLS}
    return Parameter(name, what, schema, one_line_text, required=required)


def texts(
    name: str, what: str, most: int, characters: int = MAX_VALUE, *, required: bool = False
) -> Parameter:
    """Several texts of one line each."""

    def read(value: Any) -> str:
        return one_line_text(value, characters)

    schema = {"type": "string", "maxLength": characters, "pattern": NO_CONTROLS}
    return Parameter(name, what, schema, read, many=most, required=required)


def document(name: str, what: str, most: int, *, required: bool = False) -> Parameter:
    """A text of any lines, of at most so many bytes in UTF-8."""

    def read(value: Any) -> str:
        if not is_text(value) or len(value.encode()) > most:
            raise ValueError(f"a text of at most {most} bytes in UTF-8")
        return str(value)

    return Parameter(name, what, {"type": "string", "maxLength": most}, read, required=required)


def binary(name: str, what: str, most: int) -> Parameter:
    """Bytes, at most so many, in base64."""
    most_text = 4 * -(-most // 3)

    def read(value: Any) -> bytes:
        try:
            if isinstance(value, str) and len(value) <= most_text:
                return base64.b64decode(value, validate=True)
        except ValueError:  # binascii.Error is one
            pass
        raise ValueError(f"base64 of at most {most} bytes")

    schema = {"type": "string", "contentEncoding": "base64", "maxLength": most_text}
    return Parameter(name, what, schema, read)


def digest(name: str, what: str) -> Parameter:
    """A SHA-256, which has to be given, in hexadecimal digits."""

    def read(value: Any) -> bytes:
        if not isinstance(value, str) or not _SHA256.fullmatch(value):
            raise ValueError("a SHA-256 as 64 hexadecimal digits 0-9 and a-f")
        return bytes.fromhex(value)

    schema = {"type": "string", "pattern": f"^{_SHA256.pattern}$"}
    return Parameter(name, what, schema, read, required=True)


def flag(name: str, what: str) -> Parameter:
    """Yes or no: `true` or `false`."""

    def read(value: Any) -> bool:
        if not isinstance(value, bool):
            raise ValueError("true or false")
        return value

    def from_text(value: str) -> Any:
        return {"true": True, "false": False}.get(value)

    return Parameter(name, what, {"type": "boolean"}, read, from_text)


def whole(name: str, what: str, least: int, most: int, *, required: bool = False) -> Parameter:
    """A whole number."""

    def read(value: Any) -> int:
        if not is_number(value) or value != int(value) or not least <= value <= most:
            raise ValueError(f"a whole number from {least} to {most}")
        return int(value)

    def from_text(value: str) -> Any:
        return int(value) if value.isascii() and value.isdigit() and len(value) < 20 else None

    schema = {"type": "integer", "minimum": least, "maximum": most}
    return Parameter(name, what, schema, read, from_text, required=required)


def number(
    name: str, what: str, most: float, *, of: str = "a number", required: bool = False
) -> Parameter:
    """A number from 0 on."""

    def read(value: Any) -> float:
        if not is_number(value) or not 0 <= value <= most:
            raise ValueError(f"{of} from 0 to {most:.16g}")
        return float(value)

    def from_text(value: str) -> Any:
        try:
            return parse_real(value)
        except NumberSyntaxError:
            return None

    schema = {"type": "number", "minimum": 0, "maximum": most}
    return Parameter(name, what, schema, read, from_text, required=required)


def seconds(
    name: str, what: str, most: float = MOST_SECONDS, *, required: bool = False
) -> Parameter:
    """A number of seconds, or a Unix time."""
    return number(name, what, most, of="a number of seconds", required=required)


def moment(name: str, what: str, *, required: bool = False) -> Parameter:
    """A time in ISO 8601, with its zone; it is read as Unix time."""

    def read(value: Any) -> float:
        try:
            when = parse_moment(one_line_text(value))
            if when.tzinfo is not None:
                return when.timestamp()
        except (ValueError, OverflowError):
            pass
        raise ValueError("a time in ISO 8601 with its zone, as in 2026-12-01T22:00:00Z")

    schema = {"type": "string", "format": "date-time", "maxLength": MAX_VALUE}
    return Parameter(name, what, schema, read, required=required)


def one_of(
    name: str, what: str, choices: Sequence[str], *, many: bool = False, required: bool = False
) -> Parameter:
    """One of some words, or with `many` several of them."""

    def read(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return str(value)

    schema = {"type": "string", "enum": [*choices]}
    most = MAX_PARAMETERS if many else 0
    return Parameter(name, what, schema, read, many=most, required=required)
