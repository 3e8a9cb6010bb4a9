"""The files of tasks that have ended, kept for those who look back."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from pymesos_agent.core import events
from pymesos_agent.core.context import Context, Owner
from pymesos_agent.core.effects import RemoveSandbox
from pymesos_agent.core.tasks.task import TASK, Task
from pymesos_core.clock import CLOCKS_APART_S
from pymesos_core.store import Change
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import checkpoint_pb2 as checkpoint_pb

SANDBOX = "sandbox"
ENDED_IN_ONE_MESSAGE = 50
LONG_AGO_S = 1e9  # 2001: only a clock that was not set yet has shown such a time


def complete(ctx: Context, owner: Owner) -> None:
    """All that was to be said of its end is said: only the sandbox is kept, in its place in the
    checkpoint.

    The files of a task that ran in an executor are the executor's, and go with that.
    """
    ctx.forget(owner)
    task = owner if isinstance(owner, Task) else None
    inside = task.inside if task is not None else None
    record = checkpoint_pb.SandboxRecord()  # field by field, as `updates._status`
    record.container_id, record.framework_id = owner.container_id, owner.framework_id
    record.task_id = owner.info.task_id
    _ends_now(ctx, record)
    if owner.container is not None:
        record.own_uid = owner.container.own_uid
    ctx.state.ended += 1
    record.number = ctx.state.ended
    if inside is not None:
        record.executor_container_id = inside.container_id
    if task is not None:
        task.remember(record.task)
    changes = [
        Change(TASK, owner.container_id, None),
        Change(SANDBOX, owner.container_id, record.SerializeToString()),
    ]
    into = ctx.state.sandboxes if inside is None else ctx.state.in_executors
    into[owner.container_id] = record
    while len(into) > ctx.config.max_sandboxes:
        changes += _forget(ctx, next(iter(into)))
    ctx.checkpoint(tuple(changes))


def _ends_now(ctx: Context, record: checkpoint_pb.SandboxRecord) -> None:
    record.ended_at_s, record.ended_mono_s = ctx.now.wall_s, ctx.now.mono_s
    record.boot_id = ctx.config.boot_id


def _age_s(ctx: Context, record: checkpoint_pb.SandboxRecord) -> float:
    """How long ago it ended; by the clock that nobody sets, if that has run since."""
    now = ctx.now
    if record.boot_id and record.boot_id == ctx.config.boot_id:
        return now.mono_s - record.ended_mono_s
    ended_at_s = record.ended_at_s
    if ended_at_s > now.wall_s + CLOCKS_APART_S or ended_at_s < LONG_AGO_S <= now.wall_s:
        # By a clock that was wrong then: it would be kept until that time comes again, or be gone
        # at once. So it counts from now on.
        _ends_now(ctx, record)
    return now.wall_s - record.ended_at_s


def in_order(records: Iterable[checkpoint_pb.SandboxRecord]) -> list[checkpoint_pb.SandboxRecord]:
    """Return them as they ended one after the other."""
    return sorted(records, key=_order)


def _order(record: checkpoint_pb.SandboxRecord) -> tuple[int, float]:
    return record.number, record.ended_at_s


def tell_ended(ctx: Context) -> None:
    """A new master learns of the tasks that ended here lately, and so where their files are.

    The last ones are those that ended last, whatever the clock has been set to meanwhile.
    """
    kept = [*ctx.state.sandboxes.values(), *ctx.state.in_executors.values()]
    told = heapq.nlargest(
        ctx.config.max_ended_told,
        (record for record in kept if record.HasField("task")),
        key=_order,
    )
    for begin in range(0, len(told), ENDED_IN_ONE_MESSAGE):
        ended = agent_pb.EndedTasks(
            tasks=[record.task for record in told[begin : begin + ENDED_IN_ONE_MESSAGE]]
        )
        ctx.tell(agent_pb.AgentMessage(ended_tasks=ended))


def _forget(ctx: Context, container_id: str) -> list[Change]:
    """One record; with a sandbox go the records of what ran in it."""
    if ctx.state.in_executors.pop(container_id, None) is not None:
        return [Change(SANDBOX, container_id, None)]
    record = ctx.state.sandboxes.pop(container_id)
    ctx.emit(RemoveSandbox(container_id))
    ctx.uids.free(record.own_uid)
    changes = [Change(SANDBOX, container_id, None)]
    for other in list(ctx.state.in_executors.values()):
        if other.executor_container_id == container_id:
            changes += _forget(ctx, other.container_id)
    return changes


def on_disk_measured(ctx: Context, event: events.DiskMeasured) -> None:
    """Remove old sandboxes; the fuller the disk, the sooner they are old.

    As Mesos does it (`docs/sandbox.md`): the longest age times the part of the disk that is
    free beyond the headroom. Ours: what ended within the last minute stays.
    """
    free = max(0.0, 1.0 - ctx.config.disk_headroom - event.used)
    age_s = max(ctx.config.sandbox_min_age_s, ctx.config.sandbox_max_age_s * free)
    changes: list[Change] = []
    for container_id, record in list(ctx.state.sandboxes.items()):
        if _age_s(ctx, record) > age_s:
            changes += _forget(ctx, container_id)
    if changes:
        ctx.checkpoint(tuple(changes))
