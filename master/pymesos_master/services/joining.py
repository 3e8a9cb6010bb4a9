"""The part of the Operator service that says who may join, and who is let in no more."""

from __future__ import annotations

from typing import Any

from pymesos_core.security.signing import SigningError
from pymesos_core.transport import CallError, Code, ServerCall
from pymesos_master.services.leading import Leadership, caller_of
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2

Call = ServerCall[Any, Any]


class JoiningCalls:
    """Make, list and remove tokens to join by; revoke principals and certificates."""

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership

    async def MakeToken(  # noqa: N802
        self, request: pb.MakeTokenRequest, call: Call
    ) -> pb.MakeTokenResponse:
        """Let a principal join."""
        with self._leadership.asked() as leader:
            signer, at = self._leadership.signer, self._leadership.join_at
            if signer is None or at is None:
                raise CallError(
                    Code.FAILED_PRECONDITION,
                    "the master that leads takes nobody in: it has no --tls, or no authority in"
                    " that folder, as that of `pymesos-cli local` never has; `pymesos-cli cluster"
                    " init` and `issue` make one for a master",
                )
            try:
                root = signer.fingerprint()
            except SigningError as error:
                raise CallError(Code.FAILED_PRECONDITION, str(error)) from error
            await leader.commands.make_token(
                caller_of(call), request.digest.hex(), request.principal, request.lifetime_s
            )
        return pb.MakeTokenResponse(root=root, join_at=types_pb2.Address(ip=at.host, port=at.port))

    async def ListTokens(  # noqa: N802
        self, request: pb.ListTokensRequest, call: Call
    ) -> pb.ListTokensResponse:
        """Tokens that have not ended."""
        with self._leadership.asked() as leader:
            return pb.ListTokensResponse(tokens=leader.queries.access.tokens(caller_of(call)))

    async def RemoveToken(  # noqa: N802
        self, request: pb.RemoveTokenRequest, call: Call
    ) -> pb.RemoveTokenResponse:
        """Take a token back."""
        with self._leadership.asked() as leader:
            await leader.commands.remove_token(caller_of(call), request.digest.hex())
        return pb.RemoveTokenResponse()

    async def Revoke(  # noqa: N802
        self, request: pb.RevokeRequest, call: Call
    ) -> pb.RevokeResponse:
        """Let a principal, or a certificate, in no more; or again."""
        with self._leadership.asked() as leader:
            await leader.commands.revoke(caller_of(call), request.name, undo=request.undo)
        return pb.RevokeResponse()

    async def ListRevocations(  # noqa: N802
        self, request: pb.ListRevocationsRequest, call: Call
    ) -> pb.ListRevocationsResponse:
        """What is let in no more."""
        with self._leadership.asked() as leader:
            found = leader.queries.access.revocations(caller_of(call))
        return pb.ListRevocationsResponse(revocations=found)
