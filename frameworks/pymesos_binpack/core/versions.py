"""Jobs change: another version is put in force, and the instances follow it step by step."""

from __future__ import annotations

from collections.abc import Sequence

from pymesos_binpack.core.context import Context
from pymesos_binpack.core.effects import JobAccepted, JobRefused
from pymesos_binpack.core.events import VersionProposed
from pymesos_binpack.core.then import InstancesRemoved, KillStored, VersionStored
from pymesos_binpack.jobs.aligning import align, is_settled
from pymesos_binpack.jobs.history import Version
from pymesos_binpack.jobs.launching import gang_problem
from pymesos_binpack.jobs.lifecycle import Happened
from pymesos_binpack.jobs.state import INSTANCE, Instance, JobState
from pymesos_binpack.jobs.steps import Add, Remove
from pymesos_core.store import Change


def on_proposed(ctx: Context, event: VersionProposed) -> None:
    """Put another version of a job in force; who asked is told once that is durable."""
    ctx.at = event.job_id
    job = ctx.roster.jobs.get(event.job_id)
    if job is not None and (made := job.history.asked_by(event.request_id)) is not None:
        if made.number <= job.durable_version:
            ctx.say(JobAccepted(event.request_id, job.job_id, made.number))
        return  # else it is said once it is stored
    problem = _why_refused(ctx, event, job)
    if job is None or problem:
        stale = job is not None and event.base_version != job.version
        ctx.say(JobRefused(event.request_id, problem, stale=stale))
        return
    version = Version(
        job.version + 1,
        event.job.document,
        ctx.now.wall_s,
        event.made_by,
        event.what,
        event.request_id,
        job.restarts_after(event.restarts, event.as_of),
        event.rerun,
    )
    changes = job.take(event.job, version)
    ctx.roster.recount(job)
    for instance in [i for i in job.instances if i.line is not None]:
        ctx.leave_the_queue(instance)  # what they wait for may be another by now
        ctx.note(instance)
    ctx.store(event.what, job, *changes, then=[VersionStored(job, version.number)])
    follow(ctx, job)


def _why_refused(ctx: Context, event: VersionProposed, job: JobState | None) -> str:
    if job is None:
        return f"there is no job {event.job_id[:255]}: `pymesos-cli jobs --all` lists them"
    if job.ended or job.stopping:
        return f"the job {job.job_id} has ended, or is to end: `pymesos-cli run` starts it anew"
    if event.base_version != job.version:
        return (
            f"the job {job.job_id} is at version {job.version}, not {event.base_version}: somebody"
            f" changed it meanwhile; look at it with `pymesos-cli history {job.job_id}`"
        )
    return gang_problem(event.job) or ctx.volumes.problem(event.job) or ""


def on_version_stored(ctx: Context, job: JobState, number: int) -> None:
    """A version is durable, and may be told."""
    job.durable_version = max(job.durable_version, number)
    ctx.changed[job.job_id] = None
    version = job.history.get(number)
    if version is not None:
        ctx.say(JobAccepted(version.request_id, job.job_id, number))


def follow(ctx: Context, job: JobState) -> None:
    """Do what is next towards the version in force."""
    steps = align(job)
    remove(ctx, job, [step for step in steps if isinstance(step, Remove)])
    for step in steps:
        if isinstance(step, Add):
            _add(ctx, job, step)
    job.unsettled = not is_settled(job)
    if job.ended and job.job_id not in ctx.roster.ended:
        ctx.roster.end(job)


def _add(ctx: Context, job: JobState, step: Add) -> None:
    instance = job.add(step.spec, step.index)
    if instance.spec.volumes and ctx.roster.running(job.job, job) is None:
        ctx.volumes.adopt(job.job, instance)
    ctx.roster.add_instance(instance)
    ctx.note(instance)


def remove(ctx: Context, job: JobState, steps: Sequence[Remove]) -> None:
    """Forget instances that do not run, and kill those that do: they are forgotten then."""
    if not steps:
        return
    ending: list[Instance] = []
    gone: list[Instance] = []
    for instance, why in ((step.instance, step.why) for step in steps):
        if instance.live:
            instance.amend(leaving=why)
            ending.append(instance)
            continue
        if not instance.saved.done:
            job.finish(instance, Happened.CALLED_OFF, ctx.now.wall_s)
        instance.amend(leaving=why)
        ctx.note(instance)
        gone.append(instance)
    meant = tuple((i, i.saved.task_id) for i in ending)
    ctx.store(
        "instances are removed",
        *ending,
        *removals(gone),
        then=[KillStored(meant), InstancesRemoved(job, tuple(gone))],
    )


def removals(instances: Sequence[Instance]) -> list[Change]:
    """What forgets instances."""
    return [Change(INSTANCE, instance.key, None) for instance in instances]


def on_removed(ctx: Context, job: JobState, gone: Sequence[Instance]) -> None:
    """Forget instances: that they are no more is durable."""
    for instance in gone:
        ctx.roster.by_key.pop(instance.key, None)
        ctx.probes.pop(instance.probe_id, None)
        for what in ("unreachable", "restart", "kept"):
            ctx.timers.cancel((what, instance.key))
    job.remove(frozenset(gone))
    ctx.changed[job.job_id] = None


def go_on(ctx: Context, job: JobState) -> None:
    """A master has taken the framework in: what was being removed, and followed, goes on."""
    for instance in job.instances:
        if instance.live and instance.durable.leaving:
            ctx.kill(instance)
    if not job.ended:
        follow(ctx, job)
