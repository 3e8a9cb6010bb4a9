"""Optimistic offers: resources that are offered to several at a time (MESOS-1607).

A framework asks for them by role. It is shown copies of what others are offered; the first to
accept gets it, and the other offers of the same are rescinded. A copy holds nothing: it lives no
longer than the offer that it is of.
"""

from __future__ import annotations

from pymesos_master.core.context import Context
from pymesos_master.core.state import Framework, Offer
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb

TAKEN = "accepted by another framework"
NOT_OFFERED = "it is not offered any more"


def frameworks_asking(ctx: Context) -> list[Framework]:
    """The connected frameworks that want copies of offers."""
    return [
        framework
        for framework in ctx.state.frameworks.values()
        if framework.optimistic_roles and framework.connection_id is not None
    ]


def copies(ctx: Context, offer: Offer, asking: list[Framework]) -> list[Offer]:
    """Copies of an offer for everybody else who may see it."""
    out = []
    for framework in asking:
        role = _role_that_may_see(ctx, framework, offer)
        if role is not None:
            copy = Offer(
                next(ctx.offer_ids),
                framework.framework_id,
                offer.agent_id,
                role,
                offer.resources,
                ctx.now.wall_s,
                ctx.now.mono_s,
                copy_of=offer.offer_id,
            )
            offer.copies.append(copy.offer_id)
            out.append(copy)
    return out


def _role_that_may_see(ctx: Context, framework: Framework, offer: Offer) -> str | None:
    if framework.framework_id == offer.framework_id:
        return None
    for role in sorted(framework.optimistic_roles):
        if ctx.allocator.may_see(framework.framework_id, role, offer.agent_id, offer.resources):
            return role
    return None


def lose(ctx: Context, offer: Offer, reason: str) -> None:
    """Tell the holder of an offer that has been removed; one that another took is a conflict."""
    framework = ctx.state.frameworks[offer.framework_id]
    framework.offer_conflicts += reason == TAKEN
    rescind = scheduler_pb.Event.Rescind(offer_id=offer.offer_id, reason=reason)
    ctx.tell_framework(framework, scheduler_pb.Event(rescind=rescind))
