"""`ls`, `cat` and `cp`: the files of a task's sandbox."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from pymesos_cli.cluster import EXIT_USAGE, CliError, Cluster, Metadata, sandbox_of
from pymesos_cli.exec import run_inside
from pymesos_cli.finding import find_task
from pymesos_cli.terminal import note, stream
from pymesos_proto.v1 import operator_pb2 as operator_pb
from pymesos_proto.v1 import sandbox_pb2 as pb

if TYPE_CHECKING:
    from pymesos_proto.v1.sandbox_pb2_grpc import SandboxAsyncStub

MAX_DEPTH = 64
# Beside the file first: what breaks off in the middle leaves the old one as it was.
RECEIVE = 'cat > "$1.part" && mv -- "$1.part" "$1"'


@dataclass(frozen=True)
class Remote:
    """The files of one task."""

    stub: SandboxAsyncStub
    metadata: Metadata
    view: operator_pb.TaskView

    async def list(self, path: str) -> list[pb.FileView]:
        """Of a folder."""
        request = pb.ListFilesRequest(
            framework_id=self.view.framework_id, task_id=self.view.task_info.task_id, path=path
        )
        response = await self.stub.ListFiles(request, metadata=self.metadata)
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
            print(f"{file.size_bytes:>12}  {when}  {name}")


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


async def copy(cluster: Cluster, source: str, target: str) -> int:
    """`pymesos-cli cp`: one of the two is TASK:PATH; the exit status."""
    from_task, to_task = _remote(source), _remote(target)
    if (from_task is None) == (to_task is None):
        raise CliError(
            "one of the two is TASK:PATH, the other a path here: cp TASK:PATH PATH, cp PATH"
            " TASK:PATH",
            EXIT_USAGE,
        )
    if from_task is not None:
        await _download(cluster, *from_task, Path(target))
        return 0
    assert to_task is not None
    return await _upload(cluster, Path(source), *to_task)


def _remote(text: str) -> tuple[str, str] | None:
    task, colon, path = text.partition(":")
    return (task, path) if colon and task and "/" not in task else None


async def _download(cluster: Cluster, task: str, path: str, target: Path) -> None:
    view = await find_task(cluster, task, completed=True)
    async with sandbox_of(cluster, view) as (stub, metadata):
        remote = Remote(stub, metadata, view)
        folder, _, name = path.rstrip("/").rpartition("/")
        if target.is_dir() and name:
            target /= name
        try:
            listed = {f.name: f for f in await remote.list(folder)} if name else {}
            if name and name not in listed:
                raise CliError(f"{view.task_info.task_id} has no file {path!r}", EXIT_USAGE)
            if not name or listed[name].is_directory:
                await _download_folder(remote, path, target, 0)
            else:
                await _download_file(remote, path, target)
        except OSError as error:
            raise CliError(f"{error.filename}: {error.strerror}") from error


async def _download_folder(remote: Remote, path: str, target: Path, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise CliError(f"{path!r}: more than {MAX_DEPTH} folders in each other")
    target.mkdir(exist_ok=True)
    for file in await remote.list(path):
        if "/" in file.name or file.name in ("", ".", ".."):
            raise CliError(f"the agent names a file {file.name!r}, which is none")
        inner = f"{path}/{file.name}" if path else file.name
        if file.is_directory:
            await _download_folder(remote, inner, target / file.name, depth + 1)
            continue
        try:
            await _download_file(remote, inner, target / file.name)
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.INVALID_ARGUMENT:
                raise
            note(f"left out: {error.details()}")


async def _download_file(remote: Remote, path: str, target: Path) -> None:
    parts = remote.read(path)
    first = await anext(parts, b"")  # before a file is made here: it may not be readable
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with os.fdopen(os.open(target, flags, 0o644), "wb") as out:
        out.write(first)
        async for data in parts:
            out.write(data)


async def _upload(cluster: Cluster, source: Path, task: str, path: str) -> int:
    """Through a shell in the container, as the task's own user: it must run."""
    try:
        descriptor = os.open(source, os.O_RDONLY)
    except OSError as error:
        raise CliError(f"{source}: {error.strerror}", EXIT_USAGE) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise CliError(f"{source} is not a file", EXIT_USAGE)
    if not path or path.endswith("/"):
        path += source.name
    view = await find_task(cluster, task, completed=False)
    argv = ["sh", "-c", 'cd -- "$PYMESOS_SANDBOX" && ' + RECEIVE, "sh", path]
    try:
        return await run_inside(cluster, view.task_info.task_id, argv, stdin=descriptor)
    finally:
        os.close(descriptor)
