"""`roles`, `quota`, `weights`: who gets how much."""

from __future__ import annotations

from typing import Any

from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import EXIT_USAGE, CliError
from pymesos_cli.output import print_json, print_table, short_amounts
from pymesos_core.ids import role_problem
from pymesos_core.json_dialect import role_json
from pymesos_core.numbers import NumberSyntaxError, parse_real
from pymesos_core.resource_values import ResourceError, format_milli, to_milli
from pymesos_core.resources import from_proto, parse, to_proto
from pymesos_core.text import quoted
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2


async def _roles(cluster: Cluster) -> list[pb.RoleView]:
    response = await cluster.call(
        lambda stub, timeout_s: stub.ListRoles(pb.ListRolesRequest(), timeout=timeout_s)
    )
    return list(response.roles)


def _said(messages: Any) -> str:
    return ", ".join(f"{m.name} {format_milli(to_milli(m.name, m.scalar))}" for m in messages)


async def list_roles(cluster: Cluster, *, as_json: bool) -> None:
    """`pymesos-cli roles`."""
    views = await _roles(cluster)
    if as_json:
        print_json([role_json(view) for view in views])
        return
    rows = [
        (
            view.role,
            f"{view.weight:g}",
            _said(view.quota.guarantees),
            _said(view.quota.limits),
            short_amounts(from_proto(view.allocated)),
            short_amounts(from_proto(view.offered)),
            short_amounts(from_proto(view.reserved)),
            str(len(view.framework_ids)),
        )
        for view in views
    ]
    headers = ("ROLE", "WEIGHT", "GUARANTEED", "AT MOST", "ALLOCATED", "OFFERED", "RESERVED",
               "FRAMEWORKS")  # fmt: skip
    print_table(headers, rows, "no roles; frameworks bring them, or weights and quota")


def _check_role(role: str) -> None:
    """Raises CliError."""
    if problem := role_problem(role):
        raise CliError(problem, EXIT_USAGE)


async def set_quota(
    cluster: Cluster, role: str, guarantee: str | None, limit: str | None, *, force: bool
) -> None:
    """`pymesos-cli quota set`."""
    _check_role(role)
    guarantee, limit = guarantee or "", limit or ""
    if not guarantee and not limit:
        raise CliError("give --guarantee, --limit, or both, as in cpus:4;mem:8192", EXIT_USAGE)
    quota = types_pb2.Quota()
    try:
        quota.guarantees.extend(to_proto(parse(guarantee)))
        bag = parse(limit)
        quota.limits.extend(to_proto(bag))
        # `parse` drops what is zero; a limit of zero means none at all.
        named = [part.partition(":")[0].strip() for part in limit.split(";") if part.strip()]
        quota.limits.extend(
            types_pb2.Resource(name=n, scalar=0)
            for n in named
            if n not in bag.scalars and n not in bag.ranges and n not in bag.sets
        )
    except ResourceError as error:
        raise CliError(str(error), EXIT_USAGE) from error
    request = pb.SetQuotaRequest(role=role, quota=quota, force=force)
    await cluster.call(lambda stub, timeout_s: stub.SetQuota(request, timeout=timeout_s))
    parts = [
        f"{what} {_said(messages)}"
        for what, messages in (("guaranteed", quota.guarantees), ("at most", quota.limits))
        if messages
    ]
    print(f"{role}: {'; '.join(parts)}")


async def remove_quota(cluster: Cluster, role: str) -> None:
    """`pymesos-cli quota remove`."""
    _check_role(role)
    with_quota = [v.role for v in await _roles(cluster) if v.quota.guarantees or v.quota.limits]
    if role not in with_quota:
        known = f"; these have: {', '.join(with_quota)}" if with_quota else ""
        raise CliError(f"the role {quoted(role)} has no quota{known}", EXIT_USAGE)
    request = pb.SetQuotaRequest(role=role)
    await cluster.call(lambda stub, timeout_s: stub.SetQuota(request, timeout=timeout_s))
    print(f"{role}: no quota any more")


async def set_weights(cluster: Cluster, settings: tuple[str, ...]) -> None:
    """`pymesos-cli weights ROLE=WEIGHT…`."""
    read = []
    for setting in settings:
        role, _, text = setting.rpartition("=")
        try:
            weight = parse_real(text)
        except NumberSyntaxError:
            role = ""
        if not role:
            raise CliError(f"{quoted(setting)} is not ROLE=WEIGHT, as in eng/web=2.5", EXIT_USAGE)
        _check_role(role)
        if weight <= 0:
            raise CliError(f"{quoted(setting)}: a weight is above 0", EXIT_USAGE)
        read.append((role, weight))
    for role, weight in read:
        await _set_weight(cluster, role, weight)
        print(f"{role}: weight {weight:g}")


async def _set_weight(cluster: Cluster, role: str, weight: float) -> None:
    request = pb.SetWeightRequest(role=role, weight=weight)
    await cluster.call(lambda stub, timeout_s: stub.SetWeight(request, timeout=timeout_s))
