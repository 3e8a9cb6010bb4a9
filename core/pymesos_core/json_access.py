"""The JSON dialect, of who may do what, who comes in, secrets, and what is in quarantine."""

from __future__ import annotations

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message

from pymesos_core.json_dialect import Json, iso
from pymesos_core.states import kind_name
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import registry_pb2 as registry_pb

SHORT_ID = 12  # hexadecimal digits of a digest, by which people name a token


def policy_json(seen: pb.GetPolicyResponse) -> Json:
    """The policy in force."""
    return {
        "version": seen.version,
        "set_by": seen.set_by or None,
        "set_at": iso(seen.set_at_s),
        "document": seen.document,
    }


def can_json(said: pb.CanResponse) -> Json:
    """Whether somebody may do something, and by which rule."""
    rule = said.rule if said.HasField("rule") else None
    return {
        "allowed": said.allowed,
        "rule": rule.rule if rule else None,
        "line": rule.line if rule else None,
        "problem": said.problem or None,
        "policy_version": said.policy_version,
    }


def who_json(me: pb.WhoAmIResponse) -> Json:
    """Who asks."""
    return {
        "principal": me.principal or None,
        "certificate_ends_at": iso(me.ends_at_s) if not me.access_token else None,
        "policy_version": me.policy_version,
        "rules": [{"line": rule.line, "rule": rule.rule} for rule in me.rules],
        "access_token": {"id": me.access_token, "rights": [*me.rights]}
        if me.access_token
        else None,
    }


def secret_json(view: pb.SecretView) -> Json:
    """A secret, without its value."""
    return {
        "role": view.role,
        "name": view.name,
        "version": view.version,
        "set_at": iso(view.set_at_s),
        "set_by": view.set_by or None,
        "tasks": view.tasks,
    }


def webhook_json(view: pb.WebhookView) -> Json:
    """A webhook."""
    return {
        "name": view.name,
        "url": view.url,
        "kinds": [kind_name(kind) for kind in view.kinds],
        "secret_role": view.secret_role or None,
        "secret_name": view.secret_name or None,
        "link_local": view.link_local,
        "set_at": iso(view.set_at_s),
        "set_by": view.set_by or None,
        "problem": view.problem or None,
    }


def cluster_alert_json(view: pb.ClusterAlertView) -> Json:
    """An alert of the cluster, with who is told of it and who has silenced it."""
    return {
        "key": view.key,
        "when": view.when,
        "subject": view.subject or None,
        "receiver": view.receiver,
        "state": view.state,
        "since": iso(view.since_s),
        "fired_at": iso(view.fired_at_s),
        "summary": view.summary or None,
        "known": view.known,
        "silenced_until": iso(view.silenced_until_s),
        "silenced_by": view.silenced_by or None,
        "silenced_for": view.silenced_for or None,
    }


def cluster_silence_json(view: pb.ClusterSilenceView) -> Json:
    """A silence of alerts of the cluster."""
    return {
        "when": view.when or None,
        "subject": view.subject or None,
        "until": iso(view.until_s),
        "by": view.by or None,
        "why": view.why or None,
    }


def receiver_json(view: pb.ReceiverView) -> Json:
    """Who is told of alerts, and why it has not taken what it was sent last."""
    return {
        "name": view.name,
        "problem": view.problem or None,
        "problem_since": iso(view.problem_since_s),
    }


def join_token_json(view: pb.TokenView) -> Json:
    """A token with which a principal joins."""
    return {
        "id": view.digest.hex()[:SHORT_ID],
        "digest": view.digest.hex(),
        "principal": view.principal,
        "ends_at": iso(view.ends_at_s),
        "made_by": view.made_by or None,
        "used": view.used,
    }


def access_token_json(view: pb.AccessTokenView) -> Json:
    """An access token, without its secret."""
    return {
        "id": view.id,
        "principal": view.principal,
        "name": view.name or None,
        "rights": [*view.rights],
        "made_at": iso(view.made_at_s),
        "ends_at": iso(view.ends_at_s),
    }


def revocation_json(view: pb.RevocationView) -> Json:
    """A principal, or a certificate, that is let in no more."""
    return {"name": view.name, "at": iso(view.at_s), "made_by": view.made_by or None}


def record_json(record: pb.QuarantinedRecord) -> Json:
    """A record of the registry that cannot be handled; `document` when one is asked for."""
    return {
        "kind": record.kind,
        "key": record.key,
        "reason": record.reason,
        "document": record_text(record) if record.record else None,
    }


_RECORDS: dict[str, type[Message]] = {
    "agent": registry_pb.AgentRecord,
    "framework": registry_pb.FrameworkRecord,
    "role": registry_pb.RoleRecord,
    "call": registry_pb.CallRecord,
}


def record_text(record: pb.QuarantinedRecord) -> str:
    """A record as JSON, as far as it can be read, else its bytes."""
    try:
        message = _RECORDS[record.kind].FromString(record.record)
        return json_format.MessageToJson(message, preserving_proto_field_name=True, indent=None)
    except (KeyError, DecodeError, json_format.Error, ValueError):
        return record.record.hex(" ", -4)
