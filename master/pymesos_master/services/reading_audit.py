"""The audit, read: what this master has written, and what the others have.

Operators ask the master that leads, which goes by the policy and passes on what they want of the
others. Those answer any master.
"""

from __future__ import annotations

from typing import Any

from pymesos_core.addresses import HostPort
from pymesos_core.coordination import CoordinationError
from pymesos_core.following import ask_master
from pymesos_core.security.audit_reading import read_page
from pymesos_core.text import quoted
from pymesos_core.transport import CallError, Code, ServerCall, method_of
from pymesos_master.services.leading import Leadership, caller_of
from pymesos_proto.v1 import operator_pb2 as pb

Call = ServerCall[Any, Any]
# What the other master refuses is refused to this one, not to who asked for the lines.
NOT_FOR_ME = frozenset({Code.UNAVAILABLE, Code.UNAUTHENTICATED, Code.PERMISSION_DENIED})
PASSED_ON_TIMEOUT_S = 3.0  # below what commands wait for an answer
READ = method_of("/pymesos.v1.Masters/ReadAudit", pb.ReadAuditRequest, pb.ReadAuditResponse)


class AuditCalls:
    """Read the audit: the part of the Operator service that is about it."""

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership

    async def ReadAudit(  # noqa: N802
        self, request: pb.ReadAuditRequest, call: Call
    ) -> pb.ReadAuditResponse:
        """Lines of the audit of a master, the oldest first."""
        with self._leadership.asked() as leader:
            leader.queries.permits.check(caller_of(call), "Operator.ReadAudit")
        return await lines(self._leadership, request)


async def lines(leadership: Leadership, request: pb.ReadAuditRequest) -> pb.ReadAuditResponse:
    """What an operator who may read it asks for, of the master that is named. Raises CallError."""
    if request.master == str(leadership.me.address):
        return await own_lines(leadership, request)
    others = await _others(leadership)
    if not request.master:
        answer = await own_lines(leadership, request)
        answer.others.extend(map(str, others))
        return answer
    for address in others:
        if str(address) == request.master:
            return await _pass_on(leadership, address, request)
    raise CallError(Code.FAILED_PRECONDITION, f"no master runs at {quoted(request.master)} now")


async def _others(leadership: Leadership) -> list[HostPort]:
    try:
        found = await leadership.masters()
    except CoordinationError as error:
        raise CallError(Code.UNAVAILABLE, f"{error}; try again") from error
    return [each.address for each in found if each.master_id != leadership.me.master_id]


async def _pass_on(
    leadership: Leadership, address: HostPort, request: pb.ReadAuditRequest
) -> pb.ReadAuditResponse:
    dial = leadership.outside.dial
    try:
        answer = await ask_master(dial, address, READ, request, PASSED_ON_TIMEOUT_S)
    except CallError as error:
        code = Code.FAILED_PRECONDITION if error.code in NOT_FOR_ME else error.code
        raise CallError(code, error.message) from None
    assert isinstance(answer, pb.ReadAuditResponse)
    return answer


async def own_lines(leadership: Leadership, request: pb.ReadAuditRequest) -> pb.ReadAuditResponse:
    """Lines that this master has written. Raises CallError."""
    answer = await read_page(leadership.audit_files, request, "pymesos-master")
    answer.master = str(leadership.me.address)
    return answer
