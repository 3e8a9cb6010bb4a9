"""What frameworks say of themselves, as `src/master/validation.cpp` of Mesos checks it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pymesos_master.mesos.rules.names import id_problem, role_problem
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos

MAX_DURATION_S = 2**63 / 1e9  # which is counted in nanoseconds


def info_problem(info: mesos.FrameworkInfo) -> str | None:
    """Why a framework cannot be so, or None."""
    multi_role = mesos.FrameworkInfo.Capability.MULTI_ROLE in {
        one.type for one in info.capabilities
    }
    if (problem := _roles_problem(info) if multi_role else _role_problem(info)) is not None:
        return problem
    if info.id.value and (problem := id_problem(info.id.value)) is not None:
        return problem
    if (problem := _filters_problem(info.offer_filters.values())) is not None:
        return problem
    if not abs(info.failover_timeout) < MAX_DURATION_S:
        return f"The framework failover_timeout ({info.failover_timeout:g}) is invalid"
    return None


def _role_problem(info: mesos.FrameworkInfo) -> str | None:
    if info.roles:
        return "'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE capable"
    if (problem := role_problem(info.role)) is not None:
        return f"'FrameworkInfo.role' is not a valid role: {problem}"
    return None


def _roles_problem(info: mesos.FrameworkInfo) -> str | None:
    if info.HasField("role"):
        return "'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable"
    if again := [role for role, times in Counter(info.roles).items() if times > 1]:
        return f"'FrameworkInfo.roles' contains duplicate items: {{ {', '.join(again)} }}"
    for role in info.roles:
        if (problem := role_problem(role)) is not None:
            return f"'FrameworkInfo.roles' contains invalid role: {problem}"
    return None


def _filters_problem(filters: Iterable[mesos.OfferFilters]) -> str | None:
    for one in filters:
        for least in one.min_allocatable_resources.quantities:
            if not least.quantities:
                return "Resource quantities must contain at least one quantity"
            for name, quantity in least.quantities.items():
                if quantity.value < 0:
                    return f"Invalid resource quantity for '{name}': Negative values not supported"
    return None
