"""Variables are set and removed, and jobs that refer to them are changed, one after the other.

Each gets another version, so its services roll, and go back by themselves where that fails. Which
variables are yet to be spread is stored with them: a restart goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pymesos_binpack.core import versions
from pymesos_binpack.core.context import Context
from pymesos_binpack.core.effects import JobAccepted, JobRefused, MakeJob
from pymesos_binpack.core.events import JobMade, VariableSet, VersionProposed
from pymesos_binpack.core.spreading import spread_of
from pymesos_binpack.jobs.roster import Use
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.jobs.variables import MAX_VALUES, VARIABLE, Value, Variable
from pymesos_binpack.specs import Job, JobError
from pymesos_core import limits
from pymesos_core.ids import size_of
from pymesos_core.store import Change
from pymesos_core.text import count_of, cut

VARIABLES = "variables"  # the timer: a variable is to be given to the next job
MAX_SHOWN = 3  # jobs of a variable that is to be removed
MAX_WHY = 500  # characters


def begin(ctx: Context) -> None:
    """Go on with what a restart has broken off."""
    for variable in ctx.variables:
        if variable.spreading:
            ctx.timers.set((VARIABLES, variable.key), ctx.now.mono_s)


def on_set(ctx: Context, event: VariableSet) -> None:
    """Set or remove a variable; who asked is told once that is durable."""
    there = ctx.variables.get(event.role, event.name)
    version = there.latest.version if there is not None else 0
    accepted = JobAccepted(event.request_id, "", version)
    asked_before = there is not None and there.latest.request_id == event.request_id
    if asked_before or (there is not None and there.latest.value == event.value):
        ctx.store("a variable is as it was wanted already", then=[accepted])
        return
    if problem := _why_refused(ctx, event, there):
        outdated = event.if_version not in (None, version)
        ctx.say(JobRefused(event.request_id, problem, stale=outdated))
    elif event.value is None:
        _remove(ctx, event, accepted)
    else:
        made = Value(event.value, version + 1, event.by, ctx.now.wall_s, event.request_id)
        earlier = there.values[1 - MAX_VALUES :] if there is not None else ()
        variable = Variable(event.role, event.name, (*earlier, made), spreading=True)
        ctx.variables.by_key[variable.key] = variable
        accepted = JobAccepted(event.request_id, "", made.version)
        ctx.store("a variable is set", variable.change(), then=[accepted])
        ctx.timers.set((VARIABLES, variable.key), ctx.now.mono_s)


def _remove(ctx: Context, event: VariableSet, accepted: JobAccepted) -> None:
    removed = ctx.variables.by_key.pop(f"{event.role}:{event.name}")
    ctx.timers.cancel((VARIABLES, removed.key))
    ctx.spreading_variables.pop(removed.key, None)
    ctx.store("a variable is removed", Change(VARIABLE, removed.key, None), then=[accepted])


def _why_refused(ctx: Context, event: VariableSet, there: Variable | None) -> str | None:
    version = there.latest.version if there is not None else 0
    what = f"the variable {event.name} of {event.role}"
    if event.if_version not in (None, version):
        was = f"is at version {version}" if version else "is not there"
        expected = f"version {event.if_version}" if event.if_version else "none"
        return f"{what} {was}, and {expected} was expected: look at it, and try again from there"
    if event.value is None:
        users = [job.job_id for job in users_of(ctx, event.role, event.name)]
        if there is None:
            return f"there is no variable {event.name} in the role {event.role}"
        if users and not event.force:
            more = f" and {len(users) - MAX_SHOWN} more" if len(users) > MAX_SHOWN else ""
            return (
                f"{what} is used by {count_of(len(users), 'job')}"
                f" ({', '.join(users[:MAX_SHOWN])}{more}): end them first, or have it removed all"
                f" the same with --force; they keep the value that they have"
            )
        return None
    number = len(ctx.variables.by_key) + (there is None)
    more_bytes = size_of(event.value)
    if problem := limits.VARIABLES.problem(number):
        return f"{problem}: remove some that nobody uses"
    if problem := limits.ALL_VARIABLES.problem(
        more_bytes + sum(each.size_bytes for each in ctx.variables)
    ):
        return f"{problem}: remove some that nobody uses"
    if event.room_bytes is not None and more_bytes > max(event.room_bytes, 0):
        return (
            f"the state has room for {max(event.room_bytes, 0)} bytes more, and this takes"
            f" {more_bytes}: end jobs with `pymesos-cli stop`, or remove other variables"
        )
    return None


def users_of(ctx: Context, role: str, name: str) -> Iterator[JobState]:
    """Each job of a role that has not ended and refers to a variable."""
    for job_id in ctx.roster.users(Use.VARIABLE, role, name):
        job = ctx.roster.jobs[job_id]
        if not (job.ended or job.stopping):
            yield job


def on_due(ctx: Context, key: str) -> None:
    """Give a variable to the next job that refers to it and has another value."""
    variable = ctx.variables.by_key.get(key)
    if variable is None or not variable.spreading:
        return
    spread = spread_of(ctx.spreading_variables, key, variable.request_id)
    users = ctx.roster.users(Use.VARIABLE, variable.role, variable.name)
    job = spread.next_of(users.keys, ctx.roster.jobs, lambda job: _lacks(job, variable))
    if job is not None:
        spread.making = True
        values = {**job.job.variables, variable.name: variable.latest.value}
        request_id, document = variable.request_id, job.job.document
        ctx.say(MakeJob(key, request_id, job.job_id, job.version, document, values))
    elif (wait_s := spread.wait_s()) is not None:
        ctx.timers.set((VARIABLES, key), ctx.now.mono_s + wait_s)
    else:
        del ctx.spreading_variables[key]
        _keep(ctx, replace(variable, spreading=False), "each job has a variable")


def on_made(ctx: Context, event: JobMade) -> None:
    """Put a job in force that has the value of a variable, unless somebody was quicker."""
    wanted = event.wanted
    variable = ctx.variables.by_key.get(wanted.variable)
    if variable is None or variable.request_id != wanted.request_id:
        return  # it was set again, or removed
    spread = ctx.spreading_variables[wanted.variable]
    spread.making = False
    job = ctx.roster.jobs.get(wanted.job_id)
    if job is not None and job.version == wanted.base_version and _lacks(job, variable):
        ctx.at = job.job_id
        if problem := _give(ctx, job, variable, event.made):
            spread.not_taking.add(job.job_id)
            variable = variable.not_taken(job.job_id, cut(problem, MAX_WHY))
            _keep(ctx, variable, "a job does not take a variable")
    wait_s = spread.wait_s()
    assert wait_s is not None, "a round in which a job was made is not the last"
    ctx.timers.set((VARIABLES, wanted.variable), ctx.now.mono_s + wait_s)


def _lacks(job: JobState, variable: Variable) -> bool:
    """Whether a job is yet to be changed; one that went back is left as it is."""
    return (
        not (job.ended or job.stopping)
        and job.job.variables.get(variable.name, variable.latest.value) != variable.latest.value
        and job.history.asked_by(variable.request_id) is None
    )


def _keep(ctx: Context, variable: Variable, why: str) -> None:
    ctx.variables.by_key[variable.key] = variable
    ctx.store(why, variable.change())


def _give(ctx: Context, job: JobState, variable: Variable, made: Job | Exception) -> str:
    """Make a version of a job with the value; why that cannot be, or nothing."""
    if isinstance(made, JobError):
        return str(made)
    if isinstance(made, Exception):
        raise made
    what = f"variable {variable.name}"
    by = variable.latest.set_by
    event = VersionProposed(variable.request_id, job.job_id, job.version, made, what, by)
    return versions.propose(ctx, job, event)
