"""Agents that are known: they are pinged, become unreachable, leave, are gone, are forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from pymesos_core import contract
from pymesos_core.copies import copy_of
from pymesos_master.core import accounting, executors, names, offers, slices, tasks
from pymesos_master.core.context import Context
from pymesos_master.core.effects import CloseConnection
from pymesos_master.core.events import (
    AgentDisconnected,
    AgentHeard,
    AgentLeaving,
    AgentUsageReported,
)
from pymesos_master.core.lifecycles import AGENT_LIFE, TASK_LIFE, AgentEvent, AgentState, TaskEvent
from pymesos_master.core.records import AGENT
from pymesos_master.core.state import Agent, Drain, Task, address_of
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_proto.v1.operator_pb2 import ClusterEvent

FORGET_INTERVAL_S = 900.0


def on_disconnected(ctx: Context, event: AgentDisconnected) -> None:
    """The stream ended. The tasks run on; the pings decide whether the agent is unreachable."""
    agent = agent_of(ctx, event.connection_id)
    if agent is not None:
        disconnect(ctx, agent, "the agent's stream ended")
    # Last: a fault before this is known to be this agent's.
    ctx.state.agent_by_connection.pop(event.connection_id, None)


def disconnect(ctx: Context, agent: Agent, reason: str) -> None:
    """Have an agent without a stream, if it had one."""
    if agent.connection_id is None:
        return
    offers.rescind_all(ctx, list(agent.offers.values()), reason)
    ctx.allocator.deactivate_agent(agent.agent_id)
    ctx.out.append(CloseConnection(agent.connection_id))
    AGENT_LIFE.move(agent, AgentEvent.STREAM_ENDED, ctx.now.wall_s)
    ctx.state.agent_by_connection.pop(agent.connection_id, None)
    agent.connection_id = None
    ctx.publish(ClusterEvent.AGENT_DISCONNECTED, agent_id=agent.agent_id, message=reason)


def agent_of(ctx: Context, connection_id: int) -> Agent | None:
    """The agent whose stream this is, or None."""
    agent_id = ctx.state.agent_by_connection.get(connection_id)
    agent = ctx.state.agents.get(agent_id) if agent_id else None
    return agent if agent is not None and agent.connection_id == connection_id else None


def on_heard(ctx: Context, event: AgentHeard) -> None:
    """Any message counts as a pong."""
    if (agent := agent_of(ctx, event.connection_id)) is not None:
        agent.heard = agent.confirmed = True


def on_leaving(ctx: Context, event: AgentLeaving) -> None:
    """What comes free while it ends its tasks is of no use to anybody."""
    if (agent := agent_of(ctx, event.connection_id)) is not None:
        agent.heard = agent.confirmed = True
        if not agent.leaving:
            agent.leaving = True
            offers.rescind_all(ctx, list(agent.offers.values()), "the agent is ending")
            ctx.allocator.deactivate_agent(agent.agent_id)
            ctx.publish(ClusterEvent.AGENT_LEAVING, agent_id=agent.agent_id)


def on_usage(ctx: Context, event: AgentUsageReported) -> None:
    """Keep the latest."""
    if (agent := agent_of(ctx, event.connection_id)) is not None:
        agent.heard = agent.confirmed = True
        if problem := contract.problem(event.usage):
            ctx.complain(agent, "a bad report of its usage", problem)
        else:
            agent.usage = copy_of(event.usage)
            accounting.on_usage(ctx, agent, event.usage)
            _tell_uses(ctx, agent, event.usage)


def _tell_uses(ctx: Context, agent: Agent, usage: agent_pb.Usage) -> None:
    """Tell frameworks what their tasks on an agent use, of those that they want to know it of."""
    told: dict[str, scheduler_pb.Event.Uses] = {}
    for use in usage.tasks:
        if use.told and (use.framework_id, use.task_id) in agent.tasks:
            told.setdefault(use.framework_id, scheduler_pb.Event.Uses()).uses.append(use)
    for framework_id, uses in told.items():
        if (framework := ctx.state.frameworks.get(framework_id)) is not None:
            ctx.tell_framework(framework, scheduler_pb.Event(uses=uses))


def on_ping_due(ctx: Context, agent_id: str) -> None:
    """Ping; after too many silent ones the agent is unreachable, at a limited rate."""
    agent = ctx.state.agents.get(agent_id)
    if agent is None or agent.state not in (AgentState.ACTIVE, AgentState.DISCONNECTED):
        return
    agent.missed_pings = 0 if agent.heard else agent.missed_pings + 1
    agent.heard = False
    if agent.missed_pings >= ctx.config.max_agent_ping_timeouts:
        if ctx.now.mono_s < ctx.next_removal_s:
            ctx.timers.set(("ping", agent_id), ctx.next_removal_s)
            return
        ctx.next_removal_s = ctx.now.mono_s + ctx.config.agent_removal_interval_s
        make_unreachable(ctx, agent, "health check timed out")
        return
    ctx.tell_agent(agent, agent_pb.MasterMessage(ping=_ping(ctx)))
    ctx.timers.set(("ping", agent_id), ctx.now.mono_s + ctx.config.agent_ping_timeout_s)


def _ping(ctx: Context) -> agent_pb.MasterMessage.Ping:
    """What it asks for keeps the reports of all agents together at a bounded rate."""
    bounded_s = len(ctx.state.agents) / ctx.config.usage_reports_per_s
    interval_s = max(ctx.config.usage_interval_s, bounded_s)
    return agent_pb.MasterMessage.Ping(usage_interval_s=interval_s)


def on_reregister_due(ctx: Context, agent_id: str) -> None:
    """An agent of the registry did not come back after a master failover."""
    agent = ctx.state.agents.get(agent_id)
    if agent is not None and agent.state == AgentState.RECOVERING:
        make_unreachable(ctx, agent, "did not re-register after master failover")


def make_unreachable(ctx: Context, agent: Agent, message: str) -> None:
    """Write it, then tell: tasks are UNREACHABLE and their resources free."""
    meant = ctx.state.intended_agent(agent.agent_id)
    if meant is None or meant.state == AgentState.GONE:
        return  # which is final, and must not be written over
    lost = replace(meant, state=AgentState.UNREACHABLE)
    ctx.persist({(AGENT, agent.agent_id): lost}, AgentLost(agent.agent_id, message))


@dataclass(frozen=True, slots=True)
class AgentLost:
    """An agent is written to be unreachable, for this reason."""

    agent_id: str
    message: str
    down: bool = False  # by an operator


def on_lost(ctx: Context, lost: AgentLost) -> None:
    """Have a lost agent's tasks unreachable, unless it came back or was marked gone since."""
    agent, message = ctx.state.agents[lost.agent_id], lost.message
    meant = ctx.state.intended_agent(lost.agent_id)
    if meant is None or meant.state != AgentState.UNREACHABLE:
        return  # it is superseded
    admitted_no_more = _admit_no_more(ctx, agent)
    if agent.state == AgentState.UNREACHABLE:
        if admitted_no_more:
            lose_again(ctx, agent)
        return
    disconnect(ctx, agent, message)
    AGENT_LIFE.move(agent, AgentEvent.LOST, ctx.now.wall_s)
    agent.changed_at_s = ctx.now.wall_s
    ctx.allocator.remove_agent(agent.agent_id)
    executors.forget_all(ctx, agent)
    slices.run(ctx, tasks_of(agent.agent_id), len(agent.tasks), _lose(ctx, agent, lost))


def _lose(ctx: Context, agent: Agent, lost: AgentLost) -> Iterator[None]:
    """Have the tasks of a lost agent unreachable. One that comes back before all are says so of
    each, whether its framework has been told or not."""
    for part in slices.parts(ctx, agent.tasks.values()):
        for task in part:
            if agent.tasks.get(task.key) is task:
                _lose_task(ctx, task, lost)
        yield
    names.look_at_agent(ctx, agent)
    ctx.look_at_maintenance(agent)
    _tell_failure(ctx, agent)
    ctx.publish(ClusterEvent.AGENT_UNREACHABLE, agent_id=agent.agent_id, message=lost.message)


def _lose_task(ctx: Context, task: Task, lost: AgentLost) -> None:
    if task.framework_id in ctx.state.completed_frameworks:
        # It was ending, and nobody will ask for it any more.
        reason = pb.REASON_FRAMEWORK_REMOVED
        event = TaskEvent.FRAMEWORK_REMOVED
        tasks.end_without_agent(ctx, task, event, reason, "Framework removed")
    elif task.holds_resources:
        TASK_LIFE.move(task, TaskEvent.AGENT_LOST, ctx.now.wall_s)
        accounting.look(ctx, task)
        # As recorded from Mesos: of an operator's doing its frameworks are told TASK_LOST.
        framework = tasks.framework_of(ctx, task.framework_id)
        of_mesos = framework is not None and framework.has(pb.MESOS_RECONCILIATION)
        told = pb.TASK_LOST if lost.down and of_mesos else pb.TASK_UNREACHABLE
        tasks.tell_status(ctx, task, told, pb.REASON_AGENT_REMOVED, lost.message)


def lose_again(ctx: Context, agent: Agent) -> None:
    """One that was unreachable went away again before it was here: its tasks are as they were."""
    if agent.state == AgentState.UNREACHABLE:
        executors.forget_all(ctx, agent)
        lost = AgentLost(agent.agent_id, "the agent's stream ended while it registered")
        slices.run(ctx, tasks_of(agent.agent_id), len(agent.tasks), _lose(ctx, agent, lost))


def _admit_no_more(ctx: Context, agent: Agent) -> bool:
    """Leave what is being done about an agent's tasks; whether anything was.

    If it is being admitted its stream ends. As it registers again it is told why.
    """
    if not slices.cancel(ctx, tasks_of(agent.agent_id)):
        return False
    registration = ctx.state.registrations.get(agent.agent_id)
    if registration is not None and agent.connection_id is None:
        here = ctx.state.agent_by_connection
        if here.get(registration.connection_id) == agent.agent_id:
            del here[registration.connection_id]
            ctx.out.append(CloseConnection(registration.connection_id))
    return True


def tasks_of(agent_id: str) -> slices.WorkKey:
    """The key of what is done about all tasks of an agent: it comes, is lost or is gone."""
    return ("tasks", agent_id)


def take_down(ctx: Context, agent: Agent) -> None:
    """Tell an agent to end, whose machine goes down; until it is back its tasks are unreachable."""
    ctx.tell_agent(agent, agent_pb.MasterMessage(refused=refused_down(agent.agent_id)))
    hostname = agent.info.address.hostname or agent.info.address.ip
    message = f"Agent {hostname} removed: Operator initiated 'Machine DOWN'"
    on_lost(ctx, AgentLost(agent.agent_id, message, down=True))


def can_return(info: pb.AgentInfo) -> bool:
    """Return whether an agent can be told to end and be let in again. One of an earlier version
    would take it for good, and is drained instead."""
    return pb.MAY_RETURN in info.capabilities


def refused_down(agent_id: str) -> agent_pb.MasterMessage.Refused:
    """Return what an agent is told whose machine is down."""
    return agent_pb.MasterMessage.Refused(
        message=f"the machine of agent {agent_id} is down for maintenance: it is let in after that",
        shut_down=True,
        may_return=True,
    )


def await_word(ctx: Context, agent: Agent) -> None:
    """One that is not to be lost after all is pinged, or awaited, even if it goes again."""
    timers, now_s = ctx.timers, ctx.now.mono_s
    if agent.state == AgentState.UNREACHABLE:
        return
    if agent.state == AgentState.RECOVERING and ("reregister", agent.agent_id) not in timers:
        timers.set(("reregister", agent.agent_id), now_s + ctx.config.agent_reregister_timeout_s)
    elif ("ping", agent.agent_id) not in timers:
        timers.set(("ping", agent.agent_id), now_s + ctx.config.agent_ping_timeout_s)


def make_gone(ctx: Context, agent: Agent) -> None:
    """After it is written: the agent is told to end, its tasks are GONE_BY_OPERATOR for good."""
    refused = agent_pb.MasterMessage.Refused(
        message="marked gone by an operator, which is final", shut_down=True
    )
    _admit_no_more(ctx, agent)
    ctx.tell_agent(agent, agent_pb.MasterMessage(refused=refused))
    disconnect(ctx, agent, "marked gone by an operator")
    AGENT_LIFE.move(agent, AgentEvent.MARKED_GONE, ctx.now.wall_s)
    agent.drain, agent.maintenance = Drain(agent.agent_id), None
    for of_agents in (ctx.state.draining, ctx.state.scheduled):
        of_agents.pop(agent.agent_id, None)
    ctx.look_at_maintenance(agent)
    agent.changed_at_s = ctx.now.wall_s
    ctx.timers.cancel(("reregister", agent.agent_id))
    ctx.allocator.remove_agent(agent.agent_id)
    executors.forget_all(ctx, agent)
    slices.run(ctx, tasks_of(agent.agent_id), len(agent.tasks), _end_all(ctx, agent))


def _end_all(ctx: Context, agent: Agent) -> Iterator[None]:
    """End the tasks of an agent that is gone, of which nobody will hear anything else."""
    for part in slices.parts(ctx, agent.tasks.values()):
        for task in part:
            if agent.tasks.get(task.key) is task:
                tasks.end_without_agent(
                    ctx,
                    task,
                    TaskEvent.AGENT_GONE,
                    pb.REASON_AGENT_REMOVED_BY_OPERATOR,
                    "the agent was marked gone by an operator",
                )
        yield
    names.look_at_agent(ctx, agent)
    _tell_failure(ctx, agent)
    ctx.publish(ClusterEvent.AGENT_GONE, agent_id=agent.agent_id)


def on_forget_due(ctx: Context, _: str) -> None:
    """Keep the registry small: of agents that are gone or unreachable only the latest are kept.

    One with tasks stays. An unreachable one that comes back later is admitted again, all the same
    (Mesos' --registry_max_agent_count).
    """
    ctx.timers.set(("forget", ""), ctx.now.mono_s + FORGET_INTERVAL_S)
    left = [
        agent
        for agent in ctx.state.agents.values()
        if agent.state in (AgentState.UNREACHABLE, AgentState.GONE)
        and (meant := ctx.state.intended_agent(agent.agent_id)) is not None
        and meant.state == agent.state
        and not agent.tasks
    ]
    left.sort(key=lambda agent: agent.changed_at_s)
    forgotten = left[: max(0, len(left) - ctx.config.max_lost_agents)]
    if forgotten:
        gone = AgentsForgotten(tuple(agent.agent_id for agent in forgotten))
        ctx.persist({(AGENT, agent_id): None for agent_id in gone.agent_ids}, gone)


@dataclass(frozen=True, slots=True)
class AgentsForgotten:
    """The registry does not have these agents any more."""

    agent_ids: tuple[str, ...]


def on_forgotten(ctx: Context, forgotten: AgentsForgotten) -> None:
    """Nor does the master, unless something was written of one since."""
    for agent_id in forgotten.agent_ids:
        if ctx.state.intended_agent(agent_id) is None:
            agent = ctx.state.agents.pop(agent_id)
            ctx.state.draining.pop(agent_id, None)
            ctx.state.scheduled.pop(agent_id, None)
            ctx.state.registrations.pop(agent_id, None)
            if ctx.state.agent_at.get(address_of(agent.info)) == agent_id:
                del ctx.state.agent_at[address_of(agent.info)]
            names.look_at_agent(ctx, agent)


def _tell_failure(ctx: Context, agent: Agent) -> None:
    failure = scheduler_pb.Event.Failure(agent_id=agent.agent_id)
    for framework in ctx.state.frameworks.values():
        ctx.tell_framework(framework, scheduler_pb.Event(failure=failure))
