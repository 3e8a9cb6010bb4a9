"""The roles that the framework is in: those it is told of, and those of the jobs that it has."""

from __future__ import annotations

from pymesos_binpack.core.context import Context
from pymesos_binpack.core.effects import BeInRoles
from pymesos_binpack.roles import roles_problem
from pymesos_binpack.specs import Job


def follow(ctx: Context) -> None:
    """Be in the role of a job that has begun, and leave that of which the last one has ended.

    Its tasks have ended, too. Those of a job in quarantine may run on in a role that was left:
    they are left alone, and the framework is in their role again when the job is released.
    """
    roles = roles_now(ctx)
    ctx.placements.keep(roles)
    if roles != ctx.roles:
        ctx.roles = roles
        ctx.say(BeInRoles(roles))


def roles_now(ctx: Context) -> tuple[str, ...]:
    """Return the roles that the framework should be in."""
    others = ctx.roster.roles.keys() - set(ctx.always)
    return (*ctx.always, *sorted(others))


def role_problem(ctx: Context, job: Job) -> str | None:
    """Why a job that begins would make for too many roles, or None."""
    if job.role in ctx.roles:
        return None
    problem = roles_problem(ctx.roster.roles_with_new_ones() | {job.role, *ctx.always})
    return problem and f"{problem}: end the jobs of another role first"
