"""Whether a rollout makes progress, waits for something else, or has failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from pymesos_binpack.jobs.rollouts.asking import MOST_EXITS
from pymesos_binpack.jobs.rollouts.holding import canaries
from pymesos_binpack.jobs.rollouts.lifecycle import Turn
from pymesos_binpack.jobs.rollouts.members import Member, Trouble
from pymesos_binpack.jobs.rollouts.replacing import is_underway, staying
from pymesos_binpack.jobs.rollouts.rules import UpdateRules
from pymesos_binpack.jobs.rollouts.seen import Seen
from pymesos_binpack.jobs.rollouts.state import Rollout
from pymesos_core.clock import utc


class Standstill(NamedTuple):
    """What a rollout waits for that is not its version's doing."""

    turn: Turn
    why: str


def standstill(seen: Seen) -> Standstill | None:
    """Return what holds a rollout up; None: it makes progress, or could."""
    rollout = seen.rollout
    if not rollout.promoted and not rollout.backward:
        there = canaries(seen)
        wanted = seen.numbers.canaries
        if len(there) >= wanted and all(seen.stable(m) for m in there):
            many = "1 canary is" if wanted == 1 else f"{wanted} canaries are"
            why = f"{many} stable: promote them with `rollout promote`, or abort"
            return Standstill(Turn.CANARIES_STABLE, why)
        judged = there
    else:
        there = [m for m in staying(seen).values() if seen.is_new(m)]
        judged = [m for m in there if not seen.is_missed_by_nobody(m)]
    blocked = [found for m in judged if (found := _blocked(seen, m)) is not None]
    if any(is_underway(seen, m) for m in judged):
        return None
    if not blocked and rollout.promoted:
        blocked = [found for m in seen.members if (found := _held(seen, m)) is not None]
    # An image is the same for all; room may be found for one of them.
    return min(blocked, key=lambda one: one.turn is not Turn.LACKS_IMAGE) if blocked else None


def _blocked(seen: Seen, member: Member) -> Standstill | None:
    """What holds up an instance that is to become stable."""
    if member.ready or seen.stable(member):
        return None
    said = f": {member.trouble_text}" if member.trouble_text else ""
    if member.lost:
        why = f"the agent of instance {member.index} is unreachable; bring it back or give it up"
        return Standstill(Turn.LACKS_ROOM, f"{why} with `pymesos-cli gone`, or abort")
    if member.trouble is Trouble.IMAGE_UNAVAILABLE:
        why = f"the image of instance {member.index} cannot be had at present{said}"
        return Standstill(Turn.LACKS_IMAGE, f"{why}; it is tried again until you abort")
    if member.trouble is Trouble.CAPACITY:
        why = f"no agent has room for instance {member.index}{said}"
        more = "" if seen.numbers.unavailable else ", let max_unavailable be more"
        return Standstill(Turn.LACKS_ROOM, f"{why}; add or free room{more}, or abort")
    return None


def _held(seen: Seen, member: Member) -> Standstill | None:
    """What holds up the successor of an instance that has to leave first."""
    wrong = member.version != seen.rollout.target
    if not (wrong and member.lost and member.pinned):
        return None
    what = "is of" if seen.rules.of_agents else "has its data on"
    why = f"instance {member.index} {what} an agent that is unreachable"
    how = "bring it back or give it up with `pymesos-cli gone`, or abort"
    return Standstill(Turn.LACKS_ROOM, f"{why}; {how}")


def kept_time(seen: Seen, rollout: Rollout, *, still: bool) -> Rollout:
    """Return it with its deadlines as they are now: moved by how long they stood still."""
    now_s, rules = seen.now_s, seen.rules
    since_s, progress_by_s = rollout.still_since_s, rollout.progress_by_s
    stable_by_s: Mapping[str, float] = rollout.stable_by_s
    if since_s is not None and not still:
        moved_s = max(0.0, now_s - since_s)
        progress_by_s += moved_s
        stable_by_s = {key: by_s + moved_s for key, by_s in stable_by_s.items()}
        since_s = None
    elif since_s is None and still:
        since_s = now_s
    new = seen.new()
    stable = sum(seen.stable(m) for m in new)
    exits, exit_why = rollout.exits, rollout.exit_why
    if stable > rollout.most_stable:
        exits, exit_why, progress_by_s = 0, "", now_s + rules.progress_deadline_s
        since_s = now_s if still else None
    stable_by_s = {
        m.key: stable_by_s.get(m.key, now_s + rules.healthy_deadline_s)
        for m in new
        if not seen.stable(m) and _has_time(m)
    }
    return replace(
        rollout,
        exits=exits,
        exit_why=exit_why,
        most_stable=max(stable, rollout.most_stable),
        progress_by_s=progress_by_s,
        stable_by_s=stable_by_s,
        still_since_s=since_s,
    )


def after_silence(rollout: Rollout, rules: UpdateRules, since_s: float, now_s: float) -> Rollout:
    """Return it after a time in which nothing was heard of its instances.

    Its deadlines stood still, too. Where it is not known since when, none is further away than one
    that begins now.
    """
    if not rollout.going or rollout.still_since_s is not None:
        return rollout  # they stand still already, or mean nothing
    moved_s = max(0.0, now_s - since_s)
    latest_s = now_s + rules.healthy_deadline_s
    return replace(
        rollout,
        progress_by_s=min(rollout.progress_by_s + moved_s, now_s + rules.progress_deadline_s),
        stable_by_s={
            key: min(by_s + moved_s, latest_s) for key, by_s in rollout.stable_by_s.items()
        },
    )


def _has_time(member: Member) -> bool:
    """Whether an instance has only itself to blame if it does not become stable."""
    waits = member.trouble in (Trouble.CAPACITY, Trouble.IMAGE_UNAVAILABLE)
    return not member.lost and not waits


def failure(seen: Seen, rollout: Rollout) -> str:
    """Return why a rollout has failed; empty: it has not."""
    for member in seen.new():
        if member.hopeless and member.begun_s >= rollout.forgiven_s:
            said = member.trouble_text or member.trouble.value or "it has ended"
            return f"instance {member.index} of version {member.version}: {said}"
    if rollout.exits >= MOST_EXITS:
        last = f", the last so: {rollout.exit_why}" if rollout.exit_why else ""
        return f"{MOST_EXITS} instances of version {rollout.target} ended in a row{last}"
    if rollout.still_since_s is not None:
        return ""
    by_key = {m.key: m for m in seen.members}
    for key, by_s in rollout.stable_by_s.items():
        if by_s <= seen.now_s:
            what = f"instance {by_key[key].index} of version {rollout.target}"
            return f"{what} did not become stable in time (healthy_deadline_s)"
    if rollout.progress_by_s <= seen.now_s:
        by = utc(rollout.progress_by_s)
        return f"no further instance became stable by {by} (progress_deadline_s)"
    return ""
