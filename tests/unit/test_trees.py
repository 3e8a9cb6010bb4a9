"""Folders deeper than any path can say are measured and removed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pymesos_agent.files import trees
from pymesos_agent.files.sandbox import disk_usage
from pymesos_agent.files.trees import remove_tree, try_remove_tree

DEPTH = 1500


def dig(top: Path, depth: int = DEPTH, name: str = "ddd") -> None:
    """Folders in folders, with 64 KiB at the bottom."""
    top.mkdir()
    folder = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=folder)
        inner = os.open(name, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    with os.fdopen(os.open("f", os.O_WRONLY | os.O_CREAT, dir_fd=folder), "wb") as file:
        file.write(bytes(65536))
    os.close(folder)


def test_what_is_deep_is_seen_and_goes(tmp_path: Path) -> None:
    """A deep folder was not counted, and stayed for ever."""
    dig(tmp_path / "top")
    used = disk_usage([tmp_path / "top"])
    assert used >= 65536 + DEPTH * (tmp_path / "top/ddd").stat().st_blocks * 512
    remove_tree(tmp_path / "top")
    assert not (tmp_path / "top").exists()
    remove_tree(tmp_path / "top")


def test_what_is_wide_and_deep(tmp_path: Path) -> None:
    top = tmp_path / "top"
    for a in range(3):
        for b in range(3):
            (top / f"{a}/{b}/c").mkdir(parents=True)
            (top / f"{a}/{b}/c/f").write_bytes(bytes(4096))
            (top / f"{a}/{b}/link").symlink_to(tmp_path)
        dig(top / f"{a}/deep", 70, "x")
    os.link(top / "0/0/c/f", top / "again")
    (tmp_path / "mine").write_text("mine")
    files = [p for p in top.rglob("*") if not p.is_symlink()]
    blocks = {p.lstat().st_ino: p.lstat().st_blocks for p in [*files, *top.rglob("link")]}
    assert disk_usage([top]) == sum(blocks.values()) * 512
    (top / "1").chmod(0)
    remove_tree(top)
    assert [p.name for p in tmp_path.iterdir()] == ["mine"], "links were not followed"


def test_what_moves_meanwhile_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that moves a folder while it is looked at leads nobody out of its sandbox."""
    box = tmp_path / "box"
    (box / "a/b/c").mkdir(parents=True)
    (box / "z").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/large").write_bytes(bytes(1 << 20))
    real = os.scandir

    def scandir(folder: int) -> object:
        if (box / "a/b").exists() and os.path.samestat(os.fstat(folder), (box / "a/b/c").stat()):
            (box / "a/b/c").rename(tmp_path / "outside/c")
        return real(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    assert disk_usage([box]) < 1 << 20


@pytest.mark.parametrize("gone", ["top", "top/a", "top/a/b"])
def test_what_somebody_else_removes_meanwhile_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    (tmp_path / "top/a/b").mkdir(parents=True)
    (tmp_path / "top/c").mkdir()
    opened = trees._opened

    def open_after_another(name: str, parent: int) -> int:
        if name == Path(gone).name:
            remove_whole(tmp_path / gone)
        return opened(name, parent)

    def remove_whole(folder: Path) -> None:
        with monkeypatch.context() as as_it_was:
            as_it_was.setattr(trees, "_opened", opened)
            remove_tree(folder)

    monkeypatch.setattr(trees, "_opened", open_after_another)
    remove_tree(tmp_path / "top")
    assert not (tmp_path / "top").exists()


def test_what_cannot_be_removed_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="Not a directory"):
        remove_tree(tmp_path / "file/x")
    try_remove_tree(tmp_path / "file/x")
    remove_tree(tmp_path / "file")
    assert not (tmp_path / "file").exists()
