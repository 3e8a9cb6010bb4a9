"""Copies of odd files: names that are no text, links, pipes, and folders of which not all comes."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import grpc
import grpc.aio
import pytest

from pymesos_cli.cluster import Cluster
from pymesos_cli.tasks import copying, files
from pymesos_proto.v1 import operator_pb2, sandbox_pb2, types_pb2

NAMES = {
    "good": b"x",
    "pipe": "'pipe' is not a file",
    "link": "'link' goes through a link or a file",
}
LOST = {"bad\ufffd": "'bad\ufffd': No such file or directory"}


class Stub:
    """The files of a sandbox: what each holds, or why it cannot be read."""

    def __init__(self, files: dict[str, Any]) -> None:
        self.files = files
        self.read: set[str] = set()

    async def ListFiles(self, *_: Any, **__: Any) -> sandbox_pb2.ListFilesResponse:
        views = [sandbox_pb2.FileView(name=name, size_bytes=1) for name in self.files]
        return sandbox_pb2.ListFilesResponse(files=views)

    async def ReadFile(self, request: Any, **_: Any) -> sandbox_pb2.ReadFileResponse:
        held = self.files[request.path]
        if isinstance(held, str):
            none = grpc.aio.Metadata()
            raise grpc.aio.AioRpcError(grpc.StatusCode.INVALID_ARGUMENT, none, none, held)
        return sandbox_pb2.ReadFileResponse(data=held if request.offset == 0 else b"")


def has(monkeypatch: pytest.MonkeyPatch, held: dict[str, Any]) -> Cluster:
    async def find_task(*_: Any, **__: Any) -> operator_pb2.TaskView:
        return operator_pb2.TaskView(task_info=types_pb2.TaskInfo(task_id="t"))

    @asynccontextmanager
    async def sandbox_of(*_: Any) -> AsyncIterator[tuple[Stub, tuple[()]]]:
        yield Stub(held), ()

    for module in (copying, files):
        monkeypatch.setattr(module, "find_task", find_task)
        monkeypatch.setattr(module, "sandbox_of", sandbox_of)
    return cast(Cluster, None)


@pytest.mark.parametrize(("held", "status"), [(NAMES, 0), (NAMES | LOST, 1)])
async def test_a_copy_that_lacks_a_file_has_failed(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    held: dict[str, Any],
    status: int,
) -> None:
    """The exit status was 0, also where no more files of a folder are listed."""
    target = tmp_path / "copy"
    assert await copying.copy(has(monkeypatch, held), "t:.", str(target)) == status
    assert [path.name for path in target.iterdir()] == ["good"]
    assert capsys.readouterr().err.count("left out: ") == len(held) - 1


async def test_a_folder_of_which_not_all_is_listed_is_not_copied_whole(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(files, "MAX_FILES", 1)
    assert await copying.copy(has(monkeypatch, {"good": b"x"}), "t:.", str(tmp_path / "c")) == 1


async def test_a_name_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A task made up lines of a listing by a name with line ends."""
    await files.list_files(has(monkeypatch, {"a\n   4096  2026-11-30 10:00:00  b/": b""}), "t", "")
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith("a?   4096  2026-11-30 10:00:00  b/")


def test_tar_in_the_container_knows_names_of_any_bytes(tmp_path: Path) -> None:
    """A container's tar warned of a keyword of pax's."""
    source, target = tmp_path / "from", tmp_path / "to"
    source.mkdir()
    target.mkdir()
    names = ["bad\udcff", "é", "x" * 200]
    for name in names:
        (source / name).touch()
    with copying._tar_of(source) as packed:
        done = subprocess.run(
            ["tar", "-x", "-o", "-f", "-", "-C", str(target)],
            stdin=packed, capture_output=True, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert {path.name for path in target.iterdir()} == set(names)
