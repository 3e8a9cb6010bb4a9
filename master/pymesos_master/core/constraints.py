"""Which agents a framework wants offers of (Mesos 1.11's OfferConstraints).

Ours: equality and existence only. A pattern from the network could keep the master's loop for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from pymesos_core.ids import role_problem
from pymesos_master.core.state import Agent
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb

MAX_GROUPS = 64
MAX_CONSTRAINTS = 64
HOSTNAME = "hostname"

Constraints = Mapping[str, scheduler_pb.OfferConstraints]  # by role


def constraints_problem(constraints: Constraints, roles: Iterable[str]) -> str | None:
    """Why they cannot be, or None."""
    known = set(roles)
    for role, of_role in constraints.items():
        if role_problem(role) or role not in known:
            return f"Offer constraints name the role {role[:255]!r}, which is not subscribed"
        if len(of_role.groups) > MAX_GROUPS:
            return f"Offer constraints have at most {MAX_GROUPS} groups"
        for group in of_role.groups:
            if not 0 < len(group.constraints) <= MAX_CONSTRAINTS:
                return f"A group of offer constraints has 1 to {MAX_CONSTRAINTS} constraints"
            for constraint in group.constraints:
                if not constraint.attribute:
                    return "An offer constraint names no attribute"
                if constraint.WhichOneof("predicate") is None:
                    return f"The offer constraint on {constraint.attribute[:80]} has no predicate"
    return None


def wanted(
    constraints: Constraints, agents: Mapping[str, Agent]
) -> Mapping[str, Callable[[str], bool]]:
    """By role, whether offers of an agent are wanted."""

    def meets_one(of_role: scheduler_pb.OfferConstraints) -> Callable[[str], bool]:
        groups = [list(group.constraints) for group in of_role.groups]

        def wants(agent_id: str) -> bool:
            attributes = attributes_of(agents[agent_id])
            return any(all(_meets(c, attributes) for c in group) for group in groups)

        return wants

    return {role: meets_one(of_role) for role, of_role in constraints.items() if of_role.groups}


def attributes_of(agent: Agent) -> dict[str, str]:
    """What an agent says of itself, and its host name."""
    return {
        **{attribute.name: attribute.text for attribute in agent.info.attributes},
        HOSTNAME: agent.info.address.hostname,
    }


def _meets(constraint: scheduler_pb.AttributeConstraint, attributes: Mapping[str, str]) -> bool:
    value = attributes.get(constraint.attribute)
    match constraint.WhichOneof("predicate"):
        case "exists":
            return value is not None
        case "not_exists":
            return value is None
        case "text_equals":
            return value == constraint.text_equals
        case _:
            return value != constraint.text_not_equals
