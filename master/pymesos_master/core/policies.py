"""The policy: an operator sets it, and it is in force everywhere when that is answered."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from pymesos_core.caller import Caller
from pymesos_core.errors import ProblemKind
from pymesos_core.security.policy import Policy, Verb, decide
from pymesos_core.security.policy_file import PolicyError, read_policy
from pymesos_master.core import disconnecting, permission
from pymesos_master.core.context import Context
from pymesos_master.core.events import OperatorSetPolicy
from pymesos_master.core.records import POLICY, PolicyRecord
from pymesos_proto.v1 import registry_pb2 as registry_pb
from pymesos_proto.v1.operator_pb2 import ClusterEvent


@dataclass(frozen=True, slots=True)
class PolicySet:
    """A policy is written; an operator may wait."""

    record: PolicyRecord
    request_id: int | None = None


def take_in(ctx: Context, record: registry_pb.PolicyRecord) -> None:
    """Have the policy of the registry in force. Raises PolicyError."""
    if record.version < 1 or not math.isfinite(record.set_at_s):
        raise PolicyError(f"it is of the version {record.version}, set at {record.set_at_s}")
    policy = read_policy(record.document, record.version)
    ctx.state.image.load((POLICY, POLICY), PolicyRecord(policy, record.set_by, record.set_at_s))
    ctx.state.policy = policy


def seed(ctx: Context) -> None:
    """Begin with the policy of the settings if nobody has ever set one: in force at once, since
    nothing has been said yet that it might deny."""
    document = ctx.config.seed_policy
    if document and POLICY not in ctx.state.image.durable(POLICY):
        policy = read_policy(document, 1)
        ctx.state.policy = policy
        _persist(ctx, PolicySet(PolicyRecord(policy, "", ctx.now.wall_s)))


def _persist(ctx: Context, done: PolicySet) -> None:
    ctx.persist({(POLICY, POLICY): done.record}, done)


def on_set(ctx: Context, event: OperatorSetPolicy) -> None:
    """Check it, write it, then go by it."""
    if permission.refused(ctx, event.request_id, event.caller, "Operator.SetPolicy"):
        return
    if aside := ctx.state.why_aside(POLICY, POLICY):
        ctx.answer(event.request_id, aside)
        return
    meant = ctx.state.policy_record(durable=False)
    version = meant.policy.version if meant is not None else 0
    if event.instead_of != version:
        by = f", which {meant.set_by} set" if meant is not None and meant.set_by else ""
        ctx.answer(
            event.request_id,
            f"the policy is of version {version}{by}, and yours is to replace version"
            f" {event.instead_of}: look at it with `pymesos-cli policy show`, and set yours again"
            f" with --instead-of {version}",
            ProblemKind.OUTDATED,
        )
        return
    policy = replace(event.policy, version=version + 1)
    if problem := _locked_out(policy, event.caller):
        ctx.answer(event.request_id, problem)
        return
    record = PolicyRecord(policy, event.caller.principal, ctx.now.wall_s)
    _persist(ctx, PolicySet(record, event.request_id))


def _locked_out(policy: Policy, caller: Caller) -> str | None:
    """Why nobody could mend this policy whom we know to be able to set one; or None."""
    if decide(policy, caller, Verb.POLICY).allowed:
        return None
    return (
        f"{caller.principal} could not set the policy any more by this one, so it is not set: have"
        f" somebody do it who still may, or add {{who: {caller.principal}, do: [policy]}}"
    )


def on_written(ctx: Context, done: PolicySet) -> None:
    """Go by it: who may not be here any more goes, who is to answer by it is told."""
    ctx.state.policy = done.record.policy
    for framework in list(ctx.state.frameworks.values()):
        disconnecting.apply_policy(ctx, framework)
    by = f" by {done.record.set_by}" if done.record.set_by else ""
    said = f"version {done.record.policy.version}{by}"
    ctx.publish(ClusterEvent.POLICY_SET, message=said)
    if done.request_id is not None:
        ctx.answer(done.request_id)
