"""Calls that are refused because of the master's own faults.

A leader that meets a fault stops half-way through a step. The call that brought it is written to
the registry, and the next leader refuses that call of that caller, until an operator releases it:
one hostile framework costs at most one failover. What fails before anything has changed is refused
at once, and costs none.

What becomes due for an agent or a framework is set aside likewise, and looked at again later. The
end of a stream cannot be refused, so what began it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from pymesos_core.caller import Caller
from pymesos_core.errors import ProblemKind
from pymesos_core.limits import MAX_SAID
from pymesos_core.store import Change
from pymesos_core.text import cut
from pymesos_master.core import accepts
from pymesos_master.core import events as ev
from pymesos_master.core.admission import refuse_agent
from pymesos_master.core.context import Context
from pymesos_master.core.records import CALL
from pymesos_master.core.state import Agent, ClusterState, Framework
from pymesos_proto.v1 import registry_pb2 as registry_pb

_OF_AGENTS: dict[type, str] = {
    ev.AgentLeaving: "LEAVING",
    ev.AgentToldEnded: "ENDED_TASKS",
    ev.AgentUsageReported: "USAGE",
    ev.ExecutorTold: "EXECUTOR",
    ev.AgentWantsSecrets: "SECRETS",
}
_OF_OPERATORS: dict[type, str] = {
    ev.OperatorKilledTask: "KILL_TASK",
    ev.OperatorToreDown: "TEARDOWN",
    ev.OperatorMarkedGone: "MARK_AGENT_GONE",
    ev.OperatorCordonedAgents: "CORDON_AGENTS",
    ev.OperatorDrainedAgents: "DRAIN_AGENTS",
    ev.OperatorActivatedAgents: "ACTIVATE_AGENTS",
    ev.OperatorScheduledMaintenance: "SCHEDULE_MAINTENANCE",
    ev.OperatorCancelledMaintenance: "CANCEL_MAINTENANCE",
    ev.OperatorSetQuota: "SET_QUOTA",
    ev.OperatorSetWeight: "SET_WEIGHT",
    ev.OperatorSetQuotas: "SET_QUOTAS",
    ev.OperatorSetWeights: "SET_WEIGHTS",
    ev.OperatorReserved: "RESERVE",
    ev.OperatorUnreserved: "UNRESERVE",
    ev.OperatorConverted: "CONVERT",
    ev.OperatorSetPolicy: "SET_POLICY",
    ev.OperatorMadeToken: "MAKE_TOKEN",
    ev.OperatorRemovedToken: "REMOVE_TOKEN",
    ev.OperatorMadeAccessToken: "MAKE_ACCESS_TOKEN",
    ev.OperatorRevokedAccessToken: "REVOKE_ACCESS_TOKEN",
    ev.OperatorSignedIn: "SIGN_IN",
    ev.TokenUsed: "JOIN",
    ev.OperatorRevoked: "REVOKE",
    ev.OperatorSetSecret: "SET_SECRET",
    ev.OperatorRemovedSecret: "REMOVE_SECRET",
    ev.OperatorSetWebhook: "SET_WEBHOOK",
    ev.OperatorRemovedWebhook: "REMOVE_WEBHOOK",
    ev.OperatorSilencedAlerts: "SILENCE_CLUSTER_ALERTS",
}
_NAMED = (
    "framework_id",
    "task_id",
    "agent_id",
    "role",
    "digest",
    "name",
    "token_id",
)  # what a request of an operator is about


AGAIN_S = 60.0  # when a deadline that is set aside is looked at again: it may be released
MAX_NAME = 128  # characters of a caller or a call, which may be what a peer said unchecked


class Cause(NamedTuple):
    """Who asked for what. The names of the calls of frameworks, agents and operators differ."""

    caller: str
    call: str

    @classmethod
    def of(cls, caller: str, call: str) -> Cause:
        """A cause of names of any length: of a long name, its beginning and a digest."""
        return cls(_short(caller), _short(call))

    @property
    def key(self) -> str:
        """The key of the cause's record."""
        return f"{self.caller}:{self.call}"


def _short(name: str) -> str:
    if len(name) <= MAX_NAME:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{name[:64]}-{digest[:32]}"


@dataclass(frozen=True, slots=True)
class Deadline:
    """Something is due for an agent or a framework, as it stood when that began."""

    kind: str
    agent_id: str = ""
    framework_id: str = ""

    @classmethod
    def of(cls, state: ClusterState, kind: str, key: str) -> Deadline:
        """The deadline of a timer; nobody's when it is nobody's in particular."""
        if kind == "offer":
            offer = state.offers.get(key)
            return cls(kind, framework_id=offer.framework_id if offer is not None else "")
        if kind == "inverse":
            asked = state.inverse_offers.get(key)
            return cls(kind, framework_id=asked.framework_id if asked is not None else "")
        return cls(kind, key) if key in state.agents else cls(kind, framework_id=key)


def cause_of(state: ClusterState, event: object) -> Cause | None:
    """Whose call an event is; None for what nobody asked for, as a Tick."""
    match event:
        case Deadline():
            owner = event.agent_id or event.framework_id
            return Cause.of(owner, f"DEADLINE {event.kind}") if owner else None
        case ev.FrameworkDisconnected(connection_id):
            framework = _framework_on(state, connection_id)
            return None if framework is None else Cause.of(framework.framework_id, "SUBSCRIBE")
        case ev.AgentDisconnected(connection_id):
            agent = _agent_on(state, connection_id)
            return None if agent is None else Cause.of(agent.agent_id, "REGISTER")
        case ev.FrameworkSubscribing():
            return Cause.of(
                event.subscribe.framework_info.framework_id or _name(event.caller), "SUBSCRIBE"
            )
        case ev.FrameworkCalled(connection_id, call):
            kind = (call.WhichOneof("call") or "unknown").upper()
            framework = _framework_on(state, connection_id)
            return None if framework is None else Cause.of(framework.framework_id, kind)
        case ev.TaskStatusUpdated():
            # Whichever framework it names: other agents' updates of that framework go on.
            agent = _agent_on(state, event.connection_id)
            said = f"UPDATE {event.update.framework_id}"
            return None if agent is None else Cause.of(agent.agent_id, said)
        case ev.AgentRegistering():
            return Cause.of(event.info.agent_id or _name(event.caller), "REGISTER")
    if (name := _OF_AGENTS.get(type(event))) is not None:
        agent = _agent_on(state, event.connection_id)  # type: ignore[attr-defined]
        return None if agent is None else Cause.of(agent.agent_id, name)
    if (name := _OF_OPERATORS.get(type(event))) is not None:
        about = " ".join(
            (
                *(value for field in _NAMED if (value := getattr(event, field, ""))),
                *getattr(event, "agent_ids", ()),
            )
        )
        return Cause.of("operators", f"{name} {about}")
    return None


def _name(caller: Caller) -> str:
    """The name of a caller that has no id yet."""
    return caller.principal or caller.peer


def _framework_on(state: ClusterState, connection_id: int) -> Framework | None:
    """Half a step may have left the maps of connections without it: then all are looked through."""
    framework_id = state.framework_by_connection.get(connection_id)
    if framework_id in state.frameworks:
        return state.frameworks[framework_id]
    known = (*state.frameworks.values(), *state.completed_frameworks.values())
    return next(
        (
            framework
            for framework in known
            if framework.framework_id == framework_id
            or connection_id in (framework.connection_id, framework.subscribing)
        ),
        None,
    )


def _agent_on(state: ClusterState, connection_id: int) -> Agent | None:
    """As of frameworks."""
    agent = state.agents.get(state.agent_by_connection.get(connection_id, ""))
    there = (a for a in state.agents.values() if a.connection_id == connection_id)
    return agent if agent is not None else next(there, None)


def record(cause: Cause, reason: str, wall_s: float) -> Change:
    """The record that has the next leader refuse it."""
    made = registry_pb.CallRecord(
        caller=cause.caller, call=cause.call, reason=cut(reason, MAX_SAID), at_s=wall_s
    )
    return Change(CALL, cause.key, made.SerializeToString(deterministic=True))


def problem(state: ClusterState, event: object) -> str | None:
    """Why an event is refused that ended an earlier leader, or None."""
    if isinstance(event, ev.FrameworkDisconnected | ev.AgentDisconnected):
        return None
    cause = cause_of(state, event)
    found = state.quarantined.get((CALL, cause.key)) if cause is not None else None
    if found is None or cause is None:
        return None
    return (
        f"the call {cause.call} of {cause.caller} is in quarantine, since a master that led met a"
        f" fault of its own in it ({found.reason}); an operator lets it go on with `pymesos-cli"
        f" quarantine release {CALL}/{cause.key}`"
    )


def refuse(ctx: Context, event: ev.Event, problem: str) -> bool:
    """Tell whoever asked that nothing of it is done; whether there is somebody to be told."""
    problem = cut(problem, MAX_SAID)
    match event:
        case ev.FrameworkSubscribing(connection_id):
            ctx.refuse_framework(connection_id, problem)
        case ev.FrameworkCalled(connection_id, call):
            framework = _framework_on(ctx.state, connection_id)
            if framework is not None:
                ctx.refuse_call(framework, call.WhichOneof("call") or "", problem)
                if framework.connection_id == connection_id:
                    accepts.give_back(ctx, framework, call, problem)
        case ev.AgentRegistering(connection_id):
            refuse_agent(ctx, connection_id, problem)
        case (
            ev.TaskStatusUpdated(connection_id)
            | ev.AgentToldEnded(connection_id)
            | ev.AgentUsageReported(connection_id)
            | ev.AgentLeaving(connection_id)
            | ev.ExecutorTold(connection_id)
            | ev.AgentWantsSecrets(connection_id)
        ):
            agent = _agent_on(ctx.state, connection_id)
            if agent is not None:
                ctx.complain(agent, "what it says is left out", problem)
        case _ if type(event) in _OF_OPERATORS or isinstance(event, ev.OperatorReleasedRecord):
            ctx.answer(event.request_id, problem, ProblemKind.UNAVAILABLE)  # type: ignore[union-attr]
        case _:
            return False
    return True


def stories(state: ClusterState, event: object) -> Iterator[tuple[str, object]]:
    """The objects that an event is about, by what they are called, as half a step has left them."""
    connection_id = getattr(event, "connection_id", None)
    framework_id = getattr(event, "framework_id", "")
    agent_id = getattr(event, "agent_id", "")
    if connection_id is not None:
        framework = _framework_on(state, connection_id)
        framework_id = framework.framework_id if framework is not None else framework_id
        agent = _agent_on(state, connection_id)
        agent_id = agent.agent_id if agent is not None else agent_id
    if framework_id in state.frameworks:
        yield f"framework {framework_id}", state.frameworks[framework_id]
    if agent_id in state.agents:
        yield f"agent {agent_id}", state.agents[agent_id]
