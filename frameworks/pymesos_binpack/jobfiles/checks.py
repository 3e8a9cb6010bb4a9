"""What is asked of a job's document beside its schema, and the schema with limits in bytes."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import jsonschema

from pymesos_binpack.specs import JobError
from pymesos_core.documents import written_at
from pymesos_core.expressions import compile_expression
from pymesos_core.ids import hidden_character, size_of
from pymesos_core.nearest import hint, nearest
from pymesos_core.resource_names import KNOWN_RESOURCES
from pymesos_core.text import cut

MAX_DEPTH = 24
MAX_INT = 2**64
SHOWN = 100  # characters of a value that is refused
KEYS_NAMED = 6  # of a mapping that is expected
# What files of other systems say, where a job file has another word for it.
_OTHER_KEYS = {
    "args": "command", "cmd": "command", "container": "image", "count": "instances",
    "cron": "schedule", "docker": "image", "environment": "env", "fetch": "artifacts",
    "id": "name", "replicas": "instances", "uris": "artifacts",
}  # fmt: skip

Path = tuple[str | int, ...]


def check_values(value: Any, path: Path = (), written: str | None = None) -> None:
    """What no schema can see to: numbers that are none, text that cannot be sent, or not be seen.

    `written` is how a number stood in the file, if that is known. Raises JobError.
    """
    forms = getattr(value, "written", {})
    if len(path) > MAX_DEPTH:
        raise JobError("the job file is nested too deeply")
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise JobError(f"{shown_path(path) or 'the job'}: the key {key!r} is not text")
            _check_text(key, path, "the key")
            check_values(inner, (*path, key), forms.get(key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            check_values(inner, (*path, index), forms.get(index))
    elif isinstance(value, str):
        _check_text(value, path, "" if is_free(path) else "the text")
    elif isinstance(value, float) and not math.isfinite(value):
        raise JobError(f"{shown_path(path)}: {_number(value, written)} is not a finite number")
    elif isinstance(value, int) and abs(value) > MAX_INT:
        raise JobError(f"{shown_path(path)}: {_number(value, written)} is out of range")
    elif not (value is None or isinstance(value, bool | int | float)):
        raise JobError(f"{shown_path(path)}: {type(value).__name__} is nothing that JSON has")


def _number(value: float, written: str | None) -> str:
    if written is not None:
        return cut(written)
    return f"a number of {value.bit_length()} bits" if isinstance(value, int) else str(value)


def is_free(path: Path) -> bool:
    """Whether a text is what a program reads: then it may hold anything but NUL."""
    if path[-3:-2] == ("config",):
        return path[-1] in ("content", "template")
    return path[-1:] == ("command",) or path[-2:-1] in (("env",), ("variables",))


def _check_text(text: str, path: Path, what: str) -> None:
    """`what` it is, where nothing hidden may be in it."""
    if (problem := _text_problem(text, what)) is not None:
        raise JobError(f"{shown_path(path)}: {problem}" if path else problem)


def _text_problem(text: str, what: str) -> str | None:
    if text.isascii() and text.isprintable():
        return None
    if "\0" in text:
        return f"{shown(text)} holds a NUL character, which no program can be given"
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return (
            f"{shown(text)} holds U+{ord(text[error.start]):04X}, half of a character or a byte"
            f" that is not UTF-8, which no program can be given"
        )
    if what and (hidden := hidden_character(text)) is not None:
        return f"{what} {shown(text)} has a control character, or one that nobody sees: {hidden}"
    return None


def shown(value: Any) -> str:
    """A value in a sentence: cut, and with what cannot be seen as an escape."""
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def shown_path(path: Path) -> str:
    """tasks[0].env.A"""
    out = ""
    for part in path:
        if isinstance(part, int):
            out += f"[{part}]"
        else:
            key = part if part.isprintable() and len(part) <= SHOWN else shown(part)
            out += f"{'.' if out else ''}{key}"
    return out


def with_whole_numbers(value: Any, node: Mapping[str, Any]) -> Any:
    """The document in plain JSON, with 1.0 as 1 wherever the schema, `in_full`, says that it is
    whole.
    """
    if isinstance(value, dict):
        return {key: with_whole_numbers(v, below(node, key, {})) for key, v in value.items()}
    if isinstance(value, list | tuple):
        items = node.get("items", {})
        return [with_whole_numbers(inner, items) for inner in value]
    if isinstance(value, float) and value.is_integer() and node.get("type") == "integer":
        return int(value)
    return value


def below(node: Mapping[str, Any], key: str, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the schema says of a key of a mapping, or of the items of a list; {}: nothing."""
    node = resolved(node, schema)
    if "items" in node:
        return resolved(node["items"], schema)
    found = node.get("properties", {}).get(key, node.get("additionalProperties"))
    return resolved(found, schema) if isinstance(found, dict) else {}


def resolved(node: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """With what its $ref leads to; its own words count more."""
    while "$ref" in node:
        target: Any = schema
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    return node


def in_full(node: Any, schema: Mapping[str, Any]) -> Any:
    """A part of the schema with what each $ref leads to in its place; the schema has no circles."""
    if isinstance(node, dict):
        return {key: in_full(inner, schema) for key, inner in resolved(node, schema).items()}
    if isinstance(node, list):
        return [in_full(inner, schema) for inner in node]
    return node


def _bytes_at_most(
    validator: Any, most: int, instance: Any, _: Any
) -> Iterator[jsonschema.ValidationError]:
    """Lengths count bytes, since the systems below do."""
    if isinstance(instance, str) and (size := size_of(instance)) > most:
        yield jsonschema.ValidationError(f"has {size} bytes; at most {most} are accepted")


def _matches(
    validator: Any, pattern: str, instance: Any, _: Any
) -> Iterator[jsonschema.ValidationError]:
    """In Python's expressions `$` would also be before a last line break."""
    if isinstance(instance, str) and compile_expression(pattern).search(instance) is None:
        yield jsonschema.ValidationError(f"{shown(instance)} is not as it should be")


@cache
def validator_class() -> Any:
    """The class that validates documents by the job schema."""
    return jsonschema.validators.extend(  # type: ignore[no-untyped-call]
        jsonschema.Draft202012Validator, {"maxLength": _bytes_at_most, "pattern": _matches}
    )


_KINDS = {"string": "text", "integer": "a whole number", "number": "a number",
          "boolean": "true or false", "array": "a list", "object": "a mapping",
          "null": "null"}  # fmt: skip


def kind_of(value: Any) -> str:
    """What a value is, in the words of a job file."""
    kinds = {bool: "boolean", str: "string", dict: "object", list: "array", int: "integer"}
    found = next((name for kind, name in kinds.items() if isinstance(value, kind)), "number")
    return _KINDS[found]


def explain(error: jsonschema.ValidationError, document: Any) -> str:
    """A schema violation in words, with the value as it was written and the nearest known key."""
    path = tuple(error.absolute_path)
    prefix = f"{shown_path(path)}: " if path else ""
    in_parts = isinstance(error.instance, list | dict)
    if in_parts and path[-2:-1] == ("constraints",):
        return prefix + _wrong_constraint(error.instance)
    said = prefix + _problem(error, written_at(document, path) if path else None)
    if in_parts and path[-2:-1] == ("env",):
        return f"{said}; a secret is not given here, but with `secrets` of the task"
    of_check = path[-2:] in (("http", "port"), ("tcp", "port")) and error.validator == "type"
    return said + ("; port_index: 0 is the first of the task's ports" if of_check else "")


def _problem(error: jsonschema.ValidationError, written: str | None) -> str:
    value: Any = error.instance
    said: Any = error.validator_value
    name = written[:SHOWN] if written is not None else shown(value)
    match error.validator:
        case "additionalProperties" if isinstance(value, dict):
            return _unknown_key(value, error.schema)
        case "required" if isinstance(value, dict) and (slip := _slip(value, error.schema, said)):
            return slip
        case "required":
            return error.message.replace("is a required property", "is missing")[:300]
        case "maxLength":
            return error.message
        case "pattern":
            schema: Any = error.schema
            return f"{name} cannot be used; expected: {schema['expected']}"
        case "enum":
            return f"{name} is not one of {', '.join(map(str, said))}"
        case "type":
            kinds = [said] if isinstance(said, str) else list(said)
            return _wrong_type(value, name, kinds) + _shape(value, error.schema)
        case "minimum" | "maximum":
            bound = "at least" if error.validator == "minimum" else "at most"
            return f"{name} is out of range; {bound} {said}"
        case "minLength":
            return "it is empty"
        case "minItems" | "maxItems":
            bound = "at least" if error.validator == "minItems" else "at most"
            return f"a list of {len(value)}; {bound} {said} are accepted"
    return error.message[:300]


def _wrong_constraint(value: Any) -> str:
    """Why what is written as a list, as in Marathon, or as a mapping is no constraint."""
    plain = isinstance(value, list) and all(isinstance(part, str | int) for part in value)
    example = ":".join(map(str, value)) if plain else "rack:IS:a"
    return f"{shown(value)} is not text; FIELD:OPERATOR[:VALUE] is expected, as in {shown(example)}"


def _wrong_type(value: Any, name: str, kinds: list[str]) -> str:
    expected = " or ".join(_KINDS[kind] for kind in kinds)
    hint = ""
    if "string" in kinds and not isinstance(value, dict | list):
        hint = f'; quote it: "{name or "null"}"' if value is not None else ""
    if isinstance(value, str) and not set(kinds).isdisjoint({"integer", "number", "boolean"}):
        hint = _without_quotes_or_unit(value)
    if value is None:
        name = "nothing" if name in ("", "None") else name
    return f"{name} is not {expected}{hint}"


def _without_quotes_or_unit(text: str) -> str:
    """What somebody meant who wrote a number or a truth value as text; or nothing."""
    if re.fullmatch(r"[-+]?[0-9.]{1,20}|true|false", text):
        return f"; without quotes: {text}"
    if re.fullmatch(r"[0-9.]{1,20} ?[A-Za-z]{1,5}", text):
        return "; write it without a unit: mem and disk are in MiB, times in seconds"
    return ""


def _shape(value: Any, node: Any) -> str:
    """What a mapping or a list that is expected consists of, or how a list is written as text."""
    kinds = node.get("type", ())
    if isinstance(value, list) and "string" in kinds and "array" not in kinds:
        return f"; as one text: {shown(shlex.join(map(str, value)))}" if value else ""
    if kinds == "object":
        return f"; {_keys_of(node)}"
    if kinds == "array":
        items = node.get("items", {})
        if "properties" in items:
            return f"; each of its items is a mapping; {_keys_of(items)}"
        return f"; in brackets: [{shown(value)}]" if isinstance(value, str) else ""
    return ""


def _keys_of(node: Mapping[str, Any]) -> str:
    """Which keys a mapping has, those first that it must have."""
    needed = node.get("required", ())
    names = [*needed, *(key for key in node.get("properties", {}) if key not in needed)]
    more = ", …" if names[KEYS_NAMED:] else ""
    return f"its keys are {', '.join(names[:KEYS_NAMED])}{more}" if names else "write NAME: VALUE"


def _slip(value: Mapping[str, Any], node: Any, required: Iterable[str]) -> str | None:
    """Why an unknown key of a mapping is one that is missing, written wrong; or None."""
    missing = [key for key in required if key not in value]
    unknown = (key for key in value if key not in node.get("properties", {}))
    meant = ((key, _meant(key, missing)) for key in unknown)
    return next((f"unknown key {shown(k)}; did you mean {m!r}?" for k, m in meant if m), None)


def _meant(key: str, known: Collection[str]) -> str | None:
    """The key of a job file that is meant by one of another system, or by a slip; or None."""
    other = _OTHER_KEYS.get(key)
    return other if other is not None and other in known else nearest(key, known)


def _unknown_key(value: Mapping[str, Any], node: Any) -> str:
    known = sorted(node.get("properties", {}))
    key = next(key for key in value if key not in known)
    if key in KNOWN_RESOURCES and "resources" in known:
        return f"unknown key {shown(key)}; it goes below resources: {{{key}: …}}"
    if key in node.get("$defs", {}).get("task", {}).get("properties", {}):
        return f"unknown key {shown(key)}; it is one of a task: tasks: [{{{key}: …}}]"
    if (meant := _meant(key, known)) is not None:
        return f"unknown key {shown(key)}; did you mean {meant!r}?"
    return f"unknown key {shown(key)}; {hint(key, known, shown=repr)}"
