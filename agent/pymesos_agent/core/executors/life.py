"""An executor from its launch to its end.

As in Mesos' `src/slave/slave.cpp`: it is started for its first task, subscribes, is told of each
task, and says how they are. Its updates are stored before they are acknowledged to it, and a
task that it does not know when it subscribes again has failed. Its container may use what its
tasks may, and what it holds itself: its master has taken that for it, and is told when it comes
free. One that asks for nothing has a little that nobody is charged for, as Mesos' command executor
has. It ends when it has had no task for a while.
"""

from __future__ import annotations

from pymesos_agent.core.context import IDLE, KILL, STORED_WITHIN_S, SUBSCRIBE, Context
from pymesos_agent.core.effects import CloseExecutor, KillContainer, ResizeContainer
from pymesos_agent.core.executors import groups
from pymesos_agent.core.executors.executor import Executor
from pymesos_agent.core.executors.groups import GroupExecutor
from pymesos_agent.core.lifecycles import (
    EXECUTOR_LIFE,
    ContainerEvent,
    ExecutorEffect,
    ExecutorEvent,
    TaskEvent,
)
from pymesos_agent.core.tasks import updates
from pymesos_agent.core.tasks.outcomes import ENDED_BY_AGENT, RESTARTED, grace_s
from pymesos_agent.core.tasks.task import Task
from pymesos_core import contract
from pymesos_core.text import duration
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import executor_pb2 as executor_pb
from pymesos_proto.v1 import types_pb2 as pb

SUBSCRIBE_S = 60.0  # SEMANTICS 20
IDLE_S = 10.0
SHUTDOWN_S = 5.0  # SEMANTICS 20
SHUT_DOWN = executor_pb.ExecutorEvent(shutdown=executor_pb.ExecutorEvent.Shutdown())


def as_task(info: pb.ExecutorInfo, token: str, agent_address: str) -> pb.TaskInfo:
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


def add_environment_of_mesos(
    as_task: pb.TaskInfo,
    framework_id: str,
    token: str,
    mesos_at: str,
    grace_period_s: float,
    *,
    checkpoint: bool,
) -> None:
    """Add what an executor of Mesos looks for (its docs/executor-http-api.md).

    Where its sandbox is stands beside PYMESOS_SANDBOX, in the environment of its container.
    """
    host, _, _ = mesos_at.rpartition(":")
    theirs = {
        "MESOS_FRAMEWORK_ID": framework_id,
        "MESOS_EXECUTOR_ID": as_task.task_id,
        "MESOS_SLAVE_ID": as_task.agent_id,
        "MESOS_SLAVE_PID": f"slave(1)@{mesos_at}",
        "MESOS_AGENT_ENDPOINT": mesos_at,
        "MESOS_CHECKPOINT": "1" if checkpoint else "0",
        "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD": f"{grace_period_s or SHUTDOWN_S:g}secs",
        "MESOS_EXECUTOR_AUTHENTICATION_TOKEN": token,
        "MESOS_HTTP_COMMAND_EXECUTOR": "0",
        "LIBPROCESS_IP": host,
        "LIBPROCESS_PORT": "0",
    }
    if checkpoint:  # the agent may be started again: subscribe again
        theirs["MESOS_RECOVERY_TIMEOUT"] = "15mins"
        theirs["MESOS_SUBSCRIPTION_BACKOFF_MAX"] = "2secs"
    as_task.command.environment.extend(
        pb.EnvironmentVariable(name=name, value=value) for name, value in theirs.items()
    )


def find(ctx: Context, framework_id: str, info: pb.ExecutorInfo) -> Executor | None:
    """The one of that id, unless it has ended or is about to."""
    executor = ctx.state.executors.get((framework_id, info.executor_id))
    return executor if executor is not None and serves(executor) else None


def serves_tasks(ctx: Context, framework_id: str, info: pb.TaskInfo) -> bool:
    """Whether the executor of a task is there, and takes it."""
    if info.HasField("executor"):
        return find(ctx, framework_id, info.executor) is not None
    return groups.find(ctx, (framework_id, info.group_executor_id)) is not None


def serves(executor: Executor) -> bool:
    """Whether an executor takes tasks: it has not ended, and is not being ended."""
    return not executor.ended and executor.kill is None


def move(ctx: Context, executor: Executor, event: ExecutorEvent) -> None:
    """Change its state, and do what belongs to that."""
    for effect in EXECUTOR_LIFE.move(executor, event, ctx.now.wall_s).effects:
        match effect:
            case ExecutorEffect.AWAIT:
                at = ctx.now.mono_s + SUBSCRIBE_S
                ctx.timers.set((SUBSCRIBE, executor.container_id), at)
            case ExecutorEffect.WELCOME:
                ctx.timers.cancel((SUBSCRIBE, executor.container_id))
            case ExecutorEffect.SHUT_DOWN:
                ctx.once_stored(lambda: ctx.tell_executor(executor, SHUT_DOWN))
            case ExecutorEffect.END_TASKS:
                pass  # in `end`, which knows why


def launched(ctx: Context, executor: Executor) -> None:
    """Expect an executor to subscribe: the runtime has it, or it was found again."""
    ctx.move(executor.container, ContainerEvent.LAUNCHED)
    move(ctx, executor, ExecutorEvent.LAUNCHED)
    _idle_from_now(ctx, executor)


def _idle_from_now(ctx: Context, executor: Executor) -> None:
    if executor.ended or not all(task.ended for task in executor.tasks):
        return
    if executor.container.launched:
        at = ctx.now.mono_s + IDLE_S
        ctx.timers.set((IDLE, executor.container_id), at)
    else:
        # All its tasks were killed before it was handed to the runtime.
        end(ctx, executor, None, "it was not started")


def launch(ctx: Context, executor: Executor, task: Task) -> None:
    """A task whose checkpoint is written."""
    ctx.timers.cancel((IDLE, executor.container_id))
    _resize(ctx, executor)
    tell_launch(ctx, executor, task)


def tell_launch(ctx: Context, executor: Executor, task: Task) -> None:
    """The executor is to start a task."""
    launch = executor_pb.ExecutorEvent.Launch(task_info=task.info)
    ctx.tell_executor(executor, executor_pb.ExecutorEvent(launch=launch))


def _resize(ctx: Context, executor: Executor) -> None:
    if executor.container.launched and not executor.ended:
        effect = ResizeContainer(executor.container_id, executor.runtime, executor.resources)
        ctx.emit(effect)


def kill(ctx: Context, task: Task, policy: pb.KillPolicy) -> None:
    """Have the executor end a task; a task that it never heard of ends here."""
    task.kill = policy
    updates.checkpoint(ctx, task)

    def tell() -> None:
        if task.executor is not None and not task.ended:
            tell_kill(ctx, task.executor, task.info.task_id, policy)

    ctx.once_stored(tell)  # an agent that ends meanwhile has to know why the task did


def tell_kill(
    ctx: Context, executor: Executor, task_id: str, policy: pb.KillPolicy | None = None
) -> None:
    """The executor is to end a task."""
    kill = executor_pb.ExecutorEvent.Kill(task_id=task_id, kill_policy=policy)
    ctx.tell_executor(executor, executor_pb.ExecutorEvent(kill=kill))


def shut_down(ctx: Context, executor: Executor) -> None:
    """Ask it to end; its container is killed after the grace period."""
    move(ctx, executor, ExecutorEvent.SHUT_DOWN)
    policy = executor.info.kill_policy
    executor.kill = policy
    grace = grace_s(policy, executor.info, ctx.config.kill_grace_s)
    ctx.timers.set((KILL, executor.container_id), ctx.now.mono_s + grace + STORED_WITHIN_S)
    updates.checkpoint(ctx, executor)

    def signal() -> None:
        if executor.ended or executor.runtime in ctx.away:
            return
        ctx.timers.set((KILL, executor.container_id), ctx.now.mono_s + grace)
        if not executor.stream_id:
            ctx.emit(KillContainer(executor.container_id, executor.runtime, force=False))

    ctx.once_stored(signal)


def task_ended(ctx: Context, executor: Executor) -> None:
    """What a task had is no longer the executor's; without any task that ends before long."""
    _resize(ctx, executor)
    _idle_from_now(ctx, executor)


def end(ctx: Context, executor: Executor, status: int | None, why: str) -> None:
    """End an executor whose container has ended or will not start, and its tasks with it."""
    ctx.timers.cancel((KILL, executor.container_id))
    move(ctx, executor, ExecutorEvent.ENDED)
    ctx.move(executor.container, ContainerEvent.ENDED)
    updates.checkpoint(ctx, executor)
    for name in (SUBSCRIBE, IDLE):
        ctx.timers.cancel((name, executor.container_id))
    if executor.stream_id:
        ctx.emit(CloseExecutor(executor.stream_id, "the executor has ended"))
        ctx.streams.pop(executor.stream_id, None)
        executor.stream_id = 0
    late = executor.killed_for == SUBSCRIBE
    reason = pb.REASON_EXECUTOR_REGISTRATION_TIMEOUT if late else pb.REASON_EXECUTOR_TERMINATED
    text = f"It did not subscribe within {duration(SUBSCRIBE_S)}" if late else why
    for task in list(executor.tasks):
        if executor.killed_for == RESTARTED:
            updates.update(ctx, task, *ENDED_BY_AGENT[RESTARTED])
            continue
        event = TaskEvent.KILLED if task.kill is not None else TaskEvent.FAILED
        updates.update(ctx, task, event, reason, f"Its executor has ended: {text}")
    exited = agent_pb.AgentMessage.ExecutorExited(
        framework_id=executor.framework_id,
        executor_id=executor.executor_id,
        status=status,
        held=bool(executor.executor_info.resources),
    )
    ctx.tell_master(agent_pb.AgentMessage(executor_exited=exited))


def tell_free(ctx: Context, framework_id: str, executor_id: str) -> None:
    """Nothing is held by such an executor, unless there is one: its master gives that back."""
    key = (framework_id, executor_id)
    executor = ctx.state.executors.get(key)
    if (executor is not None and executor.held) or groups.find(ctx, key) is not None:
        return
    exited = agent_pb.AgentMessage.ExecutorExited(
        framework_id=framework_id, executor_id=executor_id, held=True, quiet=True
    )
    if contract.problem(exited) is None:
        ctx.tell_master(agent_pb.AgentMessage(executor_exited=exited))


def held(ctx: Context) -> list[Executor | GroupExecutor]:
    """Return those that hold resources of their own."""
    custom = [one for one in ctx.state.owners.values() if isinstance(one, Executor) and one.held]
    return [*custom, *groups.held(ctx)]


def on_due(ctx: Context, name: str, container_id: str) -> None:
    """End an executor that has not subscribed in time, or has had nothing to do for too long."""
    executor = ctx.state.owners.get(container_id)
    if isinstance(executor, Executor) and not executor.ended and executor.kill is None:
        executor.killed_for = name
        shut_down(ctx, executor)


def to_executor(ctx: Context, message: agent_pb.ExecutorMessage) -> None:
    """A framework says something; told once."""
    executor = ctx.state.executors.get((message.framework_id, message.executor_id))
    if executor is not None:
        said = executor_pb.ExecutorEvent.Message(data=message.data)
        ctx.tell_executor(executor, executor_pb.ExecutorEvent(message=said))
