"""The Masters service: what masters ask each other. The gate lets nobody else in."""

from __future__ import annotations

from typing import Any

from pymesos_core.transport import ServerCall
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
