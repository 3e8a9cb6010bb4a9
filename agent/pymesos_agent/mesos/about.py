"""What an agent says of itself to whoever is on its machine, as Mesos' agents do at `/state`.

Executors look there, as that of Toil does. Who calls is not known: no framework or task is named.
"""

from __future__ import annotations

from typing import Any

from pymesos_core import VERSION
from pymesos_core.mesos import VERSION as MESOS_VERSION
from pymesos_core.mesos.older import amounts, attribute
from pymesos_core.mesos.resources import to_mesos
from pymesos_proto.v1 import types_pb2 as pb


def state(info: pb.AgentInfo, agent_id: str, at: str) -> dict[str, Any]:
    """Return the agent's `/state`; `at` is host:port of its listener for Mesos."""
    shown = (to_mesos(one, refined=True, allocated_to=None) for one in info.resources)
    return {
        "version": MESOS_VERSION,
        "pymesos_version": VERSION,
        "id": agent_id,
        "pid": f"slave(1)@{at}",
        "hostname": info.address.hostname,
        "resources": amounts(one for one in shown if one is not None),
        "attributes": {one.name: attribute(one) for one in info.attributes},
        "flags": {},
        "frameworks": [],
        "completed_frameworks": [],
    }
