"""Offers: sent, declined, rescinded, timed out."""

from __future__ import annotations

import math
from collections.abc import Iterable

from pymesos_core import resources
from pymesos_core.resources import Resources
from pymesos_master.core import optimistic
from pymesos_master.core.context import Context
from pymesos_master.core.lifecycles import OFFER_LIFE, AgentState, OfferEvent, OfferState
from pymesos_master.core.state import Agent, Framework, Offer
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_proto.v1.operator_pb2 import ClusterEvent

DEFAULT_REFUSE_S = 5.0
MAX_IGNORED_S = 320.0
MAX_REFUSE_S = 365 * 86400.0
MAX_EVENT_BYTES = 256 * 1024
_ENDS = {
    OfferState.ACCEPTED: ClusterEvent.OFFER_ACCEPTED,
    OfferState.DECLINED: ClusterEvent.OFFER_DECLINED,
    OfferState.RESCINDED: ClusterEvent.OFFER_RESCINDED,
}


def allocate(ctx: Context) -> None:
    """Turn the allocator's grants into offers."""
    if ctx.agents_awaited > 0:
        return
    ctx.allocated_at_s = ctx.now.mono_s
    by_framework: dict[str, list[Offer]] = {}
    asking = optimistic.frameworks_asking(ctx)
    for grant in ctx.allocator.allocate(ctx.now.mono_s):
        offer = Offer(
            next(ctx.offer_ids),
            grant.framework_id,
            grant.agent_id,
            grant.role,
            grant.resources,
            ctx.now.wall_s,
            ctx.now.mono_s,
        )
        ctx.timers.set(("offer", offer.offer_id), ctx.now.mono_s + ctx.config.offer_timeout_s)
        for each in (offer, *(optimistic.copies(ctx, offer, asking) if asking else ())):
            _add(ctx, each)
            by_framework.setdefault(each.framework_id, []).append(each)
    for framework_id, offers in by_framework.items():
        _send(ctx, ctx.state.frameworks[framework_id], offers)


def _add(ctx: Context, offer: Offer) -> None:
    agent = ctx.state.agents[offer.agent_id]
    framework = ctx.state.frameworks[offer.framework_id]
    assert agent.state == AgentState.ACTIVE
    assert framework.connection_id is not None
    ctx.state.offers[offer.offer_id] = offer
    agent.offers[offer.offer_id] = offer
    framework.offers[offer.offer_id] = offer
    framework.last_offer_at_s = ctx.now.wall_s
    ctx.publish(
        ClusterEvent.OFFER_SENT,
        agent_id=agent.agent_id,
        framework_id=framework.framework_id,
        offer_id=offer.offer_id,
        resources=offer.resources,
        roles=(offer.role,),
    )


def on_awaited_due(ctx: Context, _: str) -> None:
    """Agents have had their time to come back."""
    ctx.agents_awaited = 0
    ctx.schedule_allocation()


def _send(ctx: Context, framework: Framework, offers: Iterable[Offer]) -> None:
    """All of them in as few events as stay well below the limit of a message."""
    event = scheduler_pb.Event.Offers()
    size = 0
    for offer in offers:
        message = offer_message(ctx.state.agents[offer.agent_id], offer)
        if size and size + message.ByteSize() > MAX_EVENT_BYTES:
            ctx.tell_framework(framework, scheduler_pb.Event(offers=event))
            event, size = scheduler_pb.Event.Offers(), 0
        event.offers.append(message)
        size += message.ByteSize()
    ctx.tell_framework(framework, scheduler_pb.Event(offers=event))


def offer_message(agent: Agent, offer: Offer) -> pb.Offer:
    """An offer as its framework is sent it, and everybody else is shown it."""
    return pb.Offer(
        offer_id=offer.offer_id,
        framework_id=offer.framework_id,
        agent_id=offer.agent_id,
        hostname=agent.info.address.hostname,
        role=offer.role,
        resources=resources.to_proto(offer.resources),
        attributes=agent.info.attributes,
        agent_total=agent.total_message(),
        optimistic=bool(offer.copy_of),
        runtimes=agent.info.runtimes,
        unavailability=agent.maintenance.unavailability if agent.maintenance else None,
        agent_capabilities=agent.info.capabilities,
        agent_ip=agent.info.address.ip,
    )


def remove(
    ctx: Context, offer: Offer, event: OfferEvent, reason: str = optimistic.NOT_OFFERED
) -> None:
    """Remove an offer that ends by an event; its copies are rescinded for `reason`."""
    OFFER_LIFE.move(offer, event, ctx.now.wall_s)
    del ctx.state.offers[offer.offer_id]
    del ctx.state.agents[offer.agent_id].offers[offer.offer_id]
    holder = ctx.state.frameworks[offer.framework_id]
    del holder.offers[offer.offer_id]
    if not holder.offers:
        ctx.look_for_lack(holder)
    if offer.copy_of:
        ctx.state.offers[offer.copy_of].copies.remove(offer.offer_id)
        return
    ctx.timers.cancel(("offer", offer.offer_id))
    ctx.allocator.answered(offer.framework_id, offer.agent_id)
    for copy_id in list(offer.copies):
        copy = ctx.state.offers[copy_id]
        # Not by `remove`: what it is a copy of is gone already.
        OFFER_LIFE.move(copy, OfferEvent.ORIGINAL_ENDED, ctx.now.wall_s)
        del ctx.state.offers[copy_id]
        del ctx.state.agents[copy.agent_id].offers[copy_id]
        del ctx.state.frameworks[copy.framework_id].offers[copy_id]
        optimistic.lose(ctx, copy, reason)
        publish_end(ctx, copy, reason)


def publish_end(ctx: Context, offer: Offer, message: str = "") -> None:
    """Say how an offer has ended."""
    publish(ctx, _ENDS[offer.state], offer, message)


def publish(ctx: Context, kind: ClusterEvent.Kind, offer: Offer, message: str = "") -> None:
    """Say what became of an offer."""
    ctx.publish(
        kind,
        agent_id=offer.agent_id,
        framework_id=offer.framework_id,
        offer_id=offer.offer_id,
        message=message,
        roles=(offer.role,),
    )


def rescind_all(ctx: Context, offers: Iterable[Offer], reason: str) -> None:
    """Take offers back and say so."""
    for offer in offers:
        if offer.offer_id not in ctx.state.offers:
            continue  # a copy, rescinded with what it was of
        _rescind(ctx, offer, OfferEvent.TAKEN_BACK, reason, None)


def on_offer_due(ctx: Context, offer_id: str) -> None:
    """A framework that did not answer in time must not hoard; it is asked again ever later."""
    offer = ctx.state.offers[offer_id]
    framework = ctx.state.frameworks[offer.framework_id]
    framework.silent = True
    ignored = framework.ignored.get(offer.agent_id, 0)
    framework.ignored[offer.agent_id] = ignored + 1
    refuse_s = min(MAX_IGNORED_S, DEFAULT_REFUSE_S * 2 ** min(ignored, 16))
    _rescind(ctx, offer, OfferEvent.TIMED_OUT, "offer timed out", refuse_s)


PATIENT = 3  # so often an offer may be taken back for another framework before it counts


def take_back(ctx: Context, offer: Offer, reason: str) -> None:
    """Another framework lacks it. Who never answers is held off an agent, as when offers time out:
    it would get the agent again each time that the other cannot use a part of it."""
    holder = ctx.state.frameworks[offer.framework_id]
    ignored = holder.ignored.get(offer.agent_id, 0)
    holder.ignored[offer.agent_id] = ignored + 1
    refuse_s = None
    if ignored >= PATIENT:
        refuse_s = min(MAX_IGNORED_S, DEFAULT_REFUSE_S * 2 ** min(ignored - PATIENT, 16))
    _rescind(ctx, offer, OfferEvent.TAKEN_BACK, reason, refuse_s)


def _rescind(
    ctx: Context, offer: Offer, event: OfferEvent, reason: str, refuse_s: float | None
) -> None:
    remove(ctx, offer, event)
    rescind = scheduler_pb.Event.Rescind(offer_id=offer.offer_id, reason=reason)
    ctx.tell_framework(
        ctx.state.frameworks[offer.framework_id], scheduler_pb.Event(rescind=rescind)
    )
    give_back(ctx, offer, offer.resources, refuse_s, timed_out=refuse_s is not None)
    publish_end(ctx, offer, reason)


def give_back(
    ctx: Context,
    offer: Offer,
    rest: Resources,
    refuse_s: float | None,
    *,
    timed_out: bool = False,
) -> None:
    """What is not used of an offer that was removed; a copy has held nothing."""
    if offer.copy_of:
        if refuse_s is not None:
            ctx.allocator.refuse(
                offer.framework_id,
                offer.role,
                offer.agent_id,
                offer.resources,
                now_s=ctx.now.mono_s,
                refuse_s=refuse_s,
            )
        return
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
            remove(ctx, offer, OfferEvent.DECLINED)
            give_back(ctx, offer, offer.resources, refuse_seconds(call.filters))
            publish_end(ctx, offer)
