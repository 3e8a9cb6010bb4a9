"""The roles that the framework is in: those it is told of, and those of the jobs that it has."""

from __future__ import annotations

from collections.abc import Collection

from pymesos_binpack.core.context import Context
from pymesos_binpack.core.effects import BeInRoles
from pymesos_binpack.core.events import RolesAnswered
from pymesos_binpack.roles import roles_problem
from pymesos_binpack.specs import Job
from pymesos_core.security.policy import Policy

TRY_AGAIN = "roles"  # the timer of what is refused
TRY_AGAIN_S = 60.0  # what refuses may pass without a word, as when other frameworks have left


def follow(ctx: Context) -> None:
    """Be in the role of a job that has begun, and leave that of which the last one has ended.

    Its tasks have ended, too. Those of a job in quarantine may run on in a role that was left:
    they are left alone, and the framework is in their role again when the job is released.
    """
    wanted = _wanted(ctx)
    ctx.placements.keep(wanted)
    if ctx.refused_roles or ctx.apart:
        _forget_all_but(ctx, wanted)
    roles = roles_now(ctx)
    if roles != ctx.roles:
        ctx.roles = roles
        ctx.say(BeInRoles(roles))


def roles_now(ctx: Context) -> tuple[str, ...]:
    """Return the roles that the framework should be in: those wanted, but for what is refused."""
    without = {*ctx.refused_roles, *ctx.apart[1:]}
    return tuple(role for role in _wanted(ctx) if role not in without)


def _wanted(ctx: Context) -> tuple[str, ...]:
    others = ctx.roster.roles.keys() - set(ctx.always)
    return (*ctx.always, *sorted(others))


def on_answered(ctx: Context, answer: RolesAnswered) -> None:
    """Go on without a role that the master refuses: its jobs wait, and say why."""
    if not answer.problem:
        ctx.apart = [role for role in ctx.apart if role not in answer.asked]
        return
    wanted = set(_wanted(ctx)).difference(answer.before)
    new = [role for role in answer.asked if role in wanted]
    if not ctx.refused_roles.keys().isdisjoint(new):
        return  # what it has asked for since is without that
    ctx.apart = [role for role in ctx.apart if role not in new]
    if len(new) > 1:
        ctx.apart = [*new, *ctx.apart]
    for role in new if len(new) == 1 else ():
        ctx.refused_roles[role] = answer.problem
        why = f"the master does not take this framework into the role {role}: {answer.problem}"
        ctx.placements.of(role).shut_out(why)
        ctx.timers.set((TRY_AGAIN, ""), ctx.now.mono_s + TRY_AGAIN_S)


def try_again(ctx: Context) -> None:
    """Ask again for what was refused: another master or policy, or another time, may allow it."""
    ctx.timers.cancel((TRY_AGAIN, ""))
    for role in ctx.refused_roles:
        ctx.placements.of(role).shut_out("")
    ctx.refused_roles.clear()
    ctx.apart.clear()


def _forget_all_but(ctx: Context, wanted: Collection[str]) -> None:
    """Whoever has a job of a role again tries again."""
    for role in ctx.refused_roles.keys() - set(wanted):
        del ctx.refused_roles[role]
    ctx.apart = [role for role in ctx.apart if role in wanted]


def role_problem(ctx: Context, job: Job) -> str | None:
    """Why a job that begins would make for too many roles, or None."""
    if job.role in ctx.roles:
        return None
    problem = roles_problem(ctx.roster.roles_with_new_ones() | {job.role, *ctx.always})
    return problem and f"{problem}: end the jobs of another role first"


def on_policy(ctx: Context, policy: Policy) -> None:
    """By this callers are answered from now on, and roles may be had that were refused."""
    ctx.policy = policy
    try_again(ctx)
    # Who watches a job may have to go.
    ctx.changed.update(dict.fromkeys(ctx.roster.jobs))
