"""Deadlines that are due: which of the modules beside this one has set each, and goes on."""

from __future__ import annotations

from pymesos_binpack.core import (
    alerting,
    data,
    drains,
    hearing,
    launches,
    scaling,
    secrets,
    silencing,
    subscription,
    updates,
    variables,
    versions,
)
from pymesos_binpack.core.context import KEPT, Context

_OF_NO_JOB = (*launches.OF_ROLES, variables.VARIABLES, secrets.SECRETS)  # timers


def job_of(kind: str, key: str) -> str:
    """The id of the job that a deadline is of; empty: of none."""
    return "" if kind in _OF_NO_JOB else key.partition("/")[0]


def on_due(ctx: Context, kind: str, key: str) -> None:
    """A deadline is due."""
    if kind == "unreachable":
        updates.on_unreachable_for_long(ctx, key)
    elif kind == data.HOME:
        data.on_home_awaited(ctx, key)
    elif kind == "restart":
        updates.on_kept_back_for_long(ctx, key)
    elif kind == versions.ROLLOUT:
        versions.on_due(ctx, key)
    elif kind == scaling.SCALE:
        scaling.on_due(ctx, key)
    elif kind == versions.DRAIN:
        versions.on_drained(ctx, key)
    elif kind == hearing.HEARS:
        hearing.on_due(ctx)
    elif kind == drains.DRAINS:
        drains.on_due(ctx)
    elif kind == subscription.TRY_AGAIN:
        subscription.try_again(ctx)
    elif kind == alerting.ALERTS:
        alerting.on_due(ctx, key)
    elif kind == silencing.SILENCES:
        silencing.on_due(ctx, key)
    elif kind == variables.VARIABLES:
        variables.on_due(ctx, key)
    elif kind == secrets.SECRETS:
        secrets.on_due(ctx, key)
    elif kind == KEPT:
        launches.on_kept_for_long(ctx, key)
    elif kind == launches.EXPLAIN:
        ctx.placements.of(key).explain()
    elif kind == launches.HOLD:
        ctx.placements.of(key).due = True
