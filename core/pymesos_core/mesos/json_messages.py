"""Protobuf messages as JSON, and back, as Mesos does it.

It differs from protobuf's own mapping: fields have the names of the schema, 64-bit integers are
numbers, only what is set is shown, the name of an enum that is not known is as if nothing was said,
and what is wrong is said in the words of Mesos, which clients show. (`3rdparty/stout`,
`protobuf.hpp`.)
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NoReturn, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from pymesos_core.numbers import NumberSyntaxError, parse_real, parse_whole
from pymesos_core.text import cut

M = TypeVar("M", bound=Message)

MAX_SHOWN = 200  # characters of what was sent, in an answer that quotes it
_BASE64 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")

_UNITS = {
    "ns": 1,
    "us": 10**3,
    "ms": 10**6,
    "secs": 10**9,
    "mins": 60 * 10**9,
    "hrs": 3600 * 10**9,
    "days": 86400 * 10**9,
}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ns|us|ms|secs|mins|hrs|days)")
_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
_REALS = frozenset({FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT})


class ConversionError(ValueError):
    """JSON that is no such message: what is wrong, as Mesos says it."""


def parse_json(body: bytes) -> Any:
    """Read JSON. Raises ConversionError."""
    try:
        return _decode(body.decode())
    except UnicodeDecodeError as error:
        rest = body[error.start : error.start + MAX_SHOWN].decode("latin-1")
        raise ConversionError(f"syntax error at line 1 near: {rest}") from None
    except json.JSONDecodeError as error:
        rest = cut(error.doc[error.pos :].split("\n", 1)[0].strip(), MAX_SHOWN)
        raise ConversionError(f"syntax error at line {error.lineno} near: {rest}") from None
    except RecursionError:
        raise ConversionError("it is nested too deep") from None
    except ValueError as error:  # a number of thousands of digits, or one that JSON does not have
        raise ConversionError(str(error)) from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


_decode = json.JSONDecoder(parse_constant=_no_constant).decode  # `loads` would make one each time


def from_json(value: Any, kind: type[M]) -> M:
    """Return the message that parsed JSON is. Raises ConversionError."""
    if not isinstance(value, dict):
        raise ConversionError("Expecting a JSON object")
    try:
        message = kind(**_read_fields(kind.DESCRIPTOR)(value))
    except RecursionError:
        raise ConversionError("it is nested too deep") from None
    missing: list[str] = message.FindInitializationErrors()  # type: ignore[attr-defined]
    if missing:
        raise ConversionError(f"Missing required fields: {', '.join(missing)}")
    return message


# Returns a field's value as a message's constructor takes it; None: it is as if nothing was said.
Read = Callable[[Any], Any]
ReadFields = Callable[[Mapping[str, Any]], dict[str, Any]]


@cache
def _read_fields(descriptor: Descriptor) -> ReadFields:
    """What returns the fields that a message is made of at once, which takes half the time."""
    readers: dict[str, Read] = {}  # made when they are needed: a message may hold one of its kind

    def read_fields(value: Mapping[str, Any]) -> dict[str, Any]:
        if not readers:
            readers.update({field.name: _reader(field) for field in descriptor.fields})
        out = {}
        for name, inner in value.items():
            if inner is None or (read := readers.get(name)) is None:
                continue  # what is not known is left out
            if (found := read(inner)) is not None:
                out[name] = found
        return out

    return read_fields


def _reader(field: FieldDescriptor) -> Read:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return _map_reader(field)
    read = _read_one(field)
    if not field.is_repeated:
        return read

    def read_list(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise _not_expected(field, value)
        return [found for one in value if (found := read(one)) is not None]

    return read_list


def _read_one(field: FieldDescriptor) -> Read:
    """What reads a value of a field, or one of its values."""
    if (inner := field.message_type) is None:
        return _read_scalar(field)
    read_fields = _read_fields(inner)
    is_duration = inner.name == "Duration" and not field.is_repeated

    def read_message(value: Any) -> dict[str, Any]:
        if isinstance(value, dict):
            return read_fields(value)
        if is_duration and isinstance(value, str):
            return read_fields(_duration(field, value))
        raise _not_expected(field, value)

    return read_message


def _duration(field: FieldDescriptor, text: str) -> Mapping[str, int]:
    """A time as Mesos' flags have it, which this one may be."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ConversionError(
            f"Failed to parse the field '{field.name}': {cut(text, MAX_SHOWN)!r} is no duration, as"
            f" 10mins is"
        )
    nanoseconds = round(float(found[1]) * _UNITS[found[2]])
    return {"seconds": nanoseconds // 10**9, "nanos": nanoseconds % 10**9}


def _map_reader(field: FieldDescriptor) -> Read:
    entry = field.message_type
    assert entry is not None
    of_value = entry.fields_by_name["value"]
    if (inner := of_value.message_type) is None:
        read = _read_scalar(of_value)
    else:
        read_fields, kind = _read_fields(inner), GetMessageClass(inner)

        def read(value: Any) -> Message:  # a map takes no fields of one
            return kind(**read_fields(_object(field, value)))

    def read_map(value: Any) -> dict[str, Any]:
        found = {_text(field, key): read(inner) for key, inner in _object(field, value).items()}
        return {key: one for key, one in found.items() if one is not None}

    return read_map


def _object(field: FieldDescriptor, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _not_expected(field, value)
    return value


def _text(field: FieldDescriptor, value: str) -> str:
    try:
        if not value.isascii():
            value.encode()
    except UnicodeEncodeError:  # half of a pair, as "\ud800"
        raise ConversionError(f"the field '{field.name}' holds what is no Unicode text") from None
    return value


def _read_scalar(field: FieldDescriptor) -> Read:
    """What reads one value of a field that is no message; it gives None for what is left out."""
    kind = field.cpp_type
    if field.enum_type is not None:
        numbers = {name: value.number for name, value in field.enum_type.values_by_name.items()}

        def read_enum(value: Any) -> int | None:
            if not isinstance(value, str):
                raise _not_expected(field, value)
            if field.is_required and value not in numbers:
                raise ConversionError(f"Failed to find enum for '{cut(value, MAX_SHOWN)}'")
            return numbers.get(value)

        return read_enum
    if kind == FieldDescriptor.CPPTYPE_BOOL:

        def read_bool(value: Any) -> bool:
            if not isinstance(value, bool):
                raise _not_expected(field, value)
            return value

        return read_bool
    if kind == FieldDescriptor.CPPTYPE_STRING:
        is_text = field.type != FieldDescriptor.TYPE_BYTES

        def read_string(value: Any) -> str | bytes:
            if not isinstance(value, str):
                raise _not_expected(field, value)
            return _text(field, value) if is_text else _bytes(field, value)

        return read_string
    is_real = kind in _REALS

    def read_number(value: Any) -> float | int:
        usual = is_real and isinstance(value, float) and math.isfinite(value)
        return value if usual else _number(field, value)

    return read_number


def _bytes(field: FieldDescriptor, value: str) -> bytes:
    problem = f"Failed to base64 decode bytes field '{field.name}'"
    if not _BASE64.issuperset(value):
        wrong = next(c for c in value if c not in _BASE64)
        raise ConversionError(f"{problem}: Invalid character '{wrong}'")
    try:
        return base64.b64decode(value)
    except binascii.Error as error:
        raise ConversionError(f"{problem}: {error}") from None


def _number(field: FieldDescriptor, value: Any) -> float | int:
    if isinstance(value, str):  # as 64-bit integers are written where numbers are doubles
        try:
            value = parse_real(value) if field.cpp_type in _REALS else parse_whole(value)
        except NumberSyntaxError:
            raise _not_expected(field, value) from None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _not_expected(field, value)
    try:
        finite = math.isfinite(value)
    except OverflowError:
        finite = False
    if not finite:
        raise ConversionError(f"the field '{field.name}' is too large a number")
    if field.cpp_type in _REALS:
        return float(value)
    least, most = _INTEGERS[field.cpp_type]
    whole = int(value)
    if not least <= whole <= most:
        raise ConversionError(f"the field '{field.name}' is not in the range {least} to {most}")
    return whole


def _not_expected(field: FieldDescriptor, value: Any) -> ConversionError:
    match value:
        case bool():
            kind = "boolean"
        case int() | float():
            kind = "number"
        case str():
            kind = "string"
        case list():
            kind = "array"
        case _:
            kind = "object"
    return ConversionError(f"Not expecting a JSON {kind} for field '{field.name}'")


def to_json(message: Message) -> bytes:
    """Return a message as JSON: what is set, without spaces."""
    return compact(to_object(message))


# Made once, likewise; it is given no circles to look for.
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode


def compact(value: Any) -> bytes:
    """Return a value as JSON without spaces."""
    return _encode(value).encode()


# What a message is made of: enums by their names, bytes as they are, no empty list. In the order
# of the schema it is JSON as `to_json` writes it, in a third of the time.
Fields = dict[str, Any]


def _base64_of(value: Any) -> str:
    if not isinstance(value, bytes):
        raise TypeError(f"{type(value).__name__} is nothing of a message")
    return base64.b64encode(value).decode()


_encode_fields = json.JSONEncoder(
    separators=(",", ":"), allow_nan=False, check_circular=False, default=_base64_of
).encode


def fields_to_json(fields: Fields) -> bytes:
    """Return what a message is made of as JSON."""
    return _encode_fields(fields).encode()


def to_object(message: Message) -> dict[str, Any]:
    """Return what is set in a message, as JSON has it."""
    out = {}
    for field, value in message.ListFields():
        name, show = _shown(field)
        out[name] = value if show is None else show(value)
    return out


Show = Callable[[Any], Any]


@cache
def _shown(field: FieldDescriptor) -> tuple[str, Show | None]:
    """The name of a field, and what shows its value; None: it is shown as it is."""
    return field.name, _show(field)


def _show(field: FieldDescriptor) -> Show | None:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        one = _show_one(field.message_type.fields_by_name["value"]) or _as_it_is
        return lambda value: {str(key): one(inner) for key, inner in value.items()}
    if field.is_repeated:
        each = _show_one(field)
        return list if each is None else lambda value: list(map(each, value))
    return _show_one(field)


def _as_it_is(value: Any) -> Any:
    return value


def _show_one(field: FieldDescriptor) -> Show | None:
    if field.message_type is not None:
        return to_object
    if field.enum_type is not None:
        names = {number: one.name for number, one in field.enum_type.values_by_number.items()}
        return lambda value: names.get(value, value)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return lambda value: base64.b64encode(value).decode()
    if field.cpp_type in _REALS:
        return lambda value: value if math.isfinite(value) else None
    return None
