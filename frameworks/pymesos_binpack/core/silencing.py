"""Alerts are silenced for a while: what fires then is told when that is over, if it still does.

What somebody was told of before goes on, and so does that it is over.
"""

from __future__ import annotations

from pymesos_binpack.alerts.silences import MAX_SILENCE_S, SILENCE, Silence
from pymesos_binpack.core import alerting
from pymesos_binpack.core.context import Context
from pymesos_binpack.core.effects import Done
from pymesos_binpack.core.events import AlertsSilenced
from pymesos_core.clock import is_over
from pymesos_core.outgoing.alert_life import State
from pymesos_core.store import Change

SILENCES = "silence"  # the timer: a silence is over


def begin(ctx: Context) -> None:
    """Have the silences that are stored end in their time, as the framework starts."""
    for silence in ctx.silences:
        _end_by(ctx, silence)


def on_asked(ctx: Context, event: AlertsSilenced) -> None:
    """Silence alerts, or end that; who asked is told once it is durable."""
    ctx.at = event.job_id
    until_s = ctx.steady_s + event.for_s
    silence = Silence(event.job_id, event.task, event.when, until_s, event.by, event.why)
    done = Done(event.asked)
    if event.job_id not in ctx.roster.jobs:
        ctx.store("a job whose alerts are silenced is gone", then=[done])
    elif event.for_s > 0:
        ctx.silences.by_key[silence.key] = silence
        _end_by(ctx, silence)
        ctx.store("alerts are silenced", silence.change(), then=[done])
    else:
        ctx.timers.cancel((SILENCES, silence.key))
        _end(ctx, silence.key, done)


def on_due(ctx: Context, key: str) -> None:
    """A silence is over."""
    _end(ctx, key)


def _end_by(ctx: Context, silence: Silence) -> None:
    over = is_over(silence.until_s, MAX_SILENCE_S, ctx.steady_s)
    in_s = 0.0 if over else silence.until_s - ctx.steady_s
    ctx.timers.set((SILENCES, silence.key), ctx.now.mono_s + in_s)


def _end(ctx: Context, key: str, *then: Done) -> None:
    silence = ctx.silences.by_key.pop(key, None)
    ctx.store("a silence is over", Change(SILENCE, key, None), then=then)
    if silence is None:
        return
    ctx.changed[silence.job_id] = None  # what has come back in silence may fire
    for alert in list(ctx.alerts.of(silence.job_id).values()):
        if alert.state is State.FIRING:
            alerting.tell(ctx, alert)
