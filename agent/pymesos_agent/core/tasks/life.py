"""A task from its container's start to its exit: how it is, how long it lives, what it writes."""

from __future__ import annotations

from pymesos_agent.core import endings, events, executors, launches, updates
from pymesos_agent.core.checks import (
    HEALTH,
    READINESS,
    CheckState,
    checks_of,
    delay_s,
    interval_s,
    take_answer,
    timeout_s,
)
from pymesos_agent.core.context import KILL, Context
from pymesos_agent.core.effects import CapCpu, DestroyContainer, KillContainer, RunCheck
from pymesos_agent.core.tasks import DISK, LIFETIME, AgentTask, ending
from pymesos_core.resources import from_proto
from pymesos_proto.v1 import types_pb2 as pb

ENDLESS_FORKS = 100  # within a second


def on_pulling(ctx: Context, event: events.ContainerPulling) -> None:
    """Its image or its files take a while: that is TASK_STARTING, and how far they are."""
    task = ctx.state.tasks.get(event.container_id)
    early = (pb.TASK_STAGING, pb.TASK_STARTING)
    if task is not None and task.state in early and task.kill is None and not task.is_executor:
        updates.update(ctx, task, pb.TASK_STARTING, pb.REASON_UNSPECIFIED, event.message)


def on_started(ctx: Context, event: events.ContainerStarted) -> None:
    """It runs, or one that was to be killed meanwhile is killed now."""
    task = ctx.state.tasks.get(event.container_id)
    if task is None or task.ended:
        # It was given up while it was on its way, and nobody else would end it.
        runtime = "" if task is None else task.runtime
        ctx.emit(KillContainer(event.container_id, runtime, force=True))
        ctx.emit(DestroyContainer(event.container_id, runtime))
        return
    known = task.pid
    task.pid = event.pid
    if task.state == pb.TASK_RUNNING:
        if task.pid != known:  # an agent restarted while it was being launched
            updates.checkpoint_task(ctx, task.container_id)
        return
    if task.is_executor:
        task.started_at_s, task.state = ctx.now.wall_s, pb.TASK_RUNNING
        updates.checkpoint_task(ctx, task.container_id)
    elif task.kill is None:
        task.started_at_s = ctx.now.wall_s
        updates.update(ctx, task, pb.TASK_RUNNING, pb.REASON_UNSPECIFIED, "")
        watch_life(ctx, task)
    else:
        endings.kill(ctx, task, task.kill)


def on_failed(ctx: Context, event: events.ContainerFailed) -> None:
    """It was never there."""
    task = ctx.state.tasks.get(event.container_id)
    if task is None or task.ended:
        return
    ctx.timers.cancel((KILL, task.container_id))
    if task.is_executor:
        executors.end(ctx, task, None, f"it cannot be launched: {event.message}")
        return
    if task.kill is not None:
        updates.update(
            ctx,
            task,
            pb.TASK_KILLED,
            pb.REASON_TASK_KILLED_DURING_LAUNCH,
            f"Killed while its container was launched: {event.message}",
        )
        return
    updates.update(
        ctx,
        task,
        pb.TASK_FAILED,
        pb.REASON_CONTAINER_LAUNCH_FAILED,
        f"Failed to launch container: {event.message}",
    )


def on_exited(ctx: Context, event: events.ContainerExited) -> None:
    """It has ended: how, and why."""
    task = ctx.state.tasks.get(event.container_id)
    if task is None:
        ctx.emit(DestroyContainer(event.container_id, ""))
        return
    if task.ended:
        if task.destroyed:  # too early
            ctx.emit(DestroyContainer(task.container_id, task.runtime))
        return
    ctx.timers.cancel((KILL, task.container_id))
    state, reason, message = ending(task, event)
    if task.is_executor:
        executors.end(ctx, task, event.exit_status, message)
        return
    updates.update(ctx, task, state, reason, message, event.exit_status)


def watch_life(ctx: Context, task: AgentTask) -> None:
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
        start = launches.start_of(ctx, task)
        ctx.emit(RunCheck(container_id, name, check, timeout_s(check), start, task.pid))


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
            updates.update(ctx, task, pb.TASK_RUNNING, pb.REASON_TASK_CHECK_STATUS_UPDATED, text)
        return
    changed, ends = take_answer(state, check, ctx.now.mono_s, well)
    if changed:
        task.healthy = well
        text = "Healthy" if well else f"Unhealthy: {event.problem}"
        updates.update(ctx, task, pb.TASK_RUNNING, pb.REASON_TASK_HEALTH_CHECK_STATUS_UPDATED, text)
    if ends:
        endings.end_for(ctx, task, HEALTH, event.problem or "")


def on_lifetime(ctx: Context, container_id: str) -> None:
    """It is as old as it may become."""
    task = ctx.state.tasks.get(container_id)
    if task is not None:
        endings.end_for(ctx, task, LIFETIME, f"{task.info.max_completion_time_s:g} s")


def on_disk_exceeded(ctx: Context, event: events.DiskExceeded) -> None:
    """It has written more than it asked for."""
    task = ctx.state.tasks.get(event.container_id)
    if task is not None and task.state == pb.TASK_RUNNING:
        asked = from_proto(task.info.resources).quantities.get("disk", 0) / 1000
        used = event.used_bytes / 2**20
        endings.end_for(
            ctx, task, DISK, f"asked for {asked:g} MiB, used {used:.0f} MiB", force=True
        )


def on_processes_refused(ctx: Context, event: events.ProcessesRefused) -> None:
    """One that forks without end is held at the CPU that it asked for, for the rest of its life."""
    task = ctx.state.tasks.get(event.container_id)
    if task is None or task.ended or task.capped or event.count < ENDLESS_FORKS:
        return
    task.capped = True
    asked = executors.resources_of(task) if task.is_executor else from_proto(task.info.resources)
    cpus_milli = asked.quantities.get("cpus", 0)
    ctx.emit(CapCpu(task.container_id, cpus_milli, task.pid))
    if task.state == pb.TASK_RUNNING and not task.is_executor:
        text = (
            f"It was refused {event.count} processes within a second, for it has as many as it may:"
            f" from now on it gets {cpus_milli / 1000:g} CPUs at most"
        )
        updates.update(ctx, task, pb.TASK_RUNNING, pb.REASON_UNSPECIFIED, text)
