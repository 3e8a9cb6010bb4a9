"""What a task writes, as text that goes on."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from pymesos_core.caller import Caller
from pymesos_core.transport import CallError
from pymesos_master.http.streams import Parts
from pymesos_master.services.relaying import OperatorCalls
from pymesos_proto.v1 import sandbox_pb2 as pb

CONTENT_TYPE = "text/plain; charset=utf-8"


def parts(operators: OperatorCalls, request: pb.ReadLogRequest, caller: Caller) -> Parts:
    """What comes to who reads it."""
    return Parts(CONTENT_TYPE, _parts(operators, request, caller), last=_last)


async def _parts(
    operators: OperatorCalls, request: pb.ReadLogRequest, caller: Caller
) -> AsyncGenerator[bytes]:
    async with aclosing(operators.stream("Sandbox.ReadLog", request, caller)) as found:
        async for part in found:
            if part.data:  # the first may only say where it begins
                yield part.data


def _last(error: CallError) -> bytes:
    return f"\n--- {error.message}\n".encode()
