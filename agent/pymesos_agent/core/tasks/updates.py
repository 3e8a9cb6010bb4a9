"""The stream of status updates of each task.

Durable before visible: an update is checkpointed before it is sent. Those of a task go out one at a
time, in order, each repeated until its acknowledgement (Mesos'
`src/slave/task_status_update_manager.cpp`).
"""

from __future__ import annotations

from pymesos_agent.core import sandboxes
from pymesos_agent.core.context import CHECKPOINT, RESEND, Context
from pymesos_agent.core.tasks import ENDED_BY_AGENT, ENDING, AgentTask
from pymesos_core import contract, limits
from pymesos_core.states import is_terminal
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import executor_pb2 as executor_pb
from pymesos_proto.v1 import types_pb2 as pb

MAX_MESSAGE = 8192  # characters; the end of a log may be quoted


TURN_BYTES = 1024 * 1024
TURN_S = 0.05


def _status(
    ctx: Context, task: AgentTask, state: pb.TaskState, reason: pb.Reason, message: str
) -> pb.TaskStatus:
    status = pb.TaskStatus()  # field by field: with all of them as arguments it takes twice as long
    status.task_id = task.info.task_id
    status.state, status.reason = state, reason
    status.source = pb.SOURCE_AGENT if reason else pb.SOURCE_EXECUTOR
    status.message = limits.clipped(message, MAX_MESSAGE)
    status.agent_id = ctx.state.agent_id
    status.uuid = next(ctx.uuids)
    status.timestamp_s = ctx.now.wall_s
    status.hostname = ctx.config.info.address.hostname
    if task.healthy is not None:
        status.healthy = task.healthy
    if task.ready is not None:
        status.ready = task.ready
    return status


def update(
    ctx: Context,
    task: AgentTask,
    state: pb.TaskState,
    reason: pb.Reason,
    message: str,
    exit_status: int | None = None,
) -> None:
    """The task is in a new state: store the update, then send it when its turn comes.

    A second terminal update is dropped (SEMANTICS 11).
    """
    if task.ended:
        return
    if state == pb.TASK_KILLED and task.killed_for == ENDING:
        _, reason, message = ENDED_BY_AGENT[ENDING]  # however far it had come
    status = _status(ctx, task, state, reason, message)
    if exit_status is not None:
        status.exit_status = exit_status
    task.state = state
    task.unacknowledged.append(status)
    checkpoint_task(ctx, task.container_id)
    if is_terminal(state):
        ctx.on_ended(task)


def say_unknown(ctx: Context, task: AgentTask, more: str = "") -> None:
    """Its runtime is away: it is where it was, as far as anybody knows."""
    if task.is_executor or task.state not in (pb.TASK_STARTING, pb.TASK_RUNNING, pb.TASK_KILLING):
        return
    task.healthy = None
    why = ctx.away[task.runtime]
    text = f"Unknown for now: the runtime {task.runtime} does not answer ({why})"
    update(ctx, task, task.state, pb.REASON_UNSPECIFIED, text + more)


def take(ctx: Context, task: AgentTask, said: pb.TaskStatus) -> None:
    """An executor's word, stored and sent like our own."""
    status = pb.TaskStatus()
    status.CopyFrom(said)
    contract.tame(status)
    status.agent_id = ctx.state.agent_id
    status.hostname = ctx.config.info.address.hostname
    status.source = pb.SOURCE_EXECUTOR
    if status.state == pb.TASK_KILLED and task.killed_for == ENDING:
        status.reason = status.reason or pb.REASON_AGENT_REMOVED
    status.timestamp_s = status.timestamp_s or ctx.now.wall_s
    task.state = status.state
    if status.state == pb.TASK_RUNNING and not task.started_at_s:
        task.started_at_s = status.timestamp_s
    task.unacknowledged.append(status)
    checkpoint_task(ctx, task.container_id)


def checkpoint_task(ctx: Context, container_id: str) -> None:
    """Write a task as it is now; again in a second if that fails."""
    task = ctx.state.tasks.get(container_id)
    if task is None:
        return
    known = [status.uuid for status in task.unacknowledged]
    acknowledge = list(task.to_acknowledge)
    state = task.state
    ended = task.ended

    def durable() -> None:
        if ctx.state.tasks.get(container_id) is not task:
            return
        was_waiting = task.durable == 0
        task.durable_state = state
        written = sum(1 for status in task.unacknowledged if status.uuid in known)
        task.durable = max(task.durable, written)
        if was_waiting:
            send_first(ctx, task)
        for uuid in acknowledge:
            task.to_acknowledge.pop(uuid, None)
            if task.executor is not None:
                acknowledge_to_executor(ctx, task.executor, task.info.task_id, uuid)
        if ended and not task.destroyed:
            task.destroyed = True
            ctx.on_end_durable(task)

    def failed(_: str) -> None:
        at = ctx.now.mono_s + ctx.config.checkpoint_retry_s
        ctx.timers.set((CHECKPOINT, container_id), at)

    ctx.checkpoint((task.change(),), durable, failed)


def send_first(ctx: Context, task: AgentTask) -> None:
    """Send the oldest update that is not acknowledged, and set the time to repeat it."""
    if not task.durable or not ctx.registered:
        return
    _send(ctx, task, task.unacknowledged[0], task.durable_state)
    task.resend_s = ctx.config.resend_min_s
    ctx.timers.set((RESEND, task.container_id), ctx.now.mono_s + task.resend_s)


def send_all(ctx: Context) -> None:
    """Send the first of every task; what is more than a turn takes waits for the next.

    All at once can be more than may wait for a master, with every connection anew.
    """
    size, delay_s = 0, 0.0
    for task in ctx.state.tasks.values():
        if not task.durable or not ctx.registered:
            continue
        if size > TURN_BYTES:
            size, delay_s = 0, delay_s + TURN_S
        size += task.unacknowledged[0].ByteSize()
        if not delay_s:
            send_first(ctx, task)
        else:
            task.resend_s = ctx.config.resend_min_s / 2  # as `resend` doubles it
            ctx.timers.set((RESEND, task.container_id), ctx.now.mono_s + delay_s)


def resend(ctx: Context, container_id: str) -> None:
    """No acknowledgement has come: repeat it, and wait twice as long."""
    task = ctx.state.tasks.get(container_id)
    if task is None or not task.durable:
        return
    _send(ctx, task, task.unacknowledged[0], task.durable_state)
    task.resend_s = min(ctx.config.resend_max_s, task.resend_s * 2)
    ctx.timers.set((RESEND, container_id), ctx.now.mono_s + task.resend_s)


def _send(ctx: Context, task: AgentTask, status: pb.TaskStatus, latest: pb.TaskState) -> None:
    message = agent_pb.AgentMessage()
    update = message.update
    update.framework_id, update.latest_state = task.framework_id, latest
    update.status.CopyFrom(status)
    ctx.tell_master(message)


def on_acknowledgement(
    ctx: Context, acknowledgement: agent_pb.MasterMessage.Acknowledgement
) -> None:
    """The framework has it: the next one, or the end."""
    task = ctx.state.by_key.get((acknowledgement.framework_id, acknowledgement.task_id))
    if task is None or not task.durable:
        return
    if task.unacknowledged[0].uuid != acknowledgement.uuid:
        return  # a late repetition
    status = task.acknowledged = task.unacknowledged.popleft()
    task.durable -= 1
    ctx.timers.cancel((RESEND, task.container_id))
    if task.ended and not task.unacknowledged:
        assert status.state == task.state
        complete(ctx, task)
        return
    ctx.checkpoint((task.change(),))
    send_first(ctx, task)


def complete(ctx: Context, task: AgentTask) -> None:
    """The end is known to the framework: only the sandbox is kept."""
    ctx.forget(task)
    sandboxes.keep(ctx, task)


def drop(ctx: Context, task: AgentTask, message: str) -> None:
    """Its checkpoint cannot be written."""
    ctx.forget(task)
    status = _status(
        ctx,
        task,
        pb.TASK_DROPPED,
        pb.REASON_AGENT_DISK_FULL,
        f"The agent cannot write its checkpoint, so it launches nothing: {message}",
    )
    status.ClearField("uuid")
    _send(ctx, task, status, pb.TASK_DROPPED)


def refuse(ctx: Context, framework_id: str, info: pb.TaskInfo, message: str) -> None:
    """Nothing is known of such a task: it was not to be launched."""
    task_id = info.task_id[: limits.ID.most]
    ctx.complain("the master", "a task that cannot be launched", f"{task_id!r}: {message}")
    text = limits.clipped(f"The agent does not launch it: {message}")
    _turn_away(ctx, framework_id, task_id, pb.TASK_ERROR, pb.REASON_TASK_INVALID, text)


def turn_away(ctx: Context, framework_id: str, info: pb.TaskInfo) -> None:
    """The agent is ending, and its master did not know yet: the task may run elsewhere."""
    text = "The agent is ending, so it launches nothing"
    reason = pb.REASON_AGENT_REMOVED
    _turn_away(ctx, framework_id, info.task_id[: limits.ID.most], pb.TASK_DROPPED, reason, text)


def _turn_away(
    ctx: Context,
    framework_id: str,
    task_id: str,
    state: pb.TaskState,
    reason: pb.Reason,
    message: str,
) -> None:
    status = pb.TaskStatus(
        task_id=task_id,
        state=state,
        reason=reason,
        source=pb.SOURCE_AGENT,
        message=message,
        agent_id=ctx.state.agent_id,
        timestamp_s=ctx.now.wall_s,
        hostname=ctx.config.info.address.hostname,
    )
    update = agent_pb.StatusUpdate(framework_id=framework_id, status=status, latest_state=state)
    if contract.problem(update) is None:  # else no master would know what it is about
        ctx.tell_master(agent_pb.AgentMessage(update=update))


def acknowledge_to_executor(ctx: Context, executor: AgentTask, task_id: str, uuid: bytes) -> None:
    """The executor need not say it again."""
    acknowledged = executor_pb.ExecutorEvent.Acknowledged(task_id=task_id, uuid=uuid)
    ctx.tell_executor(executor, executor_pb.ExecutorEvent(acknowledged=acknowledged))
