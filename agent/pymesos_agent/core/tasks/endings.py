"""Tasks end: killed for the framework or on our own account, with their group, with the agent."""

from __future__ import annotations

from pymesos_agent.core import executors, updates
from pymesos_agent.core.context import KILL, Context
from pymesos_agent.core.effects import DestroyContainer, DestroyGroup, Exit, KillContainer
from pymesos_agent.core.tasks import ENDING, GROUP, AgentTask, grace_s
from pymesos_core.copies import copy_of
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import types_pb2 as pb


def on_kill(ctx: Context, message: agent_pb.MasterMessage.KillTask) -> None:
    """The framework wants it, with its group."""
    task = ctx.state.by_key.get((message.framework_id, message.task_id))
    if task is not None:
        policy = copy_of(message.kill_policy) if message.HasField("kill_policy") else None
        kill(ctx, task, policy or task.info.kill_policy)
        for other in ctx.state.groups.get(task.group_id, ()):
            end_for(ctx, other, GROUP, f"{task.info.task_id} was to be killed")


def kill(ctx: Context, task: AgentTask, policy: pb.KillPolicy) -> None:
    """SIGTERM now, SIGKILL after the grace period; a later call sets a new period."""
    if task.ended:
        return
    if task.executor_container_id and task.started:
        executors.kill(ctx, task, policy)
        return
    first, task.kill = task.kill is None, policy
    if task.runtime in ctx.away and not task.is_executor:
        if first:
            updates.say_unknown(ctx, task, "; it is killed as soon as that answers")
        updates.checkpoint_task(ctx, task.container_id)
        return
    if task.container_id in ctx.unrecovered:
        updates.checkpoint_task(ctx, task.container_id)
        return  # seen when its runtime is back
    if not task.asked_to_start:
        return  # seen when its checkpoint is written
    if task.is_executor:
        executors.shut_down(ctx, task)
        return
    grace = grace_s(policy, task.info, ctx.config.kill_grace_s)
    ctx.timers.set((KILL, task.container_id), ctx.now.mono_s + grace)
    if task.killing_state and task.state == pb.TASK_RUNNING:
        updates.update(ctx, task, pb.TASK_KILLING, pb.REASON_UNSPECIFIED, "")
    else:
        updates.checkpoint_task(ctx, task.container_id)
    ctx.emit(KillContainer(task.container_id, task.runtime, force=grace <= 0))


def kill_for_good(ctx: Context, container_id: str) -> None:
    """Its grace period is over."""
    task = ctx.state.tasks.get(container_id)
    if task is not None and not task.ended and task.runtime not in ctx.away:
        ctx.emit(KillContainer(container_id, task.runtime, force=True))
        # A process in the kernel's hands dies when that lets it go: look again.
        ctx.timers.set((KILL, container_id), ctx.now.mono_s + 1.0)


def end_for(ctx: Context, task: AgentTask, what: str, why: str, *, force: bool = False) -> None:
    """End a task on our own account; one that is being killed already is not."""
    if task.kill is not None or task.ended:
        return
    task.killed_for, task.killed_why = what, why
    kill(ctx, task, task.info.kill_policy)
    if force:
        kill_for_good(ctx, task.container_id)


def end_group_of(ctx: Context, task: AgentTask) -> None:
    """One that has ended takes its group with it, unless it ended well."""
    if task.ended and task.state != pb.TASK_FINISHED:
        for other in ctx.state.groups.get(task.group_id, ()):
            end_for(ctx, other, GROUP, f"{task.info.task_id} has ended")


def destroy_group(ctx: Context, group_id: str) -> None:
    """What its containers shared, when the last of them is destroyed."""
    tasks = ctx.state.groups.get(group_id, ())
    if tasks and all(task.destroyed for task in tasks):
        runtimes = tuple(sorted({task.runtime for task in tasks}))
        ctx.emit(DestroyGroup(group_id, runtimes))


def clean_up(ctx: Context, task: AgentTask) -> None:
    """Its end is durable: what it had is removed."""
    if task.executor is not None:
        executors.task_ended(ctx, task)
    elif not task.executor_container_id:
        ctx.emit(DestroyContainer(task.container_id, task.runtime))
        destroy_group(ctx, task.group_id)
    if task.is_executor:
        updates.complete(ctx, task)
    _exit_if_empty(ctx)


def end_all(ctx: Context, message: str | None) -> None:
    """End every task, then the process. Before that the master is told, so that it offers nothing
    of what comes free here."""
    ctx.ending = True
    ctx.exit_message = message
    ctx.tell_master(agent_pb.AgentMessage(leaving=agent_pb.AgentMessage.Leaving()))
    for task in list(ctx.state.tasks.values()):
        end_for(ctx, task, ENDING, "")
    _exit_if_empty(ctx)


def _exit_if_empty(ctx: Context) -> None:
    if ctx.ending and all(task.destroyed for task in ctx.state.tasks.values()):
        ctx.emit(Exit(ctx.exit_message))
