"""Nothing outside a task's sandbox can be read."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pymesos_agent.containers.spec import Mount
from pymesos_agent.core.events import ContainerExited
from pymesos_agent.files.folders import Folders
from pymesos_agent.files.sandbox import Files, SandboxError, list_files, read_file
from pymesos_testing.agent_harness import AgentHarness


@pytest.fixture
def sandbox(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("secret")
    box = tmp_path / "box"
    (box / "sub").mkdir(parents=True)
    (box / "stdout").write_text("hello")
    (box / "sub" / "file").write_text("inner")
    (box / "link").symlink_to("../secret")
    (box / "folder").symlink_to("..")
    (box / "self").symlink_to("stdout")
    os.mkfifo(box / "fifo")
    return box


def test_what_is_in_it(sandbox: Path) -> None:
    assert read_file(sandbox, "stdout", 0, 0) == (b"hello", 0, 5)
    assert read_file(sandbox, "/sub//./file", 1, 2) == (b"nn", 1, 5)
    assert read_file(sandbox, "stdout", -2, 0) == (b"lo", 3, 5)
    assert read_file(sandbox, "stdout", 99, 0)[0] == b""
    assert [name for name, _ in list_files(sandbox, "sub")] == ["file"]
    assert "stdout" in [name for name, _ in list_files(sandbox, "")]


@pytest.mark.parametrize(
    "path",
    [
        "../secret", "sub/../../secret", "..", "link", "self", "folder/secret", "fifo", "sub",
        "stdout/x", "/etc/passwd", "missing", "a\0b", "x" * 5000, "/proc/self/environ",
    ],
)  # fmt: skip
def test_what_is_not(sandbox: Path, path: str) -> None:
    with pytest.raises(SandboxError):
        read_file(sandbox, path, 0, 0)


@pytest.mark.parametrize("path", ["..", "folder", "stdout", "link", "missing"])
def test_what_cannot_be_listed(sandbox: Path, path: str) -> None:
    with pytest.raises(SandboxError):
        list_files(sandbox, path)


def test_a_sandbox_that_was_removed(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="removed"):
        read_file(tmp_path / "gone", "stdout", 0, 0)


def test_a_volume_in_it(sandbox: Path, tmp_path: Path) -> None:
    (tmp_path / "volume/sub").mkdir(parents=True)
    (tmp_path / "volume/sub/log").write_text("kept")
    (tmp_path / "volume/link").symlink_to("../secret")
    (sandbox / "data").symlink_to(tmp_path / "volume")
    files = Files(sandbox, ended=False, volumes=(Mount(tmp_path / "volume", "data"),))
    assert read_file(*files.locate("./data/sub/log"), 0, 0)[0] == b"kept"
    assert read_file(*files.locate("stdout"), 0, 0)[0] == b"hello"
    for path in ("data/../secret", "data/link", "data2/sub/log", "../volume/sub/log"):
        with pytest.raises(SandboxError):
            read_file(*files.locate(path), 0, 0)
    elsewhere = Files(sandbox, ended=False, volumes=(Mount(tmp_path / "volume", "/data"),))
    with pytest.raises(SandboxError):
        read_file(*elsewhere.locate("data/sub/log"), 0, 0)


def test_what_a_dead_agent_had_not_deleted_is_deleted(tmp_path: Path) -> None:
    """The agent died between the checkpoint that forgets a task and the end of the deletion."""
    for path in (
        "sandboxes/kept",
        "sandboxes/gone/deep",
        "guarded/sandboxes/kept/kept",
        "guarded/sandboxes/gone/gone",
        "groups/g",
        "groups/h",
        "removed-volumes/v",
    ):
        (tmp_path / path).mkdir(parents=True)
        (tmp_path / path / "file").touch()
    folders = Folders(tmp_path)
    folders.remove_leftovers({"kept", "never-made"}, {"g"})
    folders.close()
    left = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("file"))
    assert left == ["groups/g/file", "guarded/sandboxes/kept/kept/file", "sandboxes/kept/file"]


def test_files_are_wanted_as_long_as_anything_tells_of_them() -> None:
    h = AgentHarness()
    h.connect()
    runs, ended = h.run("runs"), h.run("ends")
    h.feed(ContainerExited(ended, 0))
    h.acknowledge(h.updates()[-1].status)
    forgotten = h.run("old")
    h.feed(ContainerExited(forgotten, 0))
    h.acknowledge(h.updates()[-1].status)
    del h.records["sandbox", forgotten]
    h.records["task", "damaged"] = b"\xff"
    again = AgentHarness(h.records, generation=2)
    assert again.core.state.with_files() == {runs, ended, "damaged"}


@pytest.mark.parametrize("offset", [2**63 - 1, -(2**63)])
def test_a_place_that_no_file_has(sandbox: Path, offset: int) -> None:
    """The agent's own error went to who asked, with a traceback in its log."""
    try:
        assert read_file(sandbox, "stdout", offset, 5) == (b"hello", 0, 5)
    except SandboxError as error:
        assert "'stdout' cannot be read: Invalid argument" in str(error)


def test_files_that_go_while_they_are_listed(
    sandbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = os.scandir

    @contextlib.contextmanager
    def scandir(folder: int) -> Iterator[list[Any]]:
        with usual(folder) as entries:
            found = list(entries)
        (sandbox / "stdout").unlink()
        yield found

    monkeypatch.setattr(os, "scandir", scandir)
    names = [name for name, _ in list_files(sandbox, "")]
    assert "stdout" not in names and "sub" in names
