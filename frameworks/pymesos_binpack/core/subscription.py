"""The roles that the framework is in: those it is told of, and those of the jobs that it has."""

from __future__ import annotations

from pymesos_binpack.core.context import Context
from pymesos_binpack.core.effects import BeInRoles
from pymesos_binpack.specs import Job
from pymesos_core import limits


def follow(ctx: Context) -> None:
    """Be in the role of a job that has begun, and leave that of which the last one has ended.

    The tasks of that have ended, too, so that nothing is lost of it.
    """
    roles = roles_now(ctx)
    ctx.placements.keep(roles)
    if roles != ctx.roles:
        ctx.roles = roles
        ctx.say(BeInRoles(roles))


def roles_now(ctx: Context) -> tuple[str, ...]:
    """Those that the framework should be in."""
    others = ctx.roster.roles.keys() - set(ctx.always)
    return (*ctx.always, *sorted(others))


def role_problem(ctx: Context, job: Job) -> str | None:
    """Why a job would make for too many roles, or None."""
    if job.role in ctx.roles:
        return None
    roles = ctx.roster.roles_with_new_ones() | {job.role, *ctx.always}
    problem = limits.FRAMEWORK_ROLES.problem(len(roles))
    return problem and f"{problem}: end the jobs of another role, or use one that has jobs"
