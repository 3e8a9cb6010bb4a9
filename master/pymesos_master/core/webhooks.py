"""Webhooks: where the leading master sends events. What is here is who may have them sent where."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pymesos_core import limits
from pymesos_core.caller import Method
from pymesos_core.errors import ProblemKind
from pymesos_core.ids import secret_name_problem
from pymesos_core.resource_values import ResourceError
from pymesos_core.text import quoted
from pymesos_master.core import permission, secrets
from pymesos_master.core.context import Context
from pymesos_master.core.events import OperatorRemovedWebhook, OperatorSetWebhook
from pymesos_master.core.records import WEBHOOK, WebhookRecord
from pymesos_proto.v1 import registry_pb2 as registry_pb
from pymesos_proto.v1.operator_pb2 import ClusterEvent

BY_CERTIFICATE = (
    "webhooks are set with a certificate: one is sent what its maker may read, also when the access"
    " token that has set it has ended"
)


def read_webhook(key: str, record: registry_pb.WebhookRecord) -> WebhookRecord:
    """Raises ResourceError."""
    if problem := name_problem(key):
        raise ResourceError(problem)
    if not record.url or not math.isfinite(record.set_at_s):
        raise ResourceError(f"it is of {quoted(record.url)}, set at {record.set_at_s}")
    return WebhookRecord(
        record.url,
        tuple(record.kinds),
        (record.secret_role, record.secret_name),
        record.link_local,
        record.set_by,
        record.set_at_s,
    )


def name_problem(name: str) -> str | None:
    """Why this cannot be the name of a webhook, or None."""
    if secret_name_problem(name) is None:
        return None
    return (
        f"{quoted(name)} is no name of a webhook: at most 63 letters a-z and A-Z, digits, -, _ and"
        f" . are expected, with a letter or a digit first"
    )


def on_set(ctx: Context, event: OperatorSetWebhook) -> None:
    """Write a webhook in the place of the one of its name, if there is any."""
    call, (role, secret) = "Operator.SetWebhook", event.secret
    if permission.refused(ctx, event.request_id, event.caller, call):
        return
    if event.caller.method in (Method.TOKEN, Method.SESSION):
        ctx.answer(event.request_id, BY_CERTIFICATE, ProblemKind.DENIED)
        return
    # Who has something signed by a secret uses it.
    uses = "Operator.SetSecret"
    if secret and permission.refused(ctx, event.request_id, event.caller, uses, (role,)):
        return
    problem = name_problem(event.name) or ctx.state.why_aside(WEBHOOK, event.name)
    known = {kind for kind in ClusterEvent.Kind.values() if kind}
    if not problem and (not event.kinds or not known.issuperset(event.kinds)):
        problem = "a webhook is of at least one kind of events, of those that docs/reference.md has"
    key = secrets.key_of(role, secret)
    if not problem and secret and key not in ctx.state.secrets(durable=False):
        problem = (
            f"the role {role} has no secret {quoted(secret)}; `pymesos-cli secret set` sets it"
        )
    there = ctx.state.webhooks(durable=False)
    full = limits.WEBHOOKS.problem(len(there.keys() | {event.name}))
    if problem or full:
        ctx.answer(event.request_id, problem or f"{full}: remove some")
        return
    by, now_s = event.caller.principal, ctx.now.wall_s
    made = WebhookRecord(event.url, event.kinds, event.secret, event.link_local, by, now_s)
    ctx.persist({(WEBHOOK, event.name): made}, WebhookWritten(event.request_id))


def on_remove(ctx: Context, event: OperatorRemovedWebhook) -> None:
    """Forget a webhook."""
    if permission.refused(ctx, event.request_id, event.caller, "Operator.RemoveWebhook"):
        return
    if event.name not in ctx.state.webhooks(durable=False):
        told = f"there is no webhook {quoted(event.name)}; `pymesos-cli webhook list` lists them"
        ctx.answer(event.request_id, told, ProblemKind.NOT_FOUND)
        return
    ctx.persist({(WEBHOOK, event.name): None}, WebhookWritten(event.request_id))


@dataclass(frozen=True, slots=True)
class WebhookWritten:
    """A webhook is written, or removed, as it was to be; who asked for it waits."""

    request_id: int


def on_written(ctx: Context, done: WebhookWritten) -> None:
    """Say so."""
    ctx.answer(done.request_id)
