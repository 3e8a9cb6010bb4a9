"""The Masters service: what masters ask each other. The gate lets nobody else in."""

from __future__ import annotations

from typing import Any

from pymesos_core.addresses import AddressError, parse_host_port
from pymesos_core.following import CALLER_KEY
from pymesos_core.relaying import caller_to_proto
from pymesos_core.transport import CallError, Code, ServerCall
from pymesos_master.health import reported
from pymesos_master.services.access_tokens import NOT_GOOD
from pymesos_master.services.leading import Leadership, caller_of
from pymesos_master.services.reading_audit import own_lines
from pymesos_master.services.relaying import OperatorCalls
from pymesos_proto.v1 import masters_pb2 as pb
from pymesos_proto.v1 import operator_pb2


class MastersService:
    """Answers any master."""

    contract = pb.DESCRIPTOR.services_by_name["Masters"]

    def __init__(self, leadership: Leadership, operators: OperatorCalls) -> None:
        self._leadership = leadership
        self._operators = operators

    async def ReadAudit(  # noqa: N802
        self, request: operator_pb2.ReadAuditRequest, call: ServerCall[Any, Any]
    ) -> operator_pb2.ReadAuditResponse:
        """Lines that this master has written."""
        return await own_lines(self._leadership, request)

    async def FindAccessToken(  # noqa: N802
        self, request: pb.FindAccessTokenRequest, call: ServerCall[Any, Any]
    ) -> pb.FindAccessTokenResponse:
        """Who asks by an access token that another master was shown."""
        leader = self._leadership.here()
        caller = leader.queries.access.access_token(request.digest.hex(), request.peer)
        if caller is None:
            raise CallError(Code.UNAUTHENTICATED, NOT_GOOD, {CALLER_KEY: ""})
        return pb.FindAccessTokenResponse(caller=caller_to_proto(caller))

    async def ReportHealth(  # noqa: N802
        self, request: pb.ReportHealthRequest, call: ServerCall[Any, Any]
    ) -> pb.ReportHealthResponse:
        """How the machine of another master is."""
        try:
            parse_host_port(request.address, None)
        except AddressError as error:
            raise CallError(Code.INVALID_ARGUMENT, f"address: {error}") from None
        return reported(self._leadership, request)

    async def Relay(  # noqa: N802
        self, request: pb.RelayRequest, call: ServerCall[Any, Any]
    ) -> pb.RelayResponse:
        """Answer what an operator asks who has called another master."""
        return await self._operators.relayed(request, caller_of(call))

    async def RelayStream(  # noqa: N802
        self, request: pb.RelayRequest, call: ServerCall[Any, Any]
    ) -> None:
        """The same of what is answered by a stream."""
        await self._operators.stream_relayed(request, caller_of(call), call.write)
