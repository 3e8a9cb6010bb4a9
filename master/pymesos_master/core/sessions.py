"""Sessions of browsers: one begins with a code, an access token that is good for that alone.

The session takes the place of the code in one write, so a code is good once, whatever fails. It is
kept, found and revoked as access tokens are, and may what its operator may.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pymesos_core.caller import Method
from pymesos_core.errors import ProblemKind
from pymesos_core.security.rights import SESSION, SIGN_IN
from pymesos_master.core import permission, revocations
from pymesos_master.core.access_tokens import ID_LENGTH, ended_in, has_ended
from pymesos_master.core.context import Context
from pymesos_master.core.enrolment import digest_problem
from pymesos_master.core.events import OperatorSignedIn
from pymesos_master.core.records import ACCESS_TOKEN, AccessToken
from pymesos_master.core.state import Record

SESSION_S = 12 * 3600.0
MOST_SESSIONS = 10  # of one operator: another ends the oldest
NO_CODE = (
    "a browser signs in with a code, which `pymesos-cli web --code` makes, and which is good once"
)


def on_sign_in(ctx: Context, event: OperatorSignedIn) -> None:
    """Write a session in the place of its code."""
    caller = event.caller
    if permission.refused(ctx, event.request_id, caller, "Operator.SignIn"):
        return
    tokens = ctx.state.access_tokens(durable=False)
    now_s = ctx.now.wall_s
    code = tokens.get(caller.credential_id)
    # It may have been used, or revoked, since it was known who asks.
    is_good = code is not None and not code.revoked and not has_ended(code, now_s)
    if caller.method is not Method.TOKEN or caller.rights != (SIGN_IN,) or not is_good:
        ctx.answer(event.request_id, NO_CODE, ProblemKind.DENIED)
        return
    session_id = event.digest[:ID_LENGTH]
    problem = digest_problem(event.digest)
    if problem or session_id in ctx.state.image.intended(ACCESS_TOKEN):
        ctx.answer(event.request_id, problem or "there is this session already")
        return
    ended = ended_in(tokens, now_s)
    own = [
        (token.made_at_s, key)
        for key, token in tokens.items()
        if token.principal == caller.principal
        and token.rights == (SESSION,)
        and not token.revoked
        and key not in ended
    ]
    begun = AccessToken(event.digest, caller.principal, (SESSION,), "", now_s, now_s + SESSION_S)
    values: dict[tuple[str, str], Record | None] = {(ACCESS_TOKEN, key): None for key in ended}
    values[ACCESS_TOKEN, caller.credential_id] = None
    values[ACCESS_TOKEN, session_id] = begun
    oldest = sorted(own)[: max(0, len(own) + 1 - MOST_SESSIONS)]
    for _, key in oldest:
        values[ACCESS_TOKEN, key] = replace(tokens[key], revoked=True)
    ctx.persist(values, SignedIn(event.request_id, ends_others=bool(oldest)))


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session is written; the browser waits."""

    request_id: int
    ends_others: bool


def on_signed_in(ctx: Context, done: SignedIn) -> None:
    """Have older sessions that it has ended be let in no more, anywhere."""
    if done.ends_others:
        revocations.tell_all(ctx)
    ctx.answer(done.request_id)
