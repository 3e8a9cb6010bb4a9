"""What executors say on their streams."""

from __future__ import annotations

from collections.abc import Set

from pymesos_agent.core import events
from pymesos_agent.core.context import Context
from pymesos_agent.core.effects import CloseExecutor, TellExecutor
from pymesos_agent.core.executors import life
from pymesos_agent.core.executors.executor import Executor
from pymesos_agent.core.lifecycles import SAID, ExecutorEvent, TaskEvent
from pymesos_agent.core.tasks import updates
from pymesos_agent.core.tasks.task import Task
from pymesos_core import VERSION, contract, limits
from pymesos_core.states import is_terminal, state_name
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import executor_pb2 as executor_pb
from pymesos_proto.v1 import types_pb2 as pb

Refused = executor_pb.ExecutorEvent.Refused
MAX_UNACKNOWLEDGED = 1000


def on_said(ctx: Context, event: events.ExecutorSaid) -> None:
    """A call on a stream; the first one subscribes."""
    call = event.call
    executor = ctx.streams.get(event.stream_id)
    if problem := contract.problem(call):
        who = executor.executor_id if executor is not None else "a stranger"
        ctx.complain(f"executor {who}", "a bad call", problem)
        _refuse(ctx, event.stream_id, problem)
        return
    match call.WhichOneof("call"):
        case "subscribe" if executor is None:
            _on_subscribe(ctx, event.stream_id, call.subscribe)
        case "update" if executor is not None:
            _on_update(ctx, executor, call.update.status)
        case "message" if executor is not None:
            message = agent_pb.ExecutorMessage(
                framework_id=executor.framework_id,
                executor_id=executor.executor_id,
                data=call.message.data,
            )
            ctx.tell_master(agent_pb.AgentMessage(executor_message=message))
        case _ if executor is None:
            _refuse(ctx, event.stream_id, "the first call of a stream must be SUBSCRIBE")
        case "subscribe":
            _refuse_call(ctx, executor, "subscribe", "this stream is subscribed already")
        case kind:
            text = f"this agent, of version {VERSION}, does not know a call of this kind"
            _refuse_call(ctx, executor, kind or "", text, Refused.UNKNOWN_CALL)


def on_left(ctx: Context, event: events.ExecutorLeft) -> None:
    """A stream has ended; the executor is to come back."""
    executor = ctx.streams.pop(event.stream_id, None)
    if executor is not None and executor.stream_id == event.stream_id:
        executor.stream_id = 0
        if not executor.ended:
            life.move(ctx, executor, ExecutorEvent.LEFT)


def _refuse(ctx: Context, stream_id: int, why: str) -> None:
    error = executor_pb.ExecutorEvent.Error(message=why)
    ctx.emit(TellExecutor(stream_id, executor_pb.ExecutorEvent(error=error)))
    ctx.emit(CloseExecutor(stream_id, why))


def _refuse_call(
    ctx: Context,
    executor: Executor,
    call: str,
    why: str,
    code: Refused.Code = Refused.INVALID,
) -> None:
    """Nothing of a call is done; the stream goes on."""
    refused = Refused(call=call.upper(), code=code, message=why)
    ctx.tell_executor(executor, executor_pb.ExecutorEvent(refused=refused))


def _on_subscribe(ctx: Context, stream_id: int, call: executor_pb.ExecutorCall.Subscribe) -> None:
    executor = ctx.state.executors.get((call.framework_id, call.executor_id))
    if executor is None or executor.ended or call.token != executor.token:
        _refuse(ctx, stream_id, "this agent has no such executor, or the token is another's")
        return
    if problem := next(filter(None, map(_status_problem, call.unacknowledged)), None):
        # Before anything is taken: half of what it says may be the wrong half.
        _refuse(ctx, stream_id, problem)
        return
    if stream_id < executor.latest_stream:
        # What it says of its tasks was so once. Streams are numbered as they are opened.
        _refuse(ctx, stream_id, "the executor has subscribed on a later stream")
        return
    if executor.stream_id:
        _refuse(ctx, executor.stream_id, "the executor has subscribed again")
        ctx.streams.pop(executor.stream_id, None)
    executor.stream_id = executor.latest_stream = stream_id
    ctx.streams[stream_id] = executor
    subscribed = executor_pb.ExecutorEvent.Subscribed(
        executor_info=executor.executor_info,
        framework_info=ctx.state.framework_info(executor.framework_id),
        agent_id=executor.info.agent_id,
        agent_version=VERSION,
    )
    ctx.tell_executor(executor, executor_pb.ExecutorEvent(subscribed=subscribed))
    life.move(ctx, executor, ExecutorEvent.SUBSCRIBED)
    for status in call.unacknowledged:
        _on_update(ctx, executor, status)
    known = frozenset(call.task_ids)
    for task in list(executor.tasks):
        _bring_up_to_date(ctx, executor, task, known)
    over = {status.task_id for status in call.unacknowledged if is_terminal(status.state)}
    for task_id in call.task_ids:
        if task_id not in over:
            _end_stranger(ctx, executor, task_id)


def _bring_up_to_date(ctx: Context, executor: Executor, task: Task, known: Set[str]) -> None:
    """What it missed while it was not connected."""
    if task.ended or task.inside is None or not task.inside.told:
        return
    if task.info.task_id not in known and task.state == pb.TASK_STAGING:
        if task.kill is not None:
            updates.update(
                ctx,
                task,
                TaskEvent.KILLED,
                pb.REASON_TASK_KILLED_DURING_LAUNCH,
                "Killed before its executor knew of it",
            )
            return
        life.tell_launch(ctx, executor, task)
    elif task.info.task_id not in known:
        updates.update(
            ctx,
            task,
            TaskEvent.FAILED,
            pb.REASON_EXECUTOR_TERMINATED,
            "Its executor does not know it any more",
        )
    elif task.kill is not None:
        life.tell_kill(ctx, executor, task.info.task_id, task.kill)


def _end_stranger(ctx: Context, executor: Executor, task_id: str) -> None:
    """Nobody knows a task that runs and is not ours, or not any more: it must not run."""
    task = ctx.state.by_key.get((executor.framework_id, task_id))
    if task is None or task.executor is not executor or task.ended:
        life.tell_kill(ctx, executor, task_id)


def _on_update(ctx: Context, executor: Executor, status: pb.TaskStatus) -> None:
    """Store it, then acknowledge it; one that came before is acknowledged again."""
    problem = _status_problem(status)
    if problem is not None:
        _refuse(ctx, executor.stream_id, problem)
        return
    task = ctx.state.by_key.get((executor.framework_id, status.task_id))
    if task is None or task.inside is None or task.executor is not executor:
        updates.acknowledge_to_executor(ctx, executor, status.task_id, status.uuid)
        if not is_terminal(status.state):
            _end_stranger(ctx, executor, status.task_id)
        return
    if len(task.unacknowledged) >= MAX_UNACKNOWLEDGED:
        # It keeps what it has to say, and connects again.
        text = f"{MAX_UNACKNOWLEDGED} updates of {status.task_id[:255]} wait for its framework"
        _refuse_call(ctx, executor, "update", text, Refused.TOO_MANY)
        ctx.emit(CloseExecutor(executor.stream_id, text))
        return
    task.inside.to_acknowledge[status.uuid] = None
    if task.ended and not is_terminal(status.state) and status.uuid not in task.inside.updates_seen:
        _end_stranger(ctx, executor, status.task_id)
    if status.uuid in task.inside.updates_seen or task.ended:
        updates.checkpoint(ctx, task)
        return
    task.inside.updates_seen.append(status.uuid)
    updates.take(ctx, task, status)


def _status_problem(status: pb.TaskStatus) -> str | None:
    if not status.uuid:
        return f"an update needs a uuid of 1 to {limits.UUID.most} bytes"
    if status.state not in SAID:
        return f"an executor cannot say {state_name(status.state)} of a task"
    return limits.SAID_STATUS.problem(status.ByteSize())
