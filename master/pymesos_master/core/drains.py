"""Agents that operators keep from being offered: cordoned, or drained, which is emptied, too.

It is an axis of its own, beside whether an agent is there: one that is unreachable, or comes back,
or is learned of by the next leader, goes on being drained. What is decided is in the agent's record
of the registry. An agent is drained when all that ran on it has ended and its frameworks have
acknowledged that, and no operation on it is being written (docs/maintenance.md of Mesos).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from pymesos_core import limits
from pymesos_core.caller import Caller
from pymesos_core.errors import ProblemKind
from pymesos_core.states import is_terminal
from pymesos_core.text import duration, quoted
from pymesos_master.core import agents, offers, permission, reservations, slices, tasks
from pymesos_master.core.context import Context
from pymesos_master.core.events import (
    OperatorActivatedAgents,
    OperatorCordonedAgents,
    OperatorDrainedAgents,
)
from pymesos_master.core.lifecycles import DRAIN_LIFE, AgentState, DrainEvent, DrainState
from pymesos_master.core.records import AGENT, NOT_DRAINED, AgentRecord, DrainRecord
from pymesos_master.core.state import Agent, Drain, Framework
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_proto.v1.operator_pb2 import ClusterEvent

MAX_WITHIN_S = 30 * 86400.0
AGAIN_S = 1.0  # when it is looked again at an agent that has not spoken since it registered
_MAY_HAVE_TASKS = (AgentState.RECOVERING, AgentState.UNREACHABLE)  # that are not known here
_PUBLISHED = {
    DrainEvent.CORDON: ClusterEvent.AGENT_CORDONED,
    DrainEvent.DRAIN: ClusterEvent.AGENT_DRAINING,
    DrainEvent.EMPTIED: ClusterEvent.AGENT_DRAINED,
    DrainEvent.TASKS_FOUND: ClusterEvent.AGENT_DRAINING,
    DrainEvent.ACTIVATE: ClusterEvent.AGENT_ACTIVATED,
}


@dataclass(frozen=True, slots=True)
class DrainSet:
    """What is decided of an agent is written; an operator may wait."""

    agent_id: str
    event: DrainEvent
    record: DrainRecord
    request_id: int | None = None
    ends: bool = False  # the agent, for its machine goes down


# Operators.


def on_cordon(ctx: Context, event: OperatorCordonedAgents) -> None:
    """Have agents offered to nobody. A drain of theirs ends."""
    record = DrainRecord(
        DrainState.CORDONED, set_by=event.caller.principal, set_at_s=ctx.now.wall_s
    )
    _decide(ctx, event, "Operator.CordonAgents", DrainEvent.CORDON, record)


def on_drain(ctx: Context, event: OperatorDrainedAgents) -> None:
    """Have agents emptied until a deadline."""
    problem = None
    if not 0 <= event.within_s <= MAX_WITHIN_S:
        problem = (
            f"the deadline is {duration(event.within_s)} from now; expected is a number of"
            f" seconds from 0, which is at once, to {MAX_WITHIN_S:.0f}, which is"
            f" {duration(MAX_WITHIN_S)}"
        )
    within_s = 0.0 if problem else event.within_s
    record = DrainRecord(
        DrainState.DRAINING,
        ctx.now.wall_s + within_s,
        within_s,
        event.then_gone,
        event.caller.principal,
        ctx.now.wall_s,
        event.down,
    )
    _decide(ctx, event, "Operator.DrainAgents", DrainEvent.DRAIN, record, problem)


def on_activate(ctx: Context, event: OperatorActivatedAgents) -> None:
    """Have agents offered again."""
    _decide(ctx, event, "Operator.ActivateAgents", DrainEvent.ACTIVATE, NOT_DRAINED)


def _decide(
    ctx: Context,
    event: OperatorCordonedAgents | OperatorDrainedAgents | OperatorActivatedAgents,
    call: str,
    decided: DrainEvent,
    record: DrainRecord,
    problem: str | None = None,
) -> None:
    """Write it of all the agents that are named, one after the other, if it can be of each.

    A machine that is down stays so until its agents are activated, whatever else is decided.
    """
    for agent_id, request_id in named_agents(ctx, event, call, problem):
        meant = ctx.state.intended_agent(agent_id)
        stays = meant is not None and meant.drain.down and decided != DrainEvent.ACTIVATE
        of_this = replace(record, down=True) if stays else record
        _write(ctx, DrainSet(agent_id, decided, of_this, request_id))


class Naming(Protocol):
    """A request of an operator about agents."""

    @property
    def request_id(self) -> int:
        """By which it is answered."""

    @property
    def agent_ids(self) -> tuple[str, ...]:
        """What it names."""

    @property
    def caller(self) -> Caller:
        """Whose it is."""


def named_agents(
    ctx: Context, event: Naming, call: str, problem: str | None
) -> list[tuple[str, int | None]]:
    """The agents that a request names, each once; the last with the request, which is answered when
    that one is written. None where it is refused, for `problem` or another."""
    request_id = event.request_id
    if permission.refused(ctx, request_id, event.caller, call):
        return []
    named = tuple(dict.fromkeys(event.agent_ids))
    if not named:
        problem = "no agent is named; `pymesos-cli agents` lists them"
    elif too_many := limits.CALL_AGENTS.problem(len(event.agent_ids)):
        problem = f"{too_many}: name them in several calls"
    if problem is not None:
        ctx.answer(request_id, problem)
        return []
    for agent_id in named:
        meant = ctx.state.intended_agent(agent_id)
        if agent_id not in ctx.state.agents or meant is None:
            aside = ctx.state.why_aside(AGENT, agent_id)
            message = aside or f"there is no agent {quoted(agent_id[:255])}; nothing is changed"
            ctx.answer(request_id, message, ProblemKind.NOT_FOUND)
            return []
        if meant.state == AgentState.GONE:
            ctx.answer(request_id, f"agent {agent_id} is marked gone, for good; nothing is changed")
            return []
    return [*((agent_id, None) for agent_id in named[:-1]), (named[-1], request_id)]


def _write(ctx: Context, decided: DrainSet, *, gone: bool = False) -> None:
    """Write what is decided of an agent, or that it is gone, which ends all that is."""
    meant = ctx.state.intended_agent(decided.agent_id)
    assert meant is not None, f"{decided.agent_id} is being forgotten"
    record = replace(meant, drain=decided.record)
    if decided.event == DrainEvent.DRAIN and decided.record.down and agents.can_return(meant.info):
        record = replace(record, state=AgentState.UNREACHABLE)
        decided = replace(decided, ends=True)
    if gone:
        record = AgentRecord(meant.info, AgentState.GONE, meant.reserved)
    ctx.persist({(AGENT, decided.agent_id): record}, decided)


def on_set(ctx: Context, done: DrainSet) -> None:
    """Have it be so."""
    agent = ctx.state.agents[done.agent_id]
    was = _move(ctx, agent, done.event, done.record)
    told = f" by {done.record.set_by}" if done.record.set_by else ""
    ctx.publish(_PUBLISHED[done.event], agent_id=agent.agent_id, message=f"{done.event}{told}")
    if agent.drain.state == DrainState.NONE:
        if was != DrainState.NONE and agent.state == AgentState.ACTIVE:
            reservations.offer_anew(ctx, agent)
    else:
        offers.rescind_all(ctx, list(agent.offers.values()), f"the agent is {agent.drain.state}")
        ctx.allocator.deactivate_agent(agent.agent_id)
    if done.ends:
        agents.take_down(ctx, agent)
    elif agent.drain.state == DrainState.DRAINING:
        _tell(ctx, agent)
        _go_on(ctx, agent)
    elif was == DrainState.DRAINING and done.event != DrainEvent.EMPTIED:
        _tell(ctx, agent, cancelled=True)
    if done.event == DrainEvent.EMPTIED and done.record.then_gone:
        agents.make_gone(ctx, agent)
    elif agent.drain.state == DrainState.DRAINED:
        _drain_again(ctx, agent)  # it has registered while this was written
    if done.request_id is not None:
        ctx.answer(done.request_id)


def _move(ctx: Context, agent: Agent, event: DrainEvent, record: DrainRecord) -> DrainState:
    """Have stored what is decided of an agent; the state before."""
    was = DRAIN_LIFE.move(agent.drain, event, ctx.now.wall_s).source
    agent.drain.record = record
    ctx.state.draining.pop(agent.agent_id, None)
    if agent.drain.state == DrainState.DRAINING:
        ctx.state.draining[agent.agent_id] = None
    ctx.timers.cancel(("drain", agent.agent_id))
    return was


def take_in(ctx: Context, agent: Agent, record: DrainRecord) -> None:
    """Have what the registry holds of an agent count, before anybody has registered."""
    agent.drain = Drain(agent.agent_id, record, record.state)
    if record.state == DrainState.DRAINING:
        ctx.state.draining[agent.agent_id] = None


# What goes on as long as an agent is drained.


def on_registered(ctx: Context, agent: Agent) -> None:
    """Go on with the drain of an agent that has come back, with its tasks."""
    if agent.drain.state == DrainState.DRAINING:
        _tell(ctx, agent)
        _go_on(ctx, agent)
    elif agent.drain.state == DrainState.DRAINED:
        _drain_again(ctx, agent)


def _drain_again(ctx: Context, agent: Agent) -> None:
    """Go on with one that was drained and has tasks all the same: an acknowledgement was lost on
    its way, or it was given something that nobody knew of."""
    meant = ctx.state.intended_agent(agent.agent_id)
    if agent.tasks and meant is not None and meant.drain.state == DrainState.DRAINED:
        again = replace(meant.drain, state=DrainState.DRAINING)
        _write(ctx, DrainSet(agent.agent_id, DrainEvent.TASKS_FOUND, again))


def _go_on(ctx: Context, agent: Agent) -> None:
    """Kill what is left at the deadline, and see whether nothing is left."""
    decided = agent.drain.record
    # No longer than it was given at first: a leader's clock may be another, or have been set.
    left_s = min(max(0.0, decided.deadline_s - ctx.now.wall_s), decided.within_s)
    ctx.timers.set(("drain", agent.agent_id), ctx.now.mono_s + left_s)
    ctx.look_for_drained(agent)


def on_deadline(ctx: Context, agent_id: str) -> None:
    """Kill what is left, by the kill policy of each task. Where the agent is away this comes again
    as it registers."""
    agent = ctx.state.agents.get(agent_id)
    if agent is None or agent.drain.state != DrainState.DRAINING:
        return
    if agent.state == AgentState.ACTIVE:
        slices.run(ctx, ("drain", agent_id), len(agent.tasks), _kill_all(ctx, agent))


def _kill_all(ctx: Context, agent: Agent) -> Iterator[None]:
    """Kill what is left on an agent, as long as it is here and drained."""
    for part in slices.parts(ctx, agent.tasks.values()):
        for task in part:
            draining = agent.state == AgentState.ACTIVE and agent.drain.state == DrainState.DRAINING
            if draining and not is_terminal(task.state):
                tasks.send_kill(ctx, agent, task, reason=pb.REASON_AGENT_DRAINING)
        yield


def on_empty_due(ctx: Context, agent_id: str) -> None:
    """Write that an agent is drained, if nothing is left on it; and that it is gone, if it is to
    be then."""
    agent = ctx.state.agents.get(agent_id)
    meant = ctx.state.intended_agent(agent_id)
    if agent is None or meant is None or meant.drain.state != DrainState.DRAINING:
        return
    there = agent.state == AgentState.ACTIVE
    if not there or agent.tasks or reservations.conversions(ctx.state, agent):
        return  # looked at again when that has changed
    if not agent.confirmed:
        # It may not know yet that we lead, and have been given a task by the master before us.
        ctx.timers.set(("drained", agent_id), ctx.now.mono_s + AGAIN_S)
        return
    drained = replace(meant.drain, state=DrainState.DRAINED)
    _write(ctx, DrainSet(agent_id, DrainEvent.EMPTIED, drained), gone=drained.then_gone)


# Frameworks.


def reason_of(agent: Agent) -> pb.Reason:
    """Why a task is not launched on an agent that is withheld."""
    cordoned = agent.drain.state == DrainState.CORDONED
    return pb.REASON_INVALID_OFFERS if cordoned else pb.REASON_AGENT_DRAINING


def tell_all(ctx: Context, framework: Framework) -> None:
    """Tell a framework that has subscribed of every drain that may concern it."""
    for agent_id in ctx.state.draining:
        agent = ctx.state.agents[agent_id]
        if agent.state in _MAY_HAVE_TASKS or framework in _frameworks_on(ctx, agent):
            ctx.tell_framework(framework, _event(agent))


def _tell(ctx: Context, agent: Agent, *, cancelled: bool = False) -> None:
    """Tell the frameworks of the agent's tasks; all of them, where those may not be known."""
    away = agent.state in _MAY_HAVE_TASKS
    concerned = ctx.state.frameworks.values() if away else _frameworks_on(ctx, agent)
    event = _event(agent, cancelled=cancelled)
    for framework in concerned:
        ctx.tell_framework(framework, event)


def _frameworks_on(ctx: Context, agent: Agent) -> Iterator[Framework]:
    for framework_id in dict.fromkeys(task.framework_id for task in agent.tasks.values()):
        framework = ctx.state.frameworks.get(framework_id)
        if framework is not None:
            yield framework


def _event(agent: Agent, *, cancelled: bool = False) -> scheduler_pb.Event:
    deadline_s = 0.0 if cancelled else agent.drain.record.deadline_s
    drain = scheduler_pb.Event.Drain(
        agent_id=agent.agent_id, deadline_s=deadline_s, cancelled=cancelled
    )
    return scheduler_pb.Event(drain=drain)
