"""Ports of containers: which they have, and which of the machine lead to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pymesos_core.resources import Resources
from pymesos_proto.v1 import types_pb2 as pb


@dataclass(frozen=True)
class MappedPort:
    """A port of the machine that leads to one of a container."""

    host_port: int
    container_port: int
    protocol: str


@dataclass(frozen=True)
class Bandwidth:
    """How much goes through a network, at most; 0: as much as can."""

    in_mbit_per_s: int = 0
    out_mbit_per_s: int = 0

    def __bool__(self) -> bool:
        return bool(self.in_mbit_per_s or self.out_mbit_per_s)


UNLIMITED = Bandwidth()


def bandwidth_of(info: pb.TaskInfo) -> Bandwidth:
    """What a task says of its network."""
    container = info.container
    return Bandwidth(container.network_in_mbit_per_s, container.network_out_mbit_per_s)


@dataclass(frozen=True)
class Group:
    """What containers share that live and die together."""

    group_id: str
    container_ids: tuple[str, ...]
    ports: tuple[MappedPort, ...]  # of all of them
    bandwidth: Bandwidth = UNLIMITED  # of their network


def ports_of(resources: Resources) -> list[int]:
    """Return them one by one, in order, whatever role they are reserved for."""
    ranges = (each for _, part in resources.parts() for each in part.ranges.get("ports", ()))
    return sorted(port for begin, end in ranges for port in range(begin, end + 1))


def mapped_ports(info: pb.TaskInfo, ports: Sequence[int]) -> tuple[MappedPort, ...]:
    """Which of a task's ports lead where, as far as it has so many."""
    return tuple(
        MappedPort(ports[m.port_index], m.container_port, m.protocol or "tcp")
        for m in info.container.port_mappings
        if m.port_index < len(ports)
    )
