"""Operations that change what is reserved, as `src/master/validation.cpp` of Mesos checks them.

What depends on what the agent has is the core's to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pymesos_master.mesos.rules import resources as rules
from pymesos_master.mesos.rules.resources import shown
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos

_Operation = mesos.Offer.Operation


@dataclass(frozen=True)
class Asking:
    """Who asks, and of which offer."""

    framework_id: str
    principal: str  # of the framework; empty: it has none
    may_share: bool  # it has SHARED_RESOURCES
    role: str  # of the offer
    agent: str  # as Mesos writes it: ID at PID (HOSTNAME)


def problem(operation: _Operation, asking: Asking) -> str | None:
    """Why Mesos does not carry an operation out, or None."""
    match operation.type:
        case _Operation.RESERVE:
            found = _reserve_problem(operation.reserve.resources, asking)
        case _Operation.UNRESERVE:
            found = _unreserve_problem(operation.unreserve.resources, asking.role)
        case _Operation.CREATE:
            found = _create_problem(operation.create.volumes, asking)
        case _Operation.DESTROY:
            found = _volumes_problem(operation.destroy.volumes, "")
        case _Operation.GROW_VOLUME:
            found = _grow_problem(operation.grow_volume, asking.role)
        case _Operation.SHRINK_VOLUME:
            found = _shrink_problem(operation.shrink_volume, asking.role)
        case _:
            found = None
    return None if found is None else f"{found}; on agent {asking.agent}"


def _invalid(resources: Sequence[mesos.Resource], role: str) -> str | None:
    wrong = rules.problem(resources, role)
    return None if wrong is None else f"Invalid resources: {wrong}"


def _not_dynamic(resources: Iterable[mesos.Resource], role: str) -> str | None:
    for one in resources:
        if not rules.is_dynamic(one):
            return f"Resource {shown(one, role)} is not dynamically reserved"
    return None


def _reserve_problem(resources: Sequence[mesos.Resource], asking: Asking) -> str | None:
    wrong = _invalid(resources, asking.role) or _not_dynamic(resources, asking.role)
    if wrong is not None:
        return wrong
    for one in resources:
        info = one.reservations[-1] if one.reservations else one.reservation
        if asking.principal and info.principal not in ("", asking.principal):
            return (
                f"A reserve operation was attempted by authenticated principal"
                f" '{asking.principal}', which does not match a reserved resource in the request"
                f" with principal '{info.principal}'"
            )
        allocated, role = one.allocation_info.role or asking.role, rules.reserved_for(one)
        if allocated != role:
            return (
                f"A reserve operation was attempted for a resource with role '{role}', but the"
                f" resource was allocated to role '{allocated}'"
            )
    return None


def _unreserve_problem(resources: Sequence[mesos.Resource], role: str) -> str | None:
    wrong = _invalid(resources, role) or _not_dynamic(resources, role)
    for one in resources if wrong is None else ():
        if one.disk.HasField("persistence"):
            return (
                f"A dynamically reserved persistent volume {shown(one, role)} cannot be unreserved"
                f" directly. Please destroy the persistent volume first then unreserve the resource"
            )
    return wrong


def _create_problem(volumes: Sequence[mesos.Resource], asking: Asking) -> str | None:
    wrong = _volumes_problem(volumes, asking.role) or rules.unique_problem(volumes)
    for one in volumes if wrong is None else ():
        if one.HasField("shared") and not asking.may_share:
            return (
                f"Create volume operation for '{shown(one, asking.role)}' has been attempted by"
                f" framework '{asking.framework_id}' with no SHARED_RESOURCES capability"
            )
    return wrong


def _volumes_problem(volumes: Sequence[mesos.Resource], role: str) -> str | None:
    if (wrong := _invalid(volumes, role)) is not None:
        return wrong
    wrong = _no_volume(volumes, role)
    return None if wrong is None else f"Not a persistent volume: {wrong}"


def _no_volume(volumes: Iterable[mesos.Resource], role: str) -> str | None:
    for one in volumes:
        if not one.HasField("disk"):
            return f"Resource {shown(one, role)} does not have DiskInfo"
        if not one.disk.HasField("persistence"):
            return "'persistence' is not set in DiskInfo"
    return None


def _resized_problem(volume: mesos.Resource, kind: str, role: str) -> str | None:
    if (wrong := _no_volume([volume], role)) is not None:
        return f"Invalid persistent volume in the '{kind}Volume.volume' field: {wrong}"
    if volume.HasField("shared"):
        return f"{kind}ing a shared persistent volume is not supported"
    return None


def _grow_problem(said: _Operation.GrowVolume, role: str) -> str | None:
    for name in ("volume", "addition"):
        if (wrong := rules.one_problem(getattr(said, name))) is not None:
            return f"Invalid resource in the 'GrowVolume.{name}' field: {wrong}"
    if rules.rounded(said.addition.scalar.value) <= 0:
        return "The size of 'GrowVolume.addition' field must be greater than zero"
    if (wrong := _resized_problem(said.volume, "Grow", role)) is not None:
        return wrong
    stripped = mesos.Resource()
    stripped.CopyFrom(said.volume)
    stripped.ClearField("disk")
    stripped.scalar.CopyFrom(said.addition.scalar)
    if shown(stripped, role) != shown(said.addition, role):
        return "Incompatible resources in the 'GrowVolume.volume' and 'GrowVolume.addition' fields"
    return None


def _shrink_problem(said: _Operation.ShrinkVolume, role: str) -> str | None:
    if (wrong := rules.one_problem(said.volume)) is not None:
        return f"Invalid resource in the 'ShrinkVolume.volume' field: {wrong}"
    if rules.rounded(said.subtract.value) <= 0:
        return "Value of 'ShrinkVolume.subtract' must be greater than zero"
    if rules.rounded(said.volume.scalar.value) <= rules.rounded(said.subtract.value):
        return (
            "Value of 'ShrinkVolume.subtract' must be smaller than the size of"
            " 'ShrinkVolume.volume'"
        )
    return _resized_problem(said.volume, "Shrink", role)
