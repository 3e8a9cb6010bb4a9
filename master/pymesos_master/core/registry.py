"""The registry's records: what they are called and how they are written."""

from __future__ import annotations

from pymesos_core.store import Change
from pymesos_master.core.state import Agent, AgentState, Framework
from pymesos_proto.v1 import registry_pb2 as registry_pb

AGENT = "agent"
FRAMEWORK = "framework"

_STATES = {
    AgentState.UNREACHABLE: registry_pb.AgentRecord.UNREACHABLE,
    AgentState.GONE: registry_pb.AgentRecord.GONE,
}


def agent_change(agent: Agent, state: AgentState, wall_s: float) -> Change:
    """The record of an agent in `state`."""
    record = registry_pb.AgentRecord(
        info=agent.info,
        state=_STATES.get(state, registry_pb.AgentRecord.REACHABLE),
        changed_at_s=wall_s,
    )
    return Change(AGENT, agent.agent_id, record.SerializeToString(deterministic=True))


def agent_removal(agent_id: str) -> Change:
    """Nothing is known of it any more."""
    return Change(AGENT, agent_id, None)


def framework_change(framework: Framework) -> Change:
    """The record of a framework."""
    record = registry_pb.FrameworkRecord(
        info=framework.info, registered_at_s=framework.registered_at_s
    )
    return Change(FRAMEWORK, framework.framework_id, record.SerializeToString(deterministic=True))


def framework_removal(framework_id: str) -> Change:
    """An id that the registry does not hold is refused for ever."""
    return Change(FRAMEWORK, framework_id, None)
