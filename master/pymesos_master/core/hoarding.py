"""Frameworks that keep offers which others lack.

An offer lasts for half a minute, and a framework that answers none of them could keep the whole
cluster from the others for as long. Ours: one that wants offers and has none gets an agent whose
offer has been unanswered for too long, the oldest first, if that would be offered to it and its
holder has the larger share. How long is too long depends on the holder: four times what its last
answer took, and half a second at least; one that has never answered keeps from those who do answer
for half of that. An answer counts for this also when it comes too late, so
a slow framework gets its time once it has shown that it answers. One that does not answer at all
gets nothing in this way, or those that hoard would take turns for ever.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from pymesos_master.core import offers
from pymesos_master.core.context import FIRST_LACK_S, Context
from pymesos_master.core.state import Framework, Offer

MIN_HOLD_S = 0.5
PATIENCE = 4.0  # times the last answer
MAX_PAUSE_S = 30.0
MAX_LOOKED_AT = 100  # of the oldest offers
MAX_TAKEN = 1000  # offers of which a late answer is known


def wants(ctx: Context, framework: Framework) -> bool:
    """Whether a framework wants offers, has none, and answered the last that it had."""
    return (
        framework.connection_id is not None
        and not framework.silent
        and not ctx.state.is_removed(framework.framework_id)
        and not framework.offers
        and len(framework.suppressed) < len(framework.roles)
    )


def on_lack_due(ctx: Context, framework_id: str) -> None:
    """Take the oldest offer back that this framework lacks; else look again, ever later."""
    framework = ctx.state.frameworks.get(framework_id)
    if framework is None or not wants(ctx, framework):
        return
    pause_s = framework.lack_pause_s = min(MAX_PAUSE_S, 2 * framework.lack_pause_s)
    share = ctx.allocator.dominant_share(framework_id)
    for offer in islice(ctx.state.offers.values(), MAX_LOOKED_AT):
        role = _role_that_may_take(ctx, framework, offer, share)
        if role is None:
            continue
        holder = ctx.state.frameworks[offer.framework_id]
        left_s = offer.offered_mono_s + hold_s(holder, framework)
        left_s -= ctx.now.mono_s
        if left_s <= 0:
            _remember(ctx, offer)
            reason = f"unanswered, and framework {framework_id} has no offer"
            ctx.allocator.keep_for(framework_id, role, offer.agent_id, ctx.now.mono_s)
            offers.take_back(ctx, offer, reason)
            break
        pause_s = min(pause_s, left_s)
    ctx.timers.set(("lack", framework_id), ctx.now.mono_s + max(pause_s, FIRST_LACK_S))


def _role_that_may_take(
    ctx: Context, framework: Framework, offer: Offer, share: float
) -> str | None:
    holder_id = offer.framework_id
    if offer.copy_of or holder_id == framework.framework_id:
        return None
    if ctx.allocator.dominant_share(holder_id) <= share:
        return None
    suppressed = framework.suppressed
    for role in framework.roles:
        if role not in suppressed and ctx.allocator.may_see(
            framework.framework_id, role, offer.agent_id, offer.resources
        ):
            return role
    return None


def hold_s(holder: Framework, lacking: Framework) -> float:
    """How long a framework may keep an offer that another lacks."""
    if lacking.answer_s and not holder.answer_s:
        return MIN_HOLD_S / 2
    return max(MIN_HOLD_S, PATIENCE * holder.answer_s)


def _remember(ctx: Context, offer: Offer) -> None:
    ctx.state.frameworks[offer.framework_id].silent = True
    taken = ctx.state.taken_back
    taken[offer.offer_id] = (offer.framework_id, offer.offered_mono_s)
    if len(taken) > MAX_TAKEN:
        taken.popitem(last=False)


def note_answer(ctx: Context, framework: Framework, offer_ids: Iterable[str]) -> None:
    """Learn from an answer, which may come too late, how long this framework takes."""
    for offer_id in offer_ids:
        if (offer := framework.offers.get(offer_id)) is not None:
            framework.answer_s = ctx.now.mono_s - offer.offered_mono_s
            framework.silent = False
        elif offer_id in ctx.state.taken_back:
            framework_id, offered_mono_s = ctx.state.taken_back[offer_id]
            if framework_id == framework.framework_id:
                del ctx.state.taken_back[offer_id]
                framework.answer_s = ctx.now.mono_s - offered_mono_s
                framework.silent = False
                if not framework.offers:
                    ctx.look_for_lack(framework)
