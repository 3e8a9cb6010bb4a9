"""Tasks: status updates, acknowledgements, kills, reconciliation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pymesos_core import contract
from pymesos_core.copies import copy_of
from pymesos_core.limits import MAX_SAID
from pymesos_core.states import (
    LOST_IF_NOT_PARTITION_AWARE,
    is_terminal,
    state_for,
)
from pymesos_core.text import cut
from pymesos_master.core import accounting, names
from pymesos_master.core.context import Context
from pymesos_master.core.effects import EndUnread
from pymesos_master.core.events import TaskStatusUpdated
from pymesos_master.core.lifecycles import (
    SAID,
    TASK_LIFE,
    AgentState,
    FrameworkState,
    TaskEvent,
)
from pymesos_master.core.records import AGENT
from pymesos_master.core.reported import state_problem
from pymesos_master.core.state import Agent, Framework, Task
from pymesos_master.core.telling import tell_all, tell_some
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_proto.v1.operator_pb2 import ClusterEvent

KEPT_DATA_BYTES = 1024  # of a status whose framework has it


def framework_of(ctx: Context, framework_id: str) -> Framework | None:
    """A framework, also one that is removed and whose tasks are still ending."""
    return ctx.state.frameworks.get(framework_id) or ctx.state.completed_frameworks.get(
        framework_id
    )


def new_status(
    ctx: Context,
    task_id: str,
    state: pb.TaskState,
    reason: pb.Reason,
    message: str,
    agent_id: str = "",
    source: pb.Source = pb.SOURCE_MASTER,
) -> pb.TaskStatus:
    """A status without a uuid: never acknowledged, never repeated."""
    return pb.TaskStatus(
        task_id=task_id,
        state=state,
        reason=reason,
        source=source,
        message=cut(message, MAX_SAID),
        agent_id=agent_id,
        timestamp_s=ctx.now.wall_s,
    )


def forward(ctx: Context, framework: Framework, status: pb.TaskStatus) -> None:
    """Send a status in the words the framework understands."""
    _tell(ctx, framework, _event_of(status))


def _event_of(status: pb.TaskStatus) -> scheduler_pb.Event:
    """The event that tells of a status, with a copy of it."""
    event = scheduler_pb.Event()
    # Filled in place: put together from parts it is copied twice.
    event.update.status.CopyFrom(status)
    return event


def _tell(ctx: Context, framework: Framework, event: scheduler_pb.Event) -> None:
    """Send the event of a status, which others may keep, in the words the framework understands."""
    state = event.update.status.state
    if state in LOST_IF_NOT_PARTITION_AWARE:
        event = copy_of(event)
        told = event.update.status
        told.state = state_for(state, partition_aware=framework.has(pb.PARTITION_AWARE))
    ctx.tell_framework(framework, event)


def tell_status(
    ctx: Context, task: Task, state: pb.TaskState, reason: pb.Reason, message: str
) -> None:
    """Tell the task's framework what the master knows of it, and publish it."""
    framework = framework_of(ctx, task.framework_id)
    if framework is not None:
        status = new_status(ctx, task.task_id, state, reason, message, task.agent_id)
        forward(ctx, framework, status)
    _publish(ctx, task, state, reason, message)


def _publish(
    ctx: Context, task: Task, state: pb.TaskState, reason: pb.Reason, message: str
) -> None:
    names.look(ctx, task.key)
    ctx.publish_of(task, ClusterEvent.TASK_UPDATED, state, reason, message)


def on_status_update(ctx: Context, event: TaskStatusUpdated) -> None:
    """Take the latest state over, forward the status, and let its resources go if it ended."""
    agent_id = ctx.state.agent_by_connection.get(event.connection_id)
    agent = ctx.state.agents.get(agent_id) if agent_id else None
    if agent is None or agent.connection_id != event.connection_id:
        return
    agent.heard = agent.confirmed = True
    update = event.update
    if problem := _update_problem(update):
        ctx.complain(agent, "a bad status update", problem)
        return
    told = _event_of(update.status)  # what is told and what is kept are one copy
    status = contract.tame(told.update.status)
    framework_id, state = update.framework_id, status.state
    framework = framework_of(ctx, framework_id)
    task = agent.tasks.get((framework_id, status.task_id))
    if framework is None or (task is None and framework.state == FrameworkState.COMPLETED):
        _acknowledge_to_agent(ctx, agent, framework_id, status.task_id, status.uuid)
        return
    if task is None:
        # Its end was acknowledged, and the acknowledgement was lost on the way to the agent.
        _tell(ctx, framework, told)
        return
    transition(ctx, task, SAID[update.latest_state or state])
    task.unacknowledged = status
    if state == pb.TASK_RUNNING and not task.started_at_s:
        task.started_at_s = status.timestamp_s
    elif is_terminal(state):
        task.finished_at_s = status.timestamp_s
    _publish(ctx, task, state, status.reason, status.message)
    if framework.state == FrameworkState.COMPLETED:
        _acknowledge_to_agent(ctx, agent, framework_id, status.task_id, status.uuid)
        _acknowledged(ctx, task, status.uuid)
    else:
        _tell(ctx, framework, told)
        if not status.uuid and is_terminal(state):
            complete(ctx, task)  # it is sent once, and nobody acknowledges it


def _update_problem(update: agent_pb.StatusUpdate) -> str | None:
    """Why an agent cannot say so, or None."""
    if problem := contract.problem(update):
        return problem
    status = update.status
    if not status.task_id:
        return "status.task_id is empty"
    return state_problem(status.state, update.latest_state or status.state)


def _acknowledge_to_agent(
    ctx: Context, agent: Agent, framework_id: str, task_id: str, uuid: bytes
) -> None:
    message = agent_pb.MasterMessage()
    said = message.acknowledgement
    said.framework_id, said.task_id, said.uuid = framework_id, task_id, uuid
    ctx.tell_agent(agent, message)


def transition(ctx: Context, task: Task, event: TaskEvent) -> None:
    """Put a task into its next state. A terminal one is final and frees its resources."""
    if is_terminal(task.state):
        return
    if TASK_LIFE.move(task, event, ctx.now.wall_s).effects:  # there is only TaskEffect.FREE
        accounting.look(ctx, task)
        ctx.allocator.recover(
            task.framework_id, task.agent_id, task.role, task.resources, now_s=ctx.now.mono_s
        )
    if is_terminal(task.state):
        task.finished_at_s = ctx.now.wall_s


def acknowledge(ctx: Context, framework: Framework, call: scheduler_pb.Call.Acknowledge) -> None:
    """Pass an acknowledgement on to the agent that waits for it."""
    agent_id, task_id, uuid = call.agent_id, call.task_id, call.uuid
    if not uuid:
        return
    agent = ctx.state.agents.get(agent_id)
    if agent is not None:
        _acknowledge_to_agent(ctx, agent, framework.framework_id, task_id, uuid)
    task = framework.tasks.get(task_id)
    if task is not None and task.agent_id == agent_id:
        _acknowledged(ctx, task, uuid)


def _acknowledged(ctx: Context, task: Task, uuid: bytes) -> None:
    status = task.unacknowledged
    if status is None or status.uuid != uuid:
        return
    ended = is_terminal(status.state) and is_terminal(task.state)
    if len(status.data) > KEPT_DATA_BYTES:
        status = copy_of(status)  # what was told may be on its way still
        status.ClearField("data")
    task.status = status
    if ended:
        complete(ctx, task)


def complete(ctx: Context, task: Task) -> None:
    """The task has ended and its framework knows: keep it for those who look back."""
    assert is_terminal(task.state)
    framework = framework_of(ctx, task.framework_id)
    if framework is not None:
        framework.tasks.pop(task.task_id, None)
    agent = ctx.state.agents.get(task.agent_id)
    if agent is not None:
        agent.tasks.pop(task.key, None)
        ctx.look_for_drained(agent)
        ctx.look_at_maintenance(agent)
    completed = ctx.state.completed_tasks
    completed.pop(task.key, None)
    completed[task.key] = task
    while len(completed) > ctx.config.max_completed_tasks:
        completed.popitem(last=False)


def end_without_agent(
    ctx: Context,
    task: Task,
    event: TaskEvent,
    reason: pb.Reason,
    message: str,
    source: pb.Source = pb.SOURCE_MASTER,
) -> None:
    """The master itself ends a task of which no agent will say more."""
    transition(ctx, task, event)
    framework = framework_of(ctx, task.framework_id)
    status = new_status(ctx, task.task_id, task.state, reason, message, task.agent_id, source)
    task.status = status
    task.finished_at_s = task.finished_at_s or ctx.now.wall_s
    if framework is not None:
        forward(ctx, framework, status)
    _publish(ctx, task, task.state, reason, message)
    complete(ctx, task)


def kill(ctx: Context, framework: Framework, call: scheduler_pb.Call.Kill) -> None:
    """Kill a task, now or when its agent is back; an unknown one is answered by reconciliation."""
    task = framework.tasks.get(call.task_id)
    if task is None:
        _reconcile(ctx, framework, [(call.task_id, call.agent_id)])
        return
    if call.agent_id and call.agent_id != task.agent_id:
        return
    if task.state == pb.TASK_UNREACHABLE and framework.has(pb.MESOS_RECONCILIATION):
        _tell_latest(ctx, framework, task)  # and the kill is not remembered
        return
    policy = pb.KillPolicy()
    if call.HasField("kill_policy"):
        policy.CopyFrom(call.kill_policy)
    request_kill(ctx, task, policy if call.HasField("kill_policy") else None)
    if task.state == pb.TASK_UNREACHABLE:
        _tell_latest(ctx, framework, task)


def request_kill(ctx: Context, task: Task, policy: pb.KillPolicy | None) -> None:
    """Remember the kill and send it to the agent if that is there."""
    if is_terminal(task.state):
        return
    task.kill = policy or copy_of(task.info.kill_policy)
    names.look(ctx, task.key)
    agent = ctx.state.agents[task.agent_id]
    if agent.state == AgentState.ACTIVE:
        send_kill(ctx, agent, task, policy)


def send_kill(
    ctx: Context,
    agent: Agent,
    task: Task,
    policy: pb.KillPolicy | None = None,
    reason: pb.Reason = pb.REASON_UNSPECIFIED,
) -> None:
    """Tell the agent; `reason` is for the task's end if nothing else has ended it before."""
    message = agent_pb.MasterMessage.KillTask(
        framework_id=task.framework_id, task_id=task.task_id, reason=reason
    )
    if policy is not None or task.kill is not None:
        chosen = policy or task.kill
        assert chosen is not None
        if chosen.ByteSize():
            message.kill_policy.CopyFrom(chosen)
    ctx.tell_agent(agent, agent_pb.MasterMessage(kill=message))


def reconcile(ctx: Context, framework: Framework, call: scheduler_pb.Call.Reconcile) -> None:
    """Explicit: answer for each task named. Implicit: for every task of the framework.

    As in Mesos the latter leaves out tasks that are unreachable, for who declares to be used to it.
    """
    if not call.tasks:
        as_mesos = framework.has(pb.MESOS_RECONCILIATION)
        told = {
            task_id: task
            for task_id, task in framework.tasks.items()
            if not (as_mesos and task.state == pb.TASK_UNREACHABLE)
        }
        tell_all(
            ctx,
            framework,
            "reconciliation",
            told,
            lambda task_ids: _tell_all(ctx, framework, task_ids),
        )
        return
    # What waits for its turn must not keep all that came with it.
    named = [(asked.task_id, asked.agent_id) for asked in call.tasks]
    if not tell_some(ctx, framework, "answers", named, lambda n: _reconcile(ctx, framework, n)):
        assert framework.connection_id is not None
        ctx.out.append(EndUnread(framework.connection_id))


def _tell_all(ctx: Context, framework: Framework, task_ids: Iterable[str]) -> None:
    for task_id in task_ids:
        if (task := framework.tasks.get(task_id)) is not None:
            _tell_latest(ctx, framework, task)


def tell_unacknowledged(ctx: Context, framework: Framework) -> None:
    """What it was told before it subscribed again, and has not acknowledged."""

    def tell(task_ids: Iterable[str]) -> None:
        for task_id in task_ids:
            task = framework.tasks.get(task_id)
            if task is not None and task.unacknowledged is not None:
                forward(ctx, framework, task.unacknowledged)

    tell_all(ctx, framework, "updates", framework.tasks, tell)


def _tell_latest(ctx: Context, framework: Framework, task: Task) -> None:
    """The last forwarded state, as Mesos does it (docs/reconciliation.md)."""
    message = "Reconciliation: Latest task state"
    state, latest = task.state, task.status
    if task.state == pb.TASK_UNREACHABLE:
        message = "Reconciliation: Task is unreachable"
    elif latest is not None:
        state = latest.state
    status = new_status(ctx, task.task_id, state, pb.REASON_RECONCILIATION, message, task.agent_id)
    if latest is not None:
        status.repeated_reason = latest.reason
        if latest.HasField("exit_status"):
            status.exit_status = latest.exit_status
        if latest.HasField("healthy"):
            status.healthy = latest.healthy
        if latest.HasField("ready"):
            status.ready = latest.ready
    forward(ctx, framework, status)


def _reconcile(ctx: Context, framework: Framework, named: Iterable[tuple[str, str]]) -> None:
    """Tell what is known at once; that a task is not known only as one who leads for certain.

    A framework that has just started obeys any epoch, also a leader's that was deposed and does not
    know it yet, to which the tasks of its successor are unknown.
    """
    unknown = [(t, a) for t, a in named if not _tell_if_known(ctx, framework, t)]
    if unknown:
        ctx.persist({}, UnknownTasks(framework.framework_id, tuple(unknown)))


@dataclass(frozen=True, slots=True)
class UnknownTasks:
    """A framework asked for tasks that this master does not know, each with its agent's id."""

    framework_id: str
    named: tuple[tuple[str, str], ...]


def on_unknown(ctx: Context, asked: UnknownTasks) -> None:
    """This master leads for certain."""
    framework = framework_of(ctx, asked.framework_id)
    if framework is None:
        return
    aside = {key for kind, key in ctx.state.quarantined if kind == AGENT}
    awaited = any(a.state == AgentState.RECOVERING for a in ctx.state.agents.values())
    for task_id, agent_id in asked.named:
        if not _tell_if_known(ctx, framework, task_id) and agent_id not in aside:
            _tell_unknown(ctx, framework, task_id, agent_id, bool(aside) or awaited)


def _tell_if_known(ctx: Context, framework: Framework, task_id: str) -> bool:
    task = framework.tasks.get(task_id)
    if task is None and not framework.has(pb.MESOS_RECONCILIATION):
        # The end of a completed task was told, and perhaps not stored: no other may be told.
        task = ctx.state.completed_tasks.get((framework.framework_id, task_id))
    if task is not None:
        _tell_latest(ctx, framework, task)
    return task is not None


def _tell_unknown(
    ctx: Context,
    framework: Framework,
    task_id: str,
    agent_id: str,
    awaited: bool,
) -> None:
    """`awaited`: some agent may still come back."""
    agent = ctx.state.agents.get(agent_id) if agent_id else None
    if agent is None and not agent_id:
        if awaited:
            return  # its agent may still come back and know it
        state, what = pb.TASK_UNKNOWN, "Task is unknown"
    elif agent is None:
        state, what = pb.TASK_UNKNOWN, "Task is unknown"
    elif agent.state == AgentState.RECOVERING:
        return
    elif agent.state == AgentState.UNREACHABLE:
        state, what = pb.TASK_UNREACHABLE, "Task is unreachable"
    elif agent.state == AgentState.GONE:
        state, what = pb.TASK_GONE_BY_OPERATOR, "Task is gone with its agent"
    elif not agent.confirmed:
        # It may not know yet that we lead, and have been given the task by the master before us.
        return
    else:
        state, what = pb.TASK_GONE, "Task is unknown to the agent"
    status = new_status(
        ctx,
        task_id,
        state,
        pb.REASON_RECONCILIATION,
        f"Reconciliation: {what}",
        agent_id,
    )
    forward(ctx, framework, status)
