"""What is wanted of a job against what is there: steps, each with its reason.

A pure function. Kinds of work differ in what they want when a task has ended; each has a file of
its own, and its place in `AFTER_END`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from pymesos_binpack.jobs import batch, service
from pymesos_binpack.jobs.instance import Instance
from pymesos_binpack.jobs.lifecycle import Phase
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.jobs.steps import (
    End,
    Finish,
    Keep,
    Kill,
    Launch,
    Remove,
    Replace,
    Step,
    Wait,
)
from pymesos_core.clock import utc

AFTER_END: Mapping[str, Callable[[Instance, End], Step]] = {
    "service": service.after_end,
    "daemon": service.after_end,
    "batch": batch.after_end,
    "periodic": batch.after_end,
}
STOPPED = "the job is to end"
CALLED_OFF = "its job was stopped"  # once an instance is done by that


def reconcile(job: JobState, instances: Iterable[Instance], now_wall_s: float) -> list[Step]:
    """What is to be done about instances of a job, none of which has just ended."""
    return [_step(job, instance, now_wall_s) for instance in instances]


def after_end(job: JobState, instance: Instance, end: End) -> Step:
    """What is to be done about an instance whose task has ended."""
    if instance.saved.leaving:
        return Remove(instance, instance.saved.leaving)
    if job.stopping:
        return Finish(instance, STOPPED, instance.saved.failures)
    return AFTER_END[instance.spec.kind](instance, end)


def _step(job: JobState, instance: Instance, now_wall_s: float) -> Step:
    if instance.state is Phase.DONE:
        return Keep(instance, "it is done")
    if instance.pending:
        if job.stopping:
            return Finish(instance, STOPPED, instance.saved.failures)
        return Launch(instance, "it is wanted", 0.0, instance.saved.failures)
    if instance.state is Phase.UNREACHABLE:
        step = while_unreachable(instance, now_wall_s)
        return Kill(instance, STOPPED) if job.stopping and isinstance(step, Wait) else step
    return Kill(instance, STOPPED) if job.stopping else Keep(instance, "it runs")


def while_unreachable(instance: Instance, now_wall_s: float) -> Wait | Replace:
    """A service goes on elsewhere after a while; what must not run twice is waited for."""
    spec, saved = instance.spec, instance.saved
    what = f"its agent {saved.hostname or saved.agent_id} is unreachable"
    if spec.unreachable_replace_s is not None:
        until_s = saved.unreachable_since_s + spec.unreachable_replace_s
        if until_s <= now_wall_s:
            return Replace(instance, "its agent stayed unreachable")
        without = ", with empty volumes" if spec.volumes else ""
        why = f"{what}; unless that is back by {utc(until_s)}, another takes its place{without}"
        return Wait(instance, why, until_s)
    if spec.volumes:
        then = "its data are there, so no other takes its place"
    else:
        then = "it may still run there, so it is not run a second time"
    why = f"{what}; {then} until the agent is back, or given up with `pymesos-cli gone`"
    if spec.volumes:
        how = f"pymesos-cli restart {instance.job_name}.{spec.name} --lose-volumes"
        why += f"; `{how}` has it begin elsewhere with empty ones"
    return Wait(instance, why, None)
