"""Keep the instances there are, while nothing is replaced or after that."""

from __future__ import annotations

from pymesos_binpack.jobs.rollouts.lifecycle import State
from pymesos_binpack.jobs.rollouts.members import Member
from pymesos_binpack.jobs.rollouts.planning import Plan
from pymesos_binpack.jobs.rollouts.seen import Seen


def hold(plan: Plan) -> None:
    """Fill the places that are empty, and replace what leaves a drained agent by its like."""
    seen = plan.seen
    if seen.rollout.going:
        _forsake(plan)
    else:
        _settle(plan)
    for index in seen.places:
        if not _base(plan, index):
            version = seen.rollout.settled_version
            plan.start(index, version, f"instance {index} is wanted, of version {version}")
    for member in seen.members:
        if member.departs and member.key not in plan.stopped and member.index in seen.places:
            _move(plan, member)


def start_canaries(plan: Plan) -> None:
    """Start as many of the new version as are tried first, beside those that run."""
    seen = plan.seen
    tried = {m.index for m in canaries(seen)}
    free = (index for index in seen.places if index not in tried)
    for index, _ in zip(free, range(seen.numbers.canaries - len(tried)), strict=False):
        version = seen.rollout.to_version
        plan.start(index, version, f"version {version} is tried first as instance {index}")


def canaries(seen: Seen) -> list[Member]:
    """Return those that are tried first and stay, at most one of each index."""
    found = {
        m.index: m
        for m in seen.members
        if m.version == seen.rollout.to_version and m.index in seen.places and not m.departs
    }
    return list(found.values())


def _base(plan: Plan, index: int) -> list[Member]:
    """The instances that fill a place; a canary is only beside them."""
    rollout = plan.seen.rollout
    canary = rollout.to_version if rollout.going and not rollout.promoted else None
    return [m for m in plan.left(index) if m.version != canary]


def _move(plan: Plan, member: Member) -> None:
    """Start the like of an instance, and stop that once the other one is ready."""
    seen = plan.seen
    others = [
        m
        for m in plan.left(member.index)
        if not m.departs and (m.version == member.version or not seen.rollout.going)
    ]
    why = f"instance {member.index} leaves an agent that is drained"
    if not seen.rules.moves_first:
        if not member.lost and plan.may_stop(member):
            plan.stop(member, f"{why}, and cannot run twice")
    elif not others:
        plan.start(member.index, member.version, f"{why}: another starts first")
    elif plan.is_free(member):
        plan.stop(member, f"{why}, and is not ready")
    elif any(m.ready for m in others) and plan.may_stop(member):
        plan.stop(member, f"{why}: the other one is ready")


def _forsake(plan: Plan) -> None:
    """Stop what a rollout left that this one has replaced, where there is one to go on with."""
    rollout = plan.seen.rollout
    versions = (rollout.from_version, rollout.to_version)
    for member in plan.seen.members:
        beside = [m for m in plan.left(member.index) if m.version == rollout.from_version]
        abandoned = member.version not in versions and any(m.ready for m in beside)
        if abandoned and not member.lost and plan.may_stop(member):
            plan.stop(member, f"version {member.version} is neither new nor known to work")


def _settle(plan: Plan) -> None:
    """Keep one instance of each index, the best, and none that is not wanted."""
    seen = plan.seen
    best: dict[int, Member] = {}
    for index in seen.places:
        there = seen.at.get(index, ())
        if there:
            best[index] = max(there, key=lambda m: _worth(seen, m))
    for member in seen.members:
        keep = best.get(member.index)
        if keep is None:
            if member.lost or plan.may_stop(member):
                plan.stop(member, f"instance {member.index} is not wanted any longer")
        elif keep is member:
            _disown(plan, member)
        elif (not member.departs or keep.departs) and _is_spare(plan, member, keep):
            plan.stop(member, f"there are two of instance {member.index}")


def _is_spare(plan: Plan, member: Member, keep: Member) -> bool:
    return plan.is_free(member) or (keep.ready and (member.lost or plan.may_stop(member)))


def _worth(seen: Seen, member: Member) -> tuple[bool, bool, bool]:
    right = member.version == seen.rollout.settled_version
    return (not member.departs, member.ready, right)


def _disown(plan: Plan, member: Member) -> None:
    """After an abort, stop what is of the new version and not ready: the old one follows."""
    rollout = plan.seen.rollout
    aborted = rollout.state is State.ABORTED and member.version != rollout.from_version
    if aborted and plan.is_free(member) and rollout.from_version != rollout.to_version:
        plan.stop(member, f"version {member.version} was abandoned, and this one is not ready")
