"""Roles: weights and quota, as operators set them (docs/quota.md and docs/weights.md of Mesos)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from pymesos_core import limits, resources
from pymesos_core.errors import ProblemKind
from pymesos_core.ids import role_problem
from pymesos_core.resource_names import meant_resource
from pymesos_core.resource_values import ResourceError, format_milli
from pymesos_core.resources import for_good
from pymesos_master.allocator.interface import Quota
from pymesos_master.allocator.minimum import Scalars
from pymesos_master.core import permission
from pymesos_master.core.context import Context
from pymesos_master.core.events import (
    OperatorSetQuota,
    OperatorSetQuotas,
    OperatorSetWeight,
    OperatorSetWeights,
)
from pymesos_master.core.lifecycles import AgentState
from pymesos_master.core.records import NO_TERMS, ROLE, RoleTerms
from pymesos_master.core.registry import quota_message
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
        problem = _quotas_problem(ctx, {event.role: quota}, force=event.force)
        replaced = read_quota(event.instead_of) if event.instead_of is not None else None
    except ResourceError as error:
        problem = str(error)
    if problem is not None:
        ctx.answer(event.request_id, problem)
        return
    if replaced is not None and _terms(ctx, event.role).quota not in (replaced, quota):
        _answer_outdated(ctx, event.request_id, f"the quota of {event.role}")
        return
    _persist_quotas(ctx, {event.role: quota}, event.request_id)


def on_set_quotas(ctx: Context, event: OperatorSetQuotas) -> None:
    """Check all of them as they would be together, and write them at once."""
    named = [role for role, _ in event.quotas]
    if permission.refused(ctx, event.request_id, event.caller, "Operator.SetQuota", named):
        return
    quotas: dict[str, Quota] = {}
    try:
        problem = _twice(named)
        quotas = {role: read_quota(quota) for role, quota in event.quotas}
        problem = problem or _quotas_problem(ctx, quotas, force=event.force)
    except ResourceError as error:
        problem = str(error)
    if problem is not None:
        ctx.answer(event.request_id, problem)
        return
    _persist_quotas(ctx, quotas, event.request_id)


@dataclass(frozen=True, slots=True)
class QuotasSet:
    """The quotas of some roles are written; the operator waits."""

    quotas: Mapping[str, Quota]
    request_id: int


def on_quotas_set(ctx: Context, done: QuotasSet) -> None:
    """Have the allocator keep them."""
    for role, quota in done.quotas.items():
        ctx.allocator.set_quota(role, quota)
    ctx.answer(done.request_id)
    for role in done.quotas:
        ctx.publish(ClusterEvent.QUOTA_SET, message=role, roles=(role,))


def _persist_quotas(ctx: Context, quotas: Mapping[str, Quota], request_id: int) -> None:
    terms = {role: replace(_terms(ctx, role), quota=quota) for role, quota in quotas.items()}
    _persist(ctx, terms, QuotasSet(quotas, request_id))


def _terms(ctx: Context, role: str) -> RoleTerms:
    return ctx.state.roles(durable=False).get(role, NO_TERMS)


def _twice(named: Iterable[str]) -> str | None:
    """Why roles that are named cannot be set together, or None."""
    again = next((role for role, times in Counter(named).items() if times > 1), None)
    return None if again is None else f"the role {again[:255]} is named twice: name each once"


def _unwritable(ctx: Context, changed: Mapping[str, RoleTerms]) -> str | None:
    """Why the registry does not take these terms of roles, or None."""
    roles = ctx.state.roles(durable=False)
    added = sum(role not in roles and terms != NO_TERMS for role, terms in changed.items())
    full = limits.ROLES.problem(len(roles) + added) if added else None
    aside = (ctx.state.why_aside(ROLE, role) for role in changed)
    return next(filter(None, aside), None) or (
        f"{full}: set a role that is not used to weight 1 and no quota" if full else None
    )


def _persist(ctx: Context, changed: Mapping[str, RoleTerms], why: QuotasSet | WeightsSet) -> None:
    """A role that is like any other has no record."""
    ctx.persist(
        {(ROLE, role): None if terms == NO_TERMS else terms for role, terms in changed.items()}, why
    )


def _quotas_problem(ctx: Context, changed: Mapping[str, Quota], *, force: bool) -> str | None:
    """Why roles cannot have these quotas, all at once, or None."""
    for role, quota in changed.items():
        problem = role_problem(role) or terms_problem(RoleTerms(quota=quota))
        if problem := problem or _limit_problem(quota):
            return problem if len(changed) == 1 else f"{role[:255]!r}: {problem}"
    quotas = {
        name: terms.quota for name, terms in ctx.state.roles(durable=False).items() if terms.quota
    }
    quotas |= changed
    terms = {role: replace(_terms(ctx, role), quota=quota) for role, quota in changed.items()}
    return (
        _tree_problem(changed, quotas)
        or (None if force else _slip_problem(ctx, changed))
        or (None if force else _capacity_problem(ctx, changed, quotas))
        or _unwritable(ctx, terms)
    )


def _limit_problem(quota: Quota) -> str | None:
    for name, limit in quota.limits.items():
        if quota.guarantees.get(name, 0) > limit:
            return (
                f"the guarantee of {name} ({format_milli(quota.guarantees[name])}) is more than its"
                f" limit ({format_milli(limit)})"
            )
    return None


def _tree_problem(changed: Iterable[str], quotas: Mapping[str, Quota]) -> str | None:
    """A role's children may not be promised more, or allowed more, than the role."""
    touched = (name for role in changed for name in (role.rpartition("/")[0], role))
    below: dict[str, list[Quota]] = {name: [] for name in touched}  # nothing else changes
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


def _slip_problem(ctx: Context, changed: Mapping[str, Quota]) -> str | None:
    """Why resources are not what was meant: no agent has any, and there is another by that word."""
    named = {name for quota in changed.values() for name in (*quota.guarantees, *quota.limits)}
    for name in sorted(named):
        if (meant := meant_resource(name)) is None:
            continue
        if not any(name in agent.total.quantities for agent in ctx.state.agents.values()):
            return (
                f"no agent has a resource {name}; did you mean {meant}? --force sets it all the"
                f" same"
            )
    return None


def _capacity_problem(
    ctx: Context, changed: Mapping[str, Quota], quotas: Mapping[str, Quota]
) -> str | None:
    """More than the cluster has cannot be guaranteed, as it stands."""
    guaranteed = {name for quota in changed.values() for name in quota.guarantees}
    top = [q.guarantees for r, q in quotas.items() if r.rpartition("/")[0] not in quotas]
    lost = (AgentState.UNREACHABLE, AgentState.GONE)
    there = _sum(
        [for_good(a.total).quantities for a in ctx.state.agents.values() if a.state not in lost]
    )
    for name, value in _sum(top).items():
        if value > there.get(name, 0) and name in guaranteed:
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
    if (problem := _weights_problem(ctx, {event.role: event.weight})) is not None:
        ctx.answer(event.request_id, problem)
        return
    now = _terms(ctx, event.role).weight
    if event.instead_of is not None and now not in (event.instead_of, event.weight):
        _answer_outdated(ctx, event.request_id, f"the weight of {event.role}")
        return
    _persist_weights(ctx, {event.role: event.weight}, event.request_id)


def on_set_weights(ctx: Context, event: OperatorSetWeights) -> None:
    """Check all of them, and write them at once."""
    named = [role for role, _ in event.weights]
    if permission.refused(ctx, event.request_id, event.caller, "Operator.SetWeight", named):
        return
    weights = dict(event.weights)
    if (problem := _twice(named) or _weights_problem(ctx, weights)) is not None:
        ctx.answer(event.request_id, problem)
        return
    _persist_weights(ctx, weights, event.request_id)


def _weights_problem(ctx: Context, weights: Mapping[str, float]) -> str | None:
    for role, weight in weights.items():
        if problem := role_problem(role) or terms_problem(RoleTerms(weight)):
            return problem if len(weights) == 1 else f"{role[:255]!r}: {problem}"
    return _unwritable(ctx, _with_weights(ctx, weights))


def _with_weights(ctx: Context, weights: Mapping[str, float]) -> dict[str, RoleTerms]:
    return {role: replace(_terms(ctx, role), weight=weight) for role, weight in weights.items()}


def _persist_weights(ctx: Context, weights: Mapping[str, float], request_id: int) -> None:
    _persist(ctx, _with_weights(ctx, weights), WeightsSet(weights, request_id))


def _answer_outdated(ctx: Context, request_id: int, what: str) -> None:
    ctx.answer(
        request_id,
        f"{what} is not what it is to replace, since somebody has changed it meanwhile: look at it"
        f" with `pymesos-cli roles`, and set it again",
        ProblemKind.OUTDATED,
    )


@dataclass(frozen=True, slots=True)
class WeightsSet:
    """The weights of some roles are written; the operator waits."""

    weights: Mapping[str, float]
    request_id: int


def on_weights_set(ctx: Context, done: WeightsSet) -> None:
    """Have the allocator go by them."""
    for role, weight in done.weights.items():
        ctx.allocator.set_weight(role, weight)
    ctx.answer(done.request_id)
    for role, weight in done.weights.items():
        ctx.publish(ClusterEvent.WEIGHT_SET, message=f"{role}: {weight:g}", roles=(role,))
