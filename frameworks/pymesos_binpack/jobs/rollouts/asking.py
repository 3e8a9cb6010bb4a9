"""What people ask of a rollout, and what becomes of instances of its that end."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

from pymesos_binpack.jobs.rollouts.lifecycle import ROLLOUT_LIFE, State, Turn
from pymesos_binpack.jobs.rollouts.members import Member
from pymesos_binpack.jobs.rollouts.rules import UpdateRules
from pymesos_binpack.jobs.rollouts.state import Rollout


class Asked(StrEnum):
    """What may be asked of a rollout."""

    PAUSE = "pause"
    RESUME = "resume"
    PROMOTE = "promote"
    ABORT = "abort"


MOST_EXITS = 3  # in a row, after which a version is taken to be bad
SHOWN = 300  # characters of how an instance ended, or why it does not run


class AskedError(ValueError):
    """What was asked cannot be now: the message says why, and what can be."""


def asked(what: Asked, rollout: Rollout, rules: UpdateRules, now_s: float, by: str) -> Rollout:
    """Return a rollout after what was asked. Raises AskedError."""
    match what:
        case Asked.PAUSE:
            return pause(rollout, now_s, by)
        case Asked.RESUME:
            return resume(rollout, rules, now_s, by)
        case Asked.PROMOTE:
            return promote(rollout, by)
        case Asked.ABORT:
            return abort(rollout, now_s, by)


def pause(rollout: Rollout, now_s: float, by: str = "") -> Rollout:
    """Return it held: nothing is replaced until it is resumed, and no deadline passes."""
    _check(rollout, Turn.PAUSED, "paused")
    still_since_s = now_s if rollout.still_since_s is None else rollout.still_since_s
    why = f"paused{_by(by)}; resume it, or abort it"
    return rollout.moved(Turn.PAUSED, why, still_since_s=still_since_s)


def resume(rollout: Rollout, rules: UpdateRules, now_s: float, by: str = "") -> Rollout:
    """Return it going on in its direction, with new deadlines and nothing held against it."""
    turn = Turn.RESUMED_BACK if rollout.backward else Turn.RESUMED
    _check(rollout, turn, "resumed")
    return rollout.moved(
        turn,
        f"resumed{_by(by)}",
        failure=rollout.failure if rollout.backward else "",
        forgiven_s=max(now_s, rollout.since_s),
        exits=0,
        exit_why="",
        stable_by_s={},
        still_since_s=None,
        progress_by_s=now_s + rules.progress_deadline_s,
    )


def promote(rollout: Rollout, by: str = "") -> Rollout:
    """Return it with its canaries promoted: the other instances follow."""
    _check(rollout, Turn.PROMOTED, "promoted")
    return rollout.moved(Turn.PROMOTED, f"promoted{_by(by)}", promoted=True)


def abort(rollout: Rollout, now_s: float, by: str = "") -> Rollout:
    """Return it ended where it is.

    What is ready stays, of whichever version; what is not becomes one of the version that is known
    to work, so that as many as were wanted go on running.
    """
    _check(rollout, Turn.ABORTED, "aborted")
    return rollout.moved(
        Turn.ABORTED,
        f"aborted{_by(by)}: what was ready stayed as it was",
        by=by or rollout.by,
        since_s=max(now_s, rollout.since_s),
        stable_by_s={},
        still_since_s=None,
    )


def exited(rollout: Rollout, member: Member, why: str) -> Rollout:
    """Return it after the task of a member has ended by itself.

    To be called for what is a crash only: not for what people, drains or preemption ended, or what
    was lost with its agent. Instances that the rollout did not start are nothing to it.
    """
    ours = member.version == rollout.target and member.begun_s >= rollout.since_s
    if not rollout.going or not ours or member.leaving:
        return rollout
    exits = min(rollout.exits + 1, MOST_EXITS)
    return replace(rollout, exits=exits, exit_why=why[:SHOWN])


def _by(by: str) -> str:
    return f" by {by}" if by else ""


_INSTEAD = {
    State.PAUSED: "it is paused: resume or abort it",
    State.WAITING_PROMOTION: "its canaries wait to be promoted: promote, pause or abort it",
    State.ROLLING: "it is rolling: pause or abort it; only stable canaries can be promoted",
    State.ROLLING_BACK: "it is on its way back: pause or abort it",
}


def _check(rollout: Rollout, turn: Turn, what: str) -> None:
    if ROLLOUT_LIFE.after(rollout.state, turn) is not None:
        return
    if not rollout.going:
        now = f"it is over ({rollout.state})"
    else:
        now = _INSTEAD.get(rollout.state, f"it is {rollout.state}: pause or abort it")
    raise AskedError(f"the rollout cannot be {what}: {now}")
