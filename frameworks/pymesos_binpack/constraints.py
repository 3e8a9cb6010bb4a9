"""Placement constraints on agent attributes or the host name (as Marathon has them)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

OPERATORS = ("UNIQUE", "GROUP_BY", "IS", "UNLIKE", "WITH", "AWAY")
_WITH_VALUE = ("IS", "UNLIKE", "WITH", "AWAY")
HOSTNAME = "hostname"


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

    def __str__(self) -> str:
        return ":".join(part for part in (self.field, self.operator, self.value) if part)


def parse_constraint(text: str) -> Constraint:
    """Read `rack:UNIQUE`, `rack:GROUP_BY`, `ssd:IS:true`, `zone:UNLIKE:eu-.*`.

    `hostname:WITH:db` is affinity to the task `db` of the same job, `rack:AWAY:db` the opposite.
    Raises ConstraintError.
    """
    field, _, rest = text.partition(":")
    operator, colon, value = rest.partition(":")
    if not field or operator not in OPERATORS:
        raise ConstraintError(
            f"{text!r} is not FIELD:OPERATOR[:VALUE] with an operator of {', '.join(OPERATORS)}"
        )
    if operator in _WITH_VALUE and not value:
        raise ConstraintError(f"{text!r} lacks its value, as in {field}:{operator}:VALUE")
    if operator in ("UNIQUE", "GROUP_BY") and colon:
        raise ConstraintError(f"{text!r}: {operator} takes no value")
    if operator == "UNLIKE":
        try:
            re.compile(value)
        except re.error as error:
            raise ConstraintError(f"{text!r}: not a regular expression: {error}") from error
    return Constraint(field, operator, value)


def unmet(
    constraint: Constraint,
    attributes: Mapping[str, str],
    placed: Sequence[Mapping[str, str]],
    candidates: Sequence[Mapping[str, str]],
) -> str | None:
    """Why an agent with these attributes (hostname among them) will not do, or None.

    `placed` are the agents of the instances that it looks at (see `group_of`), `candidates` all
    agents in question.
    """
    mine = attributes.get(constraint.field)
    if constraint.operator == "UNLIKE":
        if mine is not None and re.fullmatch(constraint.value, mine):
            return f"{constraint.field} is {mine}"
        return None
    if mine is None:
        return f"it has no attribute {constraint.field}"
    if constraint.operator == "IS":
        return None if mine == constraint.value else f"{constraint.field} is {mine}"
    taken = [other.get(constraint.field) for other in placed]
    if constraint.operator == "WITH":
        return None if mine in taken else f"no {constraint.value} runs on {mine}"
    if constraint.operator == "AWAY":
        return f"{constraint.value} runs on {mine}" if mine in taken else None
    if constraint.operator == "UNIQUE":
        return f"{constraint.field} {mine} has one already" if mine in taken else None
    values = {other[constraint.field] for other in candidates if constraint.field in other}
    fewest = min((taken.count(value) for value in values), default=0)
    if taken.count(mine) > fewest:
        return f"{constraint.field} {mine} has more of them than others"
    return None
