"""Agents: they register, are pinged, become unreachable, come back, are gone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pymesos_core import VERSION, contract, limits, reservations, resources
from pymesos_core.copies import copy_of
from pymesos_core.ids import id_problem, role_problem
from pymesos_core.limits import MAX_SAID
from pymesos_core.resources import EMPTY, ResourceError, Resources
from pymesos_core.states import FROM_AGENTS, is_terminal, state_name
from pymesos_core.text import cut
from pymesos_master.core import offers, tasks
from pymesos_master.core.context import Context
from pymesos_master.core.effects import CloseConnection, TellAgent
from pymesos_master.core.events import (
    AgentDisconnected,
    AgentHeard,
    AgentLeaving,
    AgentRegistering,
    AgentToldEnded,
    AgentUsageReported,
)
from pymesos_master.core.lifecycles import (
    AGENT_LIFE,
    SAID,
    TASK_LIFE,
    AgentEvent,
    AgentState,
    TaskEvent,
)
from pymesos_master.core.registry import AGENT, record_problem, to_change
from pymesos_master.core.reservations import offer_anew, tell_reserved
from pymesos_master.core.state import (
    Agent,
    AgentRecord,
    Framework,
    Registration,
    Task,
    address_of,
)
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_proto.v1.operator_pb2 import ClusterEvent

FORGET_INTERVAL_S = 900.0


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
        held = _held(event.tasks)
        held_now = _total(event.tasks, held)
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
    if _is_late(ctx, event):
        refuse_agent(ctx, event.connection_id, f"agent {agent_id} has registered again since")
        return
    info = pb.AgentInfo()
    info.CopyFrom(event.info)
    info.agent_id = agent_id or next(ctx.agent_ids)
    # What the registry does not hold it learns from the agent, whose checkpoint is as good.
    reserved = meant.reserved if meant is not None else known.reserved if known else reported
    try:
        total = reservations.with_reserved(base, reserved)
    except ResourceError as error:
        refuse_agent(ctx, event.connection_id, str(error))
        return
    # It says so itself when it starts, unless it came back smaller before it was told what an
    # operator had reserved meanwhile.
    if not total.contains(held_now):
        refuse_agent(
            ctx,
            event.connection_id,
            f"the tasks of this agent hold {held_now}, more than it has with what is reserved on it"
            f" ({total}): give the agent back what it had, or wait until tasks have ended",
        )
        return
    key = (AGENT, info.agent_id)
    record = AgentRecord(info, AgentState.ACTIVE, reserved)
    change = to_change(key, record, ctx.now.wall_s)
    if problem := record_problem(change) or ctx.registered.problem(change, event.caller.peer):
        refuse_agent(ctx, event.connection_id, problem)
        return
    ctx.changed = True  # nothing is refused from here on
    if known is not None:
        _disconnect(ctx, known, "registered again")
    else:
        _mark_same_address_unreachable(ctx, event.info)
    _note_registration(ctx, info.agent_id, event)

    admission = Admission(event, tuple(held), info, reserved, reported)
    if known is not None and meant is not None and _is_written(known, meant, info):
        on_admitted(ctx, admission)
    else:
        ctx.persist({key: record}, admission, event.caller.peer)
        if known is not None:
            _await_word(ctx, known)


@dataclass(frozen=True, slots=True)
class Admission:
    """An agent is written, and to be admitted: with what its tasks hold, and what is reserved."""

    event: AgentRegistering
    held: tuple[Resources, ...]
    info: pb.AgentInfo
    reserved: Resources  # as it is to be
    reported: Resources  # as the agent has it


def on_admitted(ctx: Context, admission: Admission) -> None:
    """The registry has the agent, unless another registration of it has come since."""
    event, info = admission.event, admission.info
    if ctx.state.agent_by_connection.get(event.connection_id) == info.agent_id:
        _admit(ctx, event, admission.held, info, admission.reserved, admission.reported)


def _is_written(agent: Agent, meant: AgentRecord, info: pb.AgentInfo) -> bool:
    """Whether the registry has an agent as it is to be, and nothing else is on its way there."""
    lost = AgentState.UNREACHABLE in (agent.state, meant.state)
    return not lost and agent.info == info == meant.info


def _held(records: Sequence[agent_pb.TaskRecord]) -> list[Resources]:
    """What each of the agent's tasks holds or held. Raises ResourceError when one is not a task."""
    for record in records:
        if problem := _record_problem(record):
            raise ResourceError(problem)
    return [_resources_of(record) for record in records]


def _record_problem(record: agent_pb.TaskRecord) -> str | None:
    """Why what an agent says it runs is no task that a master has given it; or None."""
    info = record.task_info
    what = f"the task {info.task_id[:255]!r}"
    if problem := id_problem(record.framework_id):
        return f"a task is of no framework: {problem}"
    if problem := id_problem(info.task_id):
        return f"a task has no id that can be: {problem}"
    if record.role and (problem := role_problem(record.role)):
        return f"{what} is of no role: {problem}"
    if record.state not in FROM_AGENTS:
        return f"{what} is in the state {state_name(record.state)}"
    return limits.TASK_INFO.problem(info.ByteSize(), what)


def _resources_of(record: agent_pb.TaskRecord) -> Resources:
    """The resources of a task; none if an ended one has unreadable ones. Raises ResourceError."""
    try:
        return resources.from_proto(record.task_info.resources)
    except ResourceError:
        if not is_terminal(record.state):
            raise
        return EMPTY


def _total(records: Sequence[agent_pb.TaskRecord], held: Sequence[Resources]) -> Resources:
    """What those hold that run. Raises ResourceError when two overlap."""
    runs = [bag for record, bag in zip(records, held, strict=True) if not is_terminal(record.state)]
    return resources.checked_total(runs)


def _is_late(ctx: Context, event: AgentRegistering) -> bool:
    """Whether this is the tail of an older stream: what it says of tasks is not so any more."""
    latest = ctx.state.registrations.get(event.info.agent_id)
    return (
        latest is not None
        and bool(event.boot_id)
        and latest.boot_id == event.boot_id
        and event.mono_s < latest.mono_s
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
        make_unreachable(ctx, agent, "another agent registered at its address")


def _admit(
    ctx: Context,
    event: AgentRegistering,
    held: Sequence[Resources],
    info: pb.AgentInfo,
    reserved: Resources,
    reported: Resources,
) -> None:
    agent = ctx.state.agents.get(info.agent_id)
    if agent is not None and agent.state == AgentState.GONE:  # while this was being written
        _refuse_gone(ctx, event.connection_id, agent.agent_id)
        return
    if agent is None:
        agent = Agent(
            info,
            AgentState.ACTIVE,
            registered_at_s=ctx.now.wall_s,
            reserved=reserved,
            peer=event.caller.peer,
        )
        ctx.state.agents[info.agent_id] = agent
        was = None
    else:
        was = AGENT_LIFE.move(agent, AgentEvent.REGISTERED, ctx.now.wall_s).source
    if was == AgentState.RECOVERING:
        ctx.agents_awaited -= 1
    agent.info = info
    base = resources.from_proto(info.resources)
    agent.total = reservations.with_reserved(base, agent.reserved)
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
            )
        ),
    )
    if agent.reserved != reported:
        tell_reserved(ctx, agent)
    was_unreachable = was == AgentState.UNREACHABLE
    _take_over_tasks(ctx, agent, event.tasks, held, was_unreachable=was_unreachable)
    offer_anew(ctx, agent)
    ctx.publish(ClusterEvent.AGENT_ADDED, agent_id=agent.agent_id, resources=agent.total)
    for task in list(agent.tasks.values()):
        ctx.publish(
            ClusterEvent.TASK_ADDED,
            agent_id=agent.agent_id,
            framework_id=task.framework_id,
            task_id=task.info.task_id,
            task_state=task.state,
            resources=task.resources if task.holds_resources else EMPTY,
        )


def _take_over_tasks(
    ctx: Context,
    agent: Agent,
    records: Sequence[agent_pb.TaskRecord],
    held: Sequence[Resources],
    *,
    was_unreachable: bool,
) -> None:
    """Make the master's view of the agent's tasks the agent's own view: it holds the truth."""
    reported: set[tuple[str, str]] = set()
    for record, bag in zip(records, held, strict=True):
        key = (record.framework_id, record.task_info.task_id)
        if key in reported:
            continue
        reported.add(key)
        framework = ctx.state.frameworks.get(record.framework_id)
        if framework is None or ctx.state.is_removed(record.framework_id):
            _shut_down_framework(ctx, agent, record.framework_id)
        owner = framework or ctx.state.completed_frameworks.get(record.framework_id)
        if owner is not None:
            _take_over(ctx, agent, owner, record, bag, was_unreachable=was_unreachable)
    for key, task in list(agent.tasks.items()):
        if key not in reported:
            _forget_unreported(ctx, agent, task)


def _shut_down_framework(ctx: Context, agent: Agent, framework_id: str) -> None:
    shutdown = agent_pb.MasterMessage.ShutdownFramework(framework_id=framework_id)
    ctx.tell_agent(agent, agent_pb.MasterMessage(shutdown_framework=shutdown))


def _take_over(
    ctx: Context,
    agent: Agent,
    framework: Framework,
    record: agent_pb.TaskRecord,
    held: Resources,
    *,
    was_unreachable: bool,
) -> None:
    task_id = record.task_info.task_id
    task = framework.tasks.get(task_id)
    if task is not None and task.agent_id != agent.agent_id:
        return  # the id runs elsewhere; the agent that was given it first keeps it
    if task is None:
        task = Task(
            copy_of(record.task_info),
            framework.framework_id,
            agent.agent_id,
            record.role,
            ctx.interned(held),
            pb.TASK_STAGING,
            _time(record.launched_at_s) or ctx.now.wall_s,
        )
        framework.tasks[task.task_id] = task
        agent.tasks[task.key] = task
        ctx.state.completed_tasks.pop(task.key, None)
    elif task.resources != held:
        # What it holds is what its agent says, by which its resources were looked at.
        task.info, task.resources = copy_of(record.task_info), ctx.interned(held)
    unacknowledged = _statuses(ctx, agent, record, record.unacknowledged)
    if not is_terminal(task.state) or is_terminal(record.state):
        if not is_terminal(task.state):
            # Nothing of it is freed here: what tasks hold is counted anew when all are taken over.
            TASK_LIFE.move(task, SAID[record.state], ctx.now.wall_s)
        if is_terminal(task.state) and not task.finished_at_s:
            ended = [s for s in unacknowledged if is_terminal(s.state)]
            task.finished_at_s = (_time(ended[0].timestamp_s) if ended else 0) or ctx.now.wall_s
        if not task.started_at_s:
            task.started_at_s = _started_at_s(ctx, record)
    if task.status is None and record.HasField("status"):
        task.status = next(iter(_statuses(ctx, agent, record, [record.status])), None)
    due = unacknowledged[0] if unacknowledged else None
    if due is not None:
        task.status = task.unacknowledged = due
    if was_unreachable and due is not None:
        # Not the latest state: its updates come in order, and this is the one that is due.
        tasks.forward(ctx, framework, due)
    elif was_unreachable:
        tasks.tell_status(
            ctx,
            task,
            task.state,
            pb.REASON_AGENT_REREGISTERED,
            "Unreachable agent re-registered",
        )
    if task.kill is not None and not is_terminal(task.state):
        tasks.send_kill(ctx, agent, task)


def _statuses(
    ctx: Context, agent: Agent, record: agent_pb.TaskRecord, said: Iterable[pb.TaskStatus]
) -> list[pb.TaskStatus]:
    """The statuses that an agent may report of its task; why others are left out is said."""
    kept: list[pb.TaskStatus] = []
    for status in said:
        if problem := _status_problem(record, status):
            ctx.complain(agent, "a bad status of a task", problem)
        else:
            kept.append(contract.tame(copy_of(status)))
    return kept


def _status_problem(record: agent_pb.TaskRecord, status: pb.TaskStatus) -> str | None:
    if problem := contract.problem(status):
        return problem
    if status.task_id != record.task_info.task_id:
        return f"it is of {status.task_id!r}, among those of {record.task_info.task_id!r}"
    return tasks.state_problem(status.state, record.state)


def _time(unix_s: float) -> float:
    """A time that a peer says, or 0 when it is none."""
    return unix_s if 0 < unix_s <= contract.MAX_TIME_S else 0.0


def _started_at_s(ctx: Context, record: agent_pb.TaskRecord) -> float:
    """When a task started; now, at the latest, where the agent does not say it yet."""
    running = record.state == pb.TASK_RUNNING
    return _time(record.started_at_s) or (ctx.now.wall_s if running else 0.0)


def on_told_ended(ctx: Context, event: AgentToldEnded) -> None:
    """Keep what an earlier leader knew, behind all that this one has seen end itself."""
    agent = _agent_of(ctx, event.connection_id)
    if agent is None:
        return
    agent.heard = agent.told_ended = True
    completed = ctx.state.completed_tasks
    for record in event.ended.tasks:
        if len(completed) >= ctx.config.max_completed_tasks:
            return
        task = _ended_task(ctx, agent, record)
        known = task is None or task.key in completed or ctx.state.find_task(*task.key)
        if task is not None and not known:
            completed[task.key] = task
            completed.move_to_end(task.key, last=False)


def _ended_task(ctx: Context, agent: Agent, record: agent_pb.TaskRecord) -> Task | None:
    """None for what is no task, or has not ended."""
    named = record.framework_id and record.task_info.task_id
    ended = record.state in FROM_AGENTS and is_terminal(record.state)
    if not named or not ended or contract.problem(record):
        return None
    try:
        held = resources.from_proto(record.task_info.resources)
    except ResourceError:
        return None
    # Copies: a part of a message keeps all of its batch in memory.
    info, status = pb.TaskInfo(), pb.TaskStatus()
    info.CopyFrom(record.task_info)
    status.CopyFrom(record.status)
    task = Task(
        info,
        record.framework_id,
        agent.agent_id,
        record.role,
        ctx.interned(held),
        pb.TASK_STAGING,
        record.launched_at_s,
        status=contract.tame(status),
        started_at_s=record.started_at_s,
        finished_at_s=status.timestamp_s,
    )
    TASK_LIFE.move(task, SAID[record.state], ctx.now.wall_s)
    return task


def _forget_unreported(ctx: Context, agent: Agent, task: Task) -> None:
    """A task the agent does not know: its launch was lost, or its end is acknowledged."""
    if is_terminal(task.state) and task.status is not None and is_terminal(task.status.state):
        tasks.complete(ctx, task)
        return
    message = "Reconciliation: Task is unknown to the agent"
    tasks.end_without_agent(
        ctx, task, TaskEvent.UNREPORTED, pb.REASON_RECONCILIATION, message, source=pb.SOURCE_AGENT
    )


def on_disconnected(ctx: Context, event: AgentDisconnected) -> None:
    """The stream ended. The tasks run on; the pings decide whether the agent is unreachable."""
    agent_id = ctx.state.agent_by_connection.pop(event.connection_id, None)
    agent = ctx.state.agents.get(agent_id) if agent_id else None
    if agent is not None and agent.connection_id == event.connection_id:
        _disconnect(ctx, agent, "the agent's stream ended")


def _disconnect(ctx: Context, agent: Agent, reason: str) -> None:
    if agent.connection_id is None:
        return
    offers.rescind_all(ctx, list(agent.offers.values()), reason)
    ctx.allocator.deactivate_agent(agent.agent_id)
    ctx.state.agent_by_connection.pop(agent.connection_id, None)
    ctx.out.append(CloseConnection(agent.connection_id))
    agent.connection_id = None
    AGENT_LIFE.move(agent, AgentEvent.STREAM_ENDED, ctx.now.wall_s)
    ctx.publish(ClusterEvent.AGENT_DISCONNECTED, agent_id=agent.agent_id, message=reason)


def _agent_of(ctx: Context, connection_id: int) -> Agent | None:
    agent_id = ctx.state.agent_by_connection.get(connection_id)
    agent = ctx.state.agents.get(agent_id) if agent_id else None
    return agent if agent is not None and agent.connection_id == connection_id else None


def on_heard(ctx: Context, event: AgentHeard) -> None:
    """Any message counts as a pong."""
    if (agent := _agent_of(ctx, event.connection_id)) is not None:
        agent.heard = agent.confirmed = True


def on_leaving(ctx: Context, event: AgentLeaving) -> None:
    """What comes free while it ends its tasks is of no use to anybody."""
    if (agent := _agent_of(ctx, event.connection_id)) is not None:
        agent.heard = agent.confirmed = True
        if not agent.leaving:
            agent.leaving = True
            offers.rescind_all(ctx, list(agent.offers.values()), "the agent is ending")
            ctx.allocator.deactivate_agent(agent.agent_id)
            ctx.publish(ClusterEvent.AGENT_LEAVING, agent_id=agent.agent_id)


def on_usage(ctx: Context, event: AgentUsageReported) -> None:
    """Keep the latest."""
    if (agent := _agent_of(ctx, event.connection_id)) is not None:
        agent.heard = agent.confirmed = True
        if problem := contract.problem(event.usage):
            ctx.complain(agent, "a bad report of its usage", problem)
        else:
            agent.usage = copy_of(event.usage)


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


def on_lost(ctx: Context, lost: AgentLost) -> None:
    """Have a lost agent's tasks unreachable, unless it came back or was marked gone since."""
    agent, message = ctx.state.agents[lost.agent_id], lost.message
    meant = ctx.state.intended_agent(lost.agent_id)
    superseded = meant is None or meant.state != AgentState.UNREACHABLE
    if superseded or agent.state == AgentState.UNREACHABLE:
        return
    _disconnect(ctx, agent, message)
    AGENT_LIFE.move(agent, AgentEvent.LOST, ctx.now.wall_s)
    agent.changed_at_s = ctx.now.wall_s
    ctx.allocator.remove_agent(agent.agent_id)
    for task in list(agent.tasks.values()):
        if task.framework_id in ctx.state.completed_frameworks:
            # It was ending, and nobody will ask for it any more.
            reason = pb.REASON_FRAMEWORK_REMOVED
            event = TaskEvent.FRAMEWORK_REMOVED
            tasks.end_without_agent(ctx, task, event, reason, "Framework removed")
        elif not is_terminal(task.state):
            TASK_LIFE.move(task, TaskEvent.AGENT_LOST, ctx.now.wall_s)
            tasks.tell_status(ctx, task, pb.TASK_UNREACHABLE, pb.REASON_AGENT_REMOVED, message)
    _tell_failure(ctx, agent)
    ctx.publish(ClusterEvent.AGENT_UNREACHABLE, agent_id=agent.agent_id, message=message)


def _await_word(ctx: Context, agent: Agent) -> None:
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
    ctx.tell_agent(agent, agent_pb.MasterMessage(refused=refused))
    _disconnect(ctx, agent, "marked gone by an operator")
    AGENT_LIFE.move(agent, AgentEvent.MARKED_GONE, ctx.now.wall_s)
    agent.changed_at_s = ctx.now.wall_s
    ctx.timers.cancel(("reregister", agent.agent_id))
    ctx.allocator.remove_agent(agent.agent_id)
    for task in list(agent.tasks.values()):
        tasks.end_without_agent(
            ctx,
            task,
            TaskEvent.AGENT_GONE,
            pb.REASON_AGENT_REMOVED_BY_OPERATOR,
            "the agent was marked gone by an operator",
        )
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
            ctx.state.registrations.pop(agent_id, None)
            if ctx.state.agent_at.get(address_of(agent.info)) == agent_id:
                del ctx.state.agent_at[address_of(agent.info)]


def _tell_failure(ctx: Context, agent: Agent) -> None:
    failure = scheduler_pb.Event.Failure(agent_id=agent.agent_id)
    for framework in ctx.state.frameworks.values():
        ctx.tell_framework(framework, scheduler_pb.Event(failure=failure))
