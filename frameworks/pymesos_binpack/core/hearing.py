"""While no master is heard, jobs stay as they are, and the deadlines of rollouts stand still.

What is known of tasks then is old: one may run by now, or have ended. That holds on for a moment
after a subscription, until masters have answered for the tasks and told of drains.
"""

from __future__ import annotations

from pymesos_binpack.core import alerting, versions
from pymesos_binpack.core.context import Context

HEARS = "hears"  # the timer: what was asked is answered
ANSWERED_WITHIN_S = 5.0  # after a subscription


def on_disconnected(ctx: Context) -> None:
    """Keep in mind since when nothing is heard."""
    if ctx.hears:
        ctx.heard_s = ctx.steady_s
    ctx.subscribed = ctx.hears = False
    ctx.timers.cancel((HEARS, ""))


def on_subscribed(ctx: Context) -> None:
    """Go on at once if there is nothing to be asked for, else once it is answered."""
    if ctx.hears:
        ctx.heard_s = ctx.steady_s
    ctx.hears = False
    if ctx.ledger.tasks:
        ctx.timers.set((HEARS, ""), ctx.now.mono_s + ANSWERED_WITHIN_S)
    else:
        on_due(ctx)


def on_due(ctx: Context) -> None:
    """What is known is what masters say: jobs follow their versions again."""
    ctx.hears = True
    before = ctx.at
    for job in ctx.roster.jobs.values():
        ctx.at = job.job_id
        if not (job.durably_stopping or job.ended):
            versions.go_on(ctx, job, ctx.heard_s)
    ctx.at = before
    alerting.on_heard(ctx)
