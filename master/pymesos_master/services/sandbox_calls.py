"""The Sandbox service for who has called a master by HTTP, and names only a task.

The master that leads looks up where the task is, and passes the call on as it does for gRPC: by the
same policy, and with the same line in the audit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pymesos_core.caller import Caller
from pymesos_core.following import AGENT_KEY
from pymesos_core.text import duration
from pymesos_core.transport import CallError, Code, ServerCall
from pymesos_master.services.leading import Leadership, caller_of
from pymesos_master.services.sandbox_relay import CONTRACT, PREFIX, SandboxRelay
from pymesos_proto.v1 import sandbox_pb2 as pb

TIMEOUT_S = 8.0  # of what has one response; less than masters give each other
Call = ServerCall[Any, Any]


@dataclass
class _Passed:
    """A ServerCall of bytes with one request, whose responses are handed on."""

    caller: Caller
    metadata: Mapping[str, str]
    on_response: Callable[[bytes], Awaitable[None]]
    requests: list[bytes] = field(default_factory=list)

    @property
    def peer(self) -> str:
        """See ServerCall."""
        return self.caller.peer

    async def read(self) -> bytes | None:
        """See ServerCall."""
        return self.requests.pop() if self.requests else None

    async def write(self, message: bytes) -> None:
        """See ServerCall."""
        await self.on_response(message)


class SandboxCalls:
    """Answers calls of Sandbox with one request, of a task wherever it is."""

    contract = CONTRACT

    def __init__(self, leadership: Leadership, relay: SandboxRelay) -> None:
        self._leadership = leadership
        self._relay = relay

    async def ListFiles(  # noqa: N802
        self, request: pb.ListFilesRequest, call: Call
    ) -> pb.ListFilesResponse:
        """The files of a folder."""
        return pb.ListFilesResponse.FromString(await self._one("ListFiles", request, call))

    async def ReadFile(  # noqa: N802
        self, request: pb.ReadFileRequest, call: Call
    ) -> pb.ReadFileResponse:
        """A part of a file."""
        return pb.ReadFileResponse.FromString(await self._one("ReadFile", request, call))

    async def GetUsage(  # noqa: N802
        self, request: pb.GetUsageRequest, call: Call
    ) -> pb.GetUsageResponse:
        """What a task uses now."""
        return pb.GetUsageResponse.FromString(await self._one("GetUsage", request, call))

    async def ReadLog(self, request: pb.ReadLogRequest, call: Call) -> None:  # noqa: N802
        """What a task has written, and writes."""

        async def on_response(part: bytes) -> None:
            await call.write(pb.LogPart.FromString(part))

        await self._pass_on("ReadLog", request, call, on_response)

    async def FollowFile(self, request: pb.FollowFileRequest, call: Call) -> None:  # noqa: N802
        """A file, and what is appended."""

        async def on_response(part: bytes) -> None:
            await call.write(pb.ReadFileResponse.FromString(part))

        await self._pass_on("FollowFile", request, call, on_response)

    async def Exec(self, call: Call) -> None:  # noqa: N802
        """Refuse it: it has many requests."""
        raise CallError(Code.UNIMPLEMENTED, "commands are run by gRPC: see `pymesos-cli exec`")

    def whereabouts(self, caller: Caller, framework_id: str, task_id: str) -> tuple[str, str]:
        """The framework of a task, and its agent. Raises CallError, also where another leads."""
        with self._leadership.asked() as leader:
            return leader.queries.whereabouts(caller, framework_id, task_id)

    async def run(self, call: ServerCall[bytes, bytes]) -> None:
        """Run a command, as the first message of a call says, which names the agent."""
        await self._relay.relay(f"{PREFIX}Exec", call)

    async def _one(self, method: str, request: Any, call: Call) -> bytes:
        """The one response. Raises CallError."""
        answers: list[bytes] = []

        async def on_response(part: bytes) -> None:
            answers.append(part)

        try:
            async with asyncio.timeout(TIMEOUT_S):
                await self._pass_on(method, request, call, on_response)
        except TimeoutError:
            told = f"the agent of this task has not answered within {duration(TIMEOUT_S)}"
            raise CallError(Code.DEADLINE_EXCEEDED, told) from None
        if not answers:
            raise CallError(Code.UNAVAILABLE, "the agent of this task has answered nothing")
        return answers[0]

    async def _pass_on(
        self,
        method: str,
        request: Any,
        call: Call,
        on_response: Callable[[bytes], Awaitable[None]],
    ) -> None:
        """Ask the agent that has the task, or had it. Raises CallError."""
        caller = caller_of(call)
        framework_id, agent_id = self.whereabouts(caller, request.framework_id, request.task_id)
        found = type(request)()
        found.CopyFrom(request)
        found.framework_id = framework_id
        passed = _Passed(caller, {AGENT_KEY: agent_id}, on_response, [found.SerializeToString()])
        await self._relay.relay(f"{PREFIX}{method}", passed)
