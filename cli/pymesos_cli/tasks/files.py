"""`ls` and `cat`: the files of a task's sandbox."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pymesos_cli.cluster import Cluster
from pymesos_cli.finding import find_task
from pymesos_cli.sandboxes import Metadata, sandbox_of
from pymesos_cli.terminal import note, printable, stream
from pymesos_proto.v1 import operator_pb2 as operator_pb
from pymesos_proto.v1 import sandbox_pb2 as pb

if TYPE_CHECKING:
    from pymesos_proto.v1.sandbox_pb2_grpc import SandboxAsyncStub

MAX_FILES = 10_000  # that an agent lists of a folder


@dataclass(frozen=True)
class Remote:
    """The files of one task."""

    stub: SandboxAsyncStub
    metadata: Metadata
    view: operator_pb.TaskView
    lacks: list[str] = field(default_factory=list)  # folders of which not all was listed

    async def list(self, path: str) -> list[pb.FileView]:
        """The files of a folder."""
        request = pb.ListFilesRequest(
            framework_id=self.view.framework_id, task_id=self.view.task_info.task_id, path=path
        )
        response = await self.stub.ListFiles(request, metadata=self.metadata)
        if len(response.files) >= MAX_FILES:
            note(f"{path or 'the sandbox'} has more files: those after {MAX_FILES} are left out")
            self.lacks.append(path)
        return list(response.files)

    async def read(self, path: str) -> AsyncIterator[bytes]:
        """All of a file, as long as it was when its end was reached."""
        offset = 0
        while True:
            request = pb.ReadFileRequest(
                framework_id=self.view.framework_id,
                task_id=self.view.task_info.task_id,
                path=path,
                offset=offset,
            )
            part = await self.stub.ReadFile(request, metadata=self.metadata)
            if not part.data:
                return
            yield part.data
            offset = part.offset + len(part.data)


async def list_files(cluster: Cluster, task: str, path: str) -> None:
    """`pymesos-cli ls`."""
    view = await find_task(cluster, task, completed=True)
    async with sandbox_of(cluster, view) as (stub, metadata):
        for file in await Remote(stub, metadata, view).list(path):
            when = _local_time(file.modified_at_s)
            name = f"{file.name}/" if file.is_directory else file.name
            print(f"{file.size_bytes:>12}  {when}  {printable(name)}")  # it may have line ends


def _local_time(time_s: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time_s))
    except (ValueError, OverflowError, OSError):
        return f"{'?':<19}"  # the agent says when, and not always with sense


async def show_file(cluster: Cluster, task: str, path: str) -> None:
    """`pymesos-cli cat`."""
    view = await find_task(cluster, task, completed=True)
    async with sandbox_of(cluster, view) as (stub, metadata):
        async for data in Remote(stub, metadata, view).read(path):
            stream().write_raw(data)
