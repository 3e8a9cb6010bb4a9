"""Daemons look out for agents: those that come, change or go.

Agents are known by their offers alone. So where there is a daemon, offers are asked for though
nothing waits for them: each agent that has something free is offered when it comes, and again from
time to time. One that has nothing free, and never had while somebody looked, is not known.
"""

from __future__ import annotations

from pymesos_binpack.core import versions
from pymesos_binpack.core.context import Context


def follow(ctx: Context) -> None:
    """Look out in the roles of daemons, and look at these when agents came, changed or went."""
    roles = set(ctx.roster.daemons.values())
    for role in sorted(roles):
        ctx.placements.of(role)
    for placement in ctx.placements:
        placement.look_out(wanted=placement.role in roles)
    news = ctx.placements.agents.news
    if news:
        news.clear()
        look(ctx)


def on_left(ctx: Context, agent_id: str) -> None:
    """A task of another kind has ended: of an agent that is drained it may have been the last."""
    if agent_id in ctx.draining and agent_id not in ctx.agents.serving:
        look(ctx)


def look(ctx: Context) -> None:
    """Have daemons be where they are wanted by now."""
    for job_id in ctx.roster.daemons:
        job = ctx.roster.jobs[job_id]
        if not job.stopping:
            job.unsettled = True
            versions.look_soon(ctx, job_id)
