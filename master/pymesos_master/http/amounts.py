"""Fields of a body that are amounts of resources, and volumes, as the JSON dialect has them."""

from __future__ import annotations

from typing import Any

from pymesos_core.json_dialect import Json
from pymesos_core.limits import PATH, RANGES, RESOURCE_NAMES
from pymesos_core.resource_values import MAX_SCALAR, ResourceError, check_name
from pymesos_master.http.asking import MAX_VALUE, NO_CONTROLS, Parameter, is_number, one_line_text
from pymesos_master.http.schemas import NUMBER, PORT_RANGES
from pymesos_proto.v1 import types_pb2 as pb

MOST_VOLUMES = 64  # of one request
AMOUNT: Json = NUMBER | {"minimum": 0, "maximum": MAX_SCALAR}


def scalars(name: str, what: str) -> Parameter:
    """Amounts that are numbers, by the names of resources."""
    schema = {
        "type": "object",
        "maxProperties": RESOURCE_NAMES.most,
        "additionalProperties": AMOUNT,
    }
    return Parameter(name, what, schema, lambda value: _resources(value, ports=False))


def amounts(name: str, what: str) -> Parameter:
    """Amounts that are numbers, and `ports` as [begin, end] pairs."""
    schema = {
        "type": "object",
        "maxProperties": RESOURCE_NAMES.most,
        "properties": {"ports": PORT_RANGES | {"maxItems": RANGES.most}},
        "additionalProperties": AMOUNT,
    }
    return Parameter(name, what, schema, lambda value: _resources(value, ports=True))


def new_volumes(name: str) -> Parameter:
    """Volumes that are to be made."""
    schema = {
        "type": "object",
        "properties": {
            "id": {"type": "string", "maxLength": MAX_VALUE, "pattern": NO_CONTROLS},
            "path": {"type": "string", "maxLength": PATH.most, "pattern": NO_CONTROLS},
            "disk": AMOUNT,
        },
        "required": ["id", "path", "disk"],
        "additionalProperties": False,
    }
    what = "Persistent volumes: `path` is where tasks find it, `disk` its MiB."
    return Parameter(name, what, schema, _new_volume, many=MOST_VOLUMES)


def volume_ids(name: str) -> Parameter:
    """Volumes that are there, by their ids."""
    schema = {"type": "string", "maxLength": MAX_VALUE, "pattern": NO_CONTROLS}
    what = "Volumes that are destroyed, with their data."
    return Parameter(name, what, schema, _known_volume, many=MOST_VOLUMES)


def _resources(value: Any, *, ports: bool) -> list[pb.Resource]:
    """Raises ValueError."""
    if not isinstance(value, dict) or len(value) > RESOURCE_NAMES.most:
        raise ValueError(
            f"an object of at most {RESOURCE_NAMES.most} amounts by the names of resources, as in"
            f' {{"cpus": 2, "mem": 1024}}'
        )
    return [_resource(name, amount, ports=ports) for name, amount in value.items()]


def _resource(name: str, amount: Any, *, ports: bool) -> pb.Resource:
    try:
        check_name(name)
    except ResourceError as error:
        raise ValueError(f"the name of a resource: {error}") from None
    if ports and name == "ports":
        return pb.Resource(name=name, ranges=pb.Ranges(range=_ranges(amount)))
    if not is_number(amount) or not 0 <= amount <= MAX_SCALAR:
        raise ValueError(f"of {name} a number from 0 to {MAX_SCALAR}")
    return pb.Resource(name=name, scalar=amount)


def _ranges(value: Any) -> list[pb.Range]:
    if isinstance(value, list) and 1 <= len(value) <= RANGES.most and all(map(_is_range, value)):
        return [pb.Range(begin=int(begin), end=int(end)) for begin, end in value]
    raise ValueError(f"of ports 1 to {RANGES.most} pairs of first and last, as in [[31000, 31005]]")


def _is_range(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(is_number(port) and port == int(port) for port in value)
        and 0 <= value[0] <= value[1] <= 65535
    )


def _new_volume(value: Any) -> pb.Resource:
    if not isinstance(value, dict) or value.keys() != {"id", "path", "disk"}:
        raise ValueError('volumes as in {"id": "data", "path": "db-data", "disk": 1024}')
    disk = value["disk"]
    if not is_number(disk) or not 0 < disk <= MAX_SCALAR:
        raise ValueError(f"as disk of a volume a number of MiB above 0, at most {MAX_SCALAR}")
    return _volume(one_line_text(value["id"]), one_line_text(value["path"], PATH.most), disk)


def _known_volume(value: Any) -> pb.Resource:
    # The master knows a volume by its id; the path and the size are what every volume has.
    volume_id = one_line_text(value)
    return _volume(volume_id, volume_id, 1.0)


def _volume(volume_id: str, path: str, disk_mib: float) -> pb.Resource:
    disk = pb.Resource.Disk(persistence_id=volume_id, container_path=path)
    return pb.Resource(name="disk", scalar=disk_mib, disk=disk)
