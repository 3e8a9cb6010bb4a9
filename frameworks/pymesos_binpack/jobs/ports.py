"""The ports of a task: in the order of its job file, and in that of their numbers.

A job file has those with names first, and says by an index which one a mapping or a check means.
Agents know of ports by their numbers alone, so that their first one is the lowest.
"""

from __future__ import annotations

from collections.abc import Sequence

from pymesos_binpack.placement.planner import Launch
from pymesos_binpack.specs import TaskSpec
from pymesos_proto.v1 import types_pb2 as pb


def in_order(spec: TaskSpec, launch: Launch) -> list[int]:
    """Return the ports that a task is given, in the order of its job file."""
    given = sorted(port for begin, end in launch.ports for port in range(begin, end + 1))
    others = iter([port for port in given if port not in spec.host_ports])
    return [*(port.host or next(others) for port in spec.named_ports), *others]


def by_name(spec: TaskSpec, ports: Sequence[int]) -> dict[str, int]:
    """Return those of the ports of a task that have names."""
    return {port.name: number for port, number in zip(spec.named_ports, ports, strict=False)}


def renumber(info: pb.TaskInfo, ports: Sequence[int]) -> None:
    """Have mappings and checks mean the same ports by the order of agents as by a job file's."""
    at = {port: index for index, port in enumerate(sorted(ports))}
    for mapping in info.container.port_mappings:
        mapping.port_index = at[ports[mapping.port_index]]
    if info.measure.metric:
        info.measure.port_index = at[ports[info.measure.port_index]]
    for check in (info.health_check, info.readiness_check):
        for asked in (check.http, check.tcp, check.grpc):
            if asked.HasField("port_index"):
                asked.port_index = at[ports[asked.port_index]]
