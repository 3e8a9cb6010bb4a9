"""What nobody uses of this agent: offered as revocable, and taken back once its owners use it.

Owners are the tasks on resources that are not revocable. How much one uses is taken to be the most
that it was seen to use lately; of one that was launched just now, or was not measured yet, all that
it asked for, and so of one that cannot be measured. What is left of the agent after them, less a
margin, is its slack. Revocable tasks that no longer fit are killed, the latest first. That happens
only within half of the margin, so that what was just offered is not taken back for nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pymesos_agent.core.executors.executor import Executor
from pymesos_agent.core.tasks.task import Task
from pymesos_core.clock import CLOCKS_APART_S
from pymesos_core.resource_tags import REVOCABLE
from pymesos_core.resources import EMPTY, Resources, for_good, from_proto, tagged, to_proto
from pymesos_proto.v1 import agent_pb2 as agent_pb

if TYPE_CHECKING:
    from pymesos_agent.core.context import Context

NAMES = ("cpus", "mem")
PEAK_S = 30.0  # for so long it counts what somebody has used
YOUNG_S = 30.0  # for so long a task may come to use all that it asked for
GROWS_AFTER_S = 10.0  # more is offered that long after something was said of it
STEPS: Mapping[str, int] = {"cpus": 100, "mem": 64_000}  # milli; what is offered is a multiple
Amounts = dict[str, int]  # milli, by name
Owner = Task | Executor


@dataclass(frozen=True, slots=True)
class Measured:
    """What a task has used: CPU time since its start, and memory now."""

    cpu_s: float
    mem_mib: float


@dataclass(slots=True)
class Uses:
    """What a task was seen to use lately, by container."""

    latest: tuple[float, float]  # when it was measured, and the CPU time until then
    peaks: deque[tuple[float, int, int]] = field(default_factory=deque)  # when; milli


@dataclass(slots=True)
class Slack:
    """What an agent knows of it. `told`: what its master was told last, on the stream in use."""

    uses: dict[str, Uses] = field(default_factory=dict)
    looks: int = 0
    told: Amounts = field(default_factory=dict)
    told_s: float = 0.0
    told_on: int = 0  # the connection


def is_revocable(task: Task) -> bool:
    """Whether it runs on what others may take back."""
    return any(resource.revocable for resource in task.info.resources)


def note(ctx: Context, measured: Mapping[str, Measured]) -> None:
    """Keep what was measured, by container."""
    slack, now_s = ctx.slack, ctx.now.mono_s
    slack.looks += 1
    for container_id in slack.uses.keys() - measured.keys():
        del slack.uses[container_id]
    for container_id, used in measured.items():
        known = slack.uses.get(container_id)
        if known is None:
            slack.uses[container_id] = Uses((now_s, used.cpu_s))
            continue
        for_s = now_s - known.latest[0]
        if for_s <= 0:
            continue
        cpus = int(1000 * max(0.0, used.cpu_s - known.latest[1]) / for_s)
        known.latest = (now_s, used.cpu_s)
        known.peaks.append((now_s, cpus, int(1000 * used.mem_mib)))
        while known.peaks[0][0] < now_s - PEAK_S:
            known.peaks.popleft()


def expected(ctx: Context, owner: Owner) -> Amounts:
    """How much an owner is taken to use."""
    held = _amounts(for_good(_resources(owner)))
    if not any(held.values()):
        return held
    uses = ctx.slack.uses.get(owner.container_id)
    seen = uses.peaks if uses is not None else ()
    peak = {
        "cpus": max((cpus for _, cpus, _ in seen), default=0),
        "mem": max((mem for _, _, mem in seen), default=0),
    }
    # A day before its launch, and more, is a clock that was wrong then.
    young = (
        isinstance(owner, Task) and -CLOCKS_APART_S < ctx.now.wall_s - owner.launched_at_s < YOUNG_S
    )
    if young or not seen:
        return {name: max(held[name], peak[name]) for name in NAMES}
    return peak


def unused(ctx: Context, margin: float) -> Amounts:
    """What owners leave of the agent, less a margin."""
    total = _amounts(from_proto(ctx.config.info.resources))
    out = {name: int(total[name] * (1 - margin)) for name in NAMES}
    for owner in ctx.state.owners.values():
        if not owner.ended:
            for name, value in expected(ctx, owner).items():
                out[name] -= value
    return {name: max(0, value) for name, value in out.items()}


def too_many(ctx: Context) -> list[Task]:
    """The revocable tasks that are to end, with their groups: the latest, until the others fit."""
    margin = ctx.config.revocable_margin
    assert margin is not None
    there = unused(ctx, margin / 2)
    going = [t for t in ctx.state.tasks.values() if is_revocable(t) and not t.ended]
    staying = sorted((t for t in going if t.kill is None), key=lambda task: task.launched_at_s)
    held = _held(staying)
    out: list[Task] = []
    while staying and any(held[name] > there[name] for name in NAMES):
        latest = staying[-1]
        together = [t for t in staying if t is latest or t.group_id == latest.group_id != ""]
        for name, value in _held(together).items():
            held[name] -= value
        out += together
        if len(together) == 1:
            staying.pop()
        else:
            staying = [t for t in staying if t.group_id != latest.group_id]
    return out


def tell(ctx: Context) -> None:
    """Tell the master what may be offered: less at once, and more once a while."""
    margin, connection = ctx.config.revocable_margin, ctx.connection
    if margin is None or connection is None or not connection.registered:
        return
    slack = ctx.slack
    there = {n: v - v % STEPS[n] for n, v in unused(ctx, margin).items()}
    if not all(there.values()):
        there = {}  # what has no CPU, or no memory, is of no use
    is_new = slack.told_on != connection.connection_id
    less = any(there.get(name, 0) < value for name, value in slack.told.items())
    more = there != slack.told and ctx.now.mono_s >= slack.told_s + GROWS_AFTER_S
    if is_new or less or more:
        slack.told, slack.told_s = there, ctx.now.mono_s
        slack.told_on = connection.connection_id
        revocable = tagged(REVOCABLE, Resources(there)) if there else EMPTY
        told = agent_pb.AgentMessage.Slack(revocable=to_proto(revocable))
        ctx.tell_master(agent_pb.AgentMessage(slack=told))


def _resources(owner: Owner) -> Resources:
    return from_proto(owner.info.resources) if isinstance(owner, Task) else owner.resources


def _amounts(resources: Resources) -> Amounts:
    quantities = resources.quantities
    return {name: quantities.get(name, 0) for name in NAMES}


def _held(tasks: Iterable[Task]) -> Amounts:
    """What revocable tasks hold of what may be taken back."""
    out = dict.fromkeys(NAMES, 0)
    for task in tasks:
        revocable = from_proto(task.info.resources).where(lambda tag: tag.revocable)
        for name, value in _amounts(revocable).items():
            out[name] += value
    return out
