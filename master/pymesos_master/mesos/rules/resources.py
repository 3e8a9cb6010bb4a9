"""Resources, as `src/common/resources.cpp` and `src/master/validation.cpp` of Mesos check them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

from pymesos_master.mesos.rules.names import id_problem, role_problem
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos

MILLI = 1000
_STATIC = mesos.Resource.ReservationInfo.STATIC
_DYNAMIC = mesos.Resource.ReservationInfo.DYNAMIC


def rounded(value: float) -> float:
    """Return an amount in thousandths, as Mesos counts it; what is too large for that is infinite.

    What is no number is none after it, too.
    """
    milli = value * MILLI
    return round(milli) if math.isfinite(milli) else milli


def scalar(value: float) -> str:
    """Return an amount as Mesos writes it, which has three decimals."""
    return f"{rounded(value) / MILLI:.15g}"


def shown(resource: mesos.Resource, role: str = "") -> str:
    """Return a resource as Mesos writes it; `role`: whose offers it is of, if it says nothing."""
    out = resource.name
    if allocated := resource.allocation_info.role or role:
        out += f"(allocated: {allocated})"
    if said := _reservations(resource):
        out += f"(reservations: [{','.join(said)}])"
    if resource.HasField("disk"):
        out += f"[{_disk(resource.disk)}]"
    out += "{REV}" * resource.HasField("revocable") + "<SHARED>" * resource.HasField("shared")
    return f"{out}:{_value(resource)}"


def _value(resource: mesos.Resource) -> str:
    match resource.type:
        case mesos.Value.RANGES:
            listed = (f"{one.begin}-{one.end}" for one in resource.ranges.range)
            return f"[{', '.join(listed)}]"
        case mesos.Value.SET:
            return f"{{{', '.join(resource.set.item)}}}"
    return scalar(resource.scalar.value)


def _reservations(resource: mesos.Resource) -> list[str]:
    if not resource.reservations and resource.role not in ("", "*"):
        kind = "DYNAMIC" if resource.HasField("reservation") else "STATIC"
        return [_reservation(kind, resource.role, resource.reservation)]
    kinds = mesos.Resource.ReservationInfo.Type
    return [_reservation(kinds.Name(one.type), one.role, one) for one in resource.reservations]


def _reservation(kind: str, role: str, info: mesos.Resource.ReservationInfo) -> str:
    parts = [kind, role]
    if info.HasField("principal"):
        parts.append(info.principal)
    if info.HasField("labels"):
        parts.append(f"{{{', '.join(f'{one.key}: {one.value}' for one in info.labels.labels)}}}")
    return f"({','.join(parts)})"


def _disk(disk: mesos.Resource.DiskInfo) -> str:
    out = disk.persistence.id
    if disk.HasField("volume"):
        out += f":{disk.volume.container_path}"
    return out


def problem(resources: Sequence[mesos.Resource], role: str = "") -> str | None:
    """Why these resources cannot be, or None (`resource::validate`)."""
    for one in resources:
        if (wrong := one_problem(one)) is not None:
            return f"Invalid resources: Resource '{shown(one, role)}' is invalid: {wrong}"
    gpus = sum(one.scalar.value for one in resources if one.name == "gpus") * MILLI
    if not math.isfinite(gpus) or int(gpus) % MILLI:
        return "Invalid 'gpus' resource: The 'gpus' resource must be an unsigned integer"
    for one in resources:
        if one.HasField("disk") and (wrong := _disk_problem(one)) is not None:
            return f"Invalid DiskInfo: {wrong}"
    for one in resources:
        if one.HasField("revocable") and is_dynamic(one):
            return (
                f"Invalid ReservationInfo: Dynamically reserved resource {shown(one, role)} cannot"
                f" be created from revocable resources"
            )
    return None


def is_dynamic(resource: mesos.Resource) -> bool:
    """Whether somebody has reserved it while its agent ran."""
    if resource.reservations:
        return resource.reservations[-1].type == _DYNAMIC
    return resource.HasField("reservation")


def reserved_for(resource: mesos.Resource) -> str:
    """The role that it is reserved for; `*`: nobody."""
    return resource.reservations[-1].role if resource.reservations else resource.role


def one_problem(resource: mesos.Resource) -> str | None:
    """Why a resource by itself cannot be, or None."""
    if not resource.name:
        return "Empty resource name"
    if (wrong := _value_problem(resource)) is not None:
        return wrong
    if resource.HasField("disk") and resource.name != "disk":
        return f"DiskInfo should not be set for {resource.name} resource"
    wrong = _refined_problem(resource) if resource.reservations else _plain_problem(resource)
    if wrong is not None or not resource.HasField("shared"):
        return wrong
    if resource.name != "disk":
        return f"Resource {resource.name} cannot be shared"
    if not resource.disk.HasField("persistence"):
        return "Only persistent volumes can be shared"
    return None


def _value_problem(resource: mesos.Resource) -> str | None:
    values = [name for name in ("scalar", "ranges", "set") if resource.HasField(name)]
    match resource.type:
        case mesos.Value.SCALAR:
            if values != ["scalar"]:
                return "Invalid scalar resource"
            value = resource.scalar.value
            if value and rounded(value) <= 0:
                return "Invalid scalar resource: value <= 0"
            return None
        case mesos.Value.RANGES:
            if values != ["ranges"]:
                return "Invalid ranges resource"
            return _ranges_problem(resource.ranges.range)
        case mesos.Value.SET:
            if values != ["set"]:
                return "Invalid set resource"
            if len(set(resource.set.item)) != len(resource.set.item):
                return "Invalid set resource: duplicated elements"
            return None
    return "Unsupported resource type"


def _ranges_problem(ranges: Iterable[mesos.Value.Range]) -> str | None:
    listed = sorted((one.begin, one.end) for one in ranges)
    if any(begin > end for begin, end in listed):
        return "Invalid ranges resource: begin > end"
    if any(after[0] <= before[1] for before, after in pairwise(listed)):
        return "Invalid ranges resource: overlapping ranges"
    return None


def _plain_problem(resource: mesos.Resource) -> str | None:
    """What is wrong with one in the format before RESERVATION_REFINEMENT; None: nothing."""
    if (wrong := role_problem(resource.role)) is not None:
        return wrong
    if resource.HasField("reservation"):
        for name in ("type", "role"):
            if resource.reservation.HasField(name):
                return (
                    f"'Resource.ReservationInfo.{name}' must not be set for the"
                    f" 'Resource.reservation' field"
                )
        if resource.role == "*":
            return 'Invalid reservation: role "*" cannot be dynamically reserved'
    return None


def _refined_problem(resource: mesos.Resource) -> str | None:
    for one in resource.reservations:
        for name in ("type", "role"):
            if not one.HasField(name):
                return f"Invalid reservation: 'Resource.ReservationInfo.{name}' field must be set."
        if (wrong := role_problem(one.role)) is not None:
            return wrong
        if one.role == "*":
            return 'Invalid reservation: role "*" cannot be reserved'
    for above, below in pairwise(resource.reservations):
        if below.type == _STATIC:
            return "Invalid refined reservation: A refined reservation cannot be STATIC"
        if not below.role.startswith(f"{above.role}/"):
            return (
                f"Invalid refined reservation: role '{below.role}' is not a refinement of"
                f" '{above.role}'"
            )
    return None


def _disk_problem(resource: mesos.Resource) -> str | None:
    disk = resource.disk
    if not disk.HasField("persistence"):
        if disk.HasField("volume"):
            return "Non-persistent volume not supported"
        return "DiskInfo is set but empty" if not disk.HasField("source") else None
    if resource.HasField("revocable"):
        return "Persistent volumes cannot be created from revocable resources"
    if not resource.reservations and resource.role in ("", "*"):
        return "Persistent volumes cannot be created from unreserved resources"
    if not disk.HasField("volume"):
        return "Expecting 'volume' to be set for persistent volume"
    if disk.volume.HasField("host_path"):
        return "Expecting 'host_path' to be unset for persistent volume"
    if (wrong := id_problem(disk.persistence.id)) is not None:
        return f"Invalid persistence ID for persistent volume: {wrong}"
    return None


def together_problem(resources: Sequence[mesos.Resource], who: str, name: str) -> str | None:
    """Why somebody may not have these resources together, or None."""
    volumes = [one for one in resources if one.HasField("disk")]
    if volumes and (wrong := unique_problem(volumes)) is not None:
        return f"{who} uses duplicate persistence ID: {wrong}"
    roles = {one.allocation_info.role: None for one in resources if one.HasField("allocation_info")}
    if len(roles) > 1:
        first, other, *_ = roles
        return (
            f"Invalid {name} resources: The resources have multiple allocation roles ('{other}' and"
            f" '{first}') but only one allocation role is allowed"
        )
    revocable = {one.name for one in resources if one.HasField("revocable")}
    for one in resources if revocable else ():
        if one.name in revocable and not one.HasField("revocable"):
            return (
                f"{who} mixes revocable and non-revocable resources: Cannot use both revocable and"
                f" non-revocable '{one.name}' at the same time"
            )
    return None


def unique_problem(volumes: Iterable[mesos.Resource]) -> str | None:
    """Why their ids are not each one of its own in its role, or None."""
    seen: set[tuple[str, str]] = set()
    for one in volumes:
        if not one.disk.HasField("persistence"):
            continue
        key = (reserved_for(one), one.disk.persistence.id)
        if key in seen:
            return f"Persistence ID '{key[1]}' is not unique"
        seen.add(key)
    return None
