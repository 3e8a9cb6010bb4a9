"""The AgentHttp service: masters pass on what is asked of this agent by HTTP."""

from __future__ import annotations

import socket
from collections.abc import Callable, Coroutine
from typing import Any

from pymesos_core.tasks import running
from pymesos_core.transport import CallError, Code, ServerCall
from pymesos_core.tunnelling import carry
from pymesos_proto.v1 import agent_http_pb2 as pb

MOST_CONNECTIONS = 256  # at a time; masters pass on no more

# Answers what comes by a connection of one who has these rights, until that ends.
Answer = Callable[[socket.socket, pb.HttpRights], Coroutine[Any, Any, None]]


class AgentHttpService:
    """Hands connections to what answers by HTTP, if something does."""

    contract = pb.DESCRIPTOR.services_by_name["AgentHttp"]

    def __init__(self, answer: Answer | None) -> None:
        self._answer = answer
        self._open = 0

    async def Connect(  # noqa: N802
        self, call: ServerCall[pb.HttpPart, pb.HttpPart]
    ) -> None:
        """One connection."""
        if self._answer is None:
            told = "this agent serves no HTTP of Mesos: start it with --mesos-port"
            raise CallError(Code.UNIMPLEMENTED, told)
        first = await call.read()
        if first is None or not first.HasField("rights"):
            raise CallError(Code.INVALID_ARGUMENT, "the first message is the rights")
        if self._open >= MOST_CONNECTIONS:
            told = f"masters have {MOST_CONNECTIONS} connections to this agent already"
            raise CallError(Code.RESOURCE_EXHAUSTED, told)
        self._open += 1
        try:
            await self._connected(call, self._answer, first.rights)
        finally:
            self._open -= 1

    async def _connected(
        self, call: ServerCall[pb.HttpPart, pb.HttpPart], answer: Answer, rights: pb.HttpRights
    ) -> None:
        async def read() -> bytes | None:
            part = await call.read()
            return None if part is None else part.data

        async def write(data: bytes) -> None:
            await call.write(pb.HttpPart(data=data))

        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)
        async with running(answer(theirs, rights)):
            await carry(ours, read, write)
