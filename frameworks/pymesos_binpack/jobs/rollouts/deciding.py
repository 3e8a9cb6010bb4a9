"""What is to be done about the instances of a task: a pure function of what is known of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace as changed

from pymesos_binpack.jobs.rollouts.holding import hold, start_canaries
from pymesos_binpack.jobs.rollouts.judging import Standstill, failure, kept_time, standstill
from pymesos_binpack.jobs.rollouts.lifecycle import FORWARD, State, Turn
from pymesos_binpack.jobs.rollouts.members import (
    NOTHING,
    Awaited,
    Decision,
    Member,
    Promote,
    Start,
    Stop,
)
from pymesos_binpack.jobs.rollouts.planning import Plan
from pymesos_binpack.jobs.rollouts.replacing import replace, staying
from pymesos_binpack.jobs.rollouts.rules import OnFailure, UpdateRules
from pymesos_binpack.jobs.rollouts.rules import Promote as PromotedBy
from pymesos_binpack.jobs.rollouts.seen import Seen
from pymesos_binpack.jobs.rollouts.state import Rollout


def decide(
    rules: UpdateRules,
    rollout: Rollout,
    members: Iterable[Member],
    places: Collection[int],
    now_s: float,
    awaited: Awaited = NOTHING,
) -> Decision:
    """Return what is to be done so that each of these indices has an instance as is wanted.

    It serves tasks whose rollout is over as well: their number is kept, and what is on a drained
    agent is moved. Whoever carries the steps out stores the rollout with them, tells the next
    decision of every instance that there is then, and decides again when one of them changes. While
    something is `awaited` no instance is replaced; if that has failed, so has the rollout.
    """
    seen = Seen.of(rules, rollout, members, places, max(now_s, rollout.since_s))
    if rollout.state not in (*FORWARD, State.ROLLING_BACK):
        return _held(seen)
    if rollout.state in FORWARD and awaited.failed:
        rollout = _failed(seen, rollout, awaited.failed)
        return decide(rules, rollout, members, places, seen.now_s)
    if rollout.state in FORWARD and awaited.waits:
        rollout = kept_time(seen, rollout, still=True)
        return _held(seen)._replace(rollout=rollout.moved(Turn.GOES_ON, awaited.waits))
    waits = standstill(seen)
    rollout = kept_time(seen, rollout, still=waits is not None)
    if why := failure(seen, rollout):
        rollout = _failed(seen, rollout, why)
        # What was meant for this direction is nothing to the next one.
        return decide(rules, rollout, members, places, seen.now_s)
    seen.rollout = rollout
    plan = Plan(seen)
    if rollout.promoted or rollout.backward:
        replace(plan, is_blocked=waits is not None and waits.turn is Turn.LACKS_ROOM)
        if _is_over(plan):
            return _over(plan)
    elif why := _promotes(seen, waits):
        promoted = rollout.moved(Turn.GOES_ON, why, promoted=True)
        then = decide(rules, promoted, members, places, seen.now_s)
        return then._replace(steps=(Promote(why), *then.steps))
    else:
        hold(plan)
        start_canaries(plan)
    return Decision(tuple(plan.steps), _told(seen, rollout, waits), _look_at_s(seen, rollout))


def _promotes(seen: Seen, waits: Standstill | None) -> str:
    """Return why canaries are promoted without being asked; empty: they are not."""
    if not seen.numbers.canaries:
        return "no canaries are wanted any longer"
    stable = waits is not None and waits.turn is Turn.CANARIES_STABLE
    auto = seen.rules.canary_promote is PromotedBy.AUTO
    return "the canaries are stable" if stable and auto else ""


def _held(seen: Seen) -> Decision:
    """The decision while nothing is replaced."""
    plan = Plan(seen)
    hold(plan)
    rollout = seen.rollout
    full = all(any(m.ready for m in seen.at.get(i, ())) for i in seen.places)
    if not rollout.going and full and not plan.steps and rollout.from_count != seen.count:
        # For the next change these are the ones that there were before.
        rollout = changed(rollout, from_count=seen.count)
    return Decision(tuple(plan.steps), rollout, None)


def _failed(seen: Seen, rollout: Rollout, why: str) -> Rollout:
    now_s, rules = seen.now_s, seen.rules
    if rollout.backward:
        why = f"{why}; what is healthy is kept as it is: fix it and apply"
        return rollout.moved(Turn.FAILED_AGAIN, why, still_since_s=None, stable_by_s={})
    if rules.on_failure is OnFailure.PAUSE:
        why = f"{why}; resume it, or abort it"
        held = {"still_since_s": now_s, "stable_by_s": {}}
        return rollout.moved(Turn.FAILED_AND_HELD, why, failure=why, **held)
    return rollout.moved(
        Turn.FAILED,
        why,
        failure=why,
        backward=True,
        since_s=now_s,
        exits=0,
        exit_why="",
        most_stable=0,
        progress_by_s=now_s + rules.progress_deadline_s,
        stable_by_s={},
        still_since_s=None,
    )


def _is_over(plan: Plan) -> bool:
    """Whether every instance is as it is to be, once the steps have been carried out."""
    seen = plan.seen
    target = seen.rollout.target
    if any(isinstance(step, Start) for step in plan.steps):
        return False
    for index in seen.places:
        fit = [m for m in plan.left(index) if m.version == target]
        if not any(
            seen.stable(m) or not seen.is_new(m) or seen.is_missed_by_nobody(m) for m in fit
        ):
            return False
    left = (m for m in seen.members if m.key not in plan.stopped)
    return all(m.version == target and m.index in seen.places for m in left)


def _over(plan: Plan) -> Decision:
    rollout = plan.seen.rollout
    turn = Turn.ALL_BACK if rollout.backward else Turn.ALL_STABLE
    all_are = f"all are of version {rollout.target} and stable"
    why = f"{rollout.failure}; so {all_are} again" if rollout.backward else all_are
    over = rollout.moved(turn, why, still_since_s=None, stable_by_s={})
    steps = tuple(step for step in plan.steps if isinstance(step, Stop))
    return Decision(steps, over, None)


def _told(seen: Seen, rollout: Rollout, waits: Standstill | None) -> Rollout:
    """Return it in the state that it has now, with the reason."""
    if rollout.backward:
        then = f"; on the way back: {waits.why}" if waits is not None else ""
        return changed(rollout, why=rollout.failure + then)
    if waits is not None:
        return rollout.moved(waits.turn, waits.why)
    good = sum(seen.stable(m) for m in staying(seen).values())
    why = f"{good} of {seen.count} are of version {rollout.target} and stable"
    return rollout.moved(Turn.GOES_ON, why)


def _look_at_s(seen: Seen, rollout: Rollout) -> float | None:
    """Return when something comes due by itself: an instance is stable, or a deadline passes."""
    times = [
        (m.ready_since_s or 0.0) + seen.rules.min_healthy_s
        for m in seen.members
        if m.ready and not seen.stable(m)
    ]
    if rollout.still_since_s is None:
        times += [rollout.progress_by_s, *rollout.stable_by_s.values()]
    return min(times, default=None)
