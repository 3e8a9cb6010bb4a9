"""The cluster is looked at for what its alerts are about; what is found is stored, and then told.

What was pending counts from when it began, under the next leader, too; what fires is told by it
again, under the same key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pymesos_core import limits
from pymesos_core.clock import is_over
from pymesos_core.errors import ProblemKind
from pymesos_core.ids import name_problem, size_of
from pymesos_core.outgoing.alert import TOLD
from pymesos_core.outgoing.alert_life import State
from pymesos_core.outgoing.notices import Notice
from pymesos_core.registry_image import Key
from pymesos_core.text import quoted
from pymesos_master.core import permission
from pymesos_master.core.alerts.conditions import Found, Look, find
from pymesos_master.core.alerts.state import (
    ClusterAlert,
    Silence,
    When,
    alert_key,
    silence_of,
)
from pymesos_master.core.context import Context
from pymesos_master.core.effects import Tell
from pymesos_master.core.events import MasterReported, NoticeTaken, OperatorSilencedAlerts
from pymesos_master.core.lifecycles import AgentState
from pymesos_master.core.records import ALERT, SILENCE
from pymesos_master.core.state import MasterHealth, Record

LOOK_S = 1.0  # from one look to the next, at most
SETTLE_S = 15.0  # in which frameworks and masters come to a new leader
BEGIN, LOOK = "begin", "look"  # the two timers
MAX_SILENCE_S = 30 * 86400
MAX_WHY_BYTES = 255
MAX_SUBJECT_BYTES = 255
MAX_MASTERS = 100  # that say how they are


def begin(ctx: Context) -> None:
    """Go on with what the registry has, once this leads."""
    if ctx.config.receivers or ctx.state.alerts or ctx.state.silences:
        ctx.timers.set(("alerts", BEGIN), ctx.now.mono_s)
        ctx.timers.set(("alerts", LOOK), ctx.now.mono_s)


def on_due(ctx: Context, timer: str) -> None:
    """Look at the cluster again; at first, tell what is still to be told."""
    if timer == LOOK:
        ctx.timers.set(("alerts", LOOK), ctx.now.mono_s + LOOK_S)
        _end_silences(ctx)
        _look(ctx)
        return
    for alert in ctx.state.alerts.values():
        if alert.state in TOLD and alert.told:
            ctx.out.append(Tell(alert.notice()))


def _look(ctx: Context) -> None:
    """Have alerts be as what is found now, and what is new of that stored, and told then."""
    found = {
        alert_key(one.when, one.subject, receiver): one
        for one in find(_now(ctx))
        for receiver in ctx.config.receivers
    }
    moved: dict[str, State] = {}  # the keys of those that moved, and where they were
    for key, one in found.items():
        if key not in ctx.state.alerts and len(ctx.state.alerts) >= limits.CLUSTER_ALERTS.most:
            continue  # it is found again once others are over
        alert = ctx.state.alerts.setdefault(key, ClusterAlert(key))
        before = (alert.state, alert.since_s)
        _hold(ctx, alert, one)
        if (alert.state, alert.since_s) != before:
            moved[key] = before[0]
    for key, alert in ctx.state.alerts.items():
        if key not in found and alert.since_s and not _is_unsure(ctx, alert):
            moved[key] = alert.state
            alert.cease(ctx.now.wall_s)
    _store(ctx, moved)


def _now(ctx: Context) -> Look:
    starved = {} if ctx.agents_awaited > 0 else ctx.allocator.starved()
    return Look(ctx.state, starved, ctx.config.disk_full, ctx.now)


def _is_unsure(ctx: Context, alert: ClusterAlert) -> bool:
    """Whether it is not known yet, after another leader, if what an alert is about holds still."""
    is_new = ctx.now.mono_s - ctx.began_s < SETTLE_S
    if alert.when is When.QUOTA_UNMET:
        return is_new or ctx.agents_awaited > 0
    if alert.when not in (When.DISK_FULL, When.CERTIFICATE_NOT_RENEWED):
        return False
    if (agent := ctx.state.agents.get(alert.subject)) is None:
        return is_new and alert.subject not in ctx.state.masters
    return agent.usage is None and agent.state not in (AgentState.UNREACHABLE, AgentState.GONE)


def _hold(ctx: Context, alert: ClusterAlert, found: Found) -> None:
    left_s = alert.hold(
        found.why,
        ctx.config.alert_for_s,
        ctx.now.wall_s,
        ctx.steady_s,
        silenced=_silence(ctx, alert) is not None,
    )
    if left_s is not None and left_s < LOOK_S:
        at_s = ctx.now.mono_s + left_s
        due_s = ctx.timers.at_s(("alerts", LOOK))
        ctx.timers.set(("alerts", LOOK), at_s if due_s is None else min(at_s, due_s))


def _silence(ctx: Context, alert: ClusterAlert) -> Silence | None:
    if not ctx.state.silences:
        return None
    return silence_of(ctx.state.silences.values(), alert.when, alert.subject)


@dataclass(frozen=True, slots=True)
class AlertsWritten:
    """Alerts are as they are to be; receivers may be told."""

    told: tuple[Notice, ...]
    request_id: int | None = None  # of an operator who waits


def on_written(ctx: Context, done: AlertsWritten) -> None:
    """Tell receivers, and who asked."""
    ctx.out.extend(map(Tell, done.told))
    if done.request_id is not None:
        ctx.answer(done.request_id)


def _store(ctx: Context, moved: Mapping[str, State]) -> None:
    """Write alerts that moved; what their receivers are to know is told once that is durable."""
    told: list[Notice] = []
    for key, before in moved.items():
        alert = ctx.state.alerts[key]
        if alert.came_to(before, ctx.now.wall_s, silenced=_silence(ctx, alert) is not None):
            told.append(alert.notice())
    if moved:
        ctx.persist(_records(ctx, moved), AlertsWritten(tuple(told)))


def _records(ctx: Context, keys: Iterable[str]) -> dict[Key, Record | None]:
    """What is to be written of alerts; what is quiet is forgotten."""
    out: dict[Key, Record | None] = {}
    for key in keys:
        out[ALERT, key] = ctx.state.alerts[key].record()
        if out[ALERT, key] is None:
            del ctx.state.alerts[key]
    return out


def on_taken(ctx: Context, event: NoticeTaken) -> None:
    """A receiver has taken what it was told of an alert."""
    alert = ctx.state.alerts.get(event.key)
    if alert is not None and alert.taken(event.began_s, ctx.now.wall_s, is_over=event.is_over):
        ctx.persist(_records(ctx, [event.key]), AlertsWritten(()))


def on_reported(ctx: Context, event: MasterReported) -> None:
    """A master has said how it is."""
    masters, now_s = ctx.state.masters, ctx.now.mono_s
    masters.pop(event.address, None)
    masters[event.address] = MasterHealth(event.disk_used, event.renew_by_s, now_s)
    if len(masters) > MAX_MASTERS:
        del masters[next(iter(masters))]


def on_silenced(ctx: Context, event: OperatorSilencedAlerts) -> None:
    """Silence alerts, or end that; who asked is told once it is durable."""
    call = "Operator.SilenceClusterAlerts"
    if permission.refused(ctx, event.request_id, event.caller, call):
        return
    until_s = ctx.steady_s + event.for_s
    by = event.caller.principal
    silence = Silence(event.when, event.subject, until_s, by, event.why)
    known = ctx.state.silences.keys() | {silence.key}
    problem = _problem(event) or ctx.state.why_aside(SILENCE, silence.key)
    full = limits.CLUSTER_SILENCES.problem(len(known)) if event.for_s else None
    if problem or full:
        ctx.answer(event.request_id, problem or f"{full}: end some")
    elif event.for_s:
        ctx.state.silences[silence.key] = silence
        done = AlertsWritten((), event.request_id)
        ctx.persist({(SILENCE, silence.key): silence}, done)
        if not ctx.config.receivers:
            begin(ctx)  # so that it ends
    elif silence.key in ctx.state.silences:
        _end(ctx, [silence.key], event.request_id)
    else:
        told = "there is no such silence; `pymesos-cli alerts list` shows those of the cluster"
        ctx.answer(event.request_id, told, ProblemKind.NOT_FOUND)


def _problem(event: OperatorSilencedAlerts) -> str | None:
    if event.when not in ("", *When):
        return f"when: {quoted(event.when)} is not one of {', '.join(When)}"
    if not 0 <= event.for_s <= MAX_SILENCE_S:
        return f"for_s: {event.for_s:g} is out of range; at most {MAX_SILENCE_S}, 30 days"
    for name, text, most in (
        ("subject", event.subject, MAX_SUBJECT_BYTES),
        ("why", event.why, MAX_WHY_BYTES),
    ):
        if size_of(text) > most or (text and name_problem(text)):
            return (
                f"{name}: one line of at most {most} bytes, without blanks around it and"
                f" characters that nobody sees, is expected"
            )
    return None


def _end_silences(ctx: Context) -> None:
    now_s = ctx.steady_s
    silences = ctx.state.silences.items()
    over = [key for key, one in silences if is_over(one.until_s, MAX_SILENCE_S, now_s)]
    if over:
        _end(ctx, over)


def _end(ctx: Context, keys: Iterable[str], request_id: int | None = None) -> None:
    """End silences: what fires in silence is told, unless another silences it."""
    values: dict[Key, Record | None] = {}
    for key in keys:
        del ctx.state.silences[key]
        values[SILENCE, key] = None
    told: list[Notice] = []
    for alert in ctx.state.alerts.values():
        if alert.state is State.FIRING and not alert.told and _silence(ctx, alert) is None:
            alert.told = True
            values[ALERT, alert.key] = alert.record()
            told.append(alert.notice())
    ctx.persist(values, AlertsWritten(tuple(told), request_id))


def check(ctx: Context) -> None:
    """Assert what follows from the states of alerts; for tests and the simulator."""
    stored = ctx.state.image.intended(ALERT)
    for key, alert in ctx.state.alerts.items():
        alert.check()
        assert key in stored, f"{alert.label} is not to be stored"
