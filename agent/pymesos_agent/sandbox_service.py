"""The Sandbox service."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Protocol

import grpc
import grpc.aio

from pymesos_agent import sandbox
from pymesos_agent.sandbox import SandboxError
from pymesos_proto.v1 import sandbox_pb2 as pb
from pymesos_proto.v1 import sandbox_pb2_grpc as services

Context = grpc.aio.ServicerContext[Any, Any]
FOLLOW_S = 0.1


class _Ask(Protocol):
    @property
    def framework_id(self) -> str: ...
    @property
    def task_id(self) -> str: ...


class SandboxService(services.SandboxServicer):
    """`find` gives a task's sandbox and whether it has ended; None when it is not known."""

    def __init__(self, find: Callable[[str, str], tuple[Path, bool] | None]) -> None:
        self._find = find

    async def _found(self, request: _Ask, context: Context) -> tuple[Path, bool]:
        found = self._find(request.framework_id, request.task_id)
        if found is None:
            await context.abort(
                grpc.StatusCode.NOT_FOUND,
                f"this agent has no sandbox of the task {request.task_id[:255]}",
            )
        return found

    async def ListFiles(  # noqa: N802
        self, request: pb.ListFilesRequest, context: Context
    ) -> pb.ListFilesResponse:
        """Names, sizes, times."""
        folder, _ = await self._found(request, context)
        try:
            files = await asyncio.to_thread(sandbox.list_files, folder, request.path)
        except SandboxError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        return pb.ListFilesResponse(
            files=[
                pb.FileView(
                    name=name.encode("utf-8", "replace").decode(),
                    is_directory=stat.S_ISDIR(status.st_mode),
                    size_bytes=status.st_size,
                    modified_at_s=status.st_mtime,
                )
                for name, status in files
            ]
        )

    async def ReadFile(  # noqa: N802
        self, request: pb.ReadFileRequest, context: Context
    ) -> pb.ReadFileResponse:
        """A part of a file."""
        folder, _ = await self._found(request, context)
        return await self._read(folder, request.path, request.offset, request.length, context)

    async def _read(
        self, folder: Path, path: str, offset: int, length: int, context: Context
    ) -> pb.ReadFileResponse:
        try:
            data, begin, size = await asyncio.to_thread(
                sandbox.read_file, folder, path, offset, length
            )
        except SandboxError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        return pb.ReadFileResponse(data=data, offset=begin, size_bytes=size)

    async def FollowFile(  # noqa: N802
        self, request: pb.FollowFileRequest, context: Context
    ) -> AsyncIterator[pb.ReadFileResponse]:
        """A file as it grows, until its task has ended and all of it is sent."""
        folder, _ = await self._found(request, context)
        offset = request.offset
        while True:
            found = self._find(request.framework_id, request.task_id)
            response = await self._read(folder, request.path, offset, 0, context)
            offset = response.offset + len(response.data)
            if response.size_bytes < offset:
                offset = 0  # the task truncated it
            if response.data:
                yield response
            elif found is None or found[1]:
                return
            else:
                await asyncio.sleep(FOLLOW_S)
