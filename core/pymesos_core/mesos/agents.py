"""Agents, as Mesos names what they can do and where they are."""

from __future__ import annotations

from pymesos_core.addresses import HostPort
from pymesos_proto.mesos.v1 import master_pb2 as mesos_master
from pymesos_proto.v1 import types_pb2 as pb

_KINDS = mesos_master.AgentInfo.Capability
CAPABILITIES = (
    _KINDS.MULTI_ROLE,
    _KINDS.HIERARCHICAL_ROLE,
    _KINDS.RESERVATION_REFINEMENT,
    _KINDS.AGENT_DRAINING,
)


def mesos_address(info: pb.AgentInfo) -> HostPort:
    """Return where an agent serves Mesos' HTTP APIs; where it does not, where it serves ours."""
    return HostPort(info.address.ip, info.mesos_port or info.address.port)
