"""An agent starts anew: its checkpoint, and what the runtimes find."""

from __future__ import annotations

from itertools import chain

from google.protobuf.message import DecodeError

from pymesos_agent.core import events, sandboxes, session
from pymesos_agent.core.context import STRAYS, Context, Owner
from pymesos_agent.core.effects import DestroyContainer, KillContainer
from pymesos_agent.core.executors import life as executors
from pymesos_agent.core.executors.executor import Executor
from pymesos_agent.core.lifecycles import ContainerEvent, TaskEvent
from pymesos_agent.core.records import RecordError, read_next_user, read_owner, read_sandbox
from pymesos_agent.core.tasks import endings, launches, life, updates
from pymesos_agent.core.tasks.outcomes import GROUP, RESTARTED
from pymesos_agent.core.tasks.task import TASK, Task
from pymesos_core.copies import copy_of
from pymesos_core.exits import RoleError
from pymesos_core.ids import id_problem
from pymesos_core.reservations import with_reserved
from pymesos_core.resource_values import ResourceError
from pymesos_core.resources import Resources, checked_total, for_good, from_proto, is_revocable
from pymesos_core.store import Records
from pymesos_core.text import count_of, duration
from pymesos_proto.v1 import checkpoint_pb2 as checkpoint_pb
from pymesos_proto.v1 import types_pb2 as pb

STRAYS_S = 60.0  # that a registration waits for containers without a record to end


class RecoveryError(RoleError):
    """The checkpoint and the flags do not fit: the message names the two ways out."""


def load(ctx: Context, records: Records) -> None:
    """The checkpoint. Raises RecoveryError."""
    ended: list[checkpoint_pb.SandboxRecord] = []
    for (kind, key), value in records.items():
        try:
            if kind == session.AGENT:
                _load_agent(ctx, value)
            elif kind == TASK:
                _add(ctx, read_owner(key, value))
            elif kind == sandboxes.SANDBOX:
                ended.append(read_sandbox(key, value))
            elif kind == launches.USERS:
                ctx.uids.go_on(read_next_user(value))
        except RecordError as error:
            _set_aside(ctx, kind, key, str(error), error.group_id)
            ctx.uids.hold(error.own_uid)
    _link_executors(ctx)
    for owner in ctx.state.owners.values():
        if owner.container is not None:
            ctx.uids.hold(owner.container.own_uid)
    ctx.state.ended = max((record.number for record in ended), default=0)
    for record in sandboxes.in_order(ended):
        if record.container_id in ctx.state.tasks or record.container_id in ctx.state.owners:
            problem = "the task has a record of its own, and has not ended"
            _set_aside(ctx, sandboxes.SANDBOX, record.container_id, problem)
            continue
        in_executor = bool(record.executor_container_id)
        into = ctx.state.in_executors if in_executor else ctx.state.sandboxes
        into[record.container_id] = record
        ctx.uids.hold(record.own_uid)
    try:
        held: Resources = checked_total(
            chain(
                (from_proto(t.info.resources) for t in ctx.state.tasks.values() if not t.ended),
                (executor.held for executor in executors.held(ctx)),
            )
        )
        mine = with_reserved(from_proto(ctx.config.info.resources), ctx.state.reserved)
    except ResourceError as error:
        raise RecoveryError(
            f"{error}; to give its volumes and reservations up, as a new agent:"
            f" `pymesos-agent recover --discard`"
        ) from error
    if not mine.contains(held if is_revocable(mine) else for_good(held)):
        raise RecoveryError(
            f"the tasks of this agent hold {held}, more than its resources are now ({mine}):"
            f" restore the flags it had, or give the tasks up with"
            f" `pymesos-agent recover --discard`"
        )


def _load_agent(ctx: Context, value: bytes) -> None:
    """Raises RecoveryError: without it nothing is known of what this agent has promised."""
    agent = checkpoint_pb.AgentCheckpoint()
    try:
        agent.ParseFromString(value)
        reserved = from_proto(agent.reserved)
        problem = id_problem(agent.agent_id) if agent.agent_id else None
    except (DecodeError, ResourceError) as error:
        problem = str(error)
    if problem is not None:
        raise RecoveryError(
            f"the checkpoint cannot be read ({problem}): restore it from a backup, or give"
            f" its tasks up with `pymesos-agent recover --discard`"
        )
    ctx.state.agent_id, ctx.agent_id_durable = agent.agent_id, bool(agent.agent_id)
    ctx.state.epoch_seen = agent.epoch_seen
    ctx.state.reserved = ctx.reserved_durable = reserved


def _add(ctx: Context, owner: Owner) -> None:
    """Raises RecordError: a framework has one task of an id, in whatever order records come."""
    if isinstance(owner, Executor):
        latest = ctx.state.executors.get(owner.key)
        ctx.add(owner)
        if latest is not None and executors.serves(latest):
            ctx.state.executors[owner.key] = latest  # the other is ending, and may run still
        return
    if (other := ctx.state.by_key.get(owner.key)) is not None:
        if owner.ended or not other.ended:
            group_id = "" if owner.ended else owner.group_id
            raise RecordError(f"the record {other.container_id} is of the same task", group_id)
        # Its end was acknowledged, and that this was so could not be written.
        ctx.forget(other)
        problem = f"the record {owner.container_id} is of the same task, which runs again"
        _set_aside(ctx, TASK, other.container_id, problem)
    ctx.add(owner)


def _set_aside(ctx: Context, kind: str, key: str, problem: str, group_id: str = "") -> None:
    """One record is damaged, and the rest goes on. It stays as it is, for those who look into it.

    What still runs of such a task is ended when the runtimes have said what is there, with the
    group that it was one of: its framework is told that nobody knows it, and starts another.
    """
    record = f"{kind}/{key}"
    ctx.state.set_aside[key] = problem
    if group_id:
        ctx.broken_groups[group_id] = record
    ctx.complain(
        f"the checkpoint's record {record}",
        "set aside",
        f"it cannot be read ({problem}). What runs under this id is ended; the record is kept"
        f" until `pymesos-agent recover --discard`",
    )


def _link_executors(ctx: Context) -> None:
    for task in ctx.state.tasks.values():
        if task.inside is not None:
            task.inside.told = True  # or it will be, once its executor subscribes
            executor = ctx.state.owners.get(task.inside.container_id)
            if isinstance(executor, Executor) and executor.framework_id == task.framework_id:
                task.inside.executor = executor
                executor.tasks.append(task)


def on_recovered(ctx: Context, event: events.ContainersRecovered) -> None:
    """Put what was checkpointed and what is there together."""
    assert not ctx.recovered
    ctx.recovered = True
    for container_id, container in event.containers.items():
        if container_id not in ctx.state.owners:
            end_stray(ctx, container_id, "", container)
    for owner in ctx.state.recorded():
        found = event.containers.get(owner.container_id)
        if found is None or found.exit is None:
            _end_with_agent(owner)
        if owner.runtime in ctx.away and owner.container is not None:
            ctx.unrecovered.add(owner.container_id)
            if isinstance(owner, Task):
                updates.say_unknown(ctx, owner)
        else:
            recover(ctx, owner, found)
    for group_id, tasks in list(ctx.state.groups.items()):
        for task in tasks:
            endings.end_group_of(ctx, task)
        endings.destroy_group(ctx, group_id)
    for group_id, record in ctx.broken_groups.items():
        for task in ctx.state.groups.get(group_id, ()):
            endings.end_for(ctx, task, GROUP, f"the record {record} of another is set aside")
    if ctx.connection is not None:
        session.register(ctx)


def _end_with_agent(owner: Owner) -> None:
    """Have end what a framework without checkpoints has here: the agent was started again.

    A task in an executor ends with that.
    """
    live = owner.ends_with_agent and not owner.ended and owner.kill is None
    if live and owner.container is not None:
        owner.kill, owner.killed_for = copy_of(owner.info.kill_policy), RESTARTED


def end_stray(
    ctx: Context, container_id: str, runtime: str, container: events.ContainerState
) -> None:
    """Kill a container of no record; until it has ended, this agent does not register."""
    ctx.emit(KillContainer(container_id, runtime, force=True))
    if container.exit is not None:
        ctx.emit(DestroyContainer(container_id, runtime))
    elif container_id not in ctx.strays:
        ctx.strays.add(container_id)
        ctx.timers.set(STRAYS, ctx.now.mono_s + STRAYS_S)


def on_exited(ctx: Context, event: events.ContainerExited) -> None:
    """A container has ended; with the last that has no record all the agent has is free again."""
    life.on_exited(ctx, event)
    if event.container_id in ctx.strays:
        ctx.strays.discard(event.container_id)
        _register_without_strays(ctx)


def on_strays_due(ctx: Context, _: str) -> None:
    """Some do not end: the kernel holds them, and the tasks of this agent cannot wait for ever."""
    count = count_of(len(ctx.strays), "container")
    text = (
        f"{count} of no record did not end in {duration(STRAYS_S)}; what they hold is offered again"
    )
    ctx.complain("this agent", "strays", text)
    ctx.strays.clear()
    _register_without_strays(ctx)


def _register_without_strays(ctx: Context) -> None:
    if not ctx.strays:
        ctx.timers.cancel(STRAYS)
        if ctx.connection is not None and not ctx.connection.said_who:
            session.register(ctx)


def recover(ctx: Context, owner: Owner, found: events.ContainerState | None) -> None:
    """Put a checkpointed task or executor together with what its runtime has found of it."""
    if isinstance(owner, Executor):
        _recover_executor(ctx, owner, found)
    elif owner.container is None:
        _recover_in_executor(ctx, owner)
    else:
        recover_task(ctx, owner, found)


def _recover_in_executor(ctx: Context, task: Task) -> None:
    """Recover a task that lives as long as its executor, which has to say what became of it."""
    assert task.inside is not None
    if task.ended:
        return
    if task.executor is None or task.executor.ended:
        updates.update(
            ctx,
            task,
            TaskEvent.FAILED,
            pb.REASON_EXECUTOR_TERMINATED,
            "Its executor has ended while the agent was away",
        )


def _recover_executor(
    ctx: Context, executor: Executor, found: events.ContainerState | None
) -> None:
    if executor.ended:
        ctx.move(executor.container, ContainerEvent.DESTROYED)
        sandboxes.complete(ctx, executor)
    elif found is None:
        executors.end(ctx, executor, None, "its container was gone when the agent restarted")
    else:
        executors.launched(ctx, executor)
        life.on_started(ctx, events.ContainerStarted(executor.container_id, found.pid))
        if found.exit is not None:
            life.on_exited(ctx, found.exit)
        elif executor.kill is not None:
            executors.shut_down(ctx, executor)  # whose grace period nobody measured meanwhile


def recover_task(ctx: Context, task: Task, found: events.ContainerState | None) -> None:
    """The same for a task with a container of its own."""
    assert task.container is not None
    if task.ended:
        ctx.move(task.container, ContainerEvent.DESTROYED)
    elif found is None:
        begun = task.state != pb.TASK_STAGING
        updates.update(
            ctx,
            task,
            TaskEvent.FAILED if begun else TaskEvent.DROPPED,
            pb.REASON_AGENT_RESTARTED,
            "Its container was gone when the agent restarted"
            if begun
            else "The agent restarted before the task was started",
        )
    else:
        ctx.move(task.container, ContainerEvent.LAUNCHED)
        if task.state in life.EARLY:
            life.on_started(ctx, events.ContainerStarted(task.container_id, found.pid))
        elif task.state == pb.TASK_RUNNING and found.exit is None:
            life.watch_life(ctx, task)
        if found.exit is not None:
            life.on_exited(ctx, found.exit)
        elif task.kill is not None:
            endings.kill(ctx, task, task.kill)
