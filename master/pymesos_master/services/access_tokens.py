"""Access tokens: their part of the Operator service, and who asks by one, on any master."""

from __future__ import annotations

from typing import Any

from pymesos_core import contract
from pymesos_core.caller import Caller, Method
from pymesos_core.following import ask_master, leader_of
from pymesos_core.security.access_tokens import shown_digest
from pymesos_core.transport import CallError, Code, ServerCall, method_of
from pymesos_master.core.access_tokens import ID_LENGTH
from pymesos_master.core.sessions import SESSION_S
from pymesos_master.services.leading import Leadership, caller_of
from pymesos_master.services.relaying import RELAYED_TIMEOUT_S, not_answered
from pymesos_proto.v1 import masters_pb2
from pymesos_proto.v1 import operator_pb2 as pb

Call = ServerCall[Any, Any]
FIND = method_of(
    "/pymesos.v1.Masters/FindAccessToken",
    masters_pb2.FindAccessTokenRequest,
    masters_pb2.FindAccessTokenResponse,
)
# One sentence for all that is wrong with one, so that nobody learns which it is.
NOT_GOOD = (
    "the access token, or the session, is none, or has ended, or was revoked: `pymesos-cli token"
    " make` makes a token, and `pymesos-cli web --code` a code with which a browser signs in"
)


class AccessTokenCalls:
    """Make, list and revoke them."""

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership

    async def MakeAccessToken(  # noqa: N802
        self, request: pb.MakeAccessTokenRequest, call: Call
    ) -> pb.MakeAccessTokenResponse:
        """Make one, as which its maker asks."""
        if problem := contract.problem(request):
            raise CallError(Code.INVALID_ARGUMENT, f"the access token: {problem}")
        digest = request.digest.hex()
        with self._leadership.asked() as leader:
            await leader.commands.make_access_token(
                caller_of(call), digest, request.name, request.lifetime_s, request.rights
            )
        return pb.MakeAccessTokenResponse(id=digest[:ID_LENGTH])

    async def ListAccessTokens(  # noqa: N802
        self, request: pb.ListAccessTokensRequest, call: Call
    ) -> pb.ListAccessTokensResponse:
        """List the tokens that are good."""
        with self._leadership.asked() as leader:
            found = leader.queries.access.access_tokens(caller_of(call))
        return pb.ListAccessTokensResponse(tokens=found)

    async def RevokeAccessToken(  # noqa: N802
        self, request: pb.RevokeAccessTokenRequest, call: Call
    ) -> pb.RevokeAccessTokenResponse:
        """Let one in no more."""
        with self._leadership.asked() as leader:
            await leader.commands.revoke_access_token(caller_of(call), request.id)
        return pb.RevokeAccessTokenResponse()

    async def SignIn(  # noqa: N802
        self, request: pb.SignInRequest, call: Call
    ) -> pb.SignInResponse:
        """Begin the session of a browser."""
        if problem := contract.problem(request):
            raise CallError(Code.INVALID_ARGUMENT, f"the session: {problem}")
        with self._leadership.asked() as leader:
            await leader.commands.sign_in(caller_of(call), request.digest.hex())
        return pb.SignInResponse(lifetime_s=SESSION_S)


class AccessTokens:
    """Says who asks by an access token. Of one that is good for nothing nobody learns why."""

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership

    def digest(self, authorization: str) -> bytes:
        """The digest of the secret that a header shows. Raises CallError (UNAUTHENTICATED)."""
        digest = shown_digest(authorization)
        if digest is None:
            raise CallError(Code.UNAUTHENTICATED, NOT_GOOD)
        return digest

    def here(self, digest: bytes, peer: str) -> Caller | None:
        """Who asks; None where another master may know. Raises CallError (UNAUTHENTICATED)."""
        leader = self._leadership.leader
        if leader is None:
            return None
        caller = leader.queries.access.access_token(digest.hex(), peer)
        if caller is None:
            raise CallError(Code.UNAUTHENTICATED, NOT_GOOD)
        return caller

    async def anywhere(self, digest: bytes, peer: str) -> Caller:
        """Who asks, as the master that leads knows. Raises CallError."""
        try:
            self._leadership.here()
        except CallError as error:
            leader = leader_of(error)
            if leader is None:
                raise
        else:
            found = self.here(digest, peer)
            assert found is not None
            return found
        asked = masters_pb2.FindAccessTokenRequest(digest=digest, peer=peer)
        try:
            dial = self._leadership.outside.dial
            answer = await ask_master(dial, leader, FIND, asked, RELAYED_TIMEOUT_S)
        except CallError as error:
            raise not_answered(error, leader) from None
        said = answer.caller
        is_session = said.credential == Method.SESSION
        return Caller(
            said.principal,
            Method.SESSION if is_session else Method.TOKEN,
            said.credential_id,
            peer,
            "http",
            said.ends_s,
            rights=None if is_session else tuple(said.rights),
        )
