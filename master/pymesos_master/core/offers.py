"""Offers: sent, accepted, declined, rescinded, timed out."""

from __future__ import annotations

import math
from collections.abc import Iterable

from pymesos_core import resources
from pymesos_core.resources import EMPTY, Resources, total
from pymesos_master.core import tasks
from pymesos_master.core.context import Context
from pymesos_master.core.state import Agent, AgentState, Framework, Offer, Task
from pymesos_master.core.validation import task_problem
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb

DEFAULT_REFUSE_S = 5.0
MAX_IGNORED_S = 320.0
MAX_REFUSE_S = 365 * 86400.0
MAX_EVENT_BYTES = 256 * 1024


def allocate(ctx: Context) -> None:
    """Turn the allocator's grants into offers."""
    if ctx.agents_awaited > 0:
        return
    by_framework: dict[str, list[Offer]] = {}
    for grant in ctx.allocator.allocate(ctx.now.mono_s):
        agent = ctx.state.agents[grant.agent_id]
        framework = ctx.state.frameworks[grant.framework_id]
        assert agent.state == AgentState.ACTIVE
        assert framework.connection_id is not None
        offer = Offer(
            next(ctx.offer_ids),
            framework.framework_id,
            agent.agent_id,
            grant.role,
            grant.resources,
            ctx.now.wall_s,
        )
        ctx.state.offers[offer.offer_id] = offer
        agent.offers[offer.offer_id] = offer
        framework.offers[offer.offer_id] = offer
        framework.last_offer_at_s = ctx.now.wall_s
        deadline = ctx.now.mono_s + ctx.config.offer_timeout_s
        ctx.timers.set(("offer", offer.offer_id), deadline)
        by_framework.setdefault(framework.framework_id, []).append(offer)
        ctx.publish(
            "offer_sent",
            agent_id=agent.agent_id,
            framework_id=framework.framework_id,
            offer_id=offer.offer_id,
            resources=offer.resources,
        )
    for framework_id, offers in by_framework.items():
        _send(ctx, ctx.state.frameworks[framework_id], offers)


def on_awaited_due(ctx: Context, _: str) -> None:
    """Agents have had their time to come back."""
    ctx.agents_awaited = 0
    ctx.schedule_allocation()


def _send(ctx: Context, framework: Framework, offers: Iterable[Offer]) -> None:
    """All of them in as few events as stay well below the limit of a message."""
    event = scheduler_pb.Event.Offers()
    size = 0
    for offer in offers:
        message = _offer_message(ctx.state.agents[offer.agent_id], offer)
        if size and size + message.ByteSize() > MAX_EVENT_BYTES:
            ctx.tell_framework(framework, scheduler_pb.Event(offers=event))
            event, size = scheduler_pb.Event.Offers(), 0
        event.offers.append(message)
        size += message.ByteSize()
    ctx.tell_framework(framework, scheduler_pb.Event(offers=event))


def _offer_message(agent: Agent, offer: Offer) -> pb.Offer:
    return pb.Offer(
        offer_id=offer.offer_id,
        framework_id=offer.framework_id,
        agent_id=offer.agent_id,
        hostname=agent.info.address.hostname,
        role=offer.role,
        resources=resources.to_proto(offer.resources),
        attributes=agent.info.attributes,
        agent_total=agent.info.resources,
        runtimes=agent.info.runtimes,
    )


def _remove(ctx: Context, offer: Offer) -> None:
    del ctx.state.offers[offer.offer_id]
    del ctx.state.agents[offer.agent_id].offers[offer.offer_id]
    del ctx.state.frameworks[offer.framework_id].offers[offer.offer_id]
    ctx.timers.cancel(("offer", offer.offer_id))
    ctx.allocator.answered(offer.framework_id, offer.agent_id)


def _publish_end(ctx: Context, kind: str, offer: Offer, message: str = "") -> None:
    ctx.publish(
        kind,
        agent_id=offer.agent_id,
        framework_id=offer.framework_id,
        offer_id=offer.offer_id,
        message=message,
    )


def rescind_all(ctx: Context, offers: Iterable[Offer], reason: str) -> None:
    """Take offers back and say so."""
    for offer in offers:
        framework = ctx.state.frameworks[offer.framework_id]
        _remove(ctx, offer)
        rescind = scheduler_pb.Event.Rescind(offer_id=offer.offer_id, reason=reason)
        ctx.tell_framework(framework, scheduler_pb.Event(rescind=rescind))
        ctx.allocator.recover(
            offer.framework_id,
            offer.agent_id,
            offer.role,
            offer.resources,
            now_s=ctx.now.mono_s,
        )
        _publish_end(ctx, "offer_rescinded", offer, reason)


def on_offer_due(ctx: Context, offer_id: str) -> None:
    """A framework that did not answer in time must not hoard; it is asked again ever later."""
    offer = ctx.state.offers[offer_id]
    framework = ctx.state.frameworks[offer.framework_id]
    _remove(ctx, offer)
    rescind = scheduler_pb.Event.Rescind(offer_id=offer_id, reason="offer timed out")
    ctx.tell_framework(framework, scheduler_pb.Event(rescind=rescind))
    ignored = framework.ignored.get(offer.agent_id, 0)
    framework.ignored[offer.agent_id] = ignored + 1
    refuse_s = min(MAX_IGNORED_S, DEFAULT_REFUSE_S * 2 ** min(ignored, 16))
    _give_back(ctx, offer, offer.resources, refuse_s, timed_out=True)
    _publish_end(ctx, "offer_rescinded", offer, "offer timed out")


def _give_back(
    ctx: Context,
    offer: Offer,
    rest: Resources,
    refuse_s: float | None,
    *,
    timed_out: bool = False,
) -> None:
    ctx.allocator.recover(
        offer.framework_id,
        offer.agent_id,
        offer.role,
        rest,
        now_s=ctx.now.mono_s,
        refuse_s=refuse_s,
        timed_out=timed_out,
    )


def refuse_seconds(filters: scheduler_pb.Filters) -> float:
    """Unset, negative or NaN: 5 s. At most 365 days. 0: no filter."""
    if not filters.HasField("refuse_seconds"):
        return DEFAULT_REFUSE_S
    seconds = filters.refuse_seconds
    if math.isnan(seconds) or seconds < 0:
        return DEFAULT_REFUSE_S
    return min(seconds, MAX_REFUSE_S)


def decline(ctx: Context, framework: Framework, call: scheduler_pb.Call.Decline) -> None:
    """Give offers back, with a filter. Unknown ids are of offers rescinded meanwhile."""
    for offer_id in call.offer_ids:
        offer = framework.offers.get(offer_id)
        if offer is not None:
            framework.ignored.clear()
            _remove(ctx, offer)
            _give_back(ctx, offer, offer.resources, refuse_seconds(call.filters))
            _publish_end(ctx, "offer_declined", offer)


def accept(ctx: Context, framework: Framework, call: scheduler_pb.Call.Accept) -> None:
    """Launch on the offers of one agent and role; what is not used counts as declined."""
    found = {i: framework.offers[i] for i in call.offer_ids if i in framework.offers}
    problem = _offers_problem(call, found)
    infos = [i for o in call.operations if o.HasField("launch") for i in o.launch.task_infos]
    for offer in found.values():
        framework.ignored.clear()
        _remove(ctx, offer)
    if problem is not None:
        for offer in found.values():
            _give_back(ctx, offer, offer.resources, None)
            _publish_end(ctx, "offer_declined", offer, problem)
        for info in infos:
            _refuse_task(ctx, framework, info, pb.TASK_DROPPED, pb.REASON_INVALID_OFFERS,
                         f"Task launched with invalid offers: {problem}")  # fmt: skip
        return
    first = next(iter(found.values()))
    agent = ctx.state.agents[first.agent_id]
    offered = total(offer.resources for offer in found.values())
    rest = _launch_all(ctx, framework, agent, first.role, infos, offered)
    if rest != offered:
        ctx.allocator.used(framework.framework_id, agent.agent_id)
    _give_back(ctx, first, rest, refuse_seconds(call.filters))
    for offer in found.values():
        _publish_end(ctx, "offer_accepted", offer)


def _offers_problem(call: scheduler_pb.Call.Accept, found: dict[str, Offer]) -> str | None:
    """Why the offers of an ACCEPT cannot be used together, or None."""
    if not call.offer_ids:
        return "No offers specified"
    seen: set[str] = set()
    for offer_id in call.offer_ids:
        if offer_id in seen:
            return f"Duplicate offer {offer_id[:255]} in offer list"
        seen.add(offer_id)
        if offer_id not in found:
            return f"Offer {offer_id[:255]} is no longer valid"
    agents = {offer.agent_id for offer in found.values()}
    if len(agents) > 1:
        return f"Aggregated offers must belong to one single agent, not {', '.join(sorted(agents))}"
    roles = {offer.role for offer in found.values()}
    if len(roles) > 1:
        return f"Aggregated offers must be of one single role, not {', '.join(sorted(roles))}"
    return None


def _launch_all(
    ctx: Context,
    framework: Framework,
    agent: Agent,
    role: str,
    infos: Iterable[pb.TaskInfo],
    rest: Resources,
) -> Resources:
    """Launch what is valid and fits; return what is left of the offers."""
    for info in infos:
        needed, problem = task_problem(framework, agent, info, rest)
        if problem is not None:
            _refuse_task(ctx, framework, info, pb.TASK_ERROR, pb.REASON_TASK_INVALID, problem)
            continue
        rest = rest - needed
        _launch(ctx, framework, agent, role, info, needed)
    return rest


def _launch(
    ctx: Context,
    framework: Framework,
    agent: Agent,
    role: str,
    info: pb.TaskInfo,
    needed: Resources,
) -> None:
    task = Task(
        info,
        framework.framework_id,
        agent.agent_id,
        role,
        needed,
        pb.TASK_STAGING,
        ctx.now.wall_s,
    )
    framework.tasks[info.task_id] = task
    agent.tasks[task.key] = task
    message = agent_pb.LaunchTask(framework_id=framework.framework_id, role=role, task_info=info)
    if framework.framework_id not in agent.told_frameworks:
        message.framework_info.CopyFrom(framework.info)
        agent.told_frameworks.add(framework.framework_id)
    ctx.tell_agent(agent, agent_pb.MasterMessage(launch=message))
    ctx.publish(
        "task_added",
        agent_id=agent.agent_id,
        framework_id=framework.framework_id,
        task_id=info.task_id,
        task_state=pb.TASK_STAGING,
        resources=needed or EMPTY,
    )


def _refuse_task(
    ctx: Context,
    framework: Framework,
    info: pb.TaskInfo,
    state: pb.TaskState,
    reason: pb.Reason,
    message: str,
) -> None:
    status = tasks.new_status(ctx, info.task_id, state, reason, message, info.agent_id)
    tasks.forward(ctx, framework, status)
    ctx.publish(
        "task_refused",
        framework_id=framework.framework_id,
        task_id=info.task_id[:255],
        task_state=state,
        reason=reason,
        message=message,
    )
