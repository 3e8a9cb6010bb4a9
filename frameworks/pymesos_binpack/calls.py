"""What the core wants said to the master, as calls."""

from __future__ import annotations

from pymesos_binpack.core.effects import (
    Accept,
    Acknowledge,
    AnswerInverseOffer,
    Decline,
    Kill,
    Publish,
    Reconcile,
    Revive,
    Suppress,
)
from pymesos_sdk.calls import Calls

CallEffect = (
    Accept
    | Decline
    | Revive
    | Suppress
    | Kill
    | Acknowledge
    | AnswerInverseOffer
    | Reconcile
    | Publish
)
ASKED_AGAIN_S = 600.0  # about what was declined


def make_call(calls: Calls, effect: CallEffect) -> None:
    """Make the call of an effect."""
    match effect:
        case Accept(offer_ids, tasks, before, groups):
            # What a launch leaves of an agent is of use at once: no filter.
            calls.accept(offer_ids, tasks, refuse_s=0, before=before, groups=groups)
        case Decline(offer_ids, refuse_s):
            calls.decline(offer_ids, refuse_s)
        case Revive(role):
            calls.revive([role])
        case Suppress(role):
            calls.suppress([role])
        case Kill(task_id, agent_id, grace_s, first):
            calls.kill(task_id, agent_id, grace_s, first)
        case Acknowledge(status):
            calls.acknowledge(status)
        case AnswerInverseOffer(inverse_offer_id, accepts):
            if accepts:
                calls.accept_inverse_offers([inverse_offer_id])
            else:
                calls.decline_inverse_offers([inverse_offer_id], ASKED_AGAIN_S)
        case Reconcile(tasks):
            calls.reconcile(tasks)
        case Publish(serves, ended, whole, keeps):
            calls.publish(serves, ended, whole=whole, keeps=keeps)
