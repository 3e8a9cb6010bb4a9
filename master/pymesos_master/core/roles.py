"""Roles: weights and quota, as operators set them (docs/quota.md and docs/weights.md of Mesos)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from pymesos_core import limits, resources
from pymesos_core.errors import ProblemKind
from pymesos_core.ids import role_problem
from pymesos_core.resources import ResourceError, format_milli
from pymesos_master.allocator.interface import Quota
from pymesos_master.allocator.minimum import Scalars
from pymesos_master.core import permission
from pymesos_master.core.context import Context
from pymesos_master.core.events import OperatorSetQuota, OperatorSetWeight
from pymesos_master.core.lifecycles import AgentState
from pymesos_master.core.registry import ROLE, quota_message
from pymesos_master.core.state import NO_TERMS, RoleTerms
from pymesos_proto.v1 import registry_pb2 as registry_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_proto.v1.operator_pb2 import ClusterEvent

MAX_WEIGHT = 1e6


def read_quota(message: pb.Quota) -> Quota:
    """Raises ResourceError."""
    # `from_proto` drops what is zero, and a limit of zero is one.
    zeros = {resource.name: 0 for resource in message.limits}
    return Quota(_scalars(message.guarantees), {**zeros, **_scalars(message.limits)})


def read_role(record: registry_pb.RoleRecord) -> RoleTerms:
    """Raises ResourceError."""
    return RoleTerms(record.weight, read_quota(record.quota))


def terms_problem(terms: RoleTerms) -> str | None:
    """Why a weight cannot be, or a quota is too large to be kept, or None."""
    if not (math.isfinite(terms.weight) and 0 < terms.weight <= MAX_WEIGHT):
        return f"the weight is {terms.weight:g}; more than 0, at most {MAX_WEIGHT:g}, is expected"
    return limits.QUOTA.problem(quota_message(terms.quota).ByteSize())


def _scalars(messages: Iterable[pb.Resource]) -> Scalars:
    bag = resources.from_proto(messages)
    if bag != resources.Resources(bag.scalars):
        raise ResourceError("a quota is of scalars: cpus, mem, disk, gpus")
    return bag.scalars


def on_set_quota(ctx: Context, event: OperatorSetQuota) -> None:
    """Check it, write it, then have the allocator keep it."""
    if permission.refused(ctx, event.request_id, event.caller, "Operator.SetQuota", (event.role,)):
        return
    try:
        quota = read_quota(event.quota)
        problem = role_problem(event.role) or terms_problem(RoleTerms(quota=quota))
        problem = problem or _quota_problem(ctx, event.role, quota, event.force)
        problem = problem or _unwritable(ctx, event.role, quota=quota)
        replaced = read_quota(event.instead_of) if event.instead_of is not None else None
    except ResourceError as error:
        problem = str(error)
    if problem is not None:
        ctx.answer(event.request_id, problem)
        return
    if replaced is not None and _terms(ctx, event.role).quota not in (replaced, quota):
        _answer_outdated(ctx, event.request_id, f"the quota of {event.role}")
        return
    _persist(
        ctx, _terms(ctx, event.role, quota=quota), QuotaSet(event.role, quota, event.request_id)
    )


@dataclass(frozen=True, slots=True)
class QuotaSet:
    """A role's quota is written; the operator waits."""

    role: str
    quota: Quota
    request_id: int


def on_quota_set(ctx: Context, done: QuotaSet) -> None:
    """Have the allocator keep it."""
    ctx.allocator.set_quota(done.role, done.quota)
    ctx.answer(done.request_id)
    ctx.publish(ClusterEvent.QUOTA_SET, message=done.role, roles=(done.role,))


def _terms(ctx: Context, role: str, **changed: Any) -> RoleTerms:
    return replace(ctx.state.roles(durable=False).get(role, NO_TERMS), **changed)


def _unwritable(ctx: Context, role: str, **changed: Any) -> str | None:
    """Why the registry does not take a role with these terms, or None."""
    roles = ctx.state.roles(durable=False)
    added = role not in roles and _terms(ctx, role, **changed) != RoleTerms()
    full = limits.ROLES.problem(len(roles) + 1) if added else None
    return ctx.state.why_aside(ROLE, role) or (
        f"{full}: set a role that is not used to weight 1 and no quota" if full else None
    )


def _persist(ctx: Context, terms: RoleTerms, why: QuotaSet | WeightSet) -> None:
    """A role that is like any other has no record."""
    ctx.persist({(ROLE, why.role): None if terms == NO_TERMS else terms}, why)


def _quotas(ctx: Context, role: str, quota: Quota) -> dict[str, Quota]:
    """All of them as they are to be, those that are being written, too."""
    out = {
        name: terms.quota for name, terms in ctx.state.roles(durable=False).items() if terms.quota
    }
    return {**out, role: quota}


def _quota_problem(ctx: Context, role: str, quota: Quota, force: bool) -> str | None:
    for name, limit in quota.limits.items():
        if quota.guarantees.get(name, 0) > limit:
            return (
                f"the guarantee of {name} ({format_milli(quota.guarantees[name])}) is more than its"
                f" limit ({format_milli(limit)})"
            )
    return _tree_problem(ctx, role, quota) or (
        None if force else _capacity_problem(ctx, role, quota)
    )


def _tree_problem(ctx: Context, role: str, quota: Quota) -> str | None:
    """A role's children may not be promised more, or allowed more, than the role."""
    quotas = _quotas(ctx, role, quota)
    parent = role.rpartition("/")[0]
    below: dict[str, list[Quota]] = {parent: [], role: []}  # nothing else changes
    for name, of_role in quotas.items():
        if (of := below.get(name.rpartition("/")[0])) is not None:
            of.append(of_role)
    for name, children in below.items():
        if name in quotas and (problem := _problem_below(name, quotas[name], children)):
            return problem
    return None


def _problem_below(role: str, above: Quota, children: list[Quota]) -> str | None:
    for name, guarantee in _sum([child.guarantees for child in children]).items():
        mine = above.guarantees.get(name, 0)
        if guarantee > mine:
            return (
                f"the roles below {role} would be guaranteed {format_milli(guarantee)}"
                f" {name}, and {role} {format_milli(mine)}: raise that first"
            )
    for child in children:
        for name, limit in child.limits.items():
            if limit > above.limits.get(name, limit):
                return (
                    f"a role below {role} would be limited to {format_milli(limit)} {name},"
                    f" and {role} to {format_milli(above.limits[name])}"
                )
    return None


def _capacity_problem(ctx: Context, role: str, quota: Quota) -> str | None:
    """More than the cluster has cannot be guaranteed, as it stands."""
    quotas = _quotas(ctx, role, quota)
    top = [q.guarantees for r, q in quotas.items() if r.rpartition("/")[0] not in quotas]
    lost = (AgentState.UNREACHABLE, AgentState.GONE)
    there = _sum([a.total.quantities for a in ctx.state.agents.values() if a.state not in lost])
    for name, value in _sum(top).items():
        if value > there.get(name, 0) and name in quota.guarantees:
            return (
                f"all guarantees together would be {format_milli(value)} {name}, and the cluster"
                f" has {format_milli(there.get(name, 0))}; --force sets it all the same"
            )
    return None


def _sum(bags: list[Scalars]) -> dict[str, int]:
    out: dict[str, int] = {}
    for bag in bags:
        for name, value in bag.items():
            out[name] = out.get(name, 0) + value
    return out


def on_set_weight(ctx: Context, event: OperatorSetWeight) -> None:
    """Check it, write it, then have the allocator go by it."""
    if permission.refused(ctx, event.request_id, event.caller, "Operator.SetWeight", (event.role,)):
        return
    problem = (
        role_problem(event.role)
        or terms_problem(RoleTerms(event.weight))
        or _unwritable(ctx, event.role, weight=event.weight)
    )
    if problem is not None:
        ctx.answer(event.request_id, problem)
        return
    now = _terms(ctx, event.role).weight
    if event.instead_of is not None and now not in (event.instead_of, event.weight):
        _answer_outdated(ctx, event.request_id, f"the weight of {event.role}")
        return
    done = WeightSet(event.role, event.weight, event.request_id)
    _persist(ctx, _terms(ctx, event.role, weight=event.weight), done)


def _answer_outdated(ctx: Context, request_id: int, what: str) -> None:
    ctx.answer(
        request_id,
        f"{what} is not what it is to replace, since somebody has changed it meanwhile: look at it"
        f" with `pymesos-cli roles`, and set it again",
        ProblemKind.OUTDATED,
    )


@dataclass(frozen=True, slots=True)
class WeightSet:
    """A role's weight is written; the operator waits."""

    role: str
    weight: float
    request_id: int


def on_weight_set(ctx: Context, done: WeightSet) -> None:
    """Have the allocator go by it."""
    ctx.allocator.set_weight(done.role, done.weight)
    ctx.answer(done.request_id)
    said = f"{done.role}: {done.weight:g}"
    ctx.publish(ClusterEvent.WEIGHT_SET, message=said, roles=(done.role,))
