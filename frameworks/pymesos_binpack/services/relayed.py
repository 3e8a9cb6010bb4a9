"""The RelayedJobs service: calls of Jobs that came to a master, by HTTP, and that it passes on.

The master says for whom. What that caller may is decided, and written into the audit, as if it had
called here itself; that the master may call proves nothing more than that it tells the truth.
"""

from __future__ import annotations

from pymesos_binpack.services.asked import Call
from pymesos_binpack.services.audited import AuditedJobs
from pymesos_core.outside import OUTSIDE, Outside
from pymesos_core.relaying import Relayable
from pymesos_proto.v1 import masters_pb2 as pb


class RelayedJobs:
    """Answers masters. The gate lets nobody else in."""

    contract = pb.DESCRIPTOR.services_by_name["RelayedJobs"]

    def __init__(self, jobs: AuditedJobs, outside: Outside = OUTSIDE) -> None:
        self._methods = Relayable([jobs])
        self._credentials = outside.credentials

    async def Relay(self, request: pb.RelayRequest, call: Call) -> pb.RelayResponse:  # noqa: N802
        """Answer what an operator asks who has called a master. Raises CallError."""
        revocations = self._credentials.revocations if self._credentials is not None else None
        return await self._methods.answer_relayed(request, call.caller, revocations)
