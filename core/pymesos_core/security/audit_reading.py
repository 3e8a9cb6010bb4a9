"""A page of an audit, as it is asked for over the wire."""

from __future__ import annotations

from pymesos_core.security.audit import Wanted
from pymesos_core.security.audit_files import AuditFiles, CursorError
from pymesos_core.streams import in_thread
from pymesos_core.text import os_problem
from pymesos_core.transport import CallError, Code
from pymesos_proto.v1 import operator_pb2 as pb


async def read_page(
    files: AuditFiles | None, request: pb.ReadAuditRequest, whose: str
) -> pb.ReadAuditResponse:
    """Lines of an audit, the oldest first. `whose` is a role's program. Raises CallError."""
    if files is None:
        raise CallError(
            Code.NOT_FOUND,
            f"{whose} writes no audit here: it has no certificates, or --no-audit is set; see"
            f" --audit-dir of {whose}",
        )
    wanted = Wanted(request.since_s, request.who, request.verb, request.denied)
    try:
        page = await in_thread(files.page, wanted, request.cursor)
    except CursorError as error:
        raise CallError(Code.INVALID_ARGUMENT, str(error)) from None
    except OSError as error:
        said = f"the audit cannot be read: {os_problem(error)}"
        raise CallError(Code.INTERNAL, said) from None
    return pb.ReadAuditResponse(lines=page.lines, cursor=page.cursor)
