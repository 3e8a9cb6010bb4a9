"""Runtimes go away and come back: an engine is restarted, a supervisor cannot be.

While one is away nobody knows how its tasks are. They are neither given up nor checked, what is to
be killed is killed when it is back, and the agent registers anew, without the runtime, so that
nothing is placed on it.
"""

from __future__ import annotations

from pymesos_agent.core import events, recovery, session
from pymesos_agent.core.context import KILL, Context, Owner
from pymesos_agent.core.effects import DestroyContainer, KillContainer
from pymesos_agent.core.executors import life as executors
from pymesos_agent.core.executors.executor import Executor
from pymesos_agent.core.lifecycles import TaskEvent
from pymesos_agent.core.tasks import endings, life, updates
from pymesos_agent.core.tasks.task import Task
from pymesos_proto.v1 import types_pb2 as pb


def on_away(ctx: Context, event: events.RuntimeAway) -> None:
    """A runtime does not answer: what runs on it is unknown for now."""
    known = event.name in ctx.away
    ctx.away[event.name] = event.why
    if known or not ctx.recovered:
        return
    for owner in _owners_of(ctx, event.name):
        ctx.timers.cancel((KILL, owner.container_id))
        if isinstance(owner, Task):
            updates.say_unknown(ctx, owner)
    session.register_anew(ctx, f"the runtime {event.name} does not answer: {event.why}")


def on_back(ctx: Context, event: events.RuntimeBack) -> None:
    """A runtime answers, and what it holds is compared with what is known."""
    is_new = ctx.away.pop(event.name, None) is not None
    if event.name not in (*ctx.config.runtimes, *ctx.came):
        is_new = True
        ctx.came.append(event.name)
        ctx.isolation |= {f"{event.name} {n}": what for n, what in event.isolation.items()}
    if not ctx.recovered:
        return
    for container_id, container in event.containers.items():
        owner = ctx.state.owners.get(container_id)
        if owner is None:
            recovery.end_stray(ctx, container_id, event.name, container)
        elif owner.ended:
            ctx.emit(KillContainer(container_id, event.name, force=True))
            ctx.emit(DestroyContainer(container_id, event.name))
    for owner in _owners_of(ctx, event.name):
        found = event.containers.get(owner.container_id)
        if owner.container_id in ctx.unrecovered:
            ctx.unrecovered.discard(owner.container_id)
            recovery.recover(ctx, owner, found)
        elif owner.container is not None and owner.container.launched and not owner.ended:
            _compare(ctx, owner, found)
    if is_new:
        session.register_anew(ctx, f"the runtime {event.name} answers")


def on_broken(ctx: Context, event: events.RuntimeBroken) -> None:
    """A runtime starts nothing: no more tasks are offered to it, and those on it run on."""
    known = event.name in ctx.broken
    ctx.broken[event.name] = event.why
    if not known and ctx.recovered:
        session.register_anew(ctx, f"the runtime {event.name} starts no containers: {event.why}")


def on_mended(ctx: Context, event: events.RuntimeMended) -> None:
    """A runtime that was broken starts containers again."""
    if ctx.broken.pop(event.name, None) is not None and ctx.recovered:
        session.register_anew(ctx, f"the runtime {event.name} starts containers again")


def _owners_of(ctx: Context, runtime: str) -> list[Owner]:
    """The tasks and executors that have a container there."""
    return [owner for owner in ctx.state.owners.values() if owner.runtime == runtime]


def _compare(ctx: Context, owner: Owner, found: events.ContainerState | None) -> None:
    """What we knew of a container, and what is there of it."""
    if found is None:
        why = f"Its container was gone when the runtime {owner.runtime} came back"
        if isinstance(owner, Executor):
            executors.end(ctx, owner, None, why)
        else:
            event = TaskEvent.FAILED if owner.kill is None else TaskEvent.KILLED
            updates.update(ctx, owner, event, pb.REASON_EXECUTOR_TERMINATED, why)
        return
    if found.pid and not owner.started_at_s:
        life.on_started(ctx, events.ContainerStarted(owner.container_id, found.pid))
    if found.exit is not None:
        life.on_exited(ctx, found.exit)
    elif owner.kill is not None:
        endings.kill(ctx, owner, owner.kill)
    elif isinstance(owner, Task) and owner.state == pb.TASK_RUNNING:
        text = f"The runtime {owner.runtime} answers again, and it runs"
        updates.update(ctx, owner, TaskEvent.NOTED, pb.REASON_UNSPECIFIED, text)
        life.watch_life(ctx, owner)
