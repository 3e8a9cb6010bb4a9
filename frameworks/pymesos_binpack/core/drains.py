"""Agents that operators empty, or plan to: what runs there moves, or is said to stay.

What runs on an agent that is drained is replaced first and stopped once the other one is ready, by
the same decisions, and from the same budget, as rollouts (`jobs/rollouts`). A batch task may finish
until the deadline, and is run again then. What has its data there stays: it can run nowhere else.

Masters tell anew of every drain when the framework has subscribed. Nothing of it is stored.
"""

from __future__ import annotations

from collections.abc import Iterable

from pymesos_binpack.core import versions
from pymesos_binpack.core.context import Context
from pymesos_binpack.core.effects import AnswerInverseOffer
from pymesos_binpack.core.events import AgentDraining
from pymesos_binpack.jobs.instance import Instance
from pymesos_proto.v1 import types_pb2 as pb

DRAINS = "drains"  # the timer: what was not told again does not hold any more
TOLD_WITHIN_S = 5.0  # after a subscription


def on_told(ctx: Context, event: AgentDraining) -> None:
    """Begin to leave an agent, or stay after all."""
    agent_id = event.agent_id
    ctx.untold_drains.discard(agent_id)
    if event.cancelled:
        _end(ctx, [agent_id])
        return
    new = agent_id not in ctx.draining
    ctx.draining[agent_id] = event.deadline_s
    if new:
        _look_at(ctx, {agent_id})


def on_offered(ctx: Context, agent_ids: Iterable[str]) -> None:
    """Forget the drains of agents that are offered: they are drained no more."""
    if ctx.draining:
        _end(ctx, [agent_id for agent_id in agent_ids if agent_id in ctx.draining])


def on_subscribed(ctx: Context) -> None:
    """Masters tell anew of what holds still."""
    if ctx.draining:
        ctx.untold_drains = set(ctx.draining)
        ctx.timers.set((DRAINS, ""), ctx.now.mono_s + TOLD_WITHIN_S)


def on_due(ctx: Context) -> None:
    """Forget what was not told again."""
    untold, ctx.untold_drains = sorted(ctx.untold_drains), set()
    _end(ctx, untold)


def _end(ctx: Context, agent_ids: Iterable[str]) -> None:
    ended = {agent_id for agent_id in agent_ids if ctx.draining.pop(agent_id, None) is not None}
    if ended:
        _look_at(ctx, ended)


def _look_at(ctx: Context, agent_ids: set[str]) -> None:
    """Have the jobs that run on agents, or have a daemon, decide what is to be done."""
    on_them = (instance.job_id for instance in _on(ctx, agent_ids))
    job_ids = dict.fromkeys([*on_them, *ctx.roster.daemons])
    before = ctx.at
    for job_id in job_ids:
        job = ctx.roster.jobs[job_id]
        ctx.at = job_id
        ctx.changed[job_id] = None
        if not (job.stopping or job.ended):
            versions.follow(ctx, job)
    ctx.at = before


def _on(ctx: Context, agent_ids: set[str]) -> Iterable[Instance]:
    return (i for i in ctx.roster.by_task.values() if i.saved.agent_id in agent_ids)


def on_inverse_offers(ctx: Context, inverse_offers: Iterable[pb.InverseOffer]) -> None:
    """Accept to leave agents by the time that they may be away, but for those that have data."""
    has_data = {i.saved.agent_id for i in ctx.roster.by_task.values() if i.saved.data_on}
    for asked in inverse_offers:
        leaves = asked.agent_id not in has_data
        ctx.say(AnswerInverseOffer(asked.inverse_offer_id, leaves))
