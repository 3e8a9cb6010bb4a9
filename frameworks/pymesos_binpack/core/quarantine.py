"""Jobs that were set aside: tried again, or forgotten with their tasks."""

from __future__ import annotations

from dataclasses import replace

from pymesos_binpack.core import (
    alerting,
    daemons,
    data,
    serving,
    submissions,
    subscription,
    versions,
)
from pymesos_binpack.core.context import Context
from pymesos_binpack.core.effects import Kill, Reconcile, Released
from pymesos_binpack.core.then import ReleaseAwaited, ReleaseStored
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.loading import load_job
from pymesos_binpack.restoring import QUARANTINE, Quarantined, set_aside, why
from pymesos_core.store import Change


def on_released(ctx: Context, job_id: str, *, discard: bool) -> None:
    """Try a job that was set aside again, from what is stored; or forget it and its tasks."""
    aside = ctx.quarantined.get(job_id)
    if aside is None:
        ctx.say(Released(job_id, f"there is no job {job_id[:255]} in quarantine", discard))
    elif job_id in ctx.releasing:
        ctx.store("a job leaves quarantine already", then=[ReleaseAwaited(job_id, discard)])
    elif discard:
        _discard(ctx, aside)
    else:
        rows = [row for row in aside.rows if row[0] != QUARANTINE]
        try:
            _take_back(ctx, load_job(job_id, rows))
        except Exception as error:  # as when it was set aside
            ctx.say(Released(job_id, _still(error)))


def _still(error: Exception) -> str:
    return f"it still cannot be handled: {why(error)}"


def _take_back(ctx: Context, job: JobState) -> None:
    """Have it stored that a job has left quarantine, where it is until then."""
    if not job.ended and (problem := subscription.role_problem(ctx, job.job)) is not None:
        ctx.say(Released(job.job_id, problem))
        return
    try:
        changes = submissions.take_name(ctx, job)
    except Exception:
        submissions.undo(ctx, job)
        raise
    ctx.releasing.add(job.job_id)
    ctx.at = job.job_id
    gone = Change(QUARANTINE, job.job_id, None)
    ctx.store("a job leaves quarantine", gone, *changes, then=[ReleaseStored(job)])


def on_release_stored(ctx: Context, job: JobState) -> None:
    """A job is durably out of quarantine: it goes on, or is back there when that fails."""
    job_id = job.job_id
    ctx.releasing.remove(job_id)
    try:
        submissions.begin(ctx, job)
    except Exception as error:  # as when it was set aside
        submissions.undo(ctx, job)
        ctx.quarantined[job_id] = replace(ctx.quarantined[job_id], reason=why(error))
        then = [Released(job_id, _still(error))]
        ctx.store("a job is back in quarantine", set_aside(job_id, why(error)), then=then)
        return
    _leave(ctx, ctx.quarantined[job_id])
    if live := tuple((i.saved.task_id, i.saved.agent_id) for i in job.instances if i.live):
        ctx.say(Reconcile(live))
    data.probe(ctx, None, job.instances)
    serving.were_kept(ctx, job.instances)
    if job.stopping:
        submissions.end_all(ctx, job)
    else:
        versions.kill_again(ctx, job)
        versions.go_on(ctx, job, job.latest_s)
    ctx.changed[job_id] = None
    ctx.say(Released(job_id))
    ctx.placements.of(job.job.role).demand()


def _leave(ctx: Context, aside: Quarantined) -> None:
    """A job is set aside no more: its tasks are known, or are to end."""
    del ctx.quarantined[aside.job_id]
    for agent_id in sorted(aside.agents):
        daemons.on_left(ctx, agent_id)


def _discard(ctx: Context, aside: Quarantined) -> None:
    _leave(ctx, aside)
    ctx.roster.requests.pop(aside.request_id, None)
    alerting.forget(ctx, aside.job_id)
    live = aside.live_tasks()
    given_up = [ctx.ledger.give_up(task_id, agent_id) for task_id, agent_id in live.items()]
    kills = [Kill(task_id, agent_id) for task_id, agent_id in live.items()]
    # Asked for until a master answers, to be killed again where one has forgotten that.
    asked = [Reconcile(tuple(live.items()))] if live else []
    ctx.store(
        "a job in quarantine is forgotten",
        *aside.removal(),
        *given_up,
        then=[*kills, *asked, Released(aside.job_id, discard=True)],
    )
