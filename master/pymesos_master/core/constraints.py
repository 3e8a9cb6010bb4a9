"""Which agents a framework wants offers of (Mesos 1.11's OfferConstraints).

Patterns come from the network and are matched in the master's loop, so they are RE2's, which take
time linear in the text, and are bounded in size, as in Mesos (`--offer_constraints_re2_max_*`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from pymesos_core import limits
from pymesos_core.expressions import Expression, ExpressionError, compile_expression
from pymesos_core.ids import role_problem
from pymesos_master.core.state import Agent
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb

MAX_GROUPS = 64
MAX_CONSTRAINTS = 64
MAX_PROGRAM = 100  # instructions
PATTERN_MEM_BYTES = 16 * 1024
HOSTNAME = "hostname"

Constraints = Mapping[str, scheduler_pb.OfferConstraints]  # by role


def constraints_problem(constraints: Constraints, roles: Iterable[str]) -> str | None:
    """Why they cannot be, or None."""
    known = set(roles)
    number = sum(len(group.constraints) for c in constraints.values() for group in c.groups)
    if problem := limits.CONSTRAINTS.problem(number):
        return problem
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
                if problem := _pattern_problem(constraint):
                    return f"The offer constraint on {constraint.attribute[:80]}: {problem}"
    return None


def _pattern_problem(constraint: scheduler_pb.AttributeConstraint) -> str | None:
    try:
        _pattern(constraint.text_matches or constraint.text_not_matches)
    except ExpressionError as error:
        return str(error)
    return None


def _pattern(text: str) -> Expression:
    """Raises ExpressionError."""
    return compile_expression(text, MAX_PROGRAM, PATTERN_MEM_BYTES)


def wanted(
    constraints: Constraints, agents: Mapping[str, Agent]
) -> Mapping[str, Callable[[str], bool]]:
    """By role, whether offers of an agent are wanted."""

    def meets_one(of_role: scheduler_pb.OfferConstraints) -> Callable[[str], bool]:
        groups = [[_Test.of(c) for c in group.constraints] for group in of_role.groups]
        # Of each agent by what it said of itself last: it is asked for at every allocation.
        known: dict[str, tuple[pb.AgentInfo, bool]] = {}

        def wants(agent_id: str) -> bool:
            agent = agents[agent_id]
            info, answer = known.get(agent_id, (None, False))
            if info is not agent.info:
                attributes = attributes_of(agent)
                answer = any(all(test.passes(attributes) for test in group) for group in groups)
                known[agent_id] = agent.info, answer
            return answer

        return wants

    return {role: meets_one(of_role) for role, of_role in constraints.items() if of_role.groups}


def attributes_of(agent: Agent) -> dict[str, str]:
    """What an agent says of itself, and its host name."""
    return {
        **{attribute.name: attribute.text for attribute in agent.info.attributes},
        HOSTNAME: agent.info.address.hostname,
    }


@dataclass(frozen=True, slots=True)
class _Test:
    """A constraint, with its pattern compiled."""

    attribute: str
    predicate: str | None
    text: str
    pattern: Expression | None

    @staticmethod
    def of(constraint: scheduler_pb.AttributeConstraint) -> _Test:
        predicate = constraint.WhichOneof("predicate")
        text = ""
        if predicate is not None and predicate.startswith("text"):
            text = getattr(constraint, predicate)
        is_pattern = predicate in ("text_matches", "text_not_matches")
        return _Test(constraint.attribute, predicate, text, _pattern(text) if is_pattern else None)

    def passes(self, attributes: Mapping[str, str]) -> bool:
        value = attributes.get(self.attribute)
        match self.predicate:
            case "exists":
                return value is not None
            case "not_exists":
                return value is None
            case "text_equals":
                return value == self.text
            case "text_not_equals":
                return value != self.text
            case "text_matches":
                return value is not None and self._matches(value)
            case _:
                return value is None or not self._matches(value)

    def _matches(self, value: str) -> bool:
        return self.pattern is not None and self.pattern.fullmatch(value) is not None
