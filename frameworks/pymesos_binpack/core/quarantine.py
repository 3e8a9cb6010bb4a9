"""Jobs that were set aside: tried again, or forgotten with their tasks."""

from __future__ import annotations

from pymesos_binpack.core import data, submissions, versions
from pymesos_binpack.core.context import Context
from pymesos_binpack.core.effects import Kill, Reconcile, Released
from pymesos_binpack.core.then import ReleaseStored
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.restoring import QUARANTINE, Quarantined, load_job, why
from pymesos_core.store import Change


def on_released(ctx: Context, job_id: str, *, discard: bool) -> None:
    """Try a job that was set aside again, from what is stored; or forget it and its tasks."""
    aside = ctx.quarantined.get(job_id)
    if aside is None:
        ctx.say(Released(job_id, f"there is no job {job_id[:255]} in quarantine"))
    elif discard:
        _discard(ctx, aside)
    else:
        rows = [row for row in aside.rows if row[0] != QUARANTINE]
        try:
            _take_back(ctx, load_job(job_id, rows))
        except Exception as error:  # as when it was set aside
            ctx.say(Released(job_id, f"it still cannot be handled: {why(error)}"))


def _take_back(ctx: Context, job: JobState) -> None:
    # Those of its earlier life: what is launched before this is stored is nobody's to ask for yet.
    live = tuple((i.saved.task_id, i.saved.agent_id) for i in job.instances if i.live)
    try:
        changes = submissions.take_name(ctx, job)
        submissions.begin(ctx, job)
    except Exception:
        submissions.undo(ctx, job)
        raise
    del ctx.quarantined[job.job_id]
    ctx.at = job.job_id
    gone = Change(QUARANTINE, job.job_id, None)
    ctx.store("a job leaves quarantine", gone, *changes, then=[ReleaseStored(job, live)])


def on_release_stored(ctx: Context, job: JobState, live: tuple[tuple[str, str], ...]) -> None:
    """A job is durably out of quarantine; `live` are the tasks that it had there, with agents."""
    if live:
        ctx.say(Reconcile(live))
    data.probe(ctx, None, job.instances)
    if job.stopping:
        submissions.end_all(ctx, job)
    else:
        versions.kill_again(ctx, job)
        versions.go_on(ctx, job, job.latest_s)
    ctx.changed[job.job_id] = None
    ctx.say(Released(job.job_id))
    ctx.placements.of(job.job.role).demand()


def _discard(ctx: Context, aside: Quarantined) -> None:
    del ctx.quarantined[aside.job_id]
    ctx.roster.requests.pop(aside.request_id, None)
    live = aside.live_tasks()
    given_up = [ctx.ledger.give_up(task_id, agent_id) for task_id, agent_id in live.items()]
    kills = [Kill(task_id, agent_id) for task_id, agent_id in live.items()]
    # Asked for until a master answers, to be killed again where one has forgotten that.
    asked = [Reconcile(tuple(live.items()))] if live else []
    ctx.store(
        "a job in quarantine is forgotten",
        *aside.removal(),
        *given_up,
        then=[*kills, *asked, Released(aside.job_id)],
    )
