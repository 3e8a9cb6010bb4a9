"""Runtimes go away and come back: an engine is restarted, a supervisor cannot be.

While one is away nobody knows how its tasks are. They are neither given up nor checked, what is to
be killed is killed when it is back, and the agent registers anew, without the runtime, so that
nothing is placed on it.
"""

from __future__ import annotations

from pymesos_agent.core import endings, events, executors, life, recovery, session, updates
from pymesos_agent.core.context import KILL, Context
from pymesos_agent.core.effects import DestroyContainer, KillContainer
from pymesos_agent.core.tasks import AgentTask
from pymesos_proto.v1 import types_pb2 as pb


def on_away(ctx: Context, event: events.RuntimeAway) -> None:
    """It does not answer."""
    known = event.name in ctx.away
    ctx.away[event.name] = event.why
    if known or not ctx.recovered:
        return
    for task in _tasks_of(ctx, event.name):
        ctx.timers.cancel((KILL, task.container_id))
        updates.say_unknown(ctx, task)
    session.register_anew(ctx, f"the runtime {event.name} does not answer: {event.why}")


def on_back(ctx: Context, event: events.RuntimeBack) -> None:
    """It answers, and has said what it holds."""
    is_new = ctx.away.pop(event.name, None) is not None
    if event.name not in (*ctx.config.runtimes, *ctx.came):
        is_new = True
        ctx.came.append(event.name)
        ctx.isolation |= {f"{event.name} {n}": what for n, what in event.isolation.items()}
    if not ctx.recovered:
        return
    for container_id in event.containers:
        task = ctx.state.tasks.get(container_id)
        if task is None or task.ended:
            ctx.emit(KillContainer(container_id, event.name, force=True))
            ctx.emit(DestroyContainer(container_id, event.name))
    for task in _tasks_of(ctx, event.name):
        found = event.containers.get(task.container_id)
        if task.container_id in ctx.unrecovered:
            ctx.unrecovered.discard(task.container_id)
            recovery.recover_late(ctx, task, found)
        elif task.asked_to_start and not task.ended:
            _compare(ctx, task, found)
    if is_new:
        session.register_anew(ctx, f"the runtime {event.name} answers")


def _tasks_of(ctx: Context, runtime: str) -> list[AgentTask]:
    """Those that have a container of their own there."""
    tasks = ctx.state.tasks.values()
    return [t for t in tasks if t.runtime == runtime and not t.executor_container_id]


def _compare(ctx: Context, task: AgentTask, found: events.ContainerState | None) -> None:
    """What we knew of a task, and what is there of it."""
    if found is None:
        why = f"Its container was gone when the runtime {task.runtime} came back"
        if task.is_executor:
            executors.end(ctx, task, None, why)
        else:
            state = pb.TASK_FAILED if task.kill is None else pb.TASK_KILLED
            updates.update(ctx, task, state, pb.REASON_EXECUTOR_TERMINATED, why)
        return
    if found.pid and task.state in (pb.TASK_STAGING, pb.TASK_STARTING):
        life.on_started(ctx, events.ContainerStarted(task.container_id, found.pid))
    if found.exit is not None:
        life.on_exited(ctx, found.exit)
    elif task.kill is not None:
        endings.kill(ctx, task, task.kill)
    elif task.state == pb.TASK_RUNNING and not task.is_executor:
        text = f"The runtime {task.runtime} answers again, and it runs"
        updates.update(ctx, task, pb.TASK_RUNNING, pb.REASON_UNSPECIFIED, text)
        life.watch_life(ctx, task)
