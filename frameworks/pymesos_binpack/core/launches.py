"""Plans made, and carried out: launches, and kills for what is more urgent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

from pymesos_binpack.core import data, versions
from pymesos_binpack.core.context import KEPT, Context
from pymesos_binpack.core.effects import Accept, Decline, Revive, Suppress
from pymesos_binpack.core.then import KillStored, LaunchStored
from pymesos_binpack.jobs.budgets import spares
from pymesos_binpack.jobs.instance import Instance
from pymesos_binpack.jobs.launching import (
    gang_problem,
    part_of_accept,
    running_task,
    task_infos,
    with_volumes,
)
from pymesos_binpack.jobs.lifecycle import Happened, Phase
from pymesos_binpack.jobs.ports import in_order
from pymesos_binpack.placement.accepts import Part
from pymesos_binpack.placement.agents import Attributes, Placements
from pymesos_binpack.placement.decisions import to_text
from pymesos_binpack.placement.hand import AgentOffers
from pymesos_binpack.placement.packing import Workload
from pymesos_binpack.placement.placing import Chosen, Eviction, Placement
from pymesos_binpack.placement.planner import Launch
from pymesos_binpack.placement.ports import in_ranges
from pymesos_binpack.placement.preemption import Running, RunningTask
from pymesos_binpack.placement.tasks import Cause
from pymesos_core.resources import devices
from pymesos_core.text import count_of
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb

EXPLAIN_S = 1.0
PREEMPT_AGAIN_S = 30.0  # when what was freed for a task went to somebody else
# The timers of a role.
EXPLAIN, HOLD = "explain", "hold"
OF_ROLES = (EXPLAIN, HOLD)


def make_plan(ctx: Context, placement: Placement[Instance]) -> None:
    """Plan over all offers in hand; decline what is of no use; ask for more, or for none."""
    placement.due = False
    if not ctx.subscribed:
        return
    offers = placement.hand.by_agent()
    if placement.queue and (offers or placement.explaining):
        try:
            _place(ctx, placement, offers)
        except Exception:
            placed = _placed(ctx, placement)
            ctx.at = ctx.at or placement.culprit(offers, placed, ctx.now.mono_s)
            raise
    elif placement.queue:
        # Offers are on their way; if none come, that is explained, too.
        ctx.timers.set((EXPLAIN, placement.role), ctx.now.mono_s + EXPLAIN_S)
    answer = placement.answer()
    if answer.declined:
        ctx.say(Decline(answer.declined, answer.refuse_s))
    if answer.suppress:
        ctx.say(Suppress(placement.role))
    if answer.revive:
        ctx.say(Revive(placement.role))


def _place(ctx: Context, placement: Placement[Instance], offers: list[AgentOffers]) -> None:
    now_s = ctx.now.mono_s
    round_, chosen, news = placement.place(
        offers,
        _placed(ctx, placement),
        Workload.counted(ctx.roster.shapes),
        in_ranges(ctx.roster.host_ports),
        now_s,
        lambda instance: _part(ctx, instance),
    )
    ctx.changed.update(dict.fromkeys(news))
    for job_id in news:
        versions.look_soon(ctx, job_id)
    for instance in round_.too_large:  # of a job that an older version took
        problem = gang_problem(ctx.roster.job_of(instance).job) or ""
        instance.explain(problem, Cause.GANG)
        ctx.changed[instance.job_id] = None
    for on_agent in chosen:
        _launch(ctx, placement, on_agent)
    if (until_s := placement.hold_back(round_, now_s)) is not None:
        ctx.timers.set((HOLD, placement.role), until_s)
    evictions = placement.evict(
        round_,
        lambda instance: _may_preempt(ctx, instance),
        lambda: preemptible(ctx, placement.role),
    )
    for eviction in evictions:
        _evict(ctx, eviction)


def on_kept_for_long(ctx: Context, key: str) -> None:
    """What room was kept for has not got it: others may have it."""
    instance = ctx.roster.by_key.get(key)
    if instance is not None:
        ctx.placement_of(instance).demand()


def _part(ctx: Context, instance: Instance) -> Part:
    return part_of_accept(ctx.roster.job_of(instance).job, instance.spec)


def _placed(ctx: Context, placement: Placement[Instance]) -> Placements:
    """Where the instances run of the jobs that wait, of which constraints are."""
    out = Placements()
    for job_id in dict.fromkeys(line.job_id for line in placement.queue):
        job = ctx.roster.jobs[job_id]
        for instance in job.instances if job.fields else ():
            if instance.saved.task_id in ctx.roster.by_task:
                out.add(instance.group, _attributes_of(ctx, instance))
    return out


def _attributes_of(ctx: Context, instance: Instance) -> Attributes:
    saved = instance.saved
    if saved.attributes.keys() >= ctx.roster.job_of(instance).fields:
        return saved.attributes
    # It was launched before anybody asked for them.
    agent = ctx.placements.agents.get(saved.agent_id)
    return (
        agent.attributes if agent is not None else {"hostname": saved.hostname, **saved.attributes}
    )


def _launch(ctx: Context, placement: Placement[Instance], chosen: Chosen[Instance]) -> None:
    """Store the launches on one agent; they are sent once that is durable."""
    offer = chosen.launches[0].offer
    alone: list[pb.TaskInfo] = []
    grouped: list[tuple[pb.TaskInfo, ...]] = []
    before: list[scheduler_pb.Operation] = []
    launched: list[Instance] = []
    for planned in chosen.launches:
        instance = chosen.who[planned.task.task_id]
        ctx.at = instance.job_id
        launch, operations = with_volumes(instance, planned, placement.role)
        before += operations
        _begin(ctx, instance, launch)
        infos = task_infos(instance, launch)
        if instance.spec.sidecars:
            grouped.append(infos)
        else:
            alone += infos
        launched.append(instance)
    ctx.at = ""
    for offer_id in offer.offer_ids:
        placement.hand.drop(offer_id)
    # If the offer is gone meanwhile, the master answers so for each task.
    accept = Accept(offer.offer_ids, tuple(alone), tuple(before), tuple(grouped))
    meant = tuple((instance, instance.saved.task_id) for instance in launched)
    ctx.store("tasks are launched", *launched, then=[LaunchStored(accept, meant)])


def _begin(ctx: Context, instance: Instance, launch: Launch) -> None:
    """The instance is one that is being launched."""
    agent, job = launch.offer.agent, ctx.roster.job_of(instance)
    instance.move(Happened.PLANNED, ctx.now.wall_s)
    instance.amend(
        task_id=launch.task.task_id,
        attempts=instance.saved.attempts + 1,
        state=pb.TASK_STAGING,
        agent_id=agent.agent_id,
        hostname=agent.hostname,
        address=agent.ip,
        attributes={n: agent.attributes[n] for n in job.fields if n in agent.attributes},
        ports=in_order(instance.spec, launch),
        devices=devices(launch.resources),
        exit_status=None,
        ended_beside=(),
        preempted=False,
        decision=_decision(ctx, launch),
    )
    instance.explain("its launch is being stored", Cause.STORING, at_once=True)
    instance.sidecar_failed, instance.next_start_at_s = False, 0.0
    instance.meets_its_data = data.may_meet(ctx, instance, agent.agent_id)
    ctx.roster.begin_task(instance)
    ctx.note(instance)
    if job.fields:
        ctx.placements.of(job.job.role).moved.add(job.job_id)


def _decision(ctx: Context, launch: Launch) -> str:
    """Why it goes there, as it is stored."""
    made = launch.decision
    return to_text(replace(made, at_s=ctx.now.wall_s)) if made is not None else ""


def on_launch_stored(ctx: Context, stored: LaunchStored) -> None:
    """Launches are durable: they are sent."""
    for instance, task_id in stored.launched:
        if instance.saved.task_id != task_id:
            continue
        if instance.state is Phase.STORING:
            instance.move(Happened.LAUNCH_STORED, ctx.now.wall_s)
        if instance.note_cause == Cause.STORING:
            instance.explain("")
    ctx.say(stored.accept)


def _may_preempt(ctx: Context, instance: Instance) -> bool:
    again = instance.preempt_again_s <= ctx.now.mono_s
    return ctx.roster.job_of(instance).job.preempt and again


def preemptible(ctx: Context, role: str) -> Running:
    """The tasks of a role that may be killed for others.

    What tasks of other roles free is for whom the master offers it to.
    """
    spare: dict[str, Mapping[str, int]] = {}  # of each job that was met
    there = ctx.roster.occupancy

    def on(agent_id: str, below: int) -> Iterator[RunningTask]:
        for instance in there.below(role, agent_id, below):
            if not _may_go(ctx, instance):
                continue
            job = ctx.roster.job_of(instance)
            if job.job_id not in spare:
                spare[job.job_id] = spares(job, ctx.steady_s, ctx.draining.keys())
            yield running_task(instance, job.job.priority, spare[job.job_id].get(instance.key))

    return Running(on, partial(there.held_below, role))


def _may_go(ctx: Context, instance: Instance) -> bool:
    """Whether killing an instance now makes room that is offered."""
    ends = instance.killing or instance.saved.preempted
    ends = ends or instance.saved.agent_id in ctx.draining  # nothing of which is offered
    ends = ends or instance.spec.revocable  # what it runs on is for nothing else
    return instance.saved.state == pb.TASK_RUNNING and not ends


def _evict(ctx: Context, eviction: Eviction[Instance]) -> None:
    """Stored first: after a restart, too, such an end is not the end of the instance."""
    victims = [ctx.roster.by_task[task_id] for task_id in eviction.victims]
    grace_s = max(victim.spec.kill_grace_s for victim in victims)
    for waiter in eviction.waiters:
        waiter.preempt_again_s = ctx.now.mono_s + grace_s + PREEMPT_AGAIN_S
        ctx.timers.set((KEPT, waiter.key), waiter.preempt_again_s)
        waiter.kept_agents = eviction.agents
        text = f"waits for {count_of(len(victims), 'task')} of lower priority to end"
        waiter.explain(text, Cause.PREEMPTING)
        ctx.changed[waiter.job_id] = None
    for victim in victims:
        victim.amend(preempted=True)
    meant = tuple((victim, victim.saved.task_id) for victim in victims)
    ctx.store("tasks make room for more urgent ones", *victims, then=[KillStored(meant)])


def on_kill_stored(ctx: Context, stored: KillStored) -> None:
    """Why tasks are killed is durable: those that are still there are."""
    for instance, task_id in stored.meant:
        if instance.live and instance.saved.task_id == task_id:
            ctx.kill(instance)
