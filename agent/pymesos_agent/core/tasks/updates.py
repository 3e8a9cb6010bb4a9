"""The stream of status updates of each task.

Durable before visible: an update is checkpointed before it is sent. Those of a task go out one at a
time, in order, each repeated until its acknowledgement (Mesos'
`src/slave/task_status_update_manager.cpp`).
"""

from __future__ import annotations

from collections.abc import Callable

from pymesos_agent.core import sandboxes
from pymesos_agent.core.context import CHECKPOINT, RESEND, Context, Owner
from pymesos_agent.core.executors.executor import Executor
from pymesos_agent.core.lifecycles import SAID, TASK_LIFE, ContainerEvent, TaskEffect, TaskEvent
from pymesos_agent.core.tasks.outcomes import ENDED_BY_AGENT, OF_THE_AGENT
from pymesos_agent.core.tasks.task import Task
from pymesos_core import contract, limits
from pymesos_core.text import cut
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import executor_pb2 as executor_pb
from pymesos_proto.v1 import types_pb2 as pb

MAX_MESSAGE = 8192  # characters; the end of a log may be quoted


TURN_BYTES = 1024 * 1024
TURN_S = 0.05


def _status(
    ctx: Context, task: Task, state: pb.TaskState, reason: pb.Reason, message: str
) -> pb.TaskStatus:
    status = pb.TaskStatus()  # field by field: with all of them as arguments it takes twice as long
    status.task_id = task.info.task_id
    status.state = state
    status.source = pb.SOURCE_AGENT if reason else pb.SOURCE_EXECUTOR
    if reason:
        status.reason = reason
    if message:
        status.message = cut(message, MAX_MESSAGE)
    status.agent_id = ctx.state.agent_id
    status.uuid = next(ctx.uuids)
    status.timestamp_s = ctx.now.wall_s
    status.hostname = ctx.hostname
    status.container_id = task.container_id if task.inside is None else task.inside.container_id
    if task.healthy is not None:
        status.healthy = task.healthy
    if task.ready is not None:
        status.ready = task.ready
    return status


def update(
    ctx: Context,
    task: Task,
    event: TaskEvent,
    reason: pb.Reason,
    message: str,
    exit_status: int | None = None,
    image_trouble: pb.ImageTrouble = pb.IMAGE_TROUBLE_UNSPECIFIED,
) -> None:
    """Something happens to a task: store an update, then send it when its turn comes.

    A second terminal update is dropped (SEMANTICS 11).
    """
    if task.ended:
        return
    if event is TaskEvent.KILLED and task.killed_for in OF_THE_AGENT:
        _, reason, message = ENDED_BY_AGENT[task.killed_for]
    transition = TASK_LIFE.move(task, event, ctx.now.wall_s)
    status = _status(ctx, task, task.state, reason, message)
    if exit_status is not None:
        status.exit_status = exit_status
    if image_trouble:
        status.image_trouble = image_trouble
    _carry_out(ctx, task, transition.effects, status)


def _carry_out(
    ctx: Context, task: Task, effects: tuple[TaskEffect, ...], status: pb.TaskStatus
) -> None:
    if task.ended and task.container is not None:
        ctx.move(task.container, ContainerEvent.ENDED)
    for effect in effects:
        match effect:
            case TaskEffect.UPDATE:
                task.unacknowledged.append(status)
                checkpoint(ctx, task)
            case TaskEffect.CLEAN_UP:
                pass  # in `checkpoint`, as soon as its end is stored
            case _:
                ctx.task_effects[effect](task)


def say_unknown(ctx: Context, task: Task, more: str = "") -> None:
    """Say that a task's state is unknown, since its runtime is away."""
    if task.state not in (pb.TASK_STARTING, pb.TASK_RUNNING, pb.TASK_KILLING):
        return
    task.healthy = None
    why = ctx.away[task.runtime]
    text = f"Unknown for now: the runtime {task.runtime} does not answer ({why})"
    update(ctx, task, TaskEvent.NOTED, pb.REASON_UNSPECIFIED, text + more)


def take(ctx: Context, task: Task, said: pb.TaskStatus) -> None:
    """An executor's word, stored and sent like our own."""
    status = pb.TaskStatus()
    status.CopyFrom(said)
    contract.tame(status)
    status.agent_id = ctx.state.agent_id
    status.hostname = ctx.hostname
    status.container_id = task.container_id if task.inside is None else task.inside.container_id
    status.source = pb.SOURCE_EXECUTOR
    if status.state == pb.TASK_KILLED and task.killed_for in OF_THE_AGENT:
        status.reason = status.reason or ENDED_BY_AGENT[task.killed_for][1]
    status.timestamp_s = status.timestamp_s or ctx.now.wall_s
    transition = TASK_LIFE.move(task, SAID[status.state], ctx.now.wall_s)
    if status.state == pb.TASK_RUNNING and not task.started_at_s:
        task.started_at_s = status.timestamp_s
    _carry_out(ctx, task, transition.effects, status)


def checkpoint_again(ctx: Context, container_id: str) -> None:
    """Try a checkpoint again that could not be written a while ago."""
    owner = ctx.state.tasks.get(container_id) or ctx.state.owners.get(container_id)
    if owner is not None:
        checkpoint(ctx, owner)


def checkpoint(ctx: Context, owner: Owner) -> None:
    """Write a task or an executor as it is now; again in a second if that fails."""
    stored = _stored(ctx, owner) if isinstance(owner, Task) else None
    ended = owner.ended

    def durable() -> None:
        if not _is_there(ctx, owner):
            return
        if stored is not None:
            stored()
        if ended and not owner.end_durable:
            owner.end_durable = True
            ctx.on_end_durable(owner)

    def failed(_: str) -> None:
        at = ctx.now.mono_s + ctx.config.checkpoint_retry_s
        ctx.timers.set((CHECKPOINT, owner.container_id), at)

    ctx.checkpoint((owner.change(),), durable, failed)


def _is_there(ctx: Context, owner: Owner) -> bool:
    known = ctx.state.tasks if isinstance(owner, Task) else ctx.state.owners
    return known.get(owner.container_id) is owner


def _stored(ctx: Context, task: Task) -> Callable[[], None]:
    """What may be said of a task when it is stored as it is now."""
    known = task.settled + len(task.unacknowledged)
    state, inside = task.state, task.inside
    acknowledge = list(inside.to_acknowledge) if inside is not None else []

    def durable() -> None:
        was_waiting = task.durable == 0
        task.durable_state = state
        task.durable = max(task.durable, known - task.settled)
        if was_waiting:
            send_first(ctx, task)
        for uuid in acknowledge:
            assert inside is not None
            inside.to_acknowledge.pop(uuid, None)
            if inside.executor is not None:
                acknowledge_to_executor(ctx, inside.executor, task.info.task_id, uuid)

    return durable


def send_first(ctx: Context, task: Task) -> None:
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


def _send(ctx: Context, task: Task, status: pb.TaskStatus, latest: pb.TaskState) -> None:
    message = agent_pb.AgentMessage()
    update = message.update
    update.framework_id, update.latest_state = task.framework_id, latest
    update.status.CopyFrom(status)
    ctx.tell_master(message)


def on_acknowledgement(
    ctx: Context, acknowledgement: agent_pb.MasterMessage.Acknowledgement
) -> bool:
    """The framework has the update that waits: the next one, or the end. False: none does, as when
    it is acknowledged again."""
    task = ctx.state.by_key.get((acknowledgement.framework_id, acknowledgement.task_id))
    if task is None or not task.durable:
        return False
    if task.unacknowledged[0].uuid != acknowledgement.uuid:
        return False
    status = task.acknowledged = task.unacknowledged.popleft()
    task.durable -= 1
    task.settled += 1
    ctx.timers.cancel((RESEND, task.container_id))
    if task.ended and not task.unacknowledged:
        assert status.state == task.state
        sandboxes.complete(ctx, task)
    else:
        ctx.checkpoint((task.change(),))
        send_first(ctx, task)
    return True


def drop(ctx: Context, task: Task, message: str) -> None:
    """Drop a task whose checkpoint cannot be written."""
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
    text = cut(f"The agent does not launch it: {message}", limits.MAX_SAID)
    _turn_away(ctx, framework_id, task_id, pb.TASK_ERROR, pb.REASON_TASK_INVALID, text)


def turn_away(
    ctx: Context, framework_id: str, info: pb.TaskInfo, reason: pb.Reason, text: str
) -> None:
    """This agent takes no task now: it may run elsewhere."""
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
        hostname=ctx.hostname,
    )
    update = agent_pb.StatusUpdate(framework_id=framework_id, status=status, latest_state=state)
    if contract.problem(update) is None:  # else no master would know what it is about
        ctx.tell_master(agent_pb.AgentMessage(update=update))


def acknowledge_to_executor(ctx: Context, executor: Executor, task_id: str, uuid: bytes) -> None:
    """The executor need not say it again."""
    acknowledged = executor_pb.ExecutorEvent.Acknowledged(task_id=task_id, uuid=uuid)
    ctx.tell_executor(executor, executor_pb.ExecutorEvent(acknowledged=acknowledged))
