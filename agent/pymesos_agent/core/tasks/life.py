"""A task from its container's start to its exit: how it is, how long it lives, what it writes."""

from __future__ import annotations

from pymesos_agent.core import events
from pymesos_agent.core.context import KILL, Context, Owner
from pymesos_agent.core.effects import CapCpu, DestroyContainer, KillContainer, RunCheck
from pymesos_agent.core.executors import life as executors
from pymesos_agent.core.executors.executor import Executor
from pymesos_agent.core.lifecycles import ContainerEvent, TaskEvent
from pymesos_agent.core.tasks import endings, launches, updates
from pymesos_agent.core.tasks.checks import (
    HEALTH,
    READINESS,
    CheckState,
    checks_of,
    delay_s,
    interval_s,
    take_answer,
    timeout_s,
)
from pymesos_agent.core.tasks.outcomes import DISK, LIFETIME, ending
from pymesos_agent.core.tasks.task import Task
from pymesos_core.resources import Resources, from_proto
from pymesos_core.text import duration
from pymesos_proto.v1 import types_pb2 as pb

ENDLESS_FORKS = 100  # within a second
NO_PROGRAM_STATUS = 1  # of a command whose program Mesos' executor cannot execute
EARLY = (pb.TASK_STAGING, pb.TASK_STARTING)


def on_pulling(ctx: Context, event: events.ContainerPulling) -> None:
    """An image or files take a while: the task is TASK_STARTING, and says how far they are.

    A framework that is told of every start hears TASK_STARTING then, as it would from Mesos.
    """
    task = ctx.state.tasks.get(event.container_id)
    if task is None or _wants_starting(ctx, task):
        return
    if task.state in EARLY and task.kill is None:
        updates.update(ctx, task, TaskEvent.FETCHING, pb.REASON_UNSPECIFIED, event.message)


def on_started(ctx: Context, event: events.ContainerStarted) -> None:
    """A container runs; one that was to be killed meanwhile is killed now."""
    owner = ctx.state.owners.get(event.container_id)
    if owner is None or owner.container is None:
        ctx.emit(KillContainer(event.container_id, "", force=True))
        ctx.emit(DestroyContainer(event.container_id, ""))
        return
    ctx.move(owner.container, ContainerEvent.STARTED)
    if owner.ended:
        return
    known, owner.container.pid = owner.container.pid, event.pid
    if isinstance(owner, Executor):
        if not owner.started_at_s or event.pid != known:
            owner.started_at_s = owner.started_at_s or ctx.now.wall_s
            updates.checkpoint(ctx, owner)
    elif owner.state == pb.TASK_RUNNING:
        if event.pid != known:  # an agent restarted while it was being launched
            updates.checkpoint(ctx, owner)
    elif owner.kill is None:
        _start(ctx, owner)
    else:
        endings.kill(ctx, owner, owner.kill)


def _start(ctx: Context, task: Task) -> None:
    """Say that a task runs."""
    task.started_at_s = ctx.now.wall_s
    if task.state == pb.TASK_STAGING and _wants_starting(ctx, task):
        updates.update(ctx, task, TaskEvent.FETCHING, pb.REASON_UNSPECIFIED, "")
    updates.update(ctx, task, TaskEvent.STARTED, pb.REASON_UNSPECIFIED, "")


def _wants_starting(ctx: Context, task: Task) -> bool:
    info = ctx.state.framework_info(task.framework_id)
    return pb.TASK_STARTING_STATE in info.capabilities


def on_failed(ctx: Context, event: events.ContainerFailed) -> None:
    """A container could not be started: its task ends.

    One whose program cannot be executed has run, to a framework that is told of every start: in
    Mesos its executor runs, and fails to execute it.
    """
    owner = ctx.state.owners.get(event.container_id)
    if owner is None or owner.ended:
        return
    ctx.timers.cancel((KILL, owner.container_id))
    if isinstance(owner, Executor):
        executors.end(ctx, owner, None, f"it cannot be launched: {event.message}")
    elif owner.kill is not None:
        updates.update(
            ctx,
            owner,
            TaskEvent.KILLED,
            pb.REASON_TASK_KILLED_DURING_LAUNCH,
            f"Killed while its container was launched: {event.message}",
        )
    elif event.no_program and _wants_starting(ctx, owner):
        _start(ctx, owner)
        message = f"Command exited with status {NO_PROGRAM_STATUS}: {event.message}"
        reason = pb.REASON_UNSPECIFIED
        updates.update(ctx, owner, TaskEvent.FAILED, reason, message, NO_PROGRAM_STATUS)
    else:
        updates.update(
            ctx,
            owner,
            TaskEvent.FAILED,
            pb.REASON_CONTAINER_LAUNCH_FAILED,
            f"Failed to launch container: {event.message}",
            image_trouble=event.image,
        )


def on_exited(ctx: Context, event: events.ContainerExited) -> None:
    """A container has ended: its task says how, and why."""
    owner = ctx.state.owners.get(event.container_id)
    if owner is None or owner.container is None:
        ctx.emit(DestroyContainer(event.container_id, ""))
        return
    if owner.ended:
        ctx.move(owner.container, ContainerEvent.ENDED)
        return
    ctx.timers.cancel((KILL, owner.container_id))
    outcome, reason, message = ending(owner, event)
    if isinstance(owner, Executor):
        executors.end(ctx, owner, event.exit_status, message)
    else:
        updates.update(ctx, owner, outcome, reason, message, event.exit_status)


def watch_life(ctx: Context, task: Task) -> None:
    """Ask for its health from now on, and end it when it is old."""
    now_s = ctx.now.mono_s
    for name, check in checks_of(task.info):
        task.checks[name] = CheckState(now_s)
        ctx.timers.set((name, task.container_id), now_s + delay_s(check))
    if most_s := task.info.max_completion_time_s:
        age_s = max(0.0, ctx.now.wall_s - task.started_at_s)
        ctx.timers.set((LIFETIME, task.container_id), now_s + max(0.0, most_s - age_s))


def ask(ctx: Context, name: str, container_id: str) -> None:
    """A check is due."""
    task = ctx.state.tasks.get(container_id)
    if task is not None and task.state == pb.TASK_RUNNING and task.runtime not in ctx.away:
        check = dict(checks_of(task.info))[name]
        assert task.container is not None  # else nobody watches it
        start = launches.start_of(ctx, task)
        ctx.emit(RunCheck(container_id, name, check, timeout_s(check), start, task.container.pid))


def on_checked(ctx: Context, event: events.Checked) -> None:
    """An answer: tell what is new, and end the task for its health if it asks for that."""
    task = ctx.state.tasks.get(event.container_id)
    if task is None or task.state != pb.TASK_RUNNING or task.kill is not None:
        return
    if task.runtime in ctx.away:
        return  # asked anew when that is back
    check = dict(checks_of(task.info))[event.name]
    ctx.timers.set((event.name, event.container_id), ctx.now.mono_s + interval_s(check))
    well = event.problem is None
    state = task.checks[event.name]
    if event.name == READINESS:
        if state.last is not well:
            state.last = task.ready = well
            text = "Ready" if well else f"Not ready: {event.problem}"
            updates.update(ctx, task, TaskEvent.NOTED, pb.REASON_TASK_CHECK_STATUS_UPDATED, text)
        return
    changed, ends = take_answer(state, check, ctx.now.mono_s, well)
    if changed:
        task.healthy = well
        text = "Healthy" if well else f"Unhealthy: {event.problem}"
        updates.update(ctx, task, TaskEvent.NOTED, pb.REASON_TASK_HEALTH_CHECK_STATUS_UPDATED, text)
    if ends:
        endings.end_for(ctx, task, HEALTH, event.problem or "")


def on_lifetime(ctx: Context, container_id: str) -> None:
    """End a task that is as old as it may become."""
    task = ctx.state.tasks.get(container_id)
    if task is not None:
        endings.end_for(ctx, task, LIFETIME, duration(task.info.max_completion_time_s))


def on_disk_exceeded(ctx: Context, event: events.DiskExceeded) -> None:
    """End a task that has written more than it asked for."""
    owner = ctx.state.owners.get(event.container_id)
    if owner is not None and _runs(owner):
        asked = _resources(owner).quantities.get("disk", 0) / 1000
        used = event.used_bytes / 2**20
        why = f"asked for {asked:g} MiB, used {used:.0f} MiB"
        endings.end_for(ctx, owner, DISK, why, force=True)


def on_processes_refused(ctx: Context, event: events.ProcessesRefused) -> None:
    """One that forks without end is held at the CPU that it asked for, for the rest of its life."""
    owner = ctx.state.owners.get(event.container_id)
    if owner is None or owner.container is None or owner.ended:
        return
    container = owner.container
    if container.capped or event.count < ENDLESS_FORKS:
        return
    container.capped = True
    cpus_milli = _resources(owner).quantities.get("cpus", 0)
    ctx.emit(CapCpu(container.container_id, cpus_milli, container.pid))
    if isinstance(owner, Task) and owner.state == pb.TASK_RUNNING:
        text = (
            f"It was refused {event.count} processes within a second, as it has as many as it may:"
            f" from now on it gets {cpus_milli / 1000:g} CPUs at most"
        )
        updates.update(ctx, owner, TaskEvent.NOTED, pb.REASON_UNSPECIFIED, text)


def _runs(owner: Owner) -> bool:
    if isinstance(owner, Executor):
        return bool(owner.started_at_s) and not owner.ended
    return owner.state == pb.TASK_RUNNING


def _resources(owner: Owner) -> Resources:
    return owner.resources if isinstance(owner, Executor) else from_proto(owner.info.resources)
