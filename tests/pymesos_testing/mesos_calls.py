"""Calls of Mesos' scheduler API, shortly written."""

from __future__ import annotations

from typing import Any

from pymesos_core.mesos.json_messages import from_json, to_object
from pymesos_master.mesos import calls
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos
from pymesos_proto.mesos.v1 import scheduler_pb2 as mesos_scheduler


def task(**said: Any) -> mesos.TaskInfo:
    base = {
        "name": "n",
        "task_id": {"value": "t"},
        "agent_id": {"value": "a"},
        "resources": [
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.5}},
            {"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": 7, "end": 9}]}},
        ],
        "command": {"value": "true"},
    }
    return from_json(base | said, mesos.TaskInfo)


def call(**said: Any) -> mesos_scheduler.Call:
    return from_json({"framework_id": {"value": "f"}} | said, mesos_scheduler.Call)


def accept(*operations: dict[str, Any]) -> calls.Translation:
    said = {"offer_ids": [{"value": "o"}], "operations": list(operations)}
    return calls.translate(call(type="ACCEPT", accept=said))


def launch(*infos: mesos.TaskInfo) -> dict[str, Any]:
    return {"type": "LAUNCH", "launch": {"task_infos": list(map(to_object, infos))}}
