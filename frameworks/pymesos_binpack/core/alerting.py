"""Jobs are looked at for what their alerts are about; what is found is stored, and then told.

While no master is heard alerts stay as they are: what is known of tasks then is old. What was
pending before counts from when it began, over restarts and failovers, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pymesos_binpack.alerts.conditions import Found, Look, find
from pymesos_binpack.alerts.silences import SILENCE
from pymesos_binpack.alerts.state import Alert, alert_key
from pymesos_binpack.core.context import Context
from pymesos_binpack.core.effects import Tell
from pymesos_binpack.core.events import NoticeTaken
from pymesos_binpack.jobs.instance import Instance
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.specs import AlertRule
from pymesos_core.outgoing.alert import TOLD
from pymesos_core.outgoing.alert_life import State
from pymesos_core.store import Change

ALERTS = "alerts"  # the timer: a job is to be looked at
SMALL = 100  # instances of a job that is looked at whenever something happens to one
DEBOUNCE_S = 0.5  # in which what happens to those of larger jobs is looked at together

Moved = tuple[Alert, State]  # and the state before


def begin(ctx: Context) -> None:
    """Tell what is still to be told, as the framework starts."""
    for alert in ctx.alerts:
        if alert.state in TOLD and alert.told:
            ctx.say(Tell(alert.notice()))


def follow(ctx: Context) -> None:
    """Look at the jobs of which something is new."""
    if not (ctx.changed and ctx.hears):
        return
    for job_id in list(ctx.changed):
        job = ctx.roster.jobs.get(job_id)
        if job is None:
            if job_id not in ctx.quarantined and ctx.alerts.of(job_id):
                forget(ctx, job_id)
        elif job.job.receivers or ctx.alerts.of(job_id):
            if len(job.instances) <= SMALL:
                look_at(ctx, job)
            else:
                _look_by(ctx, job_id, ctx.now.mono_s + DEBOUNCE_S)
    ctx.at = ""


def forget(ctx: Context, job_id: str) -> None:
    """A job is known no more: its receivers are told that what they were told is over."""
    keys = [silence.key for silence in ctx.silences if silence.job_id == job_id]
    for key in keys:
        del ctx.silences.by_key[key]
    gone = [Change(SILENCE, key, None) for key in keys]
    _end(ctx, list(ctx.alerts.of(job_id).values()), "the job is forgotten", *gone)


def on_due(ctx: Context, job_id: str) -> None:
    """Time has passed that may make a difference to a job."""
    if (job := ctx.roster.jobs.get(job_id)) is not None:
        look_at(ctx, job)


def on_heard(ctx: Context) -> None:
    """Masters have answered: all jobs are looked at again."""
    ctx.changed.update(
        (job_id, None) for job_id, job in ctx.roster.jobs.items() if job.job.receivers
    )
    ctx.changed.update((job_id, None) for job_id in ctx.alerts.by_job)


def look_at(ctx: Context, job: JobState) -> None:
    """Find what is wrong with a job, and have what is new of that stored, and told then."""
    ctx.timers.cancel((ALERTS, job.job_id))
    if not ctx.hears:
        return
    ctx.at = job.job_id
    moved: list[Moved] = []
    wanted: set[str] = set()
    for task, rule, found in _found(ctx, job):
        key = alert_key(job.job_id, task, rule)
        wanted.add(key)
        alert = ctx.alerts.get(key) or Alert(key, role=job.job.role, job=job.job.name)
        if found.look_at_s is not None:
            _look_by(ctx, job.job_id, found.look_at_s)
        before = (alert.state, alert.since_s)
        _move(ctx, job, alert, rule, found)
        if (alert.state, alert.since_s) != before:
            moved.append((alert, before[0]))
    others = [alert for key, alert in ctx.alerts.of(job.job_id).items() if key not in wanted]
    _store(ctx, "alerts are others now", moved)
    _end(ctx, others, "nobody is to be told of it any longer")


def _found(ctx: Context, job: JobState) -> Iterator[tuple[str, AlertRule, Found]]:
    """What each alert of a job is about, as it is now; none of a job that is ended, or replaced."""
    if job.stopping or (job.ended and _has_successor(ctx, job)):
        return
    by_task: dict[str, list[Instance]] = {}
    for instance in job.instances:
        by_task.setdefault(instance.spec.name, []).append(instance)
    for spec in job.job.tasks:
        if not spec.alerts:
            continue
        look = Look(
            spec, by_task.get(spec.name, ()), job.rollouts.get(spec.name), ctx.draining.keys(),
            ctx.now, ctx.steady_s,
        )  # fmt: skip
        for rule in spec.alerts:
            yield spec.name, rule, find(rule, look)


def _has_successor(ctx: Context, job: JobState) -> bool:
    """Whether another job of its name came after it."""
    latest = next(reversed(ctx.roster.named(job.job.role, job.job.name).values()), job)
    return latest is not job


def _move(ctx: Context, job: JobState, alert: Alert, rule: AlertRule, found: Found) -> None:
    """Have an alert be as what was found."""
    if not found.why:
        alert.cease(ctx.now.wall_s)
        return
    left_s = alert.hold(
        f"{job.job.name}/{alert.parts[0]}: {found.why}",
        rule.for_s,
        ctx.now.wall_s,
        ctx.steady_s,
        silenced=ctx.silences.of(alert) is not None,
    )
    if left_s is not None:
        _look_by(ctx, job.job_id, ctx.now.mono_s + left_s)


def _end(ctx: Context, alerts: Iterable[Alert], why: str, *more: Change) -> None:
    """End alerts of what is not looked at any more."""
    going = [(alert, alert.state) for alert in alerts if alert.since_s]
    for alert, _ in going:
        alert.cease(ctx.now.wall_s)
    _store(ctx, why, going, *more)


def _store(ctx: Context, why: str, moved: Sequence[Moved], *more: Change) -> None:
    """Write alerts; what their receivers are to know is told once that is durable."""
    told: list[Alert] = []
    for alert, before in moved:
        silenced = ctx.silences.of(alert) is not None
        if alert.came_to(before, ctx.now.wall_s, silenced=silenced):
            told.append(alert)
        ctx.alerts.keep(alert)
    if moved or more:
        changes = [alert.change() for alert, _ in moved]
        ctx.store(why, *changes, *more, then=[Tell(alert.notice()) for alert in told])


def tell(ctx: Context, alert: Alert) -> None:
    """Have its receiver told of an alert that was silenced, unless it is silenced still."""
    if not alert.told and ctx.silences.of(alert) is None:
        alert.told = True
        ctx.store("an alert is silenced no more", alert.change(), then=[Tell(alert.notice())])


def on_taken(ctx: Context, event: NoticeTaken) -> None:
    """A receiver has taken what it was told of an alert; of an earlier time it does not matter."""
    alert = ctx.alerts.get(event.key)
    if alert is None or not alert.taken(event.began_s, ctx.now.wall_s, is_over=event.is_over):
        return
    if not event.is_over:
        ctx.store("a receiver knows of an alert", alert.change())
        return
    ctx.alerts.keep(alert)
    ctx.store("a receiver knows that an alert is over", alert.change())
    ctx.changed[alert.job_id] = None  # it may have come back in silence


def _look_by(ctx: Context, job_id: str, at_s: float) -> None:
    timer = (ALERTS, job_id)
    ctx.timers.set(timer, min(at_s, ctx.timers.at_s(timer) or at_s))
