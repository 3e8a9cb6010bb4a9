"""Instances whose data are on agents that cannot be reached begin elsewhere, as somebody says."""

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

WHY = "somebody said that it is to begin without its data"


def away(ctx: Context, job: JobState, tasks: Iterable[str]) -> list[Instance]:
    """Return the instances of tasks, or of all, whose data are on agents that are unreachable."""
    named = frozenset(tasks)
    return [
        instance
        for instance in job.instances
        if instance.saved.data_on
        and (not named or instance.spec.name in named)
        and (instance.state is Phase.UNREACHABLE or data.home_is_lost(ctx, instance))
    ]


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
