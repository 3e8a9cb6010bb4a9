"""What every agent can do, as Mesos names it."""

from __future__ import annotations

from pymesos_proto.mesos.v1 import master_pb2 as mesos_master

_KINDS = mesos_master.AgentInfo.Capability
CAPABILITIES = (
    _KINDS.MULTI_ROLE,
    _KINDS.HIERARCHICAL_ROLE,
    _KINDS.RESERVATION_REFINEMENT,
    _KINDS.AGENT_DRAINING,
)
