"""Runs of periodic tasks that somebody triggers."""

from __future__ import annotations

from pymesos_binpack.core import versions
from pymesos_binpack.core.context import Context
from pymesos_binpack.core.effects import JobAccepted, JobRefused
from pymesos_binpack.core.events import RunTriggered
from pymesos_binpack.core.then import RunsDurable
from pymesos_binpack.jobs import writes
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.periodic.rules import ArgsError, Overlap, args_of
from pymesos_binpack.periodic.runs import Run, Runs, ask
from pymesos_binpack.specs import TaskSpec
from pymesos_core.text import quoted


def on_triggered(ctx: Context, event: RunTriggered) -> None:
    """Begin a run, or have it wait; who asked is told once that is durable."""
    ctx.at = event.job_id
    job = ctx.roster.jobs.get(event.job_id)
    if job is None or job.ended or job.stopping:
        problem = "the job does not run: `pymesos-cli jobs` lists those that do"
        ctx.say(JobRefused(event.request_id, problem, event.job_id))
        return
    found = _task(job, event.task)
    if isinstance(found, str):
        ctx.say(JobRefused(event.request_id, found, event.job_id, wrong=True))
        return
    rules, runs = found.periodic, job.runs.get(found.name, Runs())
    assert rules is not None
    run_id = f"trigger-{event.request_id}"
    accepted = JobAccepted(event.request_id, job.job_id, job.version)
    if runs.has(run_id):
        ctx.store("a run was triggered already", then=[accepted])
        return
    try:
        args = args_of(rules, event.args)
    except ArgsError as error:
        problem = f"{found.name}: {error}"
        ctx.say(JobRefused(event.request_id, problem, event.job_id, wrong=True))
        return
    if problem := _overlap_problem(rules.overlap, runs):
        ctx.say(JobRefused(event.request_id, f"{found.name}: {problem}", event.job_id))
        return
    run = Run(run_id, ctx.now.wall_s, args, event.by or "somebody")
    after = ask(rules, runs, run, ctx.now.wall_s)
    job.runs = {**job.runs, found.name: after}
    change = writes.runs_change(job, found.name, after)
    ctx.store("a run is triggered", change, then=[RunsDurable(job, job.runs), accepted])
    job.unsettled = True
    versions.look_soon(ctx, job.job_id)


def _task(job: JobState, name: str) -> TaskSpec | str:
    """The periodic task that is meant, or what is wrong."""
    of_job = [spec for spec in job.job.tasks if spec.periodic is not None]
    meant = [spec for spec in of_job if name in ("", spec.name)]
    if len(meant) == 1:
        return meant[0]
    if not of_job:
        return f"no task of the job {job.job_id} is periodic, so none can be triggered"
    names = ", ".join([spec.name for spec in of_job][:10])
    if name and name in {spec.name for spec in job.job.tasks}:
        return f"the task {name} of the job {job.job_id} is not periodic; periodic are {names}"
    if name:
        return f"the job {job.job_id} has no task {quoted(name)}; periodic are {names}"
    return f"which task of the job {job.job_id} is meant? Those that are periodic are {names}"


def _overlap_problem(overlap: Overlap, runs: Runs) -> str:
    """Why a run cannot begin beside the one that goes on; or empty."""
    if (runs.going is None and runs.queued is None) or overlap is Overlap.REPLACE:
        return ""
    if overlap is Overlap.QUEUE and runs.queued is None:
        return ""
    going = runs.going or runs.queued
    assert going is not None
    waits = f", and {runs.queued.run_id} waits" if runs.queued is not None else ""
    return (
        f"its run {going.run_id} goes on{waits}, and its overlap is {overlap}: try again when that"
        f" has ended, or end its tasks with `pymesos-cli kill`"
    )
