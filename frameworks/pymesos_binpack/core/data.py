"""Volumes: which agent has the data of an instance, and whether that may come back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set

from pymesos_binpack.core.context import Context
from pymesos_binpack.core.effects import Done, Reconcile
from pymesos_binpack.jobs.instance import Instance
from pymesos_binpack.jobs.launching import new_volumes, volume_id
from pymesos_binpack.jobs.volumes import KeptVolume, owner_of
from pymesos_binpack.placement.eligibility import barred
from pymesos_binpack.placement.tasks import Cause
from pymesos_core.reservations import volumes_of
from pymesos_core.resources import from_proto
from pymesos_core.store import Change
from pymesos_proto.v1 import types_pb2 as pb

HOME = "home"  # the timer of one that waits for the agent that has its data

# What an agent says of a task that it was given; to the master it is news.
_OF_ITS_AGENT = frozenset(
    {
        pb.TASK_STARTING,
        pb.TASK_RUNNING,
        pb.TASK_KILLING,
        pb.TASK_FINISHED,
        pb.TASK_FAILED,
        pb.TASK_KILLED,
    }
)


def note_volumes(ctx: Context, instance: Instance, status: pb.TaskStatus) -> list[Change]:
    """Note that an instance's volumes are on the agent that was given its task."""
    saved, volumes = instance.saved, instance.spec.volumes
    heard = status.state in _OF_ITS_AGENT and status.source != pb.SOURCE_MASTER
    if not (volumes and heard) or (saved.data_on and not new_volumes(instance)):
        return []
    ids = {volume.name: volume_id(instance, volume) for volume in volumes}
    instance.amend(
        data_on=status.agent_id or saved.agent_id, volume_ids={**saved.volume_ids, **ids}
    )
    changes = ctx.volumes.keep(ctx.roster.job_of(instance).job, instance)
    ctx.note(instance)
    return changes


def find_volumes(ctx: Context, offer: pb.Offer) -> None:
    """What is offered may have the volumes of one that waits, and that nobody remembers."""
    offered = list(volumes_of(from_proto(offer.resources))) if ctx.wanted_volumes else []
    for role, volume in offered:
        instance = ctx.wanted_volumes.get(volume.id)
        if instance is None or ctx.roster.job_of(instance).job.role != role:
            continue
        agent = ctx.placements.agents.get(offer.agent_id)
        if agent is not None and barred(instance.spec.constraints, agent) is not None:
            continue  # it would wait for them in vain
        there = {volume.id for _, volume in offered}
        ids = {spec.name: volume_id(instance, spec) for spec in instance.spec.volumes}
        instance.amend(
            data_on=offer.agent_id,
            hostname=offer.hostname,
            volume_ids={name: i for name, i in ids.items() if i in there},
        )
        changes = ctx.volumes.keep(ctx.roster.job_of(instance).job, instance)
        ctx.note(instance)
        ctx.store("the volumes of an instance are found", instance, *changes)


def probe(
    ctx: Context, agent_ids: Set[str] | None, instances: Iterable[Instance] | None = None
) -> None:
    """Ask whether the agents may come back that have the volumes of those that wait."""
    if not ctx.subscribed:
        return  # it is asked then
    of = ctx.roster.instances() if instances is None else instances
    waiting = (i for i in of if i.pending and i.saved.data_on)
    asked = [i for i in waiting if agent_ids is None or i.saved.data_on in agent_ids]
    ctx.probes.update({instance.probe_id: instance for instance in asked})
    if asked:
        ctx.say(Reconcile(tuple((i.probe_id, i.saved.data_on) for i in asked)))


def on_probed(ctx: Context, instance: Instance, status: pb.TaskStatus) -> None:
    """A master has answered what was asked by `probe`."""
    saved = instance.saved
    if not (instance.pending and status.agent_id == saved.data_on):
        return
    instance.home_lost_s = None if status.state != pb.TASK_UNREACHABLE else instance.home_lost_s
    if status.state == pb.TASK_UNREACHABLE:
        ctx.placements.lose(saved.data_on)
        _wait_for_home(ctx, instance)
    elif status.state == pb.TASK_GONE_BY_OPERATOR:
        changes = lose_volumes(ctx, instance, saved.data_on)
        ctx.note(instance)
        instance.explain("its data are gone: its agent was given up for good")
        ctx.store("the agent that had its volumes is gone", instance, *changes)


def _wait_for_home(ctx: Context, instance: Instance) -> None:
    """The agent that has the data of one that waits is unreachable: begin without, after a while.

    It is asked again then whether the agent still is.
    """
    replace_s = instance.spec.unreachable_replace_s
    if replace_s is None:
        return
    if instance.home_lost_s is None:
        instance.home_lost_s = ctx.now.mono_s
    until_s = instance.home_lost_s + replace_s
    if until_s <= ctx.now.mono_s:
        begin_without(ctx, instance, "its agent stayed unreachable")
    else:
        ctx.timers.set((HOME, instance.key), until_s)


def on_agent_lost(ctx: Context, agent_id: str) -> None:
    """An agent cannot be reached: who needs its data waits from now on."""
    for instance in ctx.roster.instances():
        if instance.saved.data_on == agent_id:
            instance.home_lost_s = None
    probe(ctx, {agent_id})


def on_home_awaited(ctx: Context, key: str) -> None:
    """The agent that has the data of an instance was away for long enough, unless it is back."""
    instance = ctx.roster.by_key.get(key)
    if instance is not None and instance.home_lost_s is not None:
        probe(ctx, None, [instance])


def home_is_lost(ctx: Context, instance: Instance) -> bool:
    """Whether one that waits has its data on an agent that cannot be reached."""
    home = instance.saved.data_on
    return instance.pending and home in ctx.placements.agents.lost


def begin_without(ctx: Context, instance: Instance, why: str) -> None:
    """Have one that waits for its data begin elsewhere with empty volumes."""
    away = instance.saved.hostname or instance.saved.data_on
    changes = lose_volumes(ctx, instance, instance.saved.data_on)
    instance.home_lost_s = None
    ctx.timers.cancel((HOME, instance.key))
    ctx.note(instance)
    instance.explain(f"it begins with empty volumes, without those on {away}: {why}")
    ctx.placement_of(instance).demand()
    ctx.store(f"an instance begins without its data: {why}", instance, *changes)


def lose_volumes(ctx: Context, instance: Instance, agent_id: str) -> list[Change]:
    """The agent will not come back, nor what was on it; the next launch makes new ones."""
    instance.amend(data_on="", volume_ids={})
    kept = ctx.volumes.of(owner_of(ctx.roster.job_of(instance).job, instance)).values()
    return ctx.volumes.forget(volume for volume in kept if volume.agent_id == agent_id)


def may_meet(ctx: Context, instance: Instance, agent_id: str) -> bool:
    """Whether a task that had the volumes of an instance, and was given up, may be on an agent.

    It may be one of an earlier version, or of an earlier run of the job's name.
    """
    if not new_volumes(instance):
        return False
    job = ctx.roster.job_of(instance).job
    place = f".{instance.spec.name}.{instance.index}."
    before = tuple(f"{job_id}{place}" for job_id in ctx.roster.named(job.role, job.name))
    there = (task_id for task_id, on in ctx.ledger.given_up.items() if on == agent_id)
    return any(task_id.startswith(before) for task_id in there)


def on_volume_removed(ctx: Context, role: str, removed_id: str, asked: int) -> None:
    """A volume is no more: the next launch of what had it makes a new one."""
    removed = [v for v in ctx.volumes if (v.role, v.volume_id) == (role, removed_id)]
    changes = ctx.volumes.forget(removed)
    without: list[Instance] = []
    for volume in removed:
        for job in ctx.roster.named(volume.role, volume.job).values():
            for instance in job.instances if not job.ended else ():
                if owner_of(job.job, instance) == volume.owner and instance.pending:
                    _forget_volume(ctx, instance, volume)
                    without.append(instance)
    # Also when nothing is left to be changed: what changed it may not be durable yet.
    ctx.store("a volume was removed", *changes, *without, then=[Done(asked)])


def _forget_volume(ctx: Context, instance: Instance, volume: KeptVolume) -> None:
    saved = instance.saved
    if saved.volume_ids.get(volume.name) == volume.volume_id:
        left = {name: i for name, i in saved.volume_ids.items() if name != volume.name}
        instance.amend(volume_ids=left, data_on=saved.data_on if left else "")
        ctx.placement_of(instance).demand()
    if instance.note_cause == Cause.VOLUMES_APART:
        instance.explain("")
    ctx.note(instance)


def job_with(ctx: Context, volume: KeptVolume) -> str:
    """The id of a job that has not ended and has, or waits for, a volume; or empty."""
    return next((job_id for job_id, _ in _who_has(ctx, volume)), "")


def job_that_needs(ctx: Context, volume: KeptVolume) -> str:
    """The id of a job that has a volume, and does not wait for it in vain; or empty."""
    having = _who_has(ctx, volume)
    return next((i for i, instance in having if instance is None or not _is_missing(instance)), "")


def _who_has(ctx: Context, volume: KeptVolume) -> Iterator[tuple[str, Instance | None]]:
    """The ids of jobs that have not ended and have, or wait for, a volume, with their instances.

    One in quarantine may have it, unless what is stored says that it does not.
    """
    for job in ctx.roster.named(volume.role, volume.job).values():
        for instance in job.instances if not job.ended else ():
            ids = instance.saved.volume_ids
            if not instance.saved.done and ids.get(volume.name) == volume.volume_id:
                yield job.job_id, instance
    yield from ((i, None) for i, aside in ctx.quarantined.items() if aside.may_have(volume))


def _is_missing(instance: Instance) -> bool:
    """Whether one waits for data without which its agent was offered."""
    refusal = instance.refusal if instance.pending else None
    return refusal is not None and refusal.cause is Cause.VOLUME_MISSING
