"""Jobs come and are ended."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

from pymesos_binpack.core import data, scaling, subscription, versions
from pymesos_binpack.core.context import Context
from pymesos_binpack.core.effects import Done, JobAccepted, JobRefused
from pymesos_binpack.core.events import JobSubmitted
from pymesos_binpack.core.then import JobStored, LeavingStored
from pymesos_binpack.jobfiles.variables import missing_problem
from pymesos_binpack.jobs import steps, writes
from pymesos_binpack.jobs.clashes import clash_problem
from pymesos_binpack.jobs.dependencies import awaited_by_task
from pymesos_binpack.jobs.launching import gang_problem
from pymesos_binpack.jobs.reconciler import CALLED_OFF, reconcile
from pymesos_binpack.jobs.room import room_problem
from pymesos_binpack.jobs.scaling import restored, scaled
from pymesos_binpack.jobs.state import JobState, new_job
from pymesos_binpack.jobs.volumes import name_old_volumes
from pymesos_core.store import Change


def on_submitted(ctx: Context, event: JobSubmitted) -> None:
    """Store a job; it is begun, and acknowledged, once that is durable."""
    known = ctx.roster.requests.get(event.request_id)
    if known is not None:
        ctx.say(JobAccepted(event.request_id, known))
        return
    scalings = restored(event.job, event.scaled_counts, ctx.steady_s)
    event = replace(event, job=scaled(event.job, scalings))
    if (problem := why_refused(ctx, event)) is not None:
        is_named = event.unique_name and ctx.roster.running(event.job, None) is not None
        ctx.say(JobRefused(event.request_id, problem, stale=is_named))
        return
    if not event.versions and (problem := ctx.variables.outdated(event.job)) is not None:
        ctx.say(JobRefused(event.request_id, problem, stale=True))
        return
    job = new_job(
        event.job_id, event.job, ctx.now.wall_s, event.request_id, event.made_by, event.versions
    )
    job.scalings = job.durable_scalings = scalings
    ctx.at = job.job_id
    changes = [version.change(job.job_id) for version in job.history.versions[:-1]]
    changes += [writes.scaling_change(job, task, of) for task, of in scalings.items()]
    ctx.store("a job was submitted", job, *changes, *take_name(ctx, job), then=[JobStored(job)])


def why_refused(ctx: Context, event: JobSubmitted) -> str | None:
    """Return why a job cannot begin now, or None."""
    other = ctx.roster.running(event.job, None)
    if other is not None and event.unique_name:
        return (
            f"the job {other.job_id} of that name has not ended: change it with"
            f" `pymesos-cli apply`, end it first with `pymesos-cli stop {other.job_id}`, or give"
            f" this one another name"
        )
    problem = missing_problem(event.job) or gang_problem(event.job)
    problem = problem or subscription.role_problem(ctx, event.job)
    problem = problem or clash_problem(ctx.roster, event.job)
    if problem is not None:
        return problem
    if other is None and (problem := ctx.volumes.problem(event.job)) is not None:
        return problem
    return room_problem(event.room_bytes, event.job, earlier=event.versions[:-1])


def on_job_stored(ctx: Context, job: JobState) -> None:
    """A new job is durable."""
    begin(ctx, job)
    for other in islice(reversed(ctx.roster.named(job.job.role, job.job.name)), 1, 2):
        ctx.changed[other] = None  # if it has ended by itself, that is no trouble any more
    data.probe(ctx, None, job.instances)
    ctx.say(JobAccepted(job.request_id, job.job_id))


def take_name(ctx: Context, job: JobState) -> list[Change]:
    """A job has its name and its volumes from now on: what of that is to be written."""
    ctx.roster.name(job)
    name_old_volumes(job)
    with_data = (instance for instance in job.instances if instance.saved.data_on)
    return [change for i in with_data for change in ctx.volumes.keep(job.job, i)]


def begin(ctx: Context, job: JobState) -> None:
    """Have the instances of a job wait, and heard of."""
    ctx.roster.add(job)
    alone = ctx.roster.running(job.job, job) is None
    job.awaited = awaited_by_task(job)
    for instance in job.instances:
        if alone and instance.spec.volumes and instance.pending:
            ctx.volumes.adopt(job.job, instance)
        ctx.roster.add_instance(instance)
        ctx.note(instance)
    scaling.begin(ctx, job)
    if (job.job.is_open_ended or job.job.has_dependencies) and not job.ended:
        versions.look_soon(ctx, job.job_id)


def undo(ctx: Context, job: JobState) -> None:
    """Undo what `take_name` and `begin` did, also a part of it."""
    ctx.roster.drop(job)
    for instance in job.instances:
        ctx.leave_the_queue(instance)
        ctx.probes.pop(instance.probe_id, None)


def on_stopped(ctx: Context, job_id: str, asked: int, *, now: bool = False) -> None:
    """End a job and its tasks; who asked is told once that is durable.

    Clients leave those that are ready for so long as the job says, unless it is to end `now`.
    """
    ctx.at = job_id
    job = ctx.roster.jobs.get(job_id)
    if job is None or job.ended or (job.stopping and (job.hurried or not now)):
        # Behind what ends it, which may not be durable yet.
        ctx.store("a job is to end, as it was already", then=[Done(asked)])
        return
    job.hurried = now
    if job.stopping:
        ctx.store("a job is to end at once", job, then=[_leave(job), Done(asked)])
        return
    job.stopping = True
    job.unsettled = False
    called_off = []
    for step in reconcile(job, job.instances, ctx.now.wall_s):
        if isinstance(step, steps.Finish):
            job.call_off(step.instance, CALLED_OFF, ctx.now.wall_s)
            ctx.note(step.instance)
            called_off.append(step.instance)
    if not job.left:
        ctx.roster.end(job)
    ended = (i for i in job.instances if i.saved.done and not i.saved.leaving)
    done = [i for i in ended if i not in called_off]
    ctx.store("a job is to end", job, *called_off, *done, then=[_leave(job), Done(asked)])


def _leave(job: JobState) -> LeavingStored:
    return LeavingStored(tuple((i, i.saved.task_id) for i in job.instances if i.live))


def end_all(ctx: Context, job: JobState) -> None:
    """End what runs of a job that is to end; kills that were said before the ledger repeats.

    Clients that were given time before a restart of the framework are given it again.
    """
    for step in reconcile(job, job.instances, ctx.now.wall_s):
        if isinstance(step, steps.Kill):
            versions.let_leave(ctx, step.instance)
