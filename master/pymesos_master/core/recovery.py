"""What a new leader knows before anyone has registered with it."""

from __future__ import annotations

import math

from pymesos_core.store import Records
from pymesos_master.core import accounting, policies, quarantine
from pymesos_master.core.alerts import looking as alerts
from pymesos_master.core.context import Context
from pymesos_master.core.lifecycles import AgentState

BACK_BEFORE_QUOTA = 0.8


def recover(ctx: Context, records: Records) -> None:
    """Agents are awaited, frameworks have their failover timeout to come back.

    What cannot be handled is set aside, and the rest goes on.
    """
    ctx.timers.set(("forget", ""), ctx.now.mono_s)
    for (kind, key), value in sorted(records.items()):
        if reason := quarantine.take_in(ctx, kind, key, value):
            quarantine.set_aside(ctx, kind, key, value, reason)
    policies.seed(ctx)
    accounting.begin(ctx)
    await_agents(ctx)
    alerts.begin(ctx)


def await_agents(ctx: Context) -> None:
    """With quota set, offers wait until most agents are back (docs/quota.md of Mesos).

    Else what the first ones bring would go to whoever comes first, guaranteed or not.
    """
    expected = sum(a.state == AgentState.RECOVERING for a in ctx.state.agents.values())
    if expected and any(terms.quota for terms in ctx.state.roles().values()):
        ctx.agents_awaited = math.ceil(expected * BACK_BEFORE_QUOTA)
        at = ctx.now.mono_s + ctx.config.agent_reregister_timeout_s
        ctx.timers.set(("awaited", ""), at)
