"""Custom executors: processes of frameworks that run their tasks.

Mesos' `docs/executor-http-api.md`. An executor is a container like that of a task, and its tasks
are tasks without a container of their own. Ours: it has no resources but those of its tasks and a
little that nobody is charged for, as Mesos' command executor has, so that it is not accounted
anywhere but here; it ends when it has had no task for a while.
"""

from __future__ import annotations

from collections.abc import Set

from pymesos_agent.core import events, updates
from pymesos_agent.core.context import IDLE, KILL, SUBSCRIBE, Context
from pymesos_agent.core.effects import CloseExecutor, KillContainer, ResizeContainer, TellExecutor
from pymesos_agent.core.tasks import AgentTask, grace_s
from pymesos_core import VERSION, contract, limits
from pymesos_core.resources import Resources, from_proto, parse, total
from pymesos_core.states import is_terminal, state_name
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import executor_pb2 as executor_pb
from pymesos_proto.v1 import types_pb2 as pb

Refused = executor_pb.ExecutorEvent.Refused
OVERHEAD = parse("cpus:0.1;mem:32")
SUBSCRIBE_S = 60.0  # SEMANTICS 20
IDLE_S = 10.0
SHUTDOWN_S = 5.0  # SEMANTICS 20
MAX_UNACKNOWLEDGED = 1000
# What an executor may say of a task.
STATES = frozenset(
    {pb.TASK_STARTING, pb.TASK_RUNNING, pb.TASK_KILLING, pb.TASK_FINISHED, pb.TASK_FAILED,
     pb.TASK_KILLED, pb.TASK_ERROR}
)  # fmt: skip


def container_of(info: pb.ExecutorInfo, token: str, agent_address: str) -> pb.TaskInfo:
    """The executor as something to start. Its environment says where the agent is."""
    out = pb.TaskInfo(
        task_id=info.executor_id,
        name=info.name or info.executor_id,
        command=info.command,
        container=info.container,
        artifacts=info.artifacts,
        kill_policy=pb.KillPolicy(grace_period_s=info.shutdown_grace_period_s or SHUTDOWN_S),
    )
    mine = {
        "PYMESOS_EXECUTOR_ID": info.executor_id,
        "PYMESOS_EXECUTOR_TOKEN": token,
        "PYMESOS_AGENT": agent_address,
    }
    out.command.environment.extend(
        pb.EnvironmentVariable(name=name, value=value) for name, value in mine.items()
    )
    return out


def resources_of(executor: AgentTask) -> Resources:
    """What its container may use now."""
    live = (task for task in executor.tasks if not task.ended)
    return total((OVERHEAD, *(from_proto(task.info.resources) for task in live)))


def find(ctx: Context, framework_id: str, info: pb.ExecutorInfo) -> AgentTask | None:
    """The one of that id, unless it has ended or is about to."""
    executor = ctx.state.executors.get((framework_id, info.executor_id))
    ending = executor is None or executor.ended or executor.kill is not None
    return None if ending else executor


def started(ctx: Context, executor: AgentTask) -> None:
    """It was handed to the runtime, or found again: it is to subscribe."""
    _wait_for(ctx, executor)
    _idle_from_now(ctx, executor)


def _idle_from_now(ctx: Context, executor: AgentTask) -> None:
    if executor.ended or not all(task.ended for task in executor.tasks):
        return
    if executor.asked_to_start:
        at = ctx.now.mono_s + IDLE_S
        ctx.timers.set((IDLE, executor.container_id), at)
    else:
        # All its tasks were killed before it was handed to the runtime.
        end(ctx, executor, None, "it was not started")


def _wait_for(ctx: Context, executor: AgentTask) -> None:
    at = ctx.now.mono_s + SUBSCRIBE_S
    ctx.timers.set((SUBSCRIBE, executor.container_id), at)


def launch(ctx: Context, task: AgentTask) -> None:
    """A task whose checkpoint is written."""
    executor = task.executor
    assert executor is not None
    ctx.timers.cancel((IDLE, executor.container_id))
    _resize(ctx, executor)
    _tell_launch(ctx, executor, task)


def _tell_launch(ctx: Context, executor: AgentTask, task: AgentTask) -> None:
    task.asked_to_start = True
    launch = executor_pb.ExecutorEvent.Launch(task_info=task.info)
    ctx.tell_executor(executor, executor_pb.ExecutorEvent(launch=launch))


def _resize(ctx: Context, executor: AgentTask) -> None:
    if executor.asked_to_start and not executor.ended:
        resources = resources_of(executor)
        effect = ResizeContainer(executor.container_id, executor.runtime, resources)
        ctx.emit(effect)


def kill(ctx: Context, task: AgentTask, policy: pb.KillPolicy) -> None:
    """It is the executor that ends it; one that it never heard of is ended here."""
    executor = task.executor
    assert executor is not None
    task.kill = policy
    updates.checkpoint_task(ctx, task.container_id)
    kill = executor_pb.ExecutorEvent.Kill(task_id=task.info.task_id, kill_policy=policy)
    ctx.tell_executor(executor, executor_pb.ExecutorEvent(kill=kill))


def shut_down(ctx: Context, executor: AgentTask) -> None:
    """Ask it to end; its container is killed after the grace period."""
    shutdown = executor_pb.ExecutorEvent(shutdown=executor_pb.ExecutorEvent.Shutdown())
    ctx.tell_executor(executor, shutdown)
    policy = executor.info.kill_policy
    executor.kill = policy
    grace = grace_s(policy, executor.info, ctx.config.kill_grace_s)
    ctx.timers.set((KILL, executor.container_id), ctx.now.mono_s + grace)
    updates.checkpoint_task(ctx, executor.container_id)
    if not executor.stream_id:
        ctx.emit(KillContainer(executor.container_id, executor.runtime, force=False))


def task_ended(ctx: Context, task: AgentTask) -> None:
    """What it had is no longer the executor's; without any task that ends before long."""
    executor = task.executor
    assert executor is not None
    _resize(ctx, executor)
    _idle_from_now(ctx, executor)


def end(ctx: Context, executor: AgentTask, status: int | None, why: str) -> None:
    """Its container has ended, or will not be, and its tasks with it."""
    ctx.timers.cancel((KILL, executor.container_id))
    executor.state = pb.TASK_FAILED
    updates.checkpoint_task(ctx, executor.container_id)
    for name in (SUBSCRIBE, IDLE):
        ctx.timers.cancel((name, executor.container_id))
    if executor.stream_id:
        ctx.emit(CloseExecutor(executor.stream_id, "the executor has ended"))
        ctx.streams.pop(executor.stream_id, None)
        executor.stream_id = 0
    late = executor.killed_for == SUBSCRIBE
    reason = pb.REASON_EXECUTOR_REGISTRATION_TIMEOUT if late else pb.REASON_EXECUTOR_TERMINATED
    text = f"It did not subscribe within {SUBSCRIBE_S:g} s" if late else why
    for task in list(executor.tasks):
        state = pb.TASK_KILLED if task.kill is not None else pb.TASK_FAILED
        updates.update(ctx, task, state, reason, f"Its executor has ended: {text}")
    exited = agent_pb.AgentMessage.ExecutorExited(
        framework_id=executor.framework_id,
        executor_id=executor.info.task_id,
        status=status,
    )
    ctx.tell_master(agent_pb.AgentMessage(executor_exited=exited))


def on_due(ctx: Context, name: str, container_id: str) -> None:
    """It has not subscribed, or has had nothing to do."""
    executor = ctx.state.tasks.get(container_id)
    if executor is not None and not executor.ended and executor.kill is None:
        executor.killed_for = name
        shut_down(ctx, executor)


def to_executor(ctx: Context, message: agent_pb.ExecutorMessage) -> None:
    """A framework says something; told once."""
    executor = ctx.state.executors.get((message.framework_id, message.executor_id))
    if executor is not None:
        said = executor_pb.ExecutorEvent.Message(data=message.data)
        ctx.tell_executor(executor, executor_pb.ExecutorEvent(message=said))


# What executors say.


def on_said(ctx: Context, event: events.ExecutorSaid) -> None:
    """A call on a stream; the first one subscribes."""
    call = event.call
    executor = ctx.streams.get(event.stream_id)
    if problem := contract.problem(call):
        who = executor.info.task_id if executor is not None else "a stranger"
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
                executor_id=executor.info.task_id,
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
            _wait_for(ctx, executor)


def _refuse(ctx: Context, stream_id: int, why: str) -> None:
    error = executor_pb.ExecutorEvent.Error(message=why)
    ctx.emit(TellExecutor(stream_id, executor_pb.ExecutorEvent(error=error)))
    ctx.emit(CloseExecutor(stream_id, why))


def _refuse_call(
    ctx: Context,
    executor: AgentTask,
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
    if stream_id < executor.latest_stream:
        # What it says of its tasks was so once. Streams are numbered as they are opened.
        _refuse(ctx, stream_id, "the executor has subscribed on a later stream")
        return
    if executor.stream_id:
        _refuse(ctx, executor.stream_id, "the executor has subscribed again")
        ctx.streams.pop(executor.stream_id, None)
    executor.stream_id = executor.latest_stream = stream_id
    ctx.streams[stream_id] = executor
    ctx.timers.cancel((SUBSCRIBE, executor.container_id))
    subscribed = executor_pb.ExecutorEvent.Subscribed(
        executor_info=executor.executor_info,
        framework_info=ctx.state.framework_info(executor.framework_id),
        agent_id=executor.info.agent_id,
        agent_version=VERSION,
    )
    ctx.tell_executor(executor, executor_pb.ExecutorEvent(subscribed=subscribed))
    for status in call.unacknowledged:
        if executor.stream_id != stream_id:
            return  # one of them was refused, and the stream with it
        _on_update(ctx, executor, status)
    known = frozenset(call.task_ids)
    for task in list(executor.tasks):
        _bring_up_to_date(ctx, executor, task, known)
    over = {status.task_id for status in call.unacknowledged if is_terminal(status.state)}
    for task_id in call.task_ids:
        if task_id not in over:
            _end_stranger(ctx, executor, task_id)
    if executor.kill is not None:
        shutdown = executor_pb.ExecutorEvent(shutdown=executor_pb.ExecutorEvent.Shutdown())
        ctx.tell_executor(executor, shutdown)


def _bring_up_to_date(ctx: Context, executor: AgentTask, task: AgentTask, known: Set[str]) -> None:
    """What it missed while it was not connected."""
    if task.ended or not task.started:
        return
    if task.info.task_id not in known and task.state == pb.TASK_STAGING:
        if task.kill is not None:
            updates.update(
                ctx,
                task,
                pb.TASK_KILLED,
                pb.REASON_TASK_KILLED_DURING_LAUNCH,
                "Killed before its executor knew of it",
            )
            return
        _tell_launch(ctx, executor, task)
    elif task.info.task_id not in known:
        updates.update(
            ctx,
            task,
            pb.TASK_FAILED,
            pb.REASON_EXECUTOR_TERMINATED,
            "Its executor does not know it any more",
        )
    elif task.kill is not None:
        kill = executor_pb.ExecutorEvent.Kill(task_id=task.info.task_id, kill_policy=task.kill)
        ctx.tell_executor(executor, executor_pb.ExecutorEvent(kill=kill))


def _end_stranger(ctx: Context, executor: AgentTask, task_id: str) -> None:
    """Nobody knows a task that runs and is not ours, or not any more: it must not run."""
    task = ctx.state.by_key.get((executor.framework_id, task_id))
    if task is None or task.executor is not executor or task.ended:
        kill = executor_pb.ExecutorEvent.Kill(task_id=task_id)
        ctx.tell_executor(executor, executor_pb.ExecutorEvent(kill=kill))


def _on_update(ctx: Context, executor: AgentTask, status: pb.TaskStatus) -> None:
    """Store it, then acknowledge it; one that came before is acknowledged again."""
    problem = _status_problem(status)
    if problem is not None:
        _refuse(ctx, executor.stream_id, problem)
        return
    task = ctx.state.by_key.get((executor.framework_id, status.task_id))
    if task is None or task.executor is not executor:
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
    task.to_acknowledge[status.uuid] = None
    if task.ended and not is_terminal(status.state) and status.uuid not in task.updates_seen:
        _end_stranger(ctx, executor, status.task_id)
    if status.uuid in task.updates_seen or task.ended:
        updates.checkpoint_task(ctx, task.container_id)
        return
    task.updates_seen.append(status.uuid)
    updates.take(ctx, task, status)


def _status_problem(status: pb.TaskStatus) -> str | None:
    if not status.uuid:
        return f"an update needs a uuid of 1 to {limits.UUID.most} bytes"
    if status.state not in STATES:
        return f"an executor cannot say {state_name(status.state)} of a task"
    return limits.SAID_STATUS.problem(status.ByteSize())
