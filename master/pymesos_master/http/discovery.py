"""Tasks as the HTTP service discovery of Prometheus has them."""

from __future__ import annotations

from collections.abc import Iterator

from pymesos_core.addresses import HostPort
from pymesos_core.json_dialect import Json, task_resources_json
from pymesos_proto.v1 import operator_pb2 as pb

# Networks on which the ports of a task are reached at the address of its agent.
OF_AGENT = frozenset({"", "host", "bridge"})
PREFIX = "__meta_pymesos_"


def targets_json(view: pb.TaskView) -> Iterator[Json]:
    """A group of one target for each port of a task; all its values are text."""
    info, status = view.task_info, view.status
    if info.container.network not in OF_AGENT:
        return
    ready = view.HasField("serves")
    if not view.names_told:
        # Of a task that is not asked whether it is ready nothing else is known than that it runs.
        ready = status.ready if status.HasField("ready") else not info.HasField("readiness_check")
    served = view.serves
    names = {port.port: port.name for port in served.ports}
    for index, port in enumerate(sorted(task_resources_json(info.resources)["ports"])):
        labels = {
            "task_id": info.task_id,
            "task_name": info.name,
            "framework_id": view.framework_id,
            "role": view.role,
            "agent_id": info.agent_id,
            "hostname": view.hostname,
            "port_index": str(index),
            "port_name": names.get(port, ""),
            "job": served.job,
            "job_task": served.task,
            "instance": str(served.instance) if ready and served.job else "",
            "ready": "true" if ready else "false",
        }
        yield {
            "targets": [str(HostPort(view.agent_address.ip, port))],
            "labels": {f"{PREFIX}{name}": value for name, value in labels.items()},
        }
