"""What is written of a job beside its own record: its rollouts, runs and scalings, and its end."""

from __future__ import annotations

import json
from collections.abc import Iterator

from pymesos_binpack.jobs.instance import (
    INSTANCE,
)
from pymesos_binpack.jobs.scaling import Scaling
from pymesos_binpack.jobs.state import JOB, ROLLOUT, ROLLOUTS, RUNS, SCALING, JobState
from pymesos_binpack.periodic.runs import Runs
from pymesos_core.store import Change


def rollout_changes(job: JobState) -> list[Change]:
    """Return the writes of the rollouts that are others than at the last call."""
    before, job.written_rollouts = job.written_rollouts, job.rollouts
    changes = [
        Change(ROLLOUT, f"{job.job_id}/{task}", json.dumps(rollout.record()).encode())
        for task, rollout in job.rollouts.items()
        if before.get(task) != rollout
    ]
    gone = sorted(before.keys() - job.rollouts.keys())
    changes += [Change(ROLLOUT, f"{job.job_id}/{task}", None) for task in gone]
    if job.are_together:
        job.are_together = False
        changes += id_changes(job)  # which is without them
    return changes


def id_changes(job: JobState) -> list[Change]:
    """Return the writes of the ids that are not to be given again, see `retire`."""
    if job.are_together:
        return rollout_changes(job)
    record = {"used": job.used, "version": job.version}
    return [Change(ROLLOUTS, job.job_id, json.dumps(record).encode())]


def runs_change(job: JobState, task: str, runs: Runs | None) -> Change:
    """Return the write of the runs of a periodic task; None: they are forgotten."""
    return Change(RUNS, f"{job.job_id}/{task}", None if runs is None else runs.record())


def scaling_change(job: JobState, task: str, scaling: Scaling | None) -> Change:
    """Return the write of how a task is scaled; None: that is forgotten."""
    value = None if scaling is None else scaling.record()
    return Change(SCALING, f"{job.job_id}/{task}", value)


def removal(job: JobState) -> Iterator[Change]:
    """Forget a job and its instances."""
    yield Change(JOB, job.job_id, None)
    yield Change(ROLLOUTS, job.job_id, None)
    for task in job.written_rollouts:
        yield Change(ROLLOUT, f"{job.job_id}/{task}", None)
    for task in job.runs:
        yield runs_change(job, task, None)
    for task in job.scalings:
        yield scaling_change(job, task, None)
    yield from job.history.removal(job.job_id)
    for instance in job.instances:
        yield Change(INSTANCE, instance.key, None)
