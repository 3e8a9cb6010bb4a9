"""Placement constraints on agent attributes or the host name (as Marathon has them)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pymesos_core.expressions import ExpressionError, compile_expression
from pymesos_core.text import cut, quoted

OPERATORS = ("UNIQUE", "GROUP_BY", "IS", "IN", "UNLIKE", "WITH", "AWAY")
OF_AGENTS = ("IS", "IN", "UNLIKE")  # those that ask nothing of where others run
_WITH_VALUE = ("IS", "IN", "UNLIKE", "WITH", "AWAY")
HOSTNAME = "hostname"
GPU_MODEL = "gpu_model"  # the attribute that says what an agent's GPUs are


class ConstraintError(ValueError):
    """A constraint that cannot be read."""


@dataclass(frozen=True)
class Constraint:
    """`field:operator[:value]`; str() gives it back."""

    field: str
    operator: str
    value: str = ""

    def group_of(self, group: str) -> str:
        """The group whose instances it looks at: the task's own, or another of its job."""
        if self.operator not in ("WITH", "AWAY"):
            return group
        return f"{group.partition('.')[0]}.{self.value}"

    def allowed(self) -> frozenset[str]:
        """The values that IS or IN accepts."""
        return frozenset(self.value.split("|") if self.operator == "IN" else [self.value])

    def __str__(self) -> str:
        return ":".join(part for part in (self.field, self.operator, self.value) if part)


def parse_constraint(text: str) -> Constraint:
    """Read `rack:UNIQUE`, `rack:GROUP_BY`, `ssd:IS:true`, `zone:UNLIKE:eu-.*`.

    `gpu_model:IN:V100|A100` is any of several values.
    `hostname:WITH:db` is affinity to the task `db` of the same job, `rack:AWAY:db` the opposite.
    Raises ConstraintError.
    """
    field, _, rest = text.partition(":")
    operator, colon, value = rest.partition(":")
    if not field or operator not in OPERATORS:
        raise ConstraintError(
            f"{quoted(text)} is not FIELD:OPERATOR[:VALUE] with an operator of"
            f" {', '.join(OPERATORS)}"
        )
    if operator in _WITH_VALUE and not value:
        raise ConstraintError(
            f"{quoted(text)} lacks its value, as in {cut(field)}:{operator}:VALUE"
        )
    if operator in ("UNIQUE", "GROUP_BY") and colon:
        raise ConstraintError(f"{quoted(text)}: {operator} takes no value")
    if operator == "IN" and not all(value.split("|")):
        raise ConstraintError(
            f"{quoted(text)} has an empty value between |, as in {cut(field)}:IN:ONE|OTHER"
        )
    if operator == "UNLIKE":
        try:
            compile_expression(value)
        except ExpressionError as error:
            raise ConstraintError(f"{quoted(text)}: {error}") from error
    return Constraint(field, operator, value)


def gpu_models(constraints: Iterable[Constraint]) -> tuple[str, ...]:
    """The GPU models that will do, by IS and IN, for the packing policy; none: any will."""
    named = [
        c.allowed() for c in constraints if c.field == GPU_MODEL and c.operator in ("IS", "IN")
    ]
    return tuple(sorted(frozenset.intersection(*named))) if named else ()
