"""What somebody may do by the policy in force, and which rule says so."""

from __future__ import annotations

import math

from pymesos_core.caller import Caller, Method
from pymesos_core.errors import invalid
from pymesos_core.ids import role_problem
from pymesos_core.security.identities import IdentityError, read_principal
from pymesos_core.security.policy import CLUSTER_VERBS, Rule, Verb, decide
from pymesos_core.text import quoted
from pymesos_master.core.access_tokens import may_see
from pymesos_master.core.state import ClusterState
from pymesos_proto.v1 import operator_pb2 as pb

_OF_TOKENS = (Method.TOKEN, Method.SESSION)


def who_am_i(state: ClusterState, caller: Caller) -> pb.WhoAmIResponse:
    """Who calls, and the rules that name it."""
    rules = state.policy.of(caller.principal).rules if caller.is_proved else ()
    return pb.WhoAmIResponse(
        principal=caller.principal if caller.is_proved else "",
        ends_at_s=caller.ends_s if math.isfinite(caller.ends_s) else 0.0,
        access_token=caller.credential_id if caller.method in _OF_TOKENS else "",
        rights=caller.rights,
        rules=[rule_view(rule) for rule in rules],
        policy_version=state.policy.version,
    )


def access_token_views(
    state: ClusterState, caller: Caller, now_s: float
) -> list[pb.AccessTokenView]:
    """Access tokens that are good, of those that a caller may see."""
    return [
        pb.AccessTokenView(
            id=token_id,
            principal=token.principal,
            name=token.name,
            rights=token.rights,
            made_at_s=token.made_at_s,
            ends_at_s=token.ends_at_s,
        )
        for token_id, token in sorted(
            state.access_tokens().items(), key=lambda item: (item[1].principal, item[1].made_at_s)
        )
        if not token.revoked and token.ends_at_s > now_s and may_see(state, caller, token_id, token)
    ]


def rule_view(rule: Rule) -> pb.PolicyRule:
    """A rule as it is written."""
    return pb.PolicyRule(rule=rule.written, line=rule.line)


def can(state: ClusterState, who: Caller, verb: str, role: str) -> pb.CanResponse:
    """Whether somebody may do something. Raises RequestError for what nobody can be asked."""
    if verb not in set(Verb):
        raise invalid(f"{quoted(verb)} is no verb; these are: {', '.join(Verb)}")
    if Verb(verb) in CLUSTER_VERBS:
        role = ""
    elif problem := role_problem(role):
        raise invalid(problem)
    if who.is_proved:
        try:
            read_principal("cluster", who.principal)
        except IdentityError as error:
            raise invalid(str(error)) from None
    decision = decide(state.policy, who, Verb(verb), role)
    return pb.CanResponse(
        allowed=decision.allowed,
        rule=rule_view(decision.rule) if decision.rule else None,
        problem=decision.problem or "",
        policy_version=state.policy.version,
    )


def policy_view(state: ClusterState) -> pb.GetPolicyResponse:
    """The policy in force, with who set it."""
    record = state.policy_record()
    return pb.GetPolicyResponse(
        document=state.policy.document,
        version=state.policy.version,
        set_by=record.set_by if record is not None else "",
        set_at_s=record.set_at_s if record is not None else 0.0,
    )
