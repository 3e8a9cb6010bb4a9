"""Messages of Mesos in the JSON of its older endpoints, which is another one."""

from __future__ import annotations

from collections.abc import Container, Iterable
from functools import lru_cache
from typing import Any

from pymesos_core.mesos.discovery import discovery_to_mesos
from pymesos_core.mesos.json_messages import Fields, to_object
from pymesos_core.mesos.resources import attribute_to_mesos, to_mesos
from pymesos_core.mesos.statuses import Places
from pymesos_core.mesos.tasks import executor_id_of, label_to_mesos, state_of, statuses_fields
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2

Json = dict[str, Any]
USUAL = ("disk", "mem", "gpus", "cpus")  # which are shown though there are none
MOST_KNOWN, MAX_KNOWN_BYTES = 512, 1024  # amounts that are kept, and of each what they are read of


def amounts(resources: Iterable[mesos.Resource]) -> Json:
    """Return resources by their names, whoever they are for."""
    out: Json = dict.fromkeys(USUAL, 0.0)
    found_ranges: dict[str, list[mesos.Value.Range]] = {}
    for one in resources:
        match one.type:
            case mesos.Value.SCALAR:
                out[one.name] = round(out.get(one.name, 0.0) + one.scalar.value, 3)
            case mesos.Value.RANGES:
                found_ranges.setdefault(one.name, []).extend(one.ranges.range)
            case _:
                out[one.name] = f"{{{', '.join(one.set.item)}}}"
    for name, found in found_ranges.items():
        out[name] = ranges(found)
    return out


def ranges(found: Iterable[mesos.Value.Range]) -> str:
    """Return ranges, as `[1-2, 4-4]`."""
    parts = sorted((one.begin, one.end) for one in found)
    return f"[{', '.join(f'{begin}-{end}' for begin, end in parts)}]"


def attribute(ours: types_pb2.Attribute) -> Any:
    """Return the value of an attribute."""
    shown = attribute_to_mesos(ours)
    match shown.type:
        case mesos.Value.SCALAR:
            return shown.scalar.value
        case mesos.Value.RANGES:
            return ranges(shown.ranges.range)
        case mesos.Value.SET:
            return f"{{{', '.join(shown.set.item)}}}"
    return shown.text.value


def task(view: pb.TaskView, aware: Container[str], places: Places) -> Json:
    """Return a task."""
    info = view.task_info
    out: Json = {
        "id": info.task_id,
        "name": info.name,
        "framework_id": view.framework_id,
        "executor_id": executor_id_of(info),
        "slave_id": info.agent_id,
        "state": state_of(view, aware),
        "resources": _amounts_of(info.resources),
        "role": view.role,
        "statuses": [_status(one) for one in statuses_fields(view, aware, places)],
    }
    if info.labels:
        out["labels"] = [to_object(label_to_mesos(one)) for one in info.labels]
    if info.HasField("discovery"):
        out["discovery"] = to_object(discovery_to_mesos(info.discovery))
    return out


def _amounts_of(resources: Iterable[types_pb2.Resource]) -> Json:
    """Return what a task holds. Most tasks hold what others do, of which it is known then."""
    data = tuple([one.SerializeToString() for one in resources])
    if sum(map(len, data)) > MAX_KNOWN_BYTES:
        return _read_amounts(data)
    return dict(_known_amounts(data))


def _read_amounts(data: tuple[bytes, ...]) -> Json:
    ours = map(types_pb2.Resource.FromString, data)
    shown = (to_mesos(one, refined=True, allocated_to=None) for one in ours)
    return amounts(one for one in shown if one is not None)


_known_amounts = lru_cache(maxsize=MOST_KNOWN)(_read_amounts)


def _status(status: Fields) -> Json:
    out: Json = {"state": status["state"], "timestamp": status["timestamp"]}
    if "healthy" in status:
        out["healthy"] = status["healthy"]
    if "labels" in status:
        out["labels"] = status["labels"]["labels"]
    if "container_status" in status:
        out["container_status"] = status["container_status"]
    return out
