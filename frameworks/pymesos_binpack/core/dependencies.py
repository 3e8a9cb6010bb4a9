"""Instances wait for the tasks that come before theirs, and let those end after them.

What is waited for is looked at whenever something happens to an instance of the job, whether a
master is heard or not: the launch of what waits no longer is stored after that for which it waited.
"""

from __future__ import annotations

from pymesos_binpack.core.context import Context
from pymesos_binpack.jobs.aligning import NO_TASK
from pymesos_binpack.jobs.dependencies import awaited_by_task, dependants_there, is_held
from pymesos_binpack.jobs.instance import Instance
from pymesos_binpack.jobs.rollouts.members import NOTHING
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.placement.tasks import Cause

CAUSES = (Cause.DEPENDENCY, Cause.DEPENDENCY_FAILED)


def look(ctx: Context, job: JobState) -> bool:
    """Have instances wait for what comes first, or no longer; return whether some are done now.

    Of what will never come services wait on, since somebody may mend it; a batch instance is done,
    so that its job ends as one that failed.
    """
    if not job.job.has_dependencies or job.stopping:
        return False
    job.awaited = awaited_by_task(job)
    done: list[Instance] = []
    for instance in job.instances:
        if not is_held(instance):
            continue
        awaited = job.awaited.get(instance.spec.name, NOTHING)
        if awaited.failed and not instance.spec.is_service:
            job.call_off(instance, awaited.failed, ctx.now.wall_s)
            ctx.note(instance)
            done.append(instance)
        elif instance.note != (awaited.failed or awaited.waits) or instance.line is not None:
            _note_anew(ctx, instance, is_early=awaited is not NOTHING)
    if done:
        ctx.store("what has to come first failed", *done)
    return bool(done)


def _note_anew(ctx: Context, instance: Instance, *, is_early: bool) -> None:
    if is_early or waits(instance):
        instance.explain("")
        ctx.note(instance)
        ctx.changed[instance.job_id] = None


def waits(instance: Instance) -> bool:
    """Return whether an instance was found to wait for what comes first."""
    return instance.pending and instance.note_cause in CAUSES


def may_end(ctx: Context, instance: Instance) -> bool:
    """Return whether an instance may end now: those that begin after it end before it."""
    job = ctx.roster.job_of(instance)
    leaves = instance.durable.leaving == NO_TASK
    if job.durably_stopping and job.job.has_dependencies:
        first = dependants_there(job, instance)
    else:
        first = dependants_there(job, instance, same_end=NO_TASK) if leaves else ""
    if not first:
        job.ends_later.pop(instance.key, None)
        return True
    job.ends_later[instance.key] = instance
    instance.explain(f"is stopped once those of task {first} have ended, which began after it")
    return False
