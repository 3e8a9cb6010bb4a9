"""What an agent says of itself to whoever is on its machine, as Mesos' agents do at `/state`.

Executors look there, as that of Toil does. Who calls is not known: no framework or task is named.
"""

from __future__ import annotations

from typing import Any

from pymesos_core import VERSION
from pymesos_core.mesos import VERSION as MESOS_VERSION
from pymesos_proto.v1 import types_pb2 as pb


def state(info: pb.AgentInfo, agent_id: str, at: str) -> dict[str, Any]:
    """Return the agent's `/state`; `at` is host:port of its listener for Mesos."""
    return {
        "version": MESOS_VERSION,
        "pymesos_version": VERSION,
        "id": agent_id,
        "pid": f"slave(1)@{at}",
        "hostname": info.address.hostname,
        "resources": _amounts(info),
        "attributes": {one.name: one.text for one in info.attributes},
        "flags": {},
        "frameworks": [],
        "completed_frameworks": [],
    }


def _amounts(info: pb.AgentInfo) -> dict[str, Any]:
    """What it offers; ranges as Mesos writes them."""
    out: dict[str, Any] = {}
    for one in info.resources:
        if one.WhichOneof("value") == "ranges":
            found = ", ".join(f"{each.begin}-{each.end}" for each in one.ranges.range)
            out[one.name] = f"[{found}]"
        elif one.WhichOneof("value") == "set":
            out[one.name] = f"{{{', '.join(one.set.item)}}}"
        else:
            out[one.name] = out.get(one.name, 0.0) + one.scalar
    return out
