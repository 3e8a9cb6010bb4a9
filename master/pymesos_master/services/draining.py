"""The part of the Operator service that takes agents out of use, and puts them back."""

from __future__ import annotations

from typing import Any

from pymesos_core.transport import ServerCall
from pymesos_master.services.leading import Leadership, caller_of
from pymesos_proto.v1 import operator_pb2 as pb

Call = ServerCall[Any, Any]


class DrainingCalls:
    """Cordon, drain and activate agents; plan when they are away; mark one gone."""

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership

    async def MarkAgentGone(  # noqa: N802
        self, request: pb.MarkAgentGoneRequest, call: Call
    ) -> pb.MarkAgentGoneResponse:
        """An agent will never come back."""
        with self._leadership.asked() as leader:
            await leader.commands.mark_gone(caller_of(call), request.agent_id)
        return pb.MarkAgentGoneResponse()

    async def CordonAgents(  # noqa: N802
        self, request: pb.CordonAgentsRequest, call: Call
    ) -> pb.CordonAgentsResponse:
        """Have agents offered to nobody."""
        with self._leadership.asked() as leader:
            await leader.commands.cordon(caller_of(call), request.agent_ids)
        return pb.CordonAgentsResponse()

    async def DrainAgents(  # noqa: N802
        self, request: pb.DrainAgentsRequest, call: Call
    ) -> pb.DrainAgentsResponse:
        """Have agents emptied."""
        with self._leadership.asked() as leader:
            await leader.commands.drain(
                caller_of(call), request.agent_ids, request.within_s, then_gone=request.then_gone
            )
        return pb.DrainAgentsResponse()

    async def ActivateAgents(  # noqa: N802
        self, request: pb.ActivateAgentsRequest, call: Call
    ) -> pb.ActivateAgentsResponse:
        """Have agents offered again."""
        with self._leadership.asked() as leader:
            await leader.commands.activate(caller_of(call), request.agent_ids)
        return pb.ActivateAgentsResponse()

    async def ScheduleMaintenance(  # noqa: N802
        self, request: pb.ScheduleMaintenanceRequest, call: Call
    ) -> pb.ScheduleMaintenanceResponse:
        """Plan when agents may be away."""
        window = request.unavailability
        instead_of = request.instead_of if request.HasField("instead_of") else None
        with self._leadership.asked() as leader:
            await leader.commands.schedule_maintenance(
                caller_of(call), request.agent_ids, window.start_s, window.duration_s, instead_of
            )
        return pb.ScheduleMaintenanceResponse()

    async def CancelMaintenance(  # noqa: N802
        self, request: pb.CancelMaintenanceRequest, call: Call
    ) -> pb.CancelMaintenanceResponse:
        """Plan so no more."""
        with self._leadership.asked() as leader:
            await leader.commands.cancel_maintenance(caller_of(call), request.agent_ids)
        return pb.CancelMaintenanceResponse()
