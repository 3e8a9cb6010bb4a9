"""Instances that cannot get at their data begin elsewhere without, as somebody says."""

from __future__ import annotations

from collections.abc import Iterable

from pymesos_binpack.core import data, updates
from pymesos_binpack.core.context import Context
from pymesos_binpack.core.effects import Done
from pymesos_binpack.core.events import VolumesGivenUp
from pymesos_binpack.jobs.instance import Instance
from pymesos_binpack.jobs.lifecycle import Phase
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.jobs.steps import Replace
from pymesos_binpack.placement.tasks import Cause

WHY = "somebody said that it is to begin without its data"


def away(ctx: Context, job: JobState, tasks: Iterable[str]) -> list[Instance]:
    """Return the instances of tasks, or of all, whose data are where they cannot be used.

    That is on an agent that is unreachable, or on which an instance may not run any more.
    """
    named = frozenset(tasks)
    return [
        instance
        for instance in job.instances
        if instance.saved.data_on
        and (not named or instance.spec.name in named)
        and (
            instance.state is Phase.UNREACHABLE
            or data.home_is_lost(ctx, instance)
            or _is_ruled_out(instance)
        )
    ]


def _is_ruled_out(instance: Instance) -> bool:
    """Whether one that waits may not run where its data are."""
    refusal = instance.refusal if instance.pending else None
    return refusal is not None and refusal.cause is Cause.VOLUME_RULED_OUT


def on_given_up(ctx: Context, event: VolumesGivenUp) -> None:
    """Have them begin with empty volumes; who asked is told once that is durable."""
    ctx.at = event.job_id
    job = ctx.roster.jobs.get(event.job_id)
    for instance in away(ctx, job, event.tasks) if job is not None else ():
        assert job is not None
        if instance.pending:
            data.begin_without(ctx, instance, WHY)
        else:
            updates.replace(ctx, job, Replace(instance, WHY))
    ctx.store("what was asked of volumes is done", then=[Done(event.asked)])
