"""The master is told which instances serve clients: all of them once, then what changes.

By that they are found by name. What is told is what is durable, as to those who watch a job. Of
jobs in quarantine nothing can be told: what the master knows of their tasks is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pymesos_binpack.core.context import Context
from pymesos_binpack.core.effects import Publish
from pymesos_binpack.jobs.instance import Instance
from pymesos_binpack.jobs.serving import is_published, served_task
from pymesos_proto.v1.names_pb2 import ServedTask


def note(ctx: Context, instances: Iterable[Instance]) -> None:
    """Something of these is durable by which they may serve, or do so no more."""
    if ctx.subscribed:
        ctx.may_serve.update((instance.key, instance) for instance in instances)


def on_subscribed(ctx: Context) -> None:
    """Tell a master all of it."""
    ctx.may_serve.clear()
    now = {instance.key: _served(ctx, instance) for instance in ctx.roster.instances()}
    ctx.told_serving = {key: served for key, served in now.items() if served is not None}
    keeps = [task_id for aside in ctx.quarantined.values() for task_id in aside.live_tasks()]
    ctx.say(Publish(tuple(ctx.told_serving.values()), whole=True, keeps=tuple(keeps)))


def were_kept(ctx: Context, instances: Sequence[Instance]) -> None:
    """A job is out of quarantine: tell what serves of it, and what that was kept does not."""
    if not ctx.subscribed:
        return
    for instance in instances:
        if instance.live:
            ctx.told_serving[instance.key] = ServedTask(task_id=instance.saved.task_id)
    note(ctx, instances)


def tell_changes(ctx: Context) -> None:
    """A step is over: tell what is another than was told."""
    if not ctx.may_serve:
        return
    serves: list[ServedTask] = []
    ended: list[str] = []
    for key, instance in ctx.may_serve.items():
        now, told = _served(ctx, instance), ctx.told_serving.pop(key, None)
        if now is not None:
            ctx.told_serving[key] = now
            if now != told:
                serves.append(now)
        if told is not None and (now is None or now.task_id != told.task_id):
            ended.append(told.task_id)
    ctx.may_serve.clear()
    if serves or ended:
        ctx.say(Publish(tuple(serves), tuple(ended)))


def _served(ctx: Context, instance: Instance) -> ServedTask | None:
    job = ctx.roster.jobs.get(instance.job_id)
    if job is None or ctx.roster.by_key.get(instance.key) is not instance:
        return None
    ctx.at = job.job_id
    served = served_task(job, instance) if is_published(job, instance) else None
    ctx.at = ""
    return served
