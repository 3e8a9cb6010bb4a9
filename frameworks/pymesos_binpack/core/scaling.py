"""Tasks have as many instances as what is measured of them asks for.

Agents measure, and masters pass on what is of this framework. Every few seconds each task is
looked at; a step is stored before anything follows from it. Steps are no versions of the job.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from pymesos_binpack.core import versions
from pymesos_binpack.core.context import Context
from pymesos_binpack.core.events import UsesTold
from pymesos_binpack.core.then import ScalingsDurable
from pymesos_binpack.jobs import writes
from pymesos_binpack.jobs.instance import Instance
from pymesos_binpack.jobs.scaling import Measured, Scaling, decide
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.specs import TaskSpec
from pymesos_proto.v1 import types_pb2 as pb

SCALE = "scale"  # the timer: the tasks of a job are to be looked at
LOOK_S = 10.0
OLD_S = 90.0  # a measurement of then says nothing any more; agents measure each minute at least
MILLI = 1000


def begin(ctx: Context, job: JobState) -> None:
    """Look at a job from now on, if it has tasks that are scaled."""
    if job.job.has_scaling and not (job.ended or job.stopping):
        timer = (SCALE, job.job_id)
        if timer not in ctx.timers:
            ctx.timers.set(timer, ctx.now.mono_s + LOOK_S)


def on_told(ctx: Context, event: UsesTold) -> None:
    """Keep what was measured of instances that are there."""
    for use in event.uses:
        instance = ctx.roster.by_task.get(use.task_id)
        if instance is not None and (value := _value(instance.spec, use)) is not None:
            instance.measured = (value, ctx.now.mono_s)


def _value(spec: TaskSpec, use: pb.TaskUse) -> float | None:
    """What was measured, as the rules of a task mean it."""
    if spec.scale is None:
        return None
    if spec.scale.metric:
        return use.gauge if use.HasField("gauge") else None
    beside = sum(sidecar.scalars.get("cpus", 0) for sidecar in spec.sidecars)
    asked = spec.scalars.get("cpus", 0) - beside
    return use.cpus_used * MILLI / asked if asked > 0 else None


def on_due(ctx: Context, job_id: str) -> None:
    """Look at the tasks of a job."""
    job = ctx.roster.jobs.get(job_id)
    if job is None or job.ended or job.stopping:
        return
    begin(ctx, job)
    if not ctx.hears:
        return
    after: dict[str, Scaling] = {}
    for spec in job.job.tasks:
        if spec.scale is None:
            continue
        before = job.scalings.get(spec.name, Scaling(spec.instances))
        # What people say of the bounds was followed already.
        before = replace(before, count=spec.instances)
        mine = [i for i in job.instances if i.spec.name == spec.name and not i.saved.leaving]
        rollout = job.rollouts.get(spec.name)
        measured = _measured(ctx, mine, spec, rolls=rollout is not None and rollout.going)
        after[spec.name] = decide(spec.scale, before, measured, ctx.steady_s)
    _take(ctx, job, after)


def _measured(
    ctx: Context, instances: Iterable[Instance], spec: TaskSpec, *, rolls: bool
) -> Measured:
    """What is known of those that do their work; of one number the latest counts."""
    known: dict[int, float] = {}
    oldest_s = ctx.now.mono_s - OLD_S
    for instance in instances:
        if instance.measured is None or not instance.saved.ready_since_s:
            continue
        value, at_s = instance.measured
        if at_s >= max(oldest_s, instance.running_since_s or 0.0):
            known[instance.index] = value
    values = [value for index, value in known.items() if index < spec.instances]
    return Measured(values, spec.instances - len(values), rolls)


def _take(ctx: Context, job: JobState, after: Mapping[str, Scaling]) -> None:
    before, job.scalings = job.scalings, {**job.scalings, **after}
    steps = [task for task, now in after.items() if now.steps != _steps(before, task)]
    if not steps:
        if any(now.note != before[task].note for task, now in after.items() if task in before):
            ctx.changed[job.job_id] = None
        job.durable_scalings = _told(job, after)
        return
    job.rescale()
    ctx.roster.recount(job)
    job.unsettled = True
    why = "; ".join(f"{task}: {after[task].note}" for task in steps)
    changes = [writes.scaling_change(job, task, after[task]) for task in steps]
    ctx.store(f"tasks are scaled: {why}", *changes, then=[ScalingsDurable(job, job.scalings)])
    versions.follow(ctx, job)


def _steps(scalings: Mapping[str, Scaling], task: str) -> object:
    return scalings[task].steps if task in scalings else ()


def _told(job: JobState, after: Mapping[str, Scaling]) -> Mapping[str, Scaling]:
    """Return what may be told: notes are, and steps once they are durable."""
    known = job.durable_scalings
    return {
        task: now if now.steps == _steps(known, task) else known[task]
        for task, now in after.items()
        if now.steps == _steps(known, task) or task in known
    }
