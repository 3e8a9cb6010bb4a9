"""Tasks and executors end: killed for the framework or on our own account, with their group, with
the agent."""

from __future__ import annotations

from pymesos_agent.core import sandboxes, slack
from pymesos_agent.core.context import KILL, STORED_WITHIN_S, Context, Owner
from pymesos_agent.core.effects import DestroyGroup, Exit, KillContainer
from pymesos_agent.core.events import ConfigChanged, UsesMeasured
from pymesos_agent.core.executors import groups
from pymesos_agent.core.executors import life as executors
from pymesos_agent.core.executors.executor import Executor
from pymesos_agent.core.lifecycles import ContainerEvent, TaskEvent
from pymesos_agent.core.tasks import updates
from pymesos_agent.core.tasks.outcomes import (
    CONFIG,
    DRAIN,
    ENDING,
    GROUP,
    LIFETIME,
    RESTARTED,
    REVOKED,
    grace_s,
)
from pymesos_agent.core.tasks.task import Task
from pymesos_core.copies import copy_of
from pymesos_core.stop_signals import first_signal
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import types_pb2 as pb

REVOKED_GRACE_S = 5.0  # at most, of those whose resources others want back


def on_kill(ctx: Context, message: agent_pb.MasterMessage.KillTask) -> None:
    """The framework wants it, with its group; or its agent is being drained."""
    task = ctx.state.by_key.get((message.framework_id, message.task_id))
    if task is not None:
        drains = message.reason == pb.REASON_AGENT_DRAINING
        if drains and task.kill is None and not task.ended:
            task.killed_for = DRAIN
        policy = copy_of(message.kill_policy) if message.HasField("kill_policy") else None
        kill(ctx, task, policy or task.info.kill_policy)
        for other in ctx.state.groups.get(task.group_id, ()):
            what = DRAIN if drains else GROUP
            end_for(ctx, other, what, f"{task.info.task_id} was to be killed")


def kill(ctx: Context, owner: Owner, policy: pb.KillPolicy) -> None:
    """Send the first signal now, SIGKILL after the grace period; a later call sets a new period."""
    if owner.ended:
        return
    if isinstance(owner, Task) and owner.inside is not None and owner.inside.told:
        executors.kill(ctx, owner, policy)
        return
    first, owner.kill = owner.kill is None, policy
    if owner.runtime in ctx.away and isinstance(owner, Task):
        if first:
            updates.say_unknown(ctx, owner, "; it is killed as soon as that answers")
        updates.checkpoint(ctx, owner)
    elif owner.container_id in ctx.unrecovered:
        updates.checkpoint(ctx, owner)  # seen when its runtime is back
    elif owner.container is None or not owner.container.launched:
        return  # seen when its checkpoint is written
    elif isinstance(owner, Executor):
        executors.shut_down(ctx, owner)
    else:
        _kill(ctx, owner, policy)


def _kill(ctx: Context, task: Task, policy: pb.KillPolicy) -> None:
    grace = grace_s(policy, task.info, ctx.config.kill_grace_s)
    ctx.timers.set((KILL, task.container_id), ctx.now.mono_s + grace + STORED_WITHIN_S)
    # As recorded from Mesos: one that takes too long is not said to be killed, for it has failed;
    # nor is one that is lost with the agent that ran before.
    said = task.killing_state and task.killed_for not in (LIFETIME, RESTARTED)
    if said and task.state == pb.TASK_RUNNING:
        updates.update(ctx, task, TaskEvent.KILLING, pb.REASON_UNSPECIFIED, "")
    else:
        updates.checkpoint(ctx, task)
    first = first_signal(policy, task.info.kill_policy)

    def signal() -> None:
        if not task.ended and task.runtime not in ctx.away:
            ctx.timers.set((KILL, task.container_id), ctx.now.mono_s + grace)
            ctx.emit(KillContainer(task.container_id, task.runtime, grace <= 0, first))

    ctx.once_stored(signal)  # an agent that ends meanwhile has to know why the task did


def kill_for_good(ctx: Context, container_id: str) -> None:
    """Kill a task whose grace period is over."""
    owner = ctx.state.owners.get(container_id)
    if owner is not None and not owner.ended and owner.runtime not in ctx.away:
        ctx.emit(KillContainer(container_id, owner.runtime, force=True))
        # A process in the kernel's hands dies when that lets it go: look again.
        ctx.timers.set((KILL, container_id), ctx.now.mono_s + 1.0)


def end_for(ctx: Context, owner: Owner, what: str, why: str, *, force: bool = False) -> None:
    """End a task or an executor on our own account, unless it is being killed already."""
    if owner.kill is not None or owner.ended:
        return
    owner.killed_for, owner.killed_why = what, why
    kill(ctx, owner, owner.info.kill_policy)
    if force:
        ctx.once_stored(lambda: kill_for_good(ctx, owner.container_id))


def on_uses_measured(ctx: Context, event: UsesMeasured) -> None:
    """Kill the revocable tasks that no longer fit, and say what may be offered now.

    What the first look after a start finds has no rate yet, so nobody is killed for it.
    """
    slack.note(ctx, event.measured)
    if ctx.slack.looks < 2:
        return
    for task in slack.too_many(ctx):
        task.killed_for, task.killed_why = REVOKED, ""
        policy = copy_of(task.info.kill_policy)
        given_s = grace_s(policy, task.info, ctx.config.kill_grace_s)
        policy.grace_period_s = min(REVOKED_GRACE_S, given_s)
        kill(ctx, task, policy)
    slack.tell(ctx)


def on_config_changed(ctx: Context, event: ConfigChanged) -> None:
    """Kill a task that is to begin anew; its framework runs it again."""
    owner = ctx.state.owners.get(event.container_id)
    if isinstance(owner, Task):
        for each in ctx.state.groups.get(owner.group_id, (owner,)):
            end_for(ctx, each, CONFIG, "")


def end_group_of(ctx: Context, task: Task) -> None:
    """One that has ended takes its group with it, unless it ended well."""
    if task.ended and task.state != pb.TASK_FINISHED:
        for other in ctx.state.groups.get(task.group_id, ()):
            end_for(ctx, other, GROUP, f"{task.info.task_id} has ended")


def destroy_group(ctx: Context, group_id: str) -> None:
    """What its containers shared, when the last of them is destroyed."""
    tasks = ctx.state.groups.get(group_id, ())
    if tasks and all(task.end_durable for task in tasks):
        runtimes = tuple(sorted({task.runtime for task in tasks}))
        ctx.emit(DestroyGroup(group_id, runtimes))


def clean_up(ctx: Context, owner: Owner) -> None:
    """Remove what an owner had, once its end is stored."""
    if owner.container is not None:
        ctx.move(owner.container, ContainerEvent.DESTROYED)
    if isinstance(owner, Executor):
        sandboxes.complete(ctx, owner)
    elif owner.executor is not None:
        executors.task_ended(ctx, owner.executor)
    else:
        destroy_group(ctx, owner.group_id)
        if groups.asks(owner):
            executors.tell_free(ctx, *groups.key_of(owner))
    _exit_if_empty(ctx)


def end_all(ctx: Context, message: str | None) -> None:
    """End every task, then the process. Before that the master is told, so that it offers nothing
    of what comes free here."""
    ctx.ending = True
    ctx.exit_message = message
    ctx.tell_master(agent_pb.AgentMessage(leaving=agent_pb.AgentMessage.Leaving()))
    for owner in ctx.state.recorded():
        end_for(ctx, owner, ENDING, "")
    _exit_if_empty(ctx)


def all_ended(ctx: Context) -> bool:
    """Return whether nothing runs here, and how all that ran has ended is stored."""
    return all(owner.end_durable for owner in ctx.state.recorded())


def _exit_if_empty(ctx: Context) -> None:
    if ctx.ending and all_ended(ctx):
        ctx.emit(Exit(ctx.exit_message))
