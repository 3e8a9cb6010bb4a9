"""Records of the registry that cannot be handled: set aside, named, and let go by an operator.

Such a record stays as it is. An agent or a framework of its id is refused meanwhile, and nothing is
said for certain of the tasks of such an agent; the tasks of such a framework run on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from pymesos_core import resources
from pymesos_core.errors import ProblemKind
from pymesos_core.ids import id_problem, role_problem
from pymesos_core.limits import MAX_SAID
from pymesos_core.resource_values import ResourceError
from pymesos_core.security.policy import Policy
from pymesos_core.security.policy_file import PolicyError
from pymesos_core.store import Change
from pymesos_core.text import cut
from pymesos_master.core import (
    access_tokens,
    accounting,
    drains,
    enrolment,
    maintenance,
    permission,
    policies,
    revocations,
    secrets,
    webhooks,
)
from pymesos_master.core.alerts.state import alert_of, read_alert, read_silence
from pymesos_master.core.context import Context
from pymesos_master.core.disconnecting import start_failover_timer
from pymesos_master.core.effects import Complain
from pymesos_master.core.events import OperatorReleasedRecord
from pymesos_master.core.frameworks import remove
from pymesos_master.core.lifecycles import AgentState, FrameworkState
from pymesos_master.core.records import (
    ACCESS_TOKEN,
    ACCOUNTING,
    AGENT,
    ALERT,
    CALL,
    FRAMEWORK,
    POLICY,
    REVOCATION,
    ROLE,
    SECRET,
    SILENCE,
    TOKEN,
    WEBHOOK,
    AgentRecord,
    FrameworkRecord,
)
from pymesos_master.core.registry import read_drain, read_maintenance
from pymesos_master.core.roles import read_role, terms_problem
from pymesos_master.core.state import Agent, Framework, Quarantined, address_of
from pymesos_proto.v1 import registry_pb2 as registry_pb
from pymesos_proto.v1 import types_pb2 as pb

_STATES = {
    registry_pb.AgentRecord.REACHABLE: AgentState.RECOVERING,
    registry_pb.AgentRecord.UNREACHABLE: AgentState.UNREACHABLE,
    registry_pb.AgentRecord.GONE: AgentState.GONE,
}


def take_in(ctx: Context, kind: str, key: str, value: bytes) -> str | None:
    """Have a record from the registry count; the reason why it cannot, or None.

    Kinds that are not known are a newer version's; they are kept as they are.
    """
    try:
        if kind == AGENT:
            agent = registry_pb.AgentRecord.FromString(value)
            ctx.registered.note(Change(kind, key, value), agent.peer)
            _take_agent(ctx, key, agent)
        elif kind == FRAMEWORK:
            framework = registry_pb.FrameworkRecord.FromString(value)
            ctx.registered.note(Change(kind, key, value), framework.peer)
            _take_framework(ctx, key, framework)
        elif kind == ROLE:
            _take_role(ctx, key, registry_pb.RoleRecord.FromString(value))
        elif kind == TOKEN:
            token = enrolment.read_token(key, registry_pb.TokenRecord.FromString(value))
            ctx.state.image.load((kind, key), token)
        elif kind == ACCESS_TOKEN:
            access = access_tokens.read_record(key, registry_pb.AccessTokenRecord.FromString(value))
            ctx.state.image.load((kind, key), access)
        elif kind == REVOCATION:
            revocation = registry_pb.RevocationRecord.FromString(value)
            ctx.state.image.load((kind, key), revocations.read_revocation(key, revocation))
        elif kind == SECRET:
            secret = secrets.read_secret(key, registry_pb.SecretRecord.FromString(value))
            ctx.state.image.load((kind, key), secret)
        elif kind == WEBHOOK:
            webhook = webhooks.read_webhook(key, registry_pb.WebhookRecord.FromString(value))
            ctx.state.image.load((kind, key), webhook)
        elif kind == ACCOUNTING:
            accounting.take_in(ctx, key, registry_pb.AccountingRecord.FromString(value))
        elif kind == ALERT:
            alert = read_alert(key, registry_pb.ClusterAlertRecord.FromString(value))
            ctx.state.image.load((kind, key), alert)
            ctx.state.alerts[key] = alert_of(key, alert)
        elif kind == SILENCE:
            silence = read_silence(key, registry_pb.ClusterSilenceRecord.FromString(value))
            ctx.state.image.load((kind, key), silence)
            ctx.state.silences[key] = silence
        elif kind == CALL:
            _take_call(ctx, key, value)
        elif kind == POLICY:
            policies.take_in(ctx, registry_pb.PolicyRecord.FromString(value))
    except (DecodeError, PolicyError, ResourceError) as error:
        return cut(str(error), MAX_SAID) or "it cannot be read"
    except Exception as error:  # whatever it is, it is of this record alone
        return cut(f"{type(error).__name__}: {error}", MAX_SAID)
    return None


def set_aside(ctx: Context, kind: str, key: str, value: bytes, reason: str) -> None:
    """Set a record aside: it does not count until it is released."""
    aside = ctx.state.quarantined[kind, key] = Quarantined(kind, key, value, reason)
    ctx.state.image.load((kind, key), aside)
    if kind == POLICY:
        ctx.state.policy = (
            Policy()
        )  # nobody may do anything: what is written may be to keep them out
    if kind == FRAMEWORK:
        # So that its tasks have an owner, whom they outlive as long as it may come back.
        info = pb.FrameworkInfo(framework_id=key, name=key)
        ctx.state.frameworks[key] = Framework(info, FrameworkState.QUARANTINED)
        ctx.allocator.add_framework(key, ("*",), active=False)
    said = f"{reason}; the rest goes on. `pymesos-cli quarantine show {kind}/{key}`"
    ctx.out.append(Complain(f"the registry's record {kind}/{key}", "set aside", said))


def on_release(ctx: Context, event: OperatorReleasedRecord) -> None:
    """Delete a record: one of a call lets it through again, any other is forgotten.

    This master can handle no other record than when it began to lead.
    """
    call = "Operator.ReleaseQuarantinedRecord"
    if permission.refused(ctx, event.request_id, event.caller, call):
        return
    found = ctx.state.quarantined.get((event.kind, event.key))
    if found is None:
        what = f"{event.kind}/{event.key}"
        message = f"there is no record {what[:255]!r} in quarantine"
        ctx.answer(event.request_id, message, ProblemKind.NOT_FOUND)
    elif event.discard or found.kind == CALL:
        _discard(ctx, found, event.request_id)
    else:
        ctx.answer(
            event.request_id,
            f"it can be handled no better than before: {found.reason}; a master of another version"
            f" tries it when it leads, and --discard forgets it",
        )


def _discard(ctx: Context, found: Quarantined, request_id: int) -> None:
    stand_in = ctx.state.frameworks.get(found.key) if found.kind == FRAMEWORK else None
    if stand_in is not None:
        remove(ctx, stand_in, "Its record was discarded by an operator", request_id)
        return
    discarded = Discarded(found.kind, found.key, request_id)
    ctx.persist({(found.kind, found.key): None}, discarded)


@dataclass(frozen=True, slots=True)
class Discarded:
    """A record that was set aside is deleted; the operator waits."""

    kind: str
    key: str
    request_id: int


def on_discarded(ctx: Context, done: Discarded) -> None:
    """Drop what stood for a record that is discarded."""
    ctx.state.quarantined.pop((done.kind, done.key), None)
    if done.kind == REVOCATION:
        revocations.tell_all(ctx)
    ctx.answer(done.request_id)


def _check_id(key: str, said: str) -> None:
    if key != said or (problem := id_problem(key)):
        raise ResourceError(f"it is of {said[:255]!r}" if key != said else str(problem))


def _take_agent(ctx: Context, key: str, record: registry_pb.AgentRecord) -> None:
    """Raises ResourceError."""
    _check_id(key, record.info.agent_id)
    state = _STATES.get(record.state)
    if state is None or not math.isfinite(record.changed_at_s):
        raise ResourceError(f"it is in the state {record.state} since {record.changed_at_s}")
    agent = Agent(
        record.info,
        state,
        total=resources.from_proto(record.info.resources),
        registered_at_s=record.changed_at_s,
        changed_at_s=record.changed_at_s,
        reserved=resources.from_proto(record.reserved),
    )
    agent.peer = record.peer
    # All is read before anything counts: a record that is set aside has left nothing.
    drain, window = read_drain(record), read_maintenance(record)
    drains.take_in(ctx, agent, drain)
    maintenance.take_in(ctx, agent, window)
    stored = AgentState.ACTIVE if state == AgentState.RECOVERING else state
    known = AgentRecord(record.info, stored, agent.reserved, agent.drain.record, agent.maintenance)
    ctx.state.image.load((AGENT, key), known)
    ctx.state.agents[agent.agent_id] = agent
    if state == AgentState.RECOVERING:
        ctx.state.agent_at[address_of(agent.info)] = agent.agent_id
        at = ctx.now.mono_s + ctx.config.agent_reregister_timeout_s
        ctx.timers.set(("reregister", agent.agent_id), at)


def _take_framework(ctx: Context, key: str, record: registry_pb.FrameworkRecord) -> None:
    """Raises ResourceError."""
    info = record.info
    _check_id(key, info.framework_id)
    if problem := next(filter(None, map(role_problem, info.roles)), None):
        raise ResourceError(problem)
    if not (info.failover_timeout_s >= 0 and math.isfinite(record.registered_at_s)):
        raise ResourceError(f"its failover_timeout_s is {info.failover_timeout_s}")
    framework = Framework(info, FrameworkState.DISCONNECTED)
    framework.peer = record.peer
    framework.registered_at_s = record.registered_at_s
    ctx.state.frameworks[key] = framework
    stored = FrameworkRecord(info, record.registered_at_s, record.peer)
    ctx.state.image.load((FRAMEWORK, key), stored)
    ctx.allocator.add_framework(key, framework.roles, active=False)
    start_failover_timer(ctx, framework)


def _take_role(ctx: Context, key: str, record: registry_pb.RoleRecord) -> None:
    """Raises ResourceError."""
    terms = read_role(record)
    if problem := role_problem(record.role) or terms_problem(terms):
        raise ResourceError(problem)
    if key != record.role:
        raise ResourceError(f"it is of {record.role[:255]!r}")
    ctx.state.image.load((ROLE, key), terms)
    ctx.allocator.set_weight(record.role, terms.weight)
    ctx.allocator.set_quota(record.role, terms.quota)


def _take_call(ctx: Context, key: str, value: bytes) -> None:
    """A call that ended a leader is in quarantine by itself: see calls.py. Raises DecodeError."""
    record = registry_pb.CallRecord.FromString(value)
    reason = cut(record.reason, MAX_SAID) or "no reason is recorded"
    ctx.state.quarantined[CALL, key] = Quarantined(CALL, key, value, reason)
