"""The part of the Operator service that is about roles: their shares and reservations."""

from __future__ import annotations

from typing import Any

from pymesos_core.transport import ServerCall
from pymesos_master.services.leading import Leadership, caller_of
from pymesos_proto.v1 import operator_pb2 as pb

Call = ServerCall[Any, Any]


class RoleCalls:
    """List roles; give them quotas and weights, and reserve resources for them."""

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership

    async def ListRoles(  # noqa: N802
        self, request: pb.ListRolesRequest, call: Call
    ) -> pb.ListRolesResponse:
        """Roles by name."""
        with self._leadership.asked() as leader:
            return pb.ListRolesResponse(roles=leader.queries.roles(caller_of(call)))

    async def SetQuota(  # noqa: N802
        self, request: pb.SetQuotaRequest, call: Call
    ) -> pb.SetQuotaResponse:
        """Give a role a quota, or take it away."""
        with self._leadership.asked() as leader:
            await leader.commands.set_quota(
                caller_of(call),
                request.role,
                request.quota,
                force=request.force,
                instead_of=request.instead_of if request.HasField("instead_of") else None,
            )
        return pb.SetQuotaResponse()

    async def SetWeight(  # noqa: N802
        self, request: pb.SetWeightRequest, call: Call
    ) -> pb.SetWeightResponse:
        """Give a role a weight."""
        with self._leadership.asked() as leader:
            instead_of = request.instead_of if request.HasField("instead_of") else None
            await leader.commands.set_weight(
                caller_of(call), request.role, request.weight, instead_of
            )
        return pb.SetWeightResponse()

    async def Reserve(  # noqa: N802
        self, request: pb.ReserveRequest, call: Call
    ) -> pb.ReserveResponse:
        """Reserve resources of an agent for a role."""
        with self._leadership.asked() as leader:
            await leader.commands.reserve(
                caller_of(call), request.agent_id, request.role, request.resources
            )
        return pb.ReserveResponse()

    async def Unreserve(  # noqa: N802
        self, request: pb.UnreserveRequest, call: Call
    ) -> pb.UnreserveResponse:
        """End reservations."""
        with self._leadership.asked() as leader:
            await leader.commands.unreserve(
                caller_of(call), request.agent_id, request.role, request.resources
            )
        return pb.UnreserveResponse()
