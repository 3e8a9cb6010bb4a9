"""The Sandbox service."""

from __future__ import annotations

import asyncio
import contextlib
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from pymesos_agent.containers.sessions import Entry, EntryError, Session
from pymesos_agent.files import sandbox
from pymesos_agent.files.logs import LogPlace, LogReader
from pymesos_agent.files.sandbox import Files, SandboxError
from pymesos_core.streams import in_thread, to_the_end
from pymesos_core.tasks import beside
from pymesos_core.transport import CallError, Code, ServerCall
from pymesos_proto.v1 import sandbox_pb2 as pb

Call = ServerCall[Any, Any]
FOLLOW_S = 0.1
MAX_SESSIONS = 64
LAST_INPUT_S = 0.5  # for a caller who has heard how the command ended to hang up
MAX_ARGV_BYTES = 128 * 1024
TERM = re.compile(r"[A-Za-z0-9+._-]{1,64}")


class _Ask(Protocol):
    @property
    def framework_id(self) -> str: ...
    @property
    def task_id(self) -> str: ...


class Tasks(Protocol):
    """What the service asks of the agent."""

    def find_files(self, framework_id: str, task_id: str) -> Files | None:
        """A task's files; None when it is not known."""

    def entry(self, framework_id: str, task_id: str, argv: Sequence[str], term: str) -> Entry:
        """How to run a command in the task's container. Raises EntryError."""

    async def task_usage(self, framework_id: str, task_id: str) -> list[pb.TaskUsage]:
        """What tasks use now."""


class SandboxService:
    """For the tasks of this agent."""

    contract = pb.DESCRIPTOR.services_by_name["Sandbox"]

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._find = tasks.find_files
        self._sessions = 0

    async def GetUsage(  # noqa: N802
        self, request: pb.GetUsageRequest, call: Call
    ) -> pb.GetUsageResponse:
        """What tasks use now."""
        return pb.GetUsageResponse(
            tasks=await self._tasks.task_usage(request.framework_id, request.task_id)
        )

    def _found(self, request: _Ask) -> Files:
        found = self._find(request.framework_id, request.task_id)
        if found is None:
            raise CallError(
                Code.NOT_FOUND,
                f"this agent has no sandbox of the task {request.task_id[:255]}",
            )
        return found

    async def ListFiles(  # noqa: N802
        self, request: pb.ListFilesRequest, call: Call
    ) -> pb.ListFilesResponse:
        """Names, sizes, times."""
        folder, path = self._found(request).locate(request.path)
        try:
            files = await asyncio.to_thread(sandbox.list_files, folder, path)
        except SandboxError as error:
            raise CallError(Code.INVALID_ARGUMENT, str(error)) from None
        return pb.ListFilesResponse(
            files=[
                pb.FileView(
                    name=name.encode("utf-8", "replace").decode(),
                    is_directory=stat.S_ISDIR(status.st_mode),
                    size_bytes=status.st_size,
                    modified_at_s=status.st_mtime,
                    mode=stat.S_IMODE(status.st_mode),
                )
                for name, status in files
            ]
        )

    async def ReadFile(  # noqa: N802
        self, request: pb.ReadFileRequest, call: Call
    ) -> pb.ReadFileResponse:
        """A part of a file."""
        folder, path = self._found(request).locate(request.path)
        return await self._read(folder, path, request.offset, request.length)

    async def _read(self, folder: Path, path: str, offset: int, length: int) -> pb.ReadFileResponse:
        try:
            data, begin, size = await asyncio.to_thread(
                sandbox.read_file, folder, path, offset, length
            )
        except SandboxError as error:
            raise CallError(Code.INVALID_ARGUMENT, str(error)) from None
        return pb.ReadFileResponse(data=data, offset=begin, size_bytes=size)

    async def FollowFile(  # noqa: N802
        self, request: pb.FollowFileRequest, call: Call
    ) -> None:
        """A file as it grows, until its task has ended and all of it is sent."""
        folder, path = self._found(request).locate(request.path)
        offset = request.offset
        while True:
            found = self._find(request.framework_id, request.task_id)
            response = await self._read(folder, path, offset, 0)
            offset = response.offset + len(response.data)
            if response.size_bytes < offset:
                offset = 0  # the task truncated it
            if response.data:
                await call.write(response)
            elif found is None or found.ended:
                return
            else:
                await asyncio.sleep(FOLLOW_S)

    async def ReadLog(  # noqa: N802
        self, request: pb.ReadLogRequest, call: Call
    ) -> None:
        """What a task wrote, from its oldest file on.

        Who follows it is told at once where that begins, to go on from there.
        """
        folder = self._found(request).sandbox
        name = "stderr" if request.stderr else "stdout"
        tail = request.tail_lines if request.HasField("tail_lines") else None
        after = LogPlace(request.after.file_id, request.after.offset)
        begin = after if request.HasField("after") else None
        readers: list[LogReader] = []  # there even if this is cancelled while it is opened
        told = not request.follow
        try:
            await in_thread(lambda: readers.append(LogReader(folder, name, tail, begin)))
            while True:
                found = self._find(request.framework_id, request.task_id)
                data = await in_thread(readers[0].read)
                if data or not told:
                    file_id, offset = readers[0].place
                    end = pb.LogPlace(file_id=file_id, offset=offset)
                    await call.write(pb.LogPart(data=data, end=end))
                    told = True
                elif not request.follow or found is None or found.ended:
                    return
                else:
                    await asyncio.sleep(FOLLOW_S)
        except SandboxError as error:
            raise CallError(Code.INVALID_ARGUMENT, str(error)) from None
        finally:
            for reader in readers:
                reader.close()

    async def Exec(  # noqa: N802
        self, call: ServerCall[pb.ExecInput, pb.ExecOutput]
    ) -> None:
        """One more process in a container."""
        first = await call.read()
        if first is None or not first.HasField("start"):
            raise CallError(Code.INVALID_ARGUMENT, "the first input is the start")
        entry = self._entry(first.start)
        session = Session(entry, first.start.size if first.start.terminal else None)
        no_more = asyncio.Event()

        async def take() -> None:
            while (message := await call.read()) is not None:
                await session.take(message)
            no_more.set()

        self._sessions += 1
        try:
            await session.start()
            await call.write(pb.ExecOutput())
            async with beside(take()):
                async for output in session.outputs():
                    await call.write(output)
                # gRPC's client forgets the exit status that it has not read yet when it writes to
                # a call that has ended (grpc#36066).
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(no_more.wait(), LAST_INPUT_S)
        except OSError as error:
            raise CallError(Code.INTERNAL, f"it cannot be run: {error}") from None
        finally:
            self._sessions -= 1
            await to_the_end(session.close())

    def _entry(self, start: pb.ExecInput.Start) -> Entry:
        if not start.argv or not start.argv[0]:
            raise CallError(Code.INVALID_ARGUMENT, "there is no command")
        if any("\0" in a for a in start.argv) or sum(map(len, start.argv)) > MAX_ARGV_BYTES:
            raise CallError(Code.INVALID_ARGUMENT, "the command cannot be run")
        if self._sessions >= MAX_SESSIONS:
            raise CallError(
                Code.RESOURCE_EXHAUSTED,
                f"this agent has {MAX_SESSIONS} exec sessions already",
            )
        term = start.term if TERM.fullmatch(start.term) else "xterm"
        try:
            return self._tasks.entry(
                start.framework_id, start.task_id, start.argv, term if start.terminal else ""
            )
        except EntryError as error:
            raise CallError(Code.FAILED_PRECONDITION, str(error)) from None
