"""Periodic tasks: their runs begin when they are due, or are triggered, and end with their tasks.

What is due begins only while a master is heard. The clock on the wall decides, which may be set; so
it is looked at again each minute.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pymesos_binpack.core.context import Context
from pymesos_binpack.jobs import writes
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.periodic.runs import Outcome, Runs, decide
from pymesos_binpack.specs import TaskSpec
from pymesos_core.store import Change
from pymesos_proto.v1 import types_pb2 as pb


class Advanced(NamedTuple):
    """What is to be written of the runs of a job, and in how many seconds to look again."""

    changes: Sequence[Change]
    look_in_s: float | None


def advance(ctx: Context, job: JobState) -> Advanced:
    """Have the runs of a job be as they are to be now."""
    after: dict[str, Runs] = {}
    looks: list[float] = []
    for spec in job.job.tasks if not job.stopping else ():
        if spec.periodic is not None:
            runs = job.runs.get(spec.name, Runs())
            decided = decide(spec.periodic, runs, _outcome(job, spec, runs), ctx.now.wall_s)
            after[spec.name] = decided.runs
            if (in_s := decided.look_in_s(ctx.now.wall_s)) is not None:
                looks.append(in_s)
            if job.next_due_s.get(spec.name) != decided.next_s:
                job.next_due_s[spec.name] = decided.next_s or 0.0
                ctx.changed[job.job_id] = None
    if job.stopping or after == job.runs:
        return Advanced((), min(looks, default=None))
    changes = [
        writes.runs_change(job, t, runs) for t, runs in after.items() if job.runs.get(t) != runs
    ]
    changes += [writes.runs_change(job, task, None) for task in job.runs.keys() - after.keys()]
    job.runs = after
    return Advanced(changes, min(looks, default=None))


def _outcome(job: JobState, spec: TaskSpec, runs: Runs) -> Outcome:
    """How the run that goes on has ended, if it has."""
    if runs.going is None:
        return Outcome.GOING
    mine = [
        i
        for i in job.instances
        if i.spec.name == spec.name and i.saved.run == runs.going.run_id and not i.saved.leaving
    ]
    if len(mine) < spec.instances or not all(i.saved.done for i in mine):
        return Outcome.GOING
    well = all(i.saved.state == pb.TASK_FINISHED for i in mine)
    return Outcome.FINISHED if well else Outcome.FAILED
