"""What somebody may do by the policy in force, and which rule says so."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace

from pymesos_core.caller import Caller, Method
from pymesos_core.clock import Now
from pymesos_core.errors import RequestError, denied, invalid
from pymesos_core.ids import role_problem
from pymesos_core.security.audit import Entry, entry
from pymesos_core.security.identities import IdentityError, Kind, read_principal
from pymesos_core.security.policy import (
    CLUSTER_VERBS,
    EVERY_ROLE,
    Decision,
    Roles,
    Rule,
    Verb,
    decide,
    roles_for,
)
from pymesos_core.text import quoted
from pymesos_master.core import permission
from pymesos_master.core.state import ClusterState
from pymesos_proto.v1 import operator_pb2 as pb

_OF_TOKENS = (Method.TOKEN, Method.SESSION)


class Permits:
    """What callers may do; the audit is told of those who ask for what they may not."""

    def __init__(
        self, state: ClusterState, clock: Callable[[], Now], audit: Callable[[Entry], None]
    ) -> None:
        self._state = state
        self._clock = clock
        self._audit = audit

    def check(self, caller: Caller, call: str, roles: Iterable[str] = ()) -> None:
        """Raises RequestError (DENIED) for a caller who may not make a call of these roles."""
        made = permission.decision(self._state, caller, call, roles)
        if made.problem is not None:
            raise self.refused(caller, call, made, role=", ".join(roles))

    def refused(self, caller: Caller, call: str, made: Decision, **named: str) -> RequestError:
        """Tell the audit of a call that is denied, and return what is raised for it."""
        assert made.problem is not None
        self._audit(entry(self._clock().wall_s, caller, call, made, named))
        return denied(made.problem)

    def may(self, caller: Caller, call: str, roles: Iterable[str]) -> bool:
        """Whether a caller may make a call of these roles."""
        return permission.problem(self._state, caller, call, roles) is None

    def where(self, caller: Caller, verb: Verb) -> Roles:
        """The roles in which a caller may do something."""
        return roles_for(self._state.policy, caller, verb)

    def readable(self, caller: Caller, call: str) -> Roles:
        """The roles of which the caller may read. Raises RequestError (DENIED)."""
        self.check(caller, call)
        return permission.readable(self._state, caller)

    def read(self, caller: Caller, call: str, roles: Iterable[str] = (), **named: str) -> Entry:
        """The line that tells that a caller reads what is another's, or runs something there."""
        made = permission.decision(self._state, caller, call, roles)
        return entry(self._clock().wall_s, caller, call, made, {"role": ", ".join(roles), **named})

    def watching(self, caller: Caller) -> Callable[[], Roles]:
        """What says, whenever it is asked, of which roles the caller may read now.

        Both raise RequestError (DENIED).
        """
        self.check(caller, "Operator.WatchEvents")
        return lambda: self.readable(caller, "Operator.WatchEvents")

    def following(self, caller: Caller) -> Callable[[], Roles]:
        """As `watching`, for names: resolvers, which are of agents and masters, are told all.

        Both raise RequestError (DENIED).
        """
        if caller.is_proved and caller.principal.partition("/")[0] in (Kind.AGENT, Kind.MASTER):
            return lambda: EVERY_ROLE
        self.check(caller, "Names.Follow")
        return lambda: self.readable(caller, "Names.Follow")

    def who_am_i(self, caller: Caller) -> pb.WhoAmIResponse:
        """Who calls, and the rules that name it."""
        return who_am_i(self._state, caller)

    def can(self, caller: Caller, who: str, verb: str, role: str) -> pb.CanResponse:
        """Whether the caller, or somebody else, may do something. Raises RequestError."""
        if who and who != caller.principal:
            self.check(caller, "Operator.GetPolicy")
            asked = replace(caller, principal=who, rights=None)
        else:
            asked = caller
        return can(self._state, asked, verb, role)

    def policy(self, caller: Caller) -> pb.GetPolicyResponse:
        """The policy in force. Raises RequestError (DENIED)."""
        self.check(caller, "Operator.GetPolicy")
        return policy_view(self._state)


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


def rule_view(rule: Rule) -> pb.PolicyRule:
    """A rule as it is written."""
    return pb.PolicyRule(rule=rule.written, line=rule.line)
