"""Access tokens: with one a program asks by HTTP, as who made it, and may no more than he may.

Its secret is known to who has it alone; here is its digest. One that is revoked stays until it
would have ended, so that everybody who is asked in its name is told.
"""

from __future__ import annotations

import hmac
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pymesos_core import limits
from pymesos_core.caller import Caller, Method
from pymesos_core.clock import is_over
from pymesos_core.errors import ProblemKind
from pymesos_core.ids import name_problem
from pymesos_core.resource_values import ResourceError
from pymesos_core.security.identities import Kind, name_in
from pymesos_core.security.policy import Verb, decide
from pymesos_core.security.rights import SCRAPE, SESSION, SIGN_IN, rights_problem
from pymesos_core.text import duration, quoted
from pymesos_master.core import permission, revocations
from pymesos_master.core.context import Context
from pymesos_master.core.enrolment import TokenWritten, digest_problem
from pymesos_master.core.events import OperatorMadeAccessToken, OperatorRevokedAccessToken
from pymesos_master.core.records import ACCESS_TOKEN, REVOCATION, AccessToken
from pymesos_master.core.state import ClusterState, Record
from pymesos_proto.v1 import registry_pb2 as registry_pb

ID_LENGTH = 16  # hexadecimal digits of the digest
MIN_LIFETIME_S, MAX_LIFETIME_S = 1.0, 30 * 86400.0
MAX_SCRAPING_S, MAX_SIGN_IN_S = 365 * 86400.0, 600.0
OPEN = (
    "this cluster has no certificates: whoever reaches it may do everything, and needs no access"
    " token"
)


def read_record(key: str, record: registry_pb.AccessTokenRecord) -> AccessToken:
    """Raises ResourceError."""
    digest = record.digest.hex()
    if problem := digest_problem(digest):
        raise ResourceError(problem)
    if key != digest[:ID_LENGTH]:
        raise ResourceError(f"its id is {quoted(key)}, and its digest is of another")
    if not name_in(record.principal, Kind.OPERATOR):
        raise ResourceError(f"it is of {quoted(record.principal)}, which is no operator")
    if not record.rights:
        raise ResourceError("it has no rights")
    if not (math.isfinite(record.made_at_s) and math.isfinite(record.ends_at_s)):
        raise ResourceError(f"it is of {record.made_at_s}, and ends at {record.ends_at_s}")
    return AccessToken(
        digest,
        record.principal,
        tuple(record.rights),
        record.name,
        record.made_at_s,
        record.ends_at_s,
        record.revoked,
    )


def find(state: ClusterState, digest: str, now_s: float, peer: str) -> Caller | None:
    """Who asks by the token whose secret has this digest; None: it is good for nothing."""
    token_id = digest[:ID_LENGTH]
    token = state.image.durable(ACCESS_TOKEN).get(token_id)
    if not isinstance(token, AccessToken) or not hmac.compare_digest(token.digest, digest):
        return None
    if (
        token.revoked
        or has_ended(token, now_s)
        or token.principal in state.image.durable(REVOCATION)
    ):
        return None
    is_session = token.rights == (SESSION,)
    return Caller(
        token.principal,
        Method.SESSION if is_session else Method.TOKEN,
        token_id,
        peer,
        "http",
        token.ends_at_s,
        rights=None if is_session else token.rights,
    )


def on_make(ctx: Context, event: OperatorMadeAccessToken) -> None:
    """Write a token, and forget those that have ended."""
    caller = event.caller
    if permission.refused(ctx, event.request_id, caller, "Operator.MakeAccessToken"):
        return
    tokens = ctx.state.access_tokens(durable=False)
    ended = ended_in(tokens, ctx.now.wall_s)
    token_id = event.digest[:ID_LENGTH]
    if problem := _caller_problem(caller):
        ctx.answer(event.request_id, problem, ProblemKind.DENIED)
        return
    problem = digest_problem(event.digest) or rights_problem(event.rights)
    if not problem and event.name:
        problem = name_problem(event.name, limits.ID)
    problem = problem or _lifetime_problem(event)
    if not problem and token_id in ctx.state.image.intended(ACCESS_TOKEN):
        problem = "there is this access token already"
    live = [token for key, token in tokens.items() if key not in ended]
    own = sum(token.principal == caller.principal for token in live)
    full = limits.PEER_ACCESS_TOKENS.problem(own + 1, caller.principal)
    full = full or limits.ACCESS_TOKENS.problem(len(live) + 1)
    if problem or full:
        ctx.answer(event.request_id, problem or f"{full}, revoked ones too; let some end")
        return
    now_s = ctx.now.wall_s
    made = AccessToken(
        event.digest,
        caller.principal,
        event.rights,
        event.name,
        now_s,
        now_s + event.lifetime_s,
    )
    values: dict[tuple[str, str], Record | None] = {(ACCESS_TOKEN, key): None for key in ended}
    values[ACCESS_TOKEN, token_id] = made
    ctx.persist(values, TokenWritten(event.request_id))


def ended_in(tokens: Mapping[str, AccessToken], now_s: float) -> list[str]:
    """Return the ids of those that are to be forgotten."""
    return [key for key, token in tokens.items() if has_ended(token, now_s)]


def has_ended(token: AccessToken, now_s: float) -> bool:
    """Whether a token is good for nothing any more."""
    return is_over(token.ends_at_s, token.ends_at_s - token.made_at_s, now_s)


def _caller_problem(caller: Caller) -> str | None:
    """Why one may make no access token, whatever the policy says; or None."""
    if not caller.is_proved:
        return OPEN
    if caller.method is not Method.CERT:
        return "access tokens are made with a certificate: none makes another"
    return None


def _lifetime_problem(event: OperatorMadeAccessToken) -> str | None:
    of_one: dict[tuple[str, ...], float] = {(SCRAPE,): MAX_SCRAPING_S, (SIGN_IN,): MAX_SIGN_IN_S}
    most_s = of_one.get(event.rights, MAX_LIFETIME_S)
    if MIN_LIFETIME_S <= event.lifetime_s <= most_s:
        return None
    return (
        f"an access token with these rights is to live for {duration(event.lifetime_s)};"
        f" {duration(MIN_LIFETIME_S)} to {duration(most_s)} are expected"
    )


def on_revoke(ctx: Context, event: OperatorRevokedAccessToken) -> None:
    """Write that a token is let in no more."""
    caller = event.caller
    if permission.refused(ctx, event.request_id, caller, "Operator.RevokeAccessToken"):
        return
    token = ctx.state.access_tokens(durable=False).get(event.token_id)
    if token is None or token.revoked or not may_see(ctx.state, caller, event.token_id, token):
        told = (
            f"there is no access token {quoted(event.token_id)} that is good: `pymesos-cli token"
            f" list` shows those that are"
        )
        ctx.answer(event.request_id, told, ProblemKind.NOT_FOUND)
        return
    revoked = {(ACCESS_TOKEN, event.token_id): replace(token, revoked=True)}
    ctx.persist(revoked, AccessTokenRevoked(event.request_id))


def may_see(state: ClusterState, caller: Caller, token_id: str, token: AccessToken) -> bool:
    """Whether a caller may see a token, and revoke it: his own, or anybody's with `policy`.

    Who asks by a token sees that one alone: it may be of few rights.
    """
    if caller.method is Method.TOKEN and token_id == caller.credential_id:
        return True
    if caller.method is not Method.TOKEN and token.principal == caller.principal:
        return True
    return caller.is_proved and decide(state.policy, caller, Verb.POLICY).allowed


@dataclass(frozen=True, slots=True)
class AccessTokenRevoked:
    """A token is let in no more; the operator waits."""

    request_id: int


def on_revoked(ctx: Context, done: AccessTokenRevoked) -> None:
    """Have it be so everywhere."""
    revocations.tell_all(ctx)
    ctx.answer(done.request_id)
