"""Resources and attributes, as Mesos writes them and as we do."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from pymesos_core.mesos.json_messages import Fields
from pymesos_core.mesos.unsupported import UnsupportedError, check
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos
from pymesos_proto.v1 import types_pb2 as pb

ANYBODY = "*"
_DYNAMIC = pb.Resource.Reservation.DYNAMIC
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
    """Return Mesos' resource; see `resource_fields`."""
    fields = resource_fields(resource, refined=refined, allocated_to=allocated_to)
    return None if fields is None else mesos.Resource(**fields)


def resource_fields(
    resource: pb.Resource, *, refined: bool, allocated_to: str | None
) -> Fields | None:
    """Return what Mesos' resource is made of: in the format of those who declare
    RESERVATION_REFINEMENT if `refined`.

    None: what it is cannot be said so: a part of a device, and a refined reservation in the older
    format.
    """
    reservations = resource.reservations
    if resource.device or (len(reservations) > 1 and not refined):
        return None
    out: Fields = {"name": resource.name}
    match resource.WhichOneof("value"):
        case "ranges":
            ranges = [{"begin": one.begin, "end": one.end} for one in resource.ranges.range]
            out |= {"type": "RANGES", "ranges": _filled(range=ranges)}
        case "set":
            out |= {"type": "SET", "set": _filled(item=list(resource.set.item))}
        case _:
            out |= {"type": "SCALAR", "scalar": {"value": resource.scalar}}
    if not refined:
        out["role"] = reservations[0].role if reservations else ANYBODY
    if resource.HasField("disk"):
        out["disk"] = _disk_fields(resource.disk)
    if not refined and reservations and reservations[0].type == _DYNAMIC:
        out["reservation"] = _reservation_fields(reservations[0])
    if resource.revocable:
        out["revocable"] = {}
    if resource.shared:
        out["shared"] = {}
    if allocated_to is not None:
        out["allocation_info"] = {"role": allocated_to}
    if refined and reservations:
        out["reservations"] = [
            _reservation_fields(one)
            | {"role": one.role, "type": "DYNAMIC" if one.type == _DYNAMIC else "STATIC"}
            for one in reservations
        ]
    return out


def _filled(**lists: list[Any]) -> Fields:
    return {name: items for name, items in lists.items() if items}


def _disk_fields(disk: pb.Resource.Disk) -> Fields:
    persistence = {"id": disk.persistence_id}
    if disk.principal:
        persistence["principal"] = disk.principal
    # In the order of the schema, as all.
    return {
        "persistence": persistence,
        "volume": {"mode": "RW", "container_path": disk.container_path},
    }


def _reservation_fields(one: pb.Resource.Reservation) -> Fields:
    """Who has reserved it, and its labels."""
    out: Fields = {"principal": one.principal} if one.principal else {}
    if one.labels:
        out["labels"] = {
            "labels": [{"key": label.key, "value": label.value} for label in one.labels]
        }
    return out


def attribute_to_mesos(attribute: pb.Attribute) -> mesos.Attribute:
    """Return an attribute; see `attribute_fields`."""
    return mesos.Attribute(**attribute_fields(attribute))


def attribute_fields(attribute: pb.Attribute) -> Fields:
    """Return what an attribute is made of, with the kind of value that Mesos reads in its text."""
    return {"name": attribute.name, **_value_fields(attribute.text)}


@lru_cache(maxsize=1024)
def _value_fields(written: str) -> Fields:
    text = written.strip()
    if _NUMBER.fullmatch(text) and math.isfinite(float(text)):
        return {"type": "SCALAR", "scalar": {"value": float(text)}}
    if found := _RANGES.fullmatch(text):
        ends = (part.partition("-") for part in found[1].split(","))
        ranges = [{"begin": int(begin), "end": int(end)} for begin, _, end in ends]
        return {"type": "RANGES", "ranges": {"range": ranges}}
    if found := _SET.fullmatch(text):
        items = [item for one in found[1].split(",") if (item := one.strip())]
        return {"type": "SET", "set": _filled(item=items)}
    return {"type": "TEXT", "text": {"value": written}}
