"""An agent registers: it is looked at, written to the registry, and admitted."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from pymesos_core import VERSION, contract, reservations, resources
from pymesos_core.limits import MAX_SAID
from pymesos_core.resource_values import ResourceError
from pymesos_core.resources import EMPTY, Resources, for_good, is_revocable
from pymesos_core.text import cut
from pymesos_master.core import agents, drains, names, slices, takeover
from pymesos_master.core import reported as reported_tasks
from pymesos_master.core.context import Context
from pymesos_master.core.effects import CloseConnection, TellAgent
from pymesos_master.core.events import AgentRegistering
from pymesos_master.core.lifecycles import AGENT_LIFE, AgentEvent, AgentState
from pymesos_master.core.records import AGENT, NOT_DRAINED, AgentRecord
from pymesos_master.core.registry import record_problem, to_change
from pymesos_master.core.reported import ReportedTask
from pymesos_master.core.reservations import offer_anew, tell_reserved
from pymesos_master.core.state import Agent, Registration, Task, address_of
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_proto.v1.operator_pb2 import ClusterEvent


def on_registering(ctx: Context, event: AgentRegistering) -> None:
    """Admit an agent: written to the registry first if that says anything new of it."""
    ctx.changed = False
    agent_id = event.info.agent_id
    if problem := contract.problem(event.info):
        refuse_agent(ctx, event.connection_id, f"the agent's info is invalid: {problem}")
        return
    try:
        base = resources.from_proto(event.info.resources)
        reported = reservations.dynamic(resources.from_proto(event.reserved))
        if problem := reservations.size_problem(reservations.size_bytes(reported), reported):
            raise ResourceError(problem)
        if event.problem:
            raise ResourceError(event.problem)
        held_now = reported_tasks.held_now(event.tasks, event.executors)
    except ResourceError as error:
        refuse_agent(ctx, event.connection_id, f"the agent's resources: {error}")
        return
    if aside := ctx.state.why_aside(AGENT, agent_id):
        refuse_agent(ctx, event.connection_id, aside)
        return
    known = ctx.state.agents.get(agent_id) if agent_id else None
    if known is not None and known.state == AgentState.GONE:
        _refuse_gone(ctx, event.connection_id, agent_id)
        return
    meant = ctx.state.intended_agent(agent_id)
    if meant is not None and meant.state == AgentState.GONE:
        refuse_agent(ctx, event.connection_id, f"agent {agent_id} is being marked gone")
        return
    if meant is not None and meant.drain.down and agents.can_return(event.info):
        down = agent_pb.MasterMessage(refused=agents.refused_down(agent_id))
        ctx.out.append(TellAgent(event.connection_id, down))
        ctx.out.append(CloseConnection(event.connection_id))
        return
    owner = meant.info.principal if meant is not None else known.info.principal if known else ""
    if owner and owner != event.caller.principal:
        refuse_agent(ctx, event.connection_id, f"agent {agent_id} belongs to {owner}")
        return
    if _is_late(ctx, event):
        refuse_agent(ctx, event.connection_id, f"agent {agent_id} has registered again since")
        return
    if known is not None and (problem := _elsewhere_problem(ctx, event, known)):
        refuse_agent(ctx, event.connection_id, problem)
        return
    info = pb.AgentInfo()
    info.CopyFrom(event.info)
    info.agent_id = agent_id or next(ctx.agent_ids)
    info.principal = event.caller.principal
    # What the registry does not hold it learns from the agent, whose checkpoint is as good.
    reserved = meant.reserved if meant is not None else known.reserved if known else reported
    drain = meant.drain if meant is not None else known.drain.record if known else NOT_DRAINED
    window = meant.maintenance if meant is not None else known.maintenance if known else None
    try:
        total = reservations.with_reserved(base, reserved)
    except ResourceError as error:
        refuse_agent(ctx, event.connection_id, str(error))
        return
    # It says so itself when it starts, unless it came back smaller before it was told what an
    # operator had reserved meanwhile.
    if not total.contains(held_now if is_revocable(total) else for_good(held_now)):
        refuse_agent(
            ctx,
            event.connection_id,
            f"the tasks of this agent hold {held_now}, more than it has with what is reserved on it"
            f" ({total}): give the agent back what it had, or wait until tasks have ended",
        )
        return
    key = (AGENT, info.agent_id)
    record = AgentRecord(info, AgentState.ACTIVE, reserved, drain, window)
    change = to_change(key, record, ctx.now.wall_s)
    if problem := record_problem(change) or ctx.registered.problem(change, event.caller.taker):
        refuse_agent(ctx, event.connection_id, problem)
        return
    ctx.changed = True  # nothing is refused from here on
    if known is not None:
        agents.disconnect(ctx, known, "registered again")
    else:
        _mark_same_address_unreachable(ctx, event.info)
    _note_registration(ctx, info.agent_id, event)

    admission = Admission(event, info, reserved, reported)
    if known is not None and meant is not None and _is_written(known, meant, info):
        on_admitted(ctx, admission)
    else:
        ctx.persist({key: record}, admission, event.caller.taker)
        if known is not None:
            agents.await_word(ctx, known)


@dataclass(frozen=True, slots=True)
class Admission:
    """An agent is written, and to be admitted, with what is reserved."""

    event: AgentRegistering
    info: pb.AgentInfo
    reserved: Resources  # as it is to be
    reported: Resources  # as the agent has it


def on_admitted(ctx: Context, admission: Admission) -> None:
    """The registry has the agent, unless another registration of it has come since."""
    event, info = admission.event, admission.info
    if ctx.state.agent_by_connection.get(event.connection_id) == info.agent_id:
        _admit(ctx, admission)


def _is_written(agent: Agent, meant: AgentRecord, info: pb.AgentInfo) -> bool:
    """Whether the registry has an agent as it is to be, and nothing else is on its way there."""
    lost = AgentState.UNREACHABLE in (agent.state, meant.state)
    return not lost and agent.info == info == meant.info


def _is_late(ctx: Context, event: AgentRegistering) -> bool:
    """Whether this is the tail of an older stream: what it says of tasks is not so any more."""
    latest = ctx.state.registrations.get(event.info.agent_id)
    return (
        latest is not None
        and bool(event.boot_id)
        and latest.boot_id == event.boot_id
        and event.mono_s < latest.mono_s
    )


def _elsewhere_problem(ctx: Context, event: AgentRegistering, known: Agent) -> str | None:
    """Why it is not the agent that it says it is: that is connected from another machine.

    Images of machines are made with the files of an agent in them. Two that are taken for one would
    end each other's streams, and lose each other's tasks, for ever. Who has moved to another
    machine is taken in once the first is not connected any more.
    """
    latest = ctx.state.registrations.get(known.agent_id)
    if latest is None or latest.connection_id not in ctx.state.agent_by_connection:
        return None
    connected, other = known.info.address, event.info.address
    if connected.ip == other.ip or not latest.boot_id or not event.boot_id:
        return None
    if latest.boot_id == event.boot_id:
        return None
    return (
        f"agent {known.agent_id} is connected from another machine, {connected.hostname}"
        f" ({connected.ip}): was its --work-dir copied? Empty that here, and this is a new agent"
    )


def _note_registration(ctx: Context, agent_id: str, event: AgentRegistering) -> None:
    """Have this registration count, and no earlier one that is still being written."""
    before = ctx.state.registrations.get(agent_id)
    if before is not None and before.connection_id in ctx.state.agent_by_connection:
        del ctx.state.agent_by_connection[before.connection_id]
        if before.connection_id != event.connection_id:
            ctx.out.append(CloseConnection(before.connection_id))
    ctx.state.agent_by_connection[event.connection_id] = agent_id
    ctx.state.registrations[agent_id] = Registration(
        event.connection_id, event.boot_id, event.mono_s
    )


def refuse_agent(
    ctx: Context, connection_id: int, message: str, *, shut_down: bool = False
) -> None:
    """Say why it is not taken in, and end its stream."""
    message = cut(message, MAX_SAID)
    refused = agent_pb.MasterMessage.Refused(message=message, shut_down=shut_down)
    ctx.out.append(TellAgent(connection_id, agent_pb.MasterMessage(refused=refused)))
    ctx.out.append(CloseConnection(connection_id))


def _refuse_gone(ctx: Context, connection_id: int, agent_id: str) -> None:
    message = f"agent {agent_id} was marked gone by an operator, which is final"
    refuse_agent(ctx, connection_id, message, shut_down=True)


def _mark_same_address_unreachable(ctx: Context, info: pb.AgentInfo) -> None:
    """A new agent at the address of an old one: the old process cannot be there any more."""
    agent = ctx.state.agents.get(ctx.state.agent_at.get(address_of(info), ""))
    if agent is not None and agent.state in (AgentState.RECOVERING, AgentState.DISCONNECTED):
        agents.make_unreachable(ctx, agent, "another agent registered at its address")


def _admit(ctx: Context, admission: Admission) -> None:
    event, info = admission.event, admission.info
    agent = ctx.state.agents.get(info.agent_id)
    if agent is not None and agent.state == AgentState.GONE:  # while this was being written
        _refuse_gone(ctx, event.connection_id, agent.agent_id)
        return
    was = agent.state if agent is not None else None
    slices.cancel(ctx, agents.tasks_of(info.agent_id))
    if slices.is_much(ctx, len(event.tasks) + (len(agent.tasks) if agent is not None else 0)):
        _begin(ctx, agent or _known(ctx, admission, AgentState.RECOVERING), admission, was)
        return
    if agent is None:
        agent = _known(ctx, admission, AgentState.ACTIVE)
    else:
        AGENT_LIFE.move(agent, AgentEvent.REGISTERED, ctx.now.wall_s)
    _connect(ctx, agent, admission, was)
    for _ in takeover.take_over(ctx, agent, deque(event.tasks), event.executors, was):
        pass
    names.look_at_agent(ctx, agent)
    _complete(ctx, agent)
    _publish_tasks(ctx, agent, agent.tasks.values())


def _known(ctx: Context, admission: Admission, state: AgentState) -> Agent:
    """Have an agent known that is new."""
    agent = Agent(
        admission.info,
        state,
        registered_at_s=ctx.now.wall_s,
        reserved=admission.reserved,
        peer=admission.event.caller.taker,
    )
    ctx.state.agents[agent.agent_id] = agent
    return agent


def _begin(ctx: Context, agent: Agent, admission: Admission, was: AgentState | None) -> None:
    """Admit an agent with very many tasks: these first, in slices, and then itself.

    Until then it is what it was, or awaited if it is new: it is neither offered nor told anything,
    and nothing that it says counts. So whatever happens to it meanwhile is what may happen to one
    that is away, of which some tasks are known.
    """
    agents.await_word(ctx, agent)
    event = admission.event
    size, reported = len(event.tasks) + len(agent.tasks), deque(event.tasks)
    ctx.event = event = replace(event, tasks=())  # of which nothing is kept that is taken over
    steps = _in_slices(ctx, agent, replace(admission, event=event), reported, was)
    slices.run(ctx, agents.tasks_of(agent.agent_id), size, steps)


def _in_slices(
    ctx: Context,
    agent: Agent,
    admission: Admission,
    reported: deque[ReportedTask],
    was: AgentState | None,
) -> Iterator[None]:
    event, moved = admission.event, agent.info.address.ip != admission.info.address.ip
    owners = {executor.framework_id: None for executor in event.executors}
    for keys in takeover.take_over(ctx, agent, reported, event.executors, was):
        owners.update((framework_id, None) for framework_id, _ in keys)
        names.look_at_those(ctx, agent, keys)
        yield
        if ctx.state.agent_by_connection.get(event.connection_id) != agent.agent_id:
            agents.lose_again(ctx, agent)
            return
    AGENT_LIFE.move(agent, AgentEvent.REGISTERED, ctx.now.wall_s)
    _connect(ctx, agent, admission, was)
    takeover.tell_what_waited(ctx, agent, owners)
    names.look_at_agent(ctx, agent) if moved else names.look_at_awaited(ctx, agent)
    _complete(ctx, agent)
    if ctx.watched:
        for part in slices.parts(ctx, agent.tasks.values()):
            yield
            _publish_tasks(ctx, agent, (task for task in part if agent.tasks.get(task.key) is task))


def _connect(ctx: Context, agent: Agent, admission: Admission, was: AgentState | None) -> None:
    """Have an agent here that has registered, and tell it so."""
    event, info = admission.event, admission.info
    if was == AgentState.RECOVERING and ctx.agents_awaited > 0:
        ctx.agents_awaited -= 1
    agent.info = info
    base = resources.from_proto(info.resources)
    agent.total, agent.slack = reservations.with_reserved(base, agent.reserved), EMPTY
    ctx.state.agent_at[address_of(info)] = agent.agent_id
    agent.connection_id, agent.incarnation_id = event.connection_id, event.incarnation_id
    agent.leaving = event.leaving
    agent.told_frameworks.clear()
    agent.missed_pings, agent.heard = 0, True
    ctx.timers.cancel(("reregister", agent.agent_id))
    ctx.timers.set(("ping", agent.agent_id), ctx.now.mono_s + ctx.config.agent_ping_timeout_s)
    ctx.tell_agent(
        agent,
        agent_pb.MasterMessage(
            registered=agent_pb.MasterMessage.Registered(
                agent_id=agent.agent_id,
                ping_timeout_s=ctx.config.agent_ping_timeout_s,
                max_ping_timeouts=ctx.config.max_agent_ping_timeouts,
                master_version=VERSION,
                wants_ended_tasks=not agent.told_ended,
                revoked=ctx.state.revoked(),
            )
        ),
    )
    if agent.reserved != admission.reported:
        tell_reserved(ctx, agent)


def _complete(ctx: Context, agent: Agent) -> None:
    """All tasks of an agent are known: what follows from that."""
    offer_anew(ctx, agent)
    drains.on_registered(ctx, agent)
    ctx.look_at_maintenance(agent)
    ctx.publish(ClusterEvent.AGENT_ADDED, agent_id=agent.agent_id, resources=agent.total)


def _publish_tasks(ctx: Context, agent: Agent, tasks: Iterable[Task]) -> None:
    for task in tasks:
        ctx.publish(
            ClusterEvent.TASK_ADDED,
            agent_id=agent.agent_id,
            framework_id=task.framework_id,
            task_id=task.task_id,
            task_state=task.state,
            resources=task.resources if task.holds_resources else EMPTY,
            roles=(task.role,),
        )
