"""Replace instances by those of another version, forward or back."""

from __future__ import annotations

from collections.abc import Mapping

from pymesos_binpack.jobs.rollouts.members import Member, Trouble
from pymesos_binpack.jobs.rollouts.planning import Plan
from pymesos_binpack.jobs.rollouts.seen import Seen


def staying(seen: Seen) -> dict[int, Member]:
    """Return, by index, the instances that are as they are to be."""
    target = seen.rollout.target
    found: dict[int, Member] = {}
    for index in seen.places:
        fit = [m for m in seen.at.get(index, ()) if m.version == target]
        fit = [m for m in fit if not m.departs and not m.hopeless]
        if fit:
            # Of several the best, and then the eldest: the others are surplus.
            found[index] = max(fit, key=lambda m: (seen.stable(m), m.ready))
    return found


def replace(plan: Plan, *, is_blocked: bool) -> None:
    """Stop instances that are not as they are to be, and start others, within the budget."""
    seen = plan.seen
    keep = staying(seen)
    kept = {m.key for m in keep.values()}
    going = [m for m in seen.members if m.key not in kept]
    for member in going:
        if plan.is_free(member):
            plan.stop(member, _why(seen, member, "is not ready"))
    _stop_within_budget(plan, keep, going)
    if is_blocked or _is_complete(seen, keep):
        for member in going:
            if member.index not in seen.places and not member.lost and plan.may_stop(member):
                plan.stop(member, f"instance {member.index} is not wanted any longer")
    _start(plan, keep)
    if not plan.steps and not any(is_underway(seen, m) for m in keep.values()):
        _give_up_one(plan, going)


def is_underway(seen: Seen, member: Member) -> bool:
    """Return whether an instance is neither stable nor held up by something else."""
    waits = member.lost or member.trouble in (Trouble.CAPACITY, Trouble.IMAGE_UNAVAILABLE)
    return not seen.stable(member) and not (waits and not member.ready)


def _is_complete(seen: Seen, keep: Mapping[int, Member]) -> bool:
    return len(keep) == seen.count and all(
        seen.stable(m) or not seen.is_new(m) for m in keep.values()
    )


def _stop_within_budget(plan: Plan, keep: Mapping[int, Member], going: list[Member]) -> None:
    seen = plan.seen
    backward = seen.rollout.backward

    def order(member: Member) -> tuple[bool, bool, bool, float, int]:
        partner = keep.get(member.index)
        # On the way back the newest go first.
        age, index = (member.begun_s, member.index) if backward else (0.0, -member.index)
        stable = partner is not None and seen.stable(partner)
        return (not stable, partner is None, not member.departs, -age, -index)

    for member in sorted(going, key=order):
        partner = keep.get(member.index)
        replaced = partner is not None and seen.stable(partner)
        if member.index not in seen.places or member.lost:
            continue
        is_more = not (seen.is_common(member.index) or seen.rules.of_agents)
        if is_more and not replaced:
            continue
        if plan.may_stop(member):
            then = "its successor is stable" if replaced else "so many may be unavailable"
            plan.stop(member, _why(seen, member, then))


def _start(plan: Plan, keep: Mapping[int, Member]) -> None:
    seen = plan.seen
    target, backward = seen.rollout.target, seen.rollout.backward

    def order(index: int) -> tuple[bool, bool, float, int]:
        there = plan.left(index)
        newest_s = max((m.begun_s for m in there), default=0.0)
        back = (-newest_s, -index) if backward else (0.0, index)
        return (bool(there), not any(m.departs for m in there), *back)

    for index in sorted((i for i in seen.places if i not in keep), key=order):
        there = plan.left(index)
        what = "beside the one it replaces" if there else "in a place that is free"
        plan.start(index, target, f"version {target} of instance {index}, {what}")


def _give_up_one(plan: Plan, going: list[Member]) -> None:
    """Stop one whose agent is unreachable, when all else has been done."""
    for member in going:
        if member.lost and not member.pinned:
            plan.stop(member, _why(plan.seen, member, "its agent is unreachable"))
            return


def _why(seen: Seen, member: Member, then: str) -> str:
    if member.index not in seen.places:
        return f"instance {member.index} is not wanted any longer, and {then}"
    if member.version != seen.rollout.target:
        what = f"instance {member.index} of version {member.version} is replaced"
        return f"{what} by version {seen.rollout.target}: {then}"
    if member.departs:
        return f"instance {member.index} leaves an agent that is drained: {then}"
    return f"there are two of instance {member.index}: {then}"
