"""What follows from a write once it is stored: only then may it be told."""

from __future__ import annotations

from pymesos_binpack.core import (
    data,
    launches,
    quarantine,
    scaling,
    serving,
    submissions,
    versions,
)
from pymesos_binpack.core.context import Context
from pymesos_binpack.core.then import (
    FrameworkStored,
    InstanceDurable,
    InstancesRemoved,
    JobDurable,
    JobStored,
    KillStored,
    LaunchStored,
    LeavingStored,
    ReleaseAwaited,
    ReleaseStored,
    RolloutsDurable,
    RunsDurable,
    ScalingsDurable,
    Then,
    VersionStored,
)


def on_stored(ctx: Context, token: int) -> None:
    """A write is stored."""
    write = ctx.writes.stored(token)
    ctx.at = write.about
    for each in write.then:
        follow(ctx, each)


def follow(ctx: Context, each: Then) -> None:
    """Go on with what waited for a write."""
    match each:
        case InstanceDurable(instance, saved):
            ctx.changed[instance.job_id] = None
            if (job := ctx.roster.jobs.get(instance.job_id)) is not None:
                job.is_durable(instance, saved)
            serving.note(ctx, [instance])
        case JobDurable(job, stopping, hurried):
            job.durably_stopping, job.durably_hurried = stopping, hurried
            serving.note(ctx, job.instances)
            ctx.changed[job.job_id] = None
        case JobStored(job):
            submissions.on_job_stored(ctx, job)
        case VersionStored(job, number):
            versions.on_version_stored(ctx, job, number)
            scaling.begin(ctx, job)
            serving.note(ctx, job.instances)
        case RolloutsDurable(job, rollouts):
            job.durable_rollouts = rollouts
            serving.note(ctx, job.instances)
            ctx.changed[job.job_id] = None
        case ScalingsDurable(job, scalings):
            job.durable_scalings = scalings
            ctx.changed[job.job_id] = None
        case RunsDurable(job, runs):
            job.durable_runs = runs
            ctx.changed[job.job_id] = None
        case InstancesRemoved(job, gone):
            versions.on_removed(ctx, job, gone)
            serving.note(ctx, gone)
        case LaunchStored():
            launches.on_launch_stored(ctx, each)
        case KillStored():
            launches.on_kill_stored(ctx, each)
        case LeavingStored():
            versions.on_leaving_stored(ctx, each)
        case ReleaseStored(job):
            quarantine.on_release_stored(ctx, job)
        case ReleaseAwaited(job_id, discard):
            quarantine.on_released(ctx, job_id, discard=discard)
        case FrameworkStored():
            data.probe(ctx, None)
        case _:
            ctx.say(each)
