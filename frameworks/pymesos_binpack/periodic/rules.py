"""What a job file says of when a task runs, and what its runs are given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from pymesos_core.numbers import NumberSyntaxError, parse_real, parse_whole

MAX_VALUE = 1024  # bytes of a value of a parameter


class ArgsError(ValueError):
    """Values for parameters that cannot be: the message says why."""


class Overlap(StrEnum):
    """What becomes of a run that is due while another goes on."""

    SKIP = "skip"
    QUEUE = "queue"
    REPLACE = "replace"


class Type(StrEnum):
    """What a parameter may be."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value that each run is given as an environment variable; None: it has no default."""

    name: str
    type: Type = Type.TEXT
    default: str | None = None


@dataclass(frozen=True, slots=True)
class PeriodicRules:
    """When a task runs. An empty `schedule`: only when somebody triggers it."""

    schedule: str = ""
    time_zone: str = "UTC"
    overlap: Overlap = Overlap.SKIP
    start_deadline_s: float = 3600.0  # how late a run may begin
    keep: int = 10  # runs that have ended
    parameters: tuple[Parameter, ...] = ()

    @property
    def times(self) -> str:
        """What decides when it is due."""
        return f"{self.schedule} {self.time_zone}" if self.schedule else ""


def args_of(rules: PeriodicRules, given: Mapping[str, str]) -> dict[str, str]:
    """Return the values of all parameters: those given, and defaults. Raises ArgsError."""
    known = {parameter.name: parameter for parameter in rules.parameters}
    for name in given:
        if name not in known:
            there = ", ".join(known) or "none"
            raise ArgsError(f"there is no parameter {name[:63]!r}: those of the task are {there}")
    out: dict[str, str] = {}
    for name, parameter in known.items():
        value = given.get(name, parameter.default)
        if value is None:
            raise ArgsError(f"the parameter {name} has no default: give it with --arg {name}=VALUE")
        if problem := value_problem(parameter, value):
            raise ArgsError(f"the parameter {name}: {problem}")
        out[name] = value
    return out


def value_problem(parameter: Parameter, value: str) -> str | None:
    """Return why a parameter cannot have a value, or None."""
    if len(value.encode("utf-8", "surrogatepass")) > MAX_VALUE or "\0" in value:
        return f"at most {MAX_VALUE} bytes without a NUL character are accepted"
    try:
        value.encode()
    except UnicodeEncodeError:
        return "it is not text in UTF-8"
    if parameter.type is Type.BOOLEAN and value not in ("true", "false"):
        return f"{value[:64]!r} is neither true nor false"
    if parameter.type is Type.INTEGER and not _is(parse_whole, value):
        return f"{value[:64]!r} is no whole number"
    if parameter.type is Type.NUMBER and not _is(parse_real, value):
        return f"{value[:64]!r} is no number"
    return None


def _is(parse: Callable[[str], float], value: str) -> bool:
    try:
        return value == value.strip() and abs(parse(value)) < 2**53
    except NumberSyntaxError:
        return False
