"""Quotas, as `src/master/quota.cpp` and `quota_handler.cpp` of Mesos check them.

Roles below others have quotas here; Mesos refuses those.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from pymesos_master.mesos.rules.names import role_problem
from pymesos_master.mesos.rules.resources import problem as resources_problem
from pymesos_master.mesos.rules.resources import rounded, scalar
from pymesos_proto.mesos.v1 import master_pb2 as mesos_master
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos

EXABYTE_MIB, TRILLION = 1024**4, 1000**4
Quantities = Mapping[str, float]


def config_problem(config: mesos_master.QuotaConfig) -> str | None:
    """Why a role cannot have this quota by UPDATE_QUOTA, or None."""
    if (problem := role_problem(config.role)) is not None:
        return f"Invalid 'QuotaConfig.role': {problem}"
    for name, amounts in (("guarantees", config.guarantees), ("limits", config.limits)):
        for resource, amount in amounts.items():
            if (problem := _large_problem(resource, amount.value)) is not None:
                return f"Invalid 'QuotaConfig.{name}': {problem}"
    for name, amounts in (("guarantee", config.guarantees), ("limit", config.limits)):
        for resource, amount in amounts.items():
            if (problem := _scalar_problem(amount.value)) is not None:
                said = f"{{'{resource}': {scalar(amount.value)}}}"
                return f"Invalid {name} configuration {said}: {problem}"
    return None


def _large_problem(name: str, value: float) -> str | None:
    most, called = (EXABYTE_MIB, "exabyte") if name in ("mem", "disk") else (TRILLION, "trillion")
    if not value > most:
        return None
    return (
        f"{{'{name}': {scalar(value)}}} is invalid: values greater than 1 {called} ({most}) are not"
        f" supported"
    )


def _scalar_problem(value: float) -> str | None:
    if math.isinf(value):
        return "Infinite values not supported"
    if math.isnan(value):
        return "NaN not supported"
    return "Negative values not supported" if value < 0 else None


def request_problem(said: mesos_master.QuotaRequest) -> str | None:
    """Why a role cannot have this quota by SET_QUOTA, or None."""
    if (problem := resources_problem(said.guarantee)) is not None:
        problem = problem.removeprefix("Invalid resources: ")
        return f"QuotaInfo with invalid resource: {problem}"
    if (problem := role_problem(said.role)) is not None:
        return f"QuotaInfo with invalid role: {problem}"
    if not said.guarantee:
        return "QuotaInfo with empty 'guarantee'"
    return _guarantee_problem(said.guarantee)


def _guarantee_problem(guarantee: Sequence[mesos.Resource]) -> str | None:
    seen: set[str] = set()
    for one in guarantee:
        if one.reservations or one.HasField("reservation") or one.role != "*":
            return "QuotaInfo must not contain any ReservationInfo"
        for name, what in (("disk", "DiskInfo"), ("revocable", "RevocableInfo")):
            if one.HasField(name):
                return f"QuotaInfo must not contain {what}"
        if one.type != mesos.Value.SCALAR:
            return "QuotaInfo must not include non-scalar resources"
        if one.name in seen:
            return f"QuotaInfo contains duplicate resource name '{one.name}'"
        seen.add(one.name)
    return None


def overcommit(quotas: Mapping[str, Quantities], there: Iterable[Quantities]) -> str | None:
    """How guarantees by role exceed what agents have, from the quotes on; or None."""
    total = _sum(held for role, held in quotas.items() if not _has_above(role, quotas))
    capacity = _sum(there)
    if all(rounded(value) <= rounded(capacity.get(name, 0)) for name, value in total.items()):
        return None
    return f"'{_shown(total)}' exceed cluster capacity '{_shown(capacity)}'"


def _has_above(role: str, quotas: Mapping[str, Quantities]) -> bool:
    parts = role.split("/")
    return any("/".join(parts[:depth]) in quotas for depth in range(1, len(parts)))


def _sum(amounts: Iterable[Quantities]) -> dict[str, float]:
    out: dict[str, float] = {}
    for one in amounts:
        for name, value in one.items():
            out[name] = out.get(name, 0.0) + value
    return {name: value for name, value in out.items() if value}


def _shown(quantities: Quantities) -> str:
    listed = (f"{name}:{scalar(value)}" for name, value in sorted(quantities.items()))
    return "; ".join(listed) or "{}"
