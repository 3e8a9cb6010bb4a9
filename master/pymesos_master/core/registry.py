"""The registry's records: what they are called and how they are written.

What of them is durable, and what is intended, is in `ClusterState.image`.
"""

from __future__ import annotations

import math

from google.protobuf.message import Message

from pymesos_core import limits as bounds
from pymesos_core.resource_values import ResourceError
from pymesos_core.resources import Resources, to_proto
from pymesos_core.store import Change
from pymesos_master.allocator.interface import Quota
from pymesos_master.core.accounts import HOUR_MS, Sums
from pymesos_master.core.alerts.state import AlertRecord, Silence
from pymesos_master.core.lifecycles import AgentState, DrainState
from pymesos_master.core.records import (
    NOT_DRAINED,
    AccessToken,
    AccountingRecord,
    AgentRecord,
    DrainRecord,
    FrameworkRecord,
    Maintenance,
    PolicyRecord,
    Revocation,
    RoleTerms,
    SecretRecord,
    Token,
    WebhookRecord,
)
from pymesos_master.core.state import Quarantined, Record
from pymesos_proto.v1 import registry_pb2 as registry_pb
from pymesos_proto.v1 import types_pb2 as pb

MOST_ACCOUNTED = 2**64 * HOUR_MS - 1  # of one sum, in thousandths times milliseconds

_STATES = {
    AgentState.UNREACHABLE: registry_pb.AgentRecord.UNREACHABLE,
    AgentState.GONE: registry_pb.AgentRecord.GONE,
}


def record_problem(change: Change) -> str | None:
    """Why a record cannot be written, or None. The bounds on what it is made of leave it room."""
    what = f"The record {change.kind}/{change.key}"
    return bounds.RECORD.problem(len(change.value or b""), what)


def place_of(key: str) -> tuple[str, str]:
    """The role and the name of a secret, by the key of its record. A name has no colon."""
    role, _, name = key.rpartition(":")
    return role, name


def to_change(key: tuple[str, str], value: Record | None, wall_s: float) -> Change:
    """How a record is written; None: it is deleted."""
    message: Message
    match value:
        case None:
            return Change(*key, None)
        case AgentRecord(info, state, reserved, drain, maintenance):
            message = registry_pb.AgentRecord(
                info=info,
                state=_STATES.get(state, registry_pb.AgentRecord.REACHABLE),
                changed_at_s=wall_s,
                reserved=to_proto(reserved),
                drain=_drain_message(drain),
                maintenance=_maintenance_message(maintenance),
            )
        case FrameworkRecord(info, registered_at_s, peer):
            message = registry_pb.FrameworkRecord(
                info=info, registered_at_s=registered_at_s, peer=peer
            )
        case RoleTerms(weight, quota):
            message = registry_pb.RoleRecord(role=key[1], weight=weight, quota=quota_message(quota))
        case PolicyRecord(policy, set_by, set_at_s):
            message = registry_pb.PolicyRecord(
                document=policy.document, version=policy.version, set_by=set_by, set_at_s=set_at_s
            )
        case Token():
            message = registry_pb.TokenRecord(
                principal=value.principal,
                ends_at_s=value.ends_at_s,
                made_by=value.made_by,
                key=value.key,
            )
        case AccessToken():
            message = registry_pb.AccessTokenRecord(
                digest=bytes.fromhex(value.digest),
                principal=value.principal,
                rights=value.rights,
                name=value.name,
                made_at_s=value.made_at_s,
                ends_at_s=value.ends_at_s,
                revoked=value.revoked,
            )
        case Revocation(at_s, made_by):
            message = registry_pb.RevocationRecord(at_s=at_s, made_by=made_by)
        case SecretRecord(sealed, version, set_by, set_at_s):
            role, name = place_of(key[1])
            message = registry_pb.SecretRecord(
                role=role,
                name=name,
                version=version,
                key_id=sealed.key_id,
                nonce=sealed.nonce,
                sealed=sealed.data,
                set_by=set_by,
                set_at_s=set_at_s,
            )
        case WebhookRecord(url, kinds, secret, link_local, set_by, set_at_s):
            message = registry_pb.WebhookRecord(
                url=url,
                kinds=kinds,
                secret_role=secret[0],
                secret_name=secret[1],
                link_local=link_local,
                set_by=set_by,
                set_at_s=set_at_s,
            )
        case AccountingRecord():
            message = _accounting_message(value)
        case AlertRecord() | Silence():
            message = value.message()
        case Quarantined(record=record):
            return Change(*key, record)
    return Change(*key, message.SerializeToString(deterministic=True))


_DRAINS = {
    DrainState.CORDONED: registry_pb.DrainRecord.CORDONED,
    DrainState.DRAINING: registry_pb.DrainRecord.DRAINING,
    DrainState.DRAINED: registry_pb.DrainRecord.DRAINED,
}
_DRAIN_STATES = {stored: state for state, stored in _DRAINS.items()}


def _drain_message(drain: DrainRecord) -> registry_pb.DrainRecord | None:
    """The wire form; None: nothing is decided."""
    if drain.state == DrainState.NONE:
        return None
    return registry_pb.DrainRecord(
        state=_DRAINS[drain.state],
        deadline_s=drain.deadline_s,
        within_s=drain.within_s,
        then_gone=drain.then_gone,
        set_by=drain.set_by,
        set_at_s=drain.set_at_s,
        down=drain.down,
    )


def read_drain(record: registry_pb.AgentRecord) -> DrainRecord:
    """What is decided of an agent. Raises ResourceError."""
    if not record.HasField("drain"):
        return NOT_DRAINED
    said = record.drain
    state = _DRAIN_STATES.get(said.state)
    times_s = (said.deadline_s, said.within_s, said.set_at_s)
    if state is None or not all(map(math.isfinite, times_s)):
        raise ResourceError(f"its drain is {said.state} until {said.deadline_s}")
    return DrainRecord(
        state,
        said.deadline_s,
        said.within_s,
        said.then_gone,
        said.set_by,
        said.set_at_s,
        said.down,
    )


def _maintenance_message(window: Maintenance | None) -> registry_pb.MaintenanceRecord | None:
    """The wire form; None: none is planned."""
    if window is None:
        return None
    return registry_pb.MaintenanceRecord(
        unavailability=window.unavailability, set_by=window.set_by, set_at_s=window.set_at_s
    )


def read_maintenance(record: registry_pb.AgentRecord) -> Maintenance | None:
    """The maintenance window of an agent. Raises ResourceError."""
    if not record.HasField("maintenance"):
        return None
    said = record.maintenance
    times_s = (said.unavailability.start_s, said.unavailability.duration_s, said.set_at_s)
    if not all(map(math.isfinite, times_s)):
        raise ResourceError(f"its maintenance window begins at {times_s[0]} for {times_s[1]} s")
    return Maintenance(times_s[0], times_s[1], said.set_by, said.set_at_s)


def _accounting_message(record: AccountingRecord) -> registry_pb.AccountingRecord:
    """The wire form."""
    return registry_pb.AccountingRecord(
        rows=[
            registry_pb.AccountingRecord.Row(
                role=account.role,
                framework=account.framework,
                job=account.job,
                rest=account.rest,
                **dict(zip(Sums._fields, map(_amount, sums), strict=True)),
            )
            for account, sums in record.rows
        ],
        until_ms=record.until_ms,
    )


def _amount(number: int) -> registry_pb.AccountingRecord.Amount | None:
    if not number:
        return None
    # An agent may make up what no machine can have used: the record says the most that it can.
    hours, ms = divmod(min(number, MOST_ACCOUNTED), HOUR_MS)
    return registry_pb.AccountingRecord.Amount(hours=hours, ms=ms)


def quota_message(quota: Quota) -> pb.Quota:
    """The wire form. A limit of zero is said, too."""
    limits = to_proto(Resources(quota.limits))
    limits += [pb.Resource(name=name, scalar=0) for name, v in quota.limits.items() if not v]
    return pb.Quota(guarantees=to_proto(Resources(quota.guarantees)), limits=limits)
