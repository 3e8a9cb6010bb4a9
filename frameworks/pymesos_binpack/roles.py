"""The roles that a framework takes jobs of, and is in."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property

from pymesos_core import limits
from pymesos_core.ids import role_problem, size_of
from pymesos_core.security.policy import EVERY, Roles, read_roles

BELOW = "/**"


@dataclass(frozen=True)
class JobRoles:
    """The roles of which jobs are taken: ROLE, ROLE/** with all below it, or ** for any."""

    patterns: tuple[str, ...]

    @cached_property
    def roles(self) -> Roles:
        """The roles that may be a job's."""
        return read_roles(self.patterns)

    @cached_property
    def always(self) -> tuple[str, ...]:
        """The roles that it is in whatever jobs it has: a framework is in one, at least."""
        tops = ("*" if p == EVERY else p.removesuffix(BELOW) for p in self.patterns)
        return tuple(dict.fromkeys(tops))

    @property
    def only(self) -> str:
        """The role of every job, if there can be no other; else empty."""
        one = len(self.patterns) == 1 and self.patterns == self.always
        return self.patterns[0] if one else ""

    def __contains__(self, role: str) -> bool:
        return role in self.roles

    def __str__(self) -> str:
        return " and ".join(self.patterns)


def roles_problem(roles: Collection[str]) -> str | None:
    """Why a framework cannot say that it is in these roles, or takes jobs of them, or None."""
    size_bytes = sum(map(size_of, roles))
    return limits.FRAMEWORK_ROLES.problem(len(roles)) or limits.ROLES_OF_JOBS.problem(size_bytes)


def read_job_roles(written: str) -> JobRoles:
    """The roles that a setting says, with commas between. Raises ValueError."""
    return job_roles(part.strip() for part in written.split(",") if part.strip())


def job_roles(patterns: Iterable[str]) -> JobRoles:
    """Raises ValueError for none, for too many or too long ones, or for what is no pattern."""
    found = tuple(dict.fromkeys(patterns))
    if not found:
        raise ValueError("no role is given: one was expected, as in eng, eng/** or **")
    if problem := roles_problem(found):
        raise ValueError(problem)
    for pattern in found:
        if pattern != EVERY and (problem := role_problem(pattern.removesuffix(BELOW))):
            raise ValueError(problem)
        if pattern == "*" + BELOW:
            raise ValueError("*/** is no set of roles: ** is any role")
    return JobRoles(found)
