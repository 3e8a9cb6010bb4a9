"""Resources and attributes, as Mesos writes them and as we do."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from pymesos_core.mesos.unsupported import UnsupportedError, check
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos
from pymesos_proto.v1 import types_pb2 as pb

ANYBODY = "*"
_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")
_RANGES = re.compile(
    r"\[\s*([0-9]{1,18}\s*-\s*[0-9]{1,18}(?:\s*,\s*[0-9]{1,18}\s*-\s*[0-9]{1,18})*)\s*\]"
)
_SET = re.compile(r"\{([^{}]*)\}")


def from_mesos(resource: mesos.Resource) -> pb.Resource:
    """Return our resource. Raises UnsupportedError."""
    check(resource)
    return from_checked(resource)


def from_checked(resource: mesos.Resource) -> pb.Resource:
    """Return our form of a resource that was checked before, alone or within its message."""
    out = pb.Resource(name=resource.name)
    match resource.type:
        case mesos.Value.SCALAR if resource.HasField("scalar"):
            out.scalar = resource.scalar.value
        case mesos.Value.RANGES if resource.HasField("ranges"):
            out.ranges.SetInParent()
            for one in resource.ranges.range:
                out.ranges.range.add(begin=one.begin, end=one.end)
        case mesos.Value.SET if resource.HasField("set"):
            out.set.item.extend(resource.set.item)
        case _:
            raise UnsupportedError(
                f"the resource {resource.name[:80]!r} has no value of the type that it names"
            )
    out.reservations.extend(_reservations(resource))
    if resource.HasField("disk"):
        disk = resource.disk
        if not (disk.HasField("persistence") and disk.HasField("volume")):
            raise UnsupportedError("Resource.disk is for persistent volumes only")
        out.disk.persistence_id = disk.persistence.id
        out.disk.principal = disk.persistence.principal
        out.disk.container_path = disk.volume.container_path
    out.shared = resource.HasField("shared")
    out.revocable = resource.HasField("revocable")
    return out


def _reservations(resource: mesos.Resource) -> Iterable[pb.Resource.Reservation]:
    """Who it is for, in either format."""
    if resource.reservations:
        for one in resource.reservations:
            static = one.type == mesos.Resource.ReservationInfo.STATIC
            yield _reservation(one, one.role, static=static)
    elif resource.HasField("reservation"):
        yield _reservation(resource.reservation, resource.role, static=False)
    elif resource.role != ANYBODY:
        yield _reservation(mesos.Resource.ReservationInfo(), resource.role, static=True)


def _reservation(
    info: mesos.Resource.ReservationInfo, role: str, *, static: bool
) -> pb.Resource.Reservation:
    kind = pb.Resource.Reservation.STATIC if static else pb.Resource.Reservation.DYNAMIC
    labels = [pb.Label(key=label.key, value=label.value) for label in info.labels.labels]
    return pb.Resource.Reservation(type=kind, role=role, principal=info.principal, labels=labels)


def to_mesos(
    resource: pb.Resource, *, refined: bool, allocated_to: str | None
) -> mesos.Resource | None:
    """Return Mesos' resource: in the format of those who declare RESERVATION_REFINEMENT if
    `refined`.

    None: what it is cannot be said so: a part of a device, and a refined reservation in the older
    format.
    """
    if resource.device or (len(resource.reservations) > 1 and not refined):
        return None
    out = mesos.Resource(name=resource.name)
    match resource.WhichOneof("value"):
        case "ranges":
            out.type = mesos.Value.RANGES
            out.ranges.SetInParent()
            for one in resource.ranges.range:
                out.ranges.range.add(begin=one.begin, end=one.end)
        case "set":
            out.type = mesos.Value.SET
            out.set.SetInParent()
            out.set.item.extend(resource.set.item)
        case _:
            out.type = mesos.Value.SCALAR
            out.scalar.value = resource.scalar
    if allocated_to is not None:
        out.allocation_info.role = allocated_to
    _show_reservations(resource, out, refined=refined)
    if resource.HasField("disk"):
        out.disk.persistence.id = resource.disk.persistence_id
        if resource.disk.principal:
            out.disk.persistence.principal = resource.disk.principal
        out.disk.volume.container_path = resource.disk.container_path
        out.disk.volume.mode = mesos.Volume.RW
    if resource.shared:
        out.shared.SetInParent()
    if resource.revocable:
        out.revocable.SetInParent()
    return out


def _show_reservations(resource: pb.Resource, out: mesos.Resource, *, refined: bool) -> None:
    kinds = mesos.Resource.ReservationInfo
    if refined:
        for one in resource.reservations:
            info = out.reservations.add(role=one.role)
            info.type = (
                kinds.DYNAMIC if one.type == pb.Resource.Reservation.DYNAMIC else kinds.STATIC
            )
            _show_rest(one, info)
        return
    out.role = resource.reservations[0].role if resource.reservations else ANYBODY
    for one in resource.reservations:
        if one.type == pb.Resource.Reservation.DYNAMIC:
            out.reservation.SetInParent()
            _show_rest(one, out.reservation)


def _show_rest(one: pb.Resource.Reservation, info: mesos.Resource.ReservationInfo) -> None:
    if one.principal:
        info.principal = one.principal
    for label in one.labels:
        info.labels.labels.add(key=label.key, value=label.value)


def attribute_to_mesos(attribute: pb.Attribute) -> mesos.Attribute:
    """Return an attribute with the kind of value that Mesos reads in such a text."""
    out = mesos.Attribute(name=attribute.name)
    text = attribute.text.strip()
    if _NUMBER.fullmatch(text) and math.isfinite(float(text)):
        out.type, out.scalar.value = mesos.Value.SCALAR, float(text)
    elif found := _RANGES.fullmatch(text):
        out.type = mesos.Value.RANGES
        for part in found[1].split(","):
            begin, _, end = part.partition("-")
            out.ranges.range.add(begin=int(begin), end=int(end))
    elif found := _SET.fullmatch(text):
        out.type = mesos.Value.SET
        out.set.item.extend(filter(None, (item.strip() for item in found[1].split(","))))
    else:
        out.type, out.text.value = mesos.Value.TEXT, attribute.text
    return out
