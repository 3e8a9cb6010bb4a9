"""Tokens: a principal joins with one, once, and gets its first certificate for it.

That a token is used is written before anything is signed, with the key that it was used for: the
same key may ask again, here or at the next leader, and no other may.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from pymesos_core import limits
from pymesos_core.caller import Method
from pymesos_core.clock import is_over
from pymesos_core.errors import ProblemKind
from pymesos_core.resource_values import ResourceError
from pymesos_core.security.identities import principal_problem
from pymesos_core.security.joining import not_wanted
from pymesos_core.text import duration
from pymesos_master.core import audit, permission
from pymesos_master.core.context import Context
from pymesos_master.core.effects import Complain
from pymesos_master.core.events import OperatorMadeToken, OperatorRemovedToken, TokenUsed
from pymesos_master.core.records import REVOCATION, TOKEN, Token
from pymesos_master.core.state import Record
from pymesos_proto.v1 import registry_pb2 as registry_pb

MIN_LIFETIME_S, MAX_LIFETIME_S = 1.0, 30 * 86400.0
DIGEST_LENGTH = 64  # hexadecimal digits of a SHA-256
BY_CERTIFICATE = (
    "tokens to join with are made with a certificate: who has joined stays, also when the access"
    " token, or the session, by which he was let in has ended"
)
NOT_KNOWN = (
    "there is no such token, or it has ended: have a new one made, with `pymesos-cli cluster token`"
)


def read_token(digest: str, record: registry_pb.TokenRecord) -> Token:
    """Raises ResourceError."""
    if problem := digest_problem(digest) or principal_problem(record.principal):
        raise ResourceError(problem)
    if not math.isfinite(record.ends_at_s):
        raise ResourceError(f"it ends at {record.ends_at_s}")
    return Token(record.principal, record.ends_at_s, record.made_by, record.key)


def has_ended(token: Token, wall_s: float) -> bool:
    """Whether a token is good for nothing any more."""
    return is_over(token.ends_at_s, MAX_LIFETIME_S, wall_s)


def digest_problem(digest: str) -> str | None:
    """Why this is no digest of a token's secret, or None."""
    if len(digest) == DIGEST_LENGTH and set(digest) <= set("0123456789abcdef"):
        return None
    return f"a token is known by {DIGEST_LENGTH} hexadecimal digits, and not by {digest[:80]!r}"


def on_make(ctx: Context, event: OperatorMadeToken) -> None:
    """Write a token, and forget those that have ended."""
    if permission.refused(ctx, event.request_id, event.caller, "Operator.MakeToken"):
        return
    if event.caller.method in (Method.TOKEN, Method.SESSION):
        ctx.answer(event.request_id, BY_CERTIFICATE, ProblemKind.DENIED)
        return
    tokens = ctx.state.tokens(durable=False)
    ended = [digest for digest, token in tokens.items() if has_ended(token, ctx.now.wall_s)]
    problem = digest_problem(event.digest) or principal_problem(event.principal)
    if not problem and not MIN_LIFETIME_S <= event.lifetime_s <= MAX_LIFETIME_S:
        problem = (
            f"a token is to live for {duration(event.lifetime_s)}; {duration(MIN_LIFETIME_S)} to"
            f" {duration(MAX_LIFETIME_S)} are expected"
        )
    if not problem and event.digest in ctx.state.image.intended(TOKEN):
        problem = "there is this token already"
    if not problem and event.principal in ctx.state.image.intended(REVOCATION):
        problem = (
            f"{event.principal} is revoked; `pymesos-cli cluster revoke --undo {event.principal}`"
            f" lets it in again"
        )
    full = limits.TOKENS.problem(len(tokens) - len(ended) + 1)
    if problem or full:
        ctx.answer(event.request_id, problem or f"{full}: remove some, or let them end")
        return
    made = Token(event.principal, ctx.now.wall_s + event.lifetime_s, event.caller.principal)
    values: dict[tuple[str, str], Record | None] = {(TOKEN, digest): None for digest in ended}
    values[TOKEN, event.digest] = made
    ctx.persist(values, TokenWritten(event.request_id))


@dataclass(frozen=True, slots=True)
class TokenWritten:
    """A token is written as it was to be; who asked for it waits."""

    request_id: int


def on_token_written(ctx: Context, done: TokenWritten) -> None:
    """Say so."""
    ctx.answer(done.request_id)


def on_remove(ctx: Context, event: OperatorRemovedToken) -> None:
    """Forget a token: nobody joins with it any more."""
    if permission.refused(ctx, event.request_id, event.caller, "Operator.RemoveToken"):
        return
    if event.digest not in ctx.state.tokens(durable=False):
        ctx.answer(event.request_id, "there is no such token", ProblemKind.NOT_FOUND)
        return
    ctx.persist({(TOKEN, event.digest): None}, TokenWritten(event.request_id))


def on_use(ctx: Context, event: TokenUsed) -> None:
    """Write which key has used a token, if it is the first; the same may use it again."""
    token = ctx.state.tokens(durable=False).get(event.digest)
    if token is None or has_ended(token, ctx.now.wall_s):
        _refuse(ctx, event, NOT_KNOWN, ProblemKind.NOT_FOUND)
    elif token.principal in ctx.state.image.intended(REVOCATION):
        _refuse(ctx, event, f"{token.principal} is revoked")
    elif event.wanted not in ("", token.principal, token.principal.partition("/")[0]):
        _refuse(ctx, event, f"{not_wanted(token.principal, event.wanted)}. The token stays good")
    elif token.key and token.key != event.key:
        _refuse(
            ctx,
            event,
            f"the token of {token.principal} was used before, with another key: if that was not"
            f" you, revoke {token.principal}; have a new one made, with `pymesos-cli cluster"
            f" token`",
        )
    else:
        audit.joins(ctx, event, token.principal)
        used = replace(token, key=event.key)
        ctx.persist({(TOKEN, event.digest): used}, TokenWritten(event.request_id))


def _refuse(
    ctx: Context, event: TokenUsed, message: str, kind: ProblemKind = ProblemKind.INVALID
) -> None:
    audit.denied(ctx, event.caller, "Enrolment.Join", message)
    ctx.answer(event.request_id, message, kind)
    ctx.out.append(Complain(event.caller.peer, "a token that is refused", message))
