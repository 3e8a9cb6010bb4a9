"""Why a framework is not offered more."""

from __future__ import annotations

from collections.abc import Callable

from pymesos_core.resource_values import format_milli
from pymesos_core.security.policy import EVERY_ROLE, Roles
from pymesos_master.allocator import Allocator
from pymesos_master.allocator.interface import NOTHING, Standing, Withheld
from pymesos_master.allocator.minimum import Scalars
from pymesos_master.core.lifecycles import AgentState, DrainState
from pymesos_master.core.state import Agent, ClusterState, Framework
from pymesos_master.queries.views import framework_view, upwards
from pymesos_proto.v1 import operator_pb2 as pb

HOSTNAMES_SHOWN = 5
GUARANTEES_SHOWN = 3


def explanation(
    allocator: Allocator,
    state: ClusterState,
    framework: Framework,
    now_s: float,
    needs: Scalars = NOTHING,
    home: str = "",
    may: Roles = EVERY_ROLE,
) -> pb.ExplainFrameworkResponse:
    """What the allocator says of a framework in these roles, its agents counted by reason.

    With `needs` and `home`: for a task that needs so much, on that agent only.
    """
    response = pb.ExplainFrameworkResponse(
        framework=framework_view(allocator, framework, may),
        last_offer_at_s=framework.last_offer_at_s,
        offers_held=len(framework.offers),
        agents=sum(
            a.state in (AgentState.ACTIVE, AgentState.DISCONNECTED) for a in state.agents.values()
        ),
    )
    if home:
        agent = state.agents.get(home)
        response.agent_state = agent.state_name if agent is not None else "unknown"
    for standing in allocator.explain(framework.framework_id, needs):
        if standing.role not in may:
            continue
        role = response.roles.add(
            role=standing.role,
            suppressed=standing.suppressed,
            weighted_share=standing.weighted_share,
            place=standing.place,
            of=standing.of,
            weight=state.terms(standing.role).weight,
        )
        for reason, agent_ids in _by_reason(state, standing, home).items():
            ends = [standing.until_s[a] for a in agent_ids if a in standing.until_s]
            role.withheld.add(
                reason=reason.name,
                text=_text(allocator, state, standing.role, reason, needs, may),
                agents=len(agent_ids),
                hostnames=[
                    state.agents[a].info.address.hostname for a in agent_ids[:HOSTNAMES_SHOWN]
                ],
                first_ends_in_s=max(0.0, min(ends) - now_s) if ends else 0.0,
            )
    return response


def _by_reason(state: ClusterState, standing: Standing, home: str) -> dict[Withheld, list[str]]:
    out: dict[Withheld, list[str]] = {}
    for agent_id, reason in standing.withheld.items():
        if home in ("", agent_id):
            if reason == Withheld.DISCONNECTED:
                reason = _why_not_active(state.agents[agent_id])
            out.setdefault(reason, []).append(agent_id)
    return out


def _why_not_active(agent: Agent) -> Withheld:
    """Why nothing of an agent is granted: the allocator does not ask what it is for."""
    if agent.drain.state == DrainState.CORDONED:
        return Withheld.CORDONED
    if agent.drain.state != DrainState.NONE:
        return Withheld.DRAINING
    return Withheld.LEAVING if agent.leaving else Withheld.DISCONNECTED


def _text(
    allocator: Allocator,
    state: ClusterState,
    role: str,
    reason: Withheld,
    needs: Scalars,
    may: Roles,
) -> str:
    """The reason, with the roles whose quota it is, of those that may be seen."""
    if reason == Withheld.LIMIT:
        parts = _limits_met(allocator, state, role, needs, may)
        text = f"the role {role} is at its limit"
    elif reason == Withheld.HEADROOM:
        parts, text = _guarantees_open(allocator, state, role, may), str(reason.value)
    elif reason == Withheld.REFUSED and (parts := _limits(allocator, state, role, may)):
        text = f"{reason.value}, of what the limits of the role {role} leave"
    else:
        return str(reason.value)
    return f"{text} ({', '.join(parts)})" if parts else text


def _limits_met(
    allocator: Allocator, state: ClusterState, role: str, needs: Scalars, may: Roles
) -> list[str]:
    """Which limits of a role, and of those above it, leave no room for as much."""
    return _limits(
        allocator, state, role, may, lambda name, left: left <= 0 or left < needs.get(name, 0)
    )


def _limits(
    allocator: Allocator,
    state: ClusterState,
    role: str,
    may: Roles,
    meant: Callable[[str, int], bool] = lambda _name, _left: True,
) -> list[str]:
    """The limits of a role, and of those above it, that are meant by what is left of them."""
    parts = []
    for above in upwards(role):
        held = allocator.charged(above)
        for name, limit in state.terms(above).quota.limits.items():
            if meant(name, limit - held.get(name, 0)):
                has = f"{above} holds {format_milli(held.get(name, 0))} {name}"
                shown = f"{has} of {format_milli(limit)} at most"
                parts.append(shown if above in may else f"of {name}, by that of a role above it")
    return parts


def _guarantees_open(allocator: Allocator, state: ClusterState, role: str, may: Roles) -> list[str]:
    """Which guarantees of other roles are not met yet; the first of those that may be seen."""
    mine = set(upwards(role))
    parts: list[str] = []
    more = 0
    for other, terms in sorted(state.roles().items()):
        held = allocator.charged(other) if terms.quota.guarantees and other not in mine else {}
        for name, guarantee in terms.quota.guarantees.items() if other not in mine else ():
            if held.get(name, 0) >= guarantee:
                continue
            if other not in may or len(parts) == GUARANTEES_SHOWN:
                more += 1
                continue
            has = f"{other} holds {format_milli(held.get(name, 0))} {name}"
            parts.append(f"{has} of {format_milli(guarantee)} guaranteed")
    told = f"{'and ' if parts else ''}{more} {'more' if parts else 'of them'}"
    return [*parts, *([told] if more else [])]
