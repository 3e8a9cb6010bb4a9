"""The options of a package: a JSON schema says which there are, and what they may be."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import jsonschema

from pymesos_binpack.jobfiles import checks
from pymesos_cli.packages.parts import MAX_OPTIONS, MAX_VALUE_BYTES, PackageError
from pymesos_cli.packages.template import Values, as_text
from pymesos_core.documents import DocumentError, plain_value
from pymesos_core.expressions import compile_expression
from pymesos_core.nearest import hint
from pymesos_core.text import quoted

_SCALAR = {"type": ["string", "number", "boolean"], "maxLength": MAX_VALUE_BYTES}
_TEXT = {"type": "string", "minLength": 1, "maxLength": 1000}
_COUNT = {"type": "integer", "minimum": 0, "maximum": MAX_VALUE_BYTES}
_TYPES = {"string": "text", "integer": "whole number", "number": "number"}
_KINDS_OF_LIMITS = {
    **dict.fromkeys(("minimum", "maximum"), ("integer", "number")),
    **dict.fromkeys(("minLength", "maxLength", "pattern"), ("string",)),
}
# The part of JSON Schema that an option may use: nothing that refers elsewhere, and nothing that
# takes long. Expressions are RE2's.
_OF_OPTION = {
    "type": "object",
    "required": ["type", "description"],
    "additionalProperties": False,
    "properties": {
        "type": {"enum": ["string", "integer", "number", "boolean"]},
        "description": _TEXT,
        "default": _SCALAR,
        "examples": {"type": "array", "minItems": 1, "maxItems": 10, "items": _SCALAR},
        "enum": {"type": "array", "minItems": 1, "maxItems": 64, "items": _SCALAR},
        "minimum": {"type": "number"},
        "maximum": {"type": "number"},
        "minLength": _COUNT,
        "maxLength": _COUNT,
        "pattern": {**_TEXT, "maxLength": 200},
        "expected": {**_TEXT, "maxLength": 200},
    },
    "dependentRequired": {"pattern": ["expected"]},
}
SCHEMA_OF_OPTIONS: Mapping[str, Any] = {
    "type": "object",
    "required": ["type", "additionalProperties", "properties"],
    "additionalProperties": False,
    "properties": {
        "$schema": _TEXT,
        "type": {"const": "object"},
        "additionalProperties": {"const": False},
        "required": {"type": "array", "maxItems": MAX_OPTIONS, "items": {"type": "string"}},
        "properties": {
            "type": "object",
            "maxProperties": MAX_OPTIONS,
            "propertyNames": {
                "pattern": "^[a-z][a-z0-9_]{0,62}$",
                "expected": "at most 63 letters a-z, digits and _, with a letter first",
            },
            "additionalProperties": _OF_OPTION,
        },
    },
}


@dataclass(frozen=True)
class Options:
    """The options that a package has, by name: each with its type, its default and its limits."""

    schema: Mapping[str, Any]

    @property
    def known(self) -> Mapping[str, Mapping[str, Any]]:
        """The options by their names."""
        known: Mapping[str, Mapping[str, Any]] = self.schema["properties"]
        return known

    def defaults(self) -> dict[str, Any]:
        """Return the values of options that nobody has to give."""
        return {name: one["default"] for name, one in self.known.items() if "default" in one}

    def examples(self) -> dict[str, Any]:
        """Return a value for every option, to try the template with."""
        firsts = {name: one["examples"][0] for name, one in self.known.items() if "examples" in one}
        return firsts | self.defaults()

    def filled(self, given: Values) -> Values:
        """Return all values, with the defaults. Raises PackageError naming the option."""
        for name in given:
            if name not in self.known:
                raise PackageError(f"there is no option {quoted(name)}{self._hint(name)}")
        for name in self.schema.get("required", ()):
            if name not in given and name not in self.defaults():
                raise PackageError(
                    f"the option {name} is missing: {self.known[name]['description']} Give it,"
                    f" --set {name}=…"
                )
        error = jsonschema.exceptions.best_match(_validator(self.schema).iter_errors(given))
        if error is not None:
            raise PackageError(f"the option {checks.explain(error, given)}")
        values = self.defaults() | dict(given)
        return {name: _whole(value, self.known[name]["type"]) for name, value in values.items()}

    def read(self, settings: Iterable[str]) -> dict[str, Any]:
        """Return the values that `NAME=VALUE`s say, each of its option's type.

        Raises PackageError.
        """
        out: dict[str, Any] = {}
        for setting in settings:
            name, equals, text = setting.partition("=")
            if not name or not equals:
                raise PackageError(f"--set {quoted(setting)} is not NAME=VALUE, as in port=8080")
            if name in out:
                raise PackageError(f"the option {quoted(name)} is given twice: give it once")
            self.check_known([name])
            out[name] = _value(name, text, self.known[name]["type"])
        return out

    def check_known(self, names: Iterable[str]) -> None:
        """Raises PackageError for a name that is no option's."""
        for name in names:
            if name not in self.known:
                raise PackageError(f"there is no option {quoted(name)}{self._hint(name)}")

    def _hint(self, name: str) -> str:
        known = sorted(self.known)
        return f"; {hint(name, known, 'there are')}" if known else "; there are none"


def parse_options(schema: Any) -> Options:
    """Return the options that a schema, of the right form, says. Raises PackageError."""
    options = Options(schema)
    for name, one in options.known.items():
        _check_limits(f"options.{name}", one)
        if "pattern" in one:
            _check_pattern(name, one["pattern"])
        given = [one["default"]] if "default" in one else []
        for value in (*given, *one.get("examples", ()), *one.get("enum", ())):
            try:
                Options({**schema, "required": []}).filled({name: value})
            except PackageError as error:
                raise PackageError(f"of its own default, example or enum: {error}") from error
    for name in schema.get("required", ()):
        if name not in options.known:
            raise PackageError(f"options.required: there is no option {quoted(name)}")
    return options


def shown(one: Mapping[str, Any]) -> str:
    """Return what an option may be, in a few words."""
    said = [_TYPES.get(one["type"], "true or false")]
    if "enum" in one:
        said = [" or ".join(map(as_text, one["enum"]))]
    if "minimum" in one:
        said.append(f"from {as_text(one['minimum'])}")
    if "maximum" in one:
        said.append(f"to {as_text(one['maximum'])}")
    if "expected" in one:
        said.append(f"({one['expected']})")
    return " ".join(said)


def _value(name: str, text: str, kind: str) -> Any:
    if kind == "string":
        return text
    try:
        value = plain_value(text)
    except DocumentError as error:
        raise PackageError(f"the option {name}: {error.problem}") from error
    return text if value is None else value


def _whole(value: Any, kind: str) -> Any:
    """An integral float is that integer where a whole number is meant, as in a job file."""
    return int(value) if kind == "integer" and isinstance(value, float) else value


def _check_limits(where: str, one: Mapping[str, Any]) -> None:
    """Raises PackageError for limits that are not of its type, or that no value can meet."""
    for key, kinds in _KINDS_OF_LIMITS.items():
        if key in one and one["type"] not in kinds:
            raise PackageError(
                f"{where}.{key} is for the type {' or '.join(kinds)}, and its type is"
                f" {one['type']}: leave it out, or change the type"
            )
    for least, most in (("minimum", "maximum"), ("minLength", "maxLength")):
        low, high = one.get(least, -math.inf), one.get(most, math.inf)
        if one["type"] == "integer" and math.isfinite(low) and math.isfinite(high):
            low, high = math.ceil(low), math.floor(high)
        if low > high:
            raise PackageError(
                f"{where}: no {_TYPES[one['type']]} is at least {as_text(one[least])}"
                f" ({least}) and at most {as_text(one[most])} ({most}): change one of them"
            )


def _check_pattern(name: str, pattern: str) -> None:
    try:
        compile_expression(pattern)
    except ValueError as error:
        raise PackageError(f"options.{name}.pattern is no regular expression: {error}") from error


def _validator(schema: Mapping[str, Any]) -> Any:
    return checks.validator_class()({**schema, "required": []})


@cache
def validator_of_schemas() -> Any:
    """Return the validator of what packages say of their options."""
    return checks.validator_class()(SCHEMA_OF_OPTIONS)
