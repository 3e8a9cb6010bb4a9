"""The registry's records: what they are called and how they are written.

A record is written whole, so it is made of what is intended, the changes that are still being
written included, and never of what is durable: of two changes at once the second would undo the
first.
"""

from __future__ import annotations

from pymesos_core import limits as bounds
from pymesos_core.resources import Resources, to_proto
from pymesos_core.store import Change
from pymesos_master.allocator.interface import Quota
from pymesos_master.core.state import Agent, AgentState, Framework, RoleTerms
from pymesos_proto.v1 import registry_pb2 as registry_pb
from pymesos_proto.v1 import types_pb2 as pb

AGENT = "agent"
FRAMEWORK = "framework"
ROLE = "role"
CALL = "call"

_STATES = {
    AgentState.UNREACHABLE: registry_pb.AgentRecord.UNREACHABLE,
    AgentState.GONE: registry_pb.AgentRecord.GONE,
}


def record_problem(change: Change) -> str | None:
    """Why a record cannot be written, or None. The bounds on what it is made of leave it room."""
    what = f"The record {change.kind}/{change.key}"
    return bounds.RECORD.problem(len(change.value or b""), what)


def agent_change(agent: Agent, wall_s: float) -> Change:
    """The record of an agent as it is to be."""
    record = registry_pb.AgentRecord(
        info=agent.info_next,
        state=_STATES.get(agent.state_next, registry_pb.AgentRecord.REACHABLE),
        changed_at_s=wall_s,
        reserved=to_proto(agent.reserved_next),
    )
    return Change(AGENT, agent.agent_id, record.SerializeToString(deterministic=True))


def agent_removal(agent_id: str) -> Change:
    """Nothing is known of it any more."""
    return Change(AGENT, agent_id, None)


def framework_change(framework: Framework) -> Change:
    """The record of a framework."""
    record = registry_pb.FrameworkRecord(
        info=framework.info_next,
        registered_at_s=framework.registered_at_s,
        peer=framework.peer,
    )
    return Change(FRAMEWORK, framework.framework_id, record.SerializeToString(deterministic=True))


def framework_removal(framework_id: str) -> Change:
    """An id that the registry does not hold is refused for ever."""
    return Change(FRAMEWORK, framework_id, None)


def quota_message(quota: Quota) -> pb.Quota:
    """The wire form. A limit of zero is said, too."""
    limits = to_proto(Resources(quota.limits))
    limits += [pb.Resource(name=name, scalar=0) for name, v in quota.limits.items() if not v]
    return pb.Quota(guarantees=to_proto(Resources(quota.guarantees)), limits=limits)


def role_change(role: str, terms: RoleTerms) -> Change:
    """The record of a role; none for one that is like any other."""
    if terms == RoleTerms():
        return Change(ROLE, role, None)
    quota = quota_message(terms.quota)
    record = registry_pb.RoleRecord(role=role, weight=terms.weight, quota=quota)
    return Change(ROLE, role, record.SerializeToString(deterministic=True))
