"""What a new leader knows before anyone has registered with it."""

from __future__ import annotations

import math

from google.protobuf.message import DecodeError

from pymesos_core import resources
from pymesos_core.coordination import RegistryError
from pymesos_core.resources import ResourceError
from pymesos_core.store import Records
from pymesos_master.core.context import Context
from pymesos_master.core.frameworks import start_failover_timer
from pymesos_master.core.registry import AGENT, FRAMEWORK, ROLE
from pymesos_master.core.roles import read_quota
from pymesos_master.core.state import (
    Agent,
    AgentState,
    Framework,
    FrameworkState,
    RoleTerms,
    address_of,
)
from pymesos_proto.v1 import registry_pb2 as registry_pb

BACK_BEFORE_QUOTA = 0.8
_STATES = {
    registry_pb.AgentRecord.REACHABLE: AgentState.RECOVERING,
    registry_pb.AgentRecord.UNREACHABLE: AgentState.UNREACHABLE,
    registry_pb.AgentRecord.GONE: AgentState.GONE,
}


def recover(ctx: Context, records: Records) -> None:
    """Agents are awaited, frameworks have their failover timeout to come back.

    Raises RegistryError naming the record that cannot be read.
    """
    ctx.timers.set(("forget", ""), ctx.now.mono_s)
    for (kind, key), value in sorted(records.items()):
        try:
            if kind == AGENT:
                _recover_agent(ctx, registry_pb.AgentRecord.FromString(value))
            elif kind == FRAMEWORK:
                _recover_framework(ctx, registry_pb.FrameworkRecord.FromString(value))
            elif kind == ROLE:
                _recover_role(ctx, registry_pb.RoleRecord.FromString(value))
            # Other kinds are a newer version's; they are kept as they are.
        except (DecodeError, ResourceError, KeyError) as error:
            raise RegistryError(
                f"the registry's record {kind}/{key} cannot be read ({error}); restore it from a"
                f" backup or delete that record, then start again"
            ) from error
    await_agents(ctx)


def await_agents(ctx: Context) -> None:
    """With quota set, offers wait until most agents are back (docs/quota.md of Mesos).

    Else what the first ones bring would go to whoever comes first, guaranteed or not.
    """
    expected = sum(a.state == AgentState.RECOVERING for a in ctx.state.agents.values())
    if expected and ctx.allocator.quotas():
        ctx.agents_awaited = math.ceil(expected * BACK_BEFORE_QUOTA)
        at = ctx.now.mono_s + ctx.config.agent_reregister_timeout_s
        ctx.timers.set(("awaited", ""), at)


def _recover_agent(ctx: Context, record: registry_pb.AgentRecord) -> None:
    state = _STATES[record.state]
    agent = Agent(
        record.info,
        state,
        total=resources.from_proto(record.info.resources),
        registered_at_s=record.changed_at_s,
        changed_at_s=record.changed_at_s,
        reserved=resources.from_proto(record.reserved),
    )
    agent.reserved_next = agent.reserved
    if state != AgentState.RECOVERING:
        agent.state_next = state
    ctx.state.agents[agent.agent_id] = agent
    if state == AgentState.RECOVERING:
        ctx.state.agent_at[address_of(agent.info)] = agent.agent_id
        at = ctx.now.mono_s + ctx.config.agent_reregister_timeout_s
        ctx.timers.set(("reregister", agent.agent_id), at)


def _recover_framework(ctx: Context, record: registry_pb.FrameworkRecord) -> None:
    framework = Framework(
        record.info, FrameworkState.DISCONNECTED, registered_at_s=record.registered_at_s
    )
    ctx.state.frameworks[framework.framework_id] = framework
    ctx.allocator.add_framework(framework.framework_id, framework.roles, active=False)
    start_failover_timer(ctx, framework)


def read_role(record: registry_pb.RoleRecord) -> RoleTerms:
    """Raises ResourceError."""
    return RoleTerms(record.weight, read_quota(record.quota))


def _recover_role(ctx: Context, record: registry_pb.RoleRecord) -> None:
    terms = read_role(record)
    ctx.state.roles[record.role] = terms
    ctx.allocator.set_weight(record.role, terms.weight)
    ctx.allocator.set_quota(record.role, terms.quota)
