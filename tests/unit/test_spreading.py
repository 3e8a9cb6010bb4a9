"""Sandboxes are spread over a disk of ext4 without a journal."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pymesos_agent.files import spreading
from pymesos_agent.files.guards import GUARDED
from pymesos_agent.files.spreading import (
    TOP_OF_A_HIERARCHY,
    lacks_journal,
    read_flags,
    spread,
    spread_sandboxes,
)
from pymesos_agent.workdir import SANDBOXES


def flags_of(folder: Path) -> int:
    opened = os.open(folder, os.O_RDONLY)
    try:
        return read_flags(opened)
    finally:
        os.close(opened)


@pytest.mark.parametrize("needed", [True, False])
def test_sandboxes_are_put_apart_from_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, needed: bool
) -> None:
    try:
        spread(tmp_path)
    except OSError as error:
        pytest.skip(f"the file system of {tmp_path} does not spread folders: {error}")
    monkeypatch.setattr(spreading, "lacks_journal", lambda _: needed)
    work_dir = tmp_path / "work"
    work_dir.mkdir()
    expected = flags_of(work_dir) | (TOP_OF_A_HIERARCHY if needed else 0)
    for _ in range(2):  # by the next agent, too
        spread_sandboxes(work_dir)
        sandboxes = work_dir / GUARDED / SANDBOXES
        assert flags_of(sandboxes) == expected
    assert sandboxes.stat().st_mode & 0o777 == 0o711
    (sandboxes / "one").mkdir()
    assert not flags_of(sandboxes / "one") & TOP_OF_A_HIERARCHY  # what it has in it stays together


def test_a_journal_is_told_by_the_options_of_a_mount(tmp_path: Path) -> None:
    options = tmp_path / "options"
    options.write_text("rw\ndelalloc\ncommit=5\n")
    assert lacks_journal(tmp_path, str(options))
    options.write_text("rw\ndata=ordered\ncommit=5\n")
    assert not lacks_journal(tmp_path, str(options))
    with pytest.raises(OSError):
        lacks_journal(Path("/proc"))


def test_an_agent_starts_where_nothing_is_spread(tmp_path: Path) -> None:
    spread_sandboxes(tmp_path / "not there")
    (tmp_path / GUARDED).write_text("no folder")
    spread_sandboxes(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [str(GUARDED)]
