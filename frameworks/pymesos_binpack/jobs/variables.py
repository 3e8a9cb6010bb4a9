"""Variables: values that the jobs of a role share, with those that they had before."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pymesos_binpack.specs import Job
from pymesos_core.ids import role_problem, variable_name_problem
from pymesos_core.store import Change

VARIABLE = "variable"  # ROLE:NAME → its record
MAX_VALUES = 10  # that are kept of each
MAX_UNTAKEN = 20  # jobs that it could not be given to and of which it is kept why


@dataclass(frozen=True, slots=True)
class Value:
    """What a variable was set to."""

    value: str
    version: int
    set_by: str  # a principal, if it is known
    set_at_s: float
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of a role. `spreading`: jobs that refer to it are yet to be given its value."""

    role: str
    name: str
    values: tuple[Value, ...]  # the latest last; at least one
    spreading: bool = False
    # By job, why it could not be given: the latest of them.
    untaken: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The key of its record. A name has no colon."""
        return f"{self.role}:{self.name}"

    @property
    def latest(self) -> Value:
        """The value in force."""
        return self.values[-1]

    @property
    def size_bytes(self) -> int:
        """The size of its values."""
        return sum(len(each.value.encode()) for each in self.values)

    @property
    def request_id(self) -> str:
        """By which jobs are changed to the value in force: another one each time it is set."""
        latest = self.latest
        return f"variable-{self.name}-{latest.version}-{round(latest.set_at_s * 1000)}"

    def not_taken(self, job_id: str, why: str) -> Variable:
        """Return it with a job more that it could not be given to."""
        others = {job: text for job, text in self.untaken.items() if text and job != job_id}
        return replace(self, untaken=dict([*others.items(), (job_id, why)][-MAX_UNTAKEN:]))

    def change(self) -> Change:
        """The write of it."""
        record = {
            "values": [
                {
                    "value": each.value,
                    "version": each.version,
                    "set_by": each.set_by,
                    "set_at_s": each.set_at_s,
                    "request_id": each.request_id,
                }
                for each in self.values
            ],
            "spreading": self.spreading,
            "untaken": dict(self.untaken),
        }
        return Change(VARIABLE, self.key, json.dumps(record).encode())


@dataclass(slots=True)
class Variables:
    """All that are set, by their keys."""

    by_key: dict[str, Variable] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Variable]:
        return iter(self.by_key.values())

    def get(self, role: str, name: str) -> Variable | None:
        """The variable of a name, if it is set."""
        return self.by_key.get(f"{role}:{name}")

    def of(self, role: str) -> Mapping[str, str]:
        """The values of a role, by name."""
        return {each.name: each.latest.value for each in self if each.role == role}

    def outdated(self, job: Job) -> str | None:
        """The sentence for a job that was made with other values than its role has, or None."""
        for name, value in job.variables.items():
            there = self.get(job.role, name)
            if there is not None and there.latest.value != value:
                return f"the variable {name} of {job.role} was set meanwhile: try again"
        return None


def read_variable(key: str, value: bytes) -> Variable:
    """Read one back. Raises ValueError."""
    role, colon, name = key.rpartition(":")
    if not colon or role_problem(role) or variable_name_problem(name):
        raise ValueError(f"{key!r} is no key of a variable")
    try:
        read: Any = json.loads(value)
        values = tuple(Value(**each) for each in read["values"])
        variable = Variable(role, name, values, read["spreading"] is True, read["untaken"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"the variable {key} cannot be read: {error!r}") from None
    if not values or not all(map(_can_be, values)) or not isinstance(variable.untaken, dict):
        raise ValueError(f"the variable {key} has other values than can be")
    return variable


def _can_be(value: Value) -> bool:
    texts = (value.value, value.set_by, value.request_id)
    counted = isinstance(value.version, int) and value.version >= 1
    is_time = isinstance(value.set_at_s, int | float) and math.isfinite(value.set_at_s)
    return all(isinstance(text, str) for text in texts) and counted and is_time
