"""Maintenance windows: when an operator plans that agents may be away.

Offers of such an agent say so, and frameworks with tasks there that declare INVERSE_OFFERS are
asked whether they can do without it by then. What they answer is shown, and is advice: nothing is
killed for a window, when it is planned or when it begins (docs/maintenance.md of Mesos). Who begins
the work drains the agent.

A window is in the agent's record of the registry. What frameworks have answered is not: they are
asked again when they have subscribed again, and by the next leader.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from pymesos_core.clock import utc
from pymesos_core.contract_rules import MAX_TIME_S, TEN_YEARS_S
from pymesos_core.errors import ProblemKind
from pymesos_core.states import is_terminal
from pymesos_core.text import duration
from pymesos_master.core import offers
from pymesos_master.core.context import Context
from pymesos_master.core.drains import named_agents
from pymesos_master.core.events import OperatorCancelledMaintenance, OperatorScheduledMaintenance
from pymesos_master.core.lifecycles import (
    INVERSE_OFFER_LIFE,
    AgentState,
    InverseOfferEvent,
    InverseOfferState,
)
from pymesos_master.core.records import AGENT, Maintenance
from pymesos_master.core.reservations import offer_anew
from pymesos_master.core.state import Agent, Framework, InverseOffer
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_proto.v1.operator_pb2 import ClusterEvent

CHANGED = "the agent's maintenance window has changed"
JUST_NOW_S = 3600.0  # so long ago a window without an end may have begun
NOT_CONCERNED = "the framework has nothing on the agent any more, or that has no window"


@dataclass(frozen=True, slots=True)
class WindowSet:
    """The maintenance window of an agent is written, or that it has none; an operator may wait."""

    agent_id: str
    window: Maintenance | None
    request_id: int | None


# Operators.


def on_schedule(ctx: Context, event: OperatorScheduledMaintenance) -> None:
    """Plan when agents may be away, in the place of what was planned for them."""
    window = Maintenance(event.start_s, event.duration_s, event.caller.principal, ctx.now.wall_s)
    _decide(ctx, event, "Operator.ScheduleMaintenance", window, _problem(ctx.now.wall_s, event))


def _problem(now_s: float, event: OperatorScheduledMaintenance) -> str | None:
    if not 0 <= event.start_s <= MAX_TIME_S:
        return (
            f"the window begins at {event.start_s:g}; expected is a Unix time before the year 10000"
        )
    if not 0 <= event.duration_s <= TEN_YEARS_S:
        return (
            f"the window lasts {duration(event.duration_s)}; expected is a number of seconds up to"
            f" ten years, or 0 where that is not known"
        )
    if not event.also_past and event.instead_of is None:
        return _past_problem(now_s, event.start_s, event.duration_s)
    return None


def _past_problem(now_s: float, start_s: float, duration_s: float) -> str | None:
    """Why a window is none to come, or None: one that has begun may be told of until it is over."""
    if duration_s and start_s + duration_s <= now_s:
        what = f"the window ended at {utc(start_s + duration_s)}"
    elif not duration_s and start_s < now_s - JUST_NOW_S:
        what = f"the window began at {utc(start_s)}, and how long it lasts is not said"
    else:
        return None
    return f"{what}: it is {utc(now_s)} now; expected is a time to come"


def on_cancel(ctx: Context, event: OperatorCancelledMaintenance) -> None:
    """Plan so no more."""
    _decide(ctx, event, "Operator.CancelMaintenance", None, None)


def _decide(
    ctx: Context,
    event: OperatorScheduledMaintenance | OperatorCancelledMaintenance,
    call: str,
    window: Maintenance | None,
    problem: str | None,
) -> None:
    named = named_agents(ctx, event, call, problem)
    for agent_id, _ in named:
        if _is_outdated(ctx, event, agent_id):
            ctx.answer(
                event.request_id,
                f"the maintenance window of agent {agent_id} is not the one that is to be replaced,"
                f" since somebody has planned another meanwhile: look at it with `pymesos-cli"
                f" agents`; nothing is changed",
                ProblemKind.OUTDATED,
            )
            return
    for agent_id, request_id in named:
        meant = ctx.state.intended_agent(agent_id)
        assert meant is not None, f"{agent_id} is being forgotten"
        record = replace(meant, maintenance=window)
        ctx.persist({(AGENT, agent_id): record}, WindowSet(agent_id, window, request_id))


def _is_outdated(
    ctx: Context, event: OperatorScheduledMaintenance | OperatorCancelledMaintenance, agent_id: str
) -> bool:
    """Whether the agent has another window than the one that is to be replaced."""
    if isinstance(event, OperatorCancelledMaintenance) or event.instead_of is None:
        return False
    meant = ctx.state.intended_agent(agent_id)
    window = meant.maintenance if meant is not None else None
    now = window.unavailability if window is not None else pb.Unavailability()
    wanted = pb.Unavailability(start_s=event.start_s, duration_s=event.duration_s)
    return now not in (event.instead_of, wanted)


def on_set(ctx: Context, done: WindowSet) -> None:
    """Have it be so: what is offered of the agent is offered again, with the window."""
    agent = ctx.state.agents[done.agent_id]
    if agent.maintenance != done.window:
        for asked in list(agent.inverse_offers.values()):
            _take_back(ctx, agent, asked, CHANGED)
    take_in(ctx, agent, done.window)
    kind = ClusterEvent.MAINTENANCE_CANCELLED
    if done.window is not None:
        kind = ClusterEvent.MAINTENANCE_SCHEDULED
    ctx.publish(kind, agent_id=agent.agent_id)
    if agent.state == AgentState.ACTIVE and not agent.withheld:
        offers.rescind_all(ctx, list(agent.offers.values()), CHANGED)
        offer_anew(ctx, agent)
    ctx.look_at_maintenance(agent)
    if done.request_id is not None:
        ctx.answer(done.request_id)


def take_in(ctx: Context, agent: Agent, window: Maintenance | None) -> None:
    """Have what the registry holds of an agent's window count."""
    agent.maintenance = window
    if window is not None:
        ctx.state.scheduled[agent.agent_id] = None
    else:
        ctx.state.scheduled.pop(agent.agent_id, None)


# Frameworks.


def look_at_all(ctx: Context) -> None:
    """See soon who is to be asked about any window: a framework came or went."""
    for agent_id in ctx.state.scheduled:
        ctx.look_at_maintenance(ctx.state.agents[agent_id])


def on_due(ctx: Context, agent_id: str) -> None:
    """Ask the frameworks that are to be asked about an agent's window, and were not yet; what
    others were asked is taken back."""
    agent = ctx.state.agents.get(agent_id)
    if agent is None:
        return
    concerned = {f.framework_id: f for f in _concerned(ctx, agent)}
    for asked in list(agent.inverse_offers.values()):
        if asked.framework_id not in concerned:
            _take_back(ctx, agent, asked, NOT_CONCERNED)
    for framework in concerned.values():
        if framework.framework_id not in agent.inverse_offers:
            _ask(ctx, agent, framework)


def _concerned(ctx: Context, agent: Agent) -> Iterator[Framework]:
    """The frameworks that are connected, answer inverse offers, and have tasks on the agent."""
    if agent.maintenance is None or agent.state in (AgentState.UNREACHABLE, AgentState.GONE):
        return
    live = (task.framework_id for task in agent.tasks.values() if not is_terminal(task.state))
    for framework_id in dict.fromkeys(live):
        framework = ctx.state.frameworks.get(framework_id)
        if framework is None or framework.connection_id is None:
            continue
        if framework.has(pb.INVERSE_OFFERS):
            yield framework


def _ask(ctx: Context, agent: Agent, framework: Framework) -> None:
    assert agent.maintenance is not None
    asked = InverseOffer(
        next(ctx.offer_ids), framework.framework_id, agent.agent_id, ctx.now.wall_s
    )
    agent.inverse_offers[framework.framework_id] = asked
    ctx.state.inverse_offers[asked.inverse_offer_id] = asked
    message = pb.InverseOffer(
        inverse_offer_id=asked.inverse_offer_id,
        framework_id=framework.framework_id,
        agent_id=agent.agent_id,
        unavailability=agent.maintenance.unavailability,
    )
    said = scheduler_pb.Event.InverseOffers(inverse_offers=[message])
    ctx.tell_framework(framework, scheduler_pb.Event(inverse_offers=said))


def _take_back(ctx: Context, agent: Agent, asked: InverseOffer, reason: str) -> None:
    INVERSE_OFFER_LIFE.move(asked, InverseOfferEvent.TAKEN_BACK, ctx.now.wall_s)
    del agent.inverse_offers[asked.framework_id]
    del ctx.state.inverse_offers[asked.inverse_offer_id]
    ctx.timers.cancel(("inverse", asked.inverse_offer_id))
    framework = ctx.state.frameworks.get(asked.framework_id)
    if framework is not None:
        rescind = scheduler_pb.Event.RescindInverseOffer(
            inverse_offer_id=asked.inverse_offer_id, reason=reason
        )
        ctx.tell_framework(framework, scheduler_pb.Event(rescind_inverse_offer=rescind))


def forget(ctx: Context, framework: Framework) -> None:
    """Take back what a framework is asked whose subscription ends."""
    mine = (
        a for a in ctx.state.inverse_offers.values() if a.framework_id == framework.framework_id
    )
    for asked in list(mine):
        _take_back(ctx, ctx.state.agents[asked.agent_id], asked, "its subscription has ended")


def on_answer(ctx: Context, framework: Framework, call: scheduler_pb.Call) -> None:
    """Note what a framework answers. Ids that are not known are of what was taken back."""
    accepts = call.HasField("accept_inverse_offers")
    said = call.accept_inverse_offers if accepts else call.decline_inverse_offers
    for inverse_offer_id in said.inverse_offer_ids:
        asked = ctx.state.inverse_offers.get(inverse_offer_id)
        if asked is None or asked.framework_id != framework.framework_id:
            continue
        event = InverseOfferEvent.ACCEPTED if accepts else InverseOfferEvent.DECLINED
        INVERSE_OFFER_LIFE.move(asked, event, ctx.now.wall_s)
        asked.at_s = ctx.now.wall_s
        timer = ("inverse", inverse_offer_id)
        if accepts:
            ctx.timers.cancel(timer)
        else:
            refuse_s = offers.refuse_seconds(call.decline_inverse_offers.filters)
            ctx.timers.set(timer, ctx.now.mono_s + max(offers.DEFAULT_REFUSE_S, refuse_s))


def on_again_due(ctx: Context, inverse_offer_id: str) -> None:
    """Ask a framework again that has declined."""
    asked = ctx.state.inverse_offers.get(inverse_offer_id)
    if asked is None or asked.state != InverseOfferState.DECLINED:
        return
    agent = ctx.state.agents[asked.agent_id]
    del agent.inverse_offers[asked.framework_id]
    del ctx.state.inverse_offers[inverse_offer_id]
    ctx.look_at_maintenance(agent)
