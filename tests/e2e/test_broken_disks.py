"""A role that cannot keep its state says where, why and what to do, in one sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pymesos_core.store import Change, Store

# By role: how it is started, and the file in its directory.
ROLES = {
    "master": (("pymesos_master.main", "--port", "0", "--work-dir"), "registry.sqlite"),
    "agent": (
        ("pymesos_agent.main", "--port", "0", "--master", "127.0.0.1:1", "--work-dir"),
        "checkpoint.sqlite",
    ),
    "binpack": (
        ("pymesos_binpack.main", "--listen", "--master", "127.0.0.1:1", "--state-dir"),
        "state.sqlite",
    ),
}


def started(role: str, folder: Path, *within: str) -> str:
    """What it says when it cannot start `within` a program: one line, and status 1."""
    argv, _ = ROLES[role]
    done = subprocess.run(
        [*within, sys.executable, "-m", *argv, str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1, done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith(f"pymesos-{role}: ")]
    assert len(said) == 1 and "Traceback" not in done.stderr, done.stderr
    return said[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


NO_ROOM = ("prlimit", "--fsize=0:0")  # every file is as long as it may be


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("again", [False, True], ids=["for the first time", "again"])
def test_a_full_disk(role: str, again: bool, folder: Path) -> None:
    if again:
        store = Store(folder / ROLES[role][1])
        store.commit([Change("epoch" if role == "master" else "other", "", b"1")])
        store.close()
    said = started(role, folder, *NO_ROOM)
    assert str(folder) in said and "make room" in said, said


@pytest.mark.parametrize("role", ROLES)
def test_a_directory_that_is_not_ours(role: str, folder: Path) -> None:
    (folder / "file").touch()
    said = started(role, folder / "file" / "below")
    assert str(folder / "file") in said and "name another directory" in said, said


@pytest.mark.parametrize("role", ROLES)
def test_a_damaged_file(role: str, folder: Path) -> None:
    path = folder / ROLES[role][1]
    path.write_bytes(b"SQLite format 3\0" + b"x" * 9000)
    said = started(role, folder)
    assert str(path) in said and "from a backup" in said, said


@pytest.mark.parametrize("role", ROLES)
def test_a_file_of_somebody_elses(role: str, folder: Path) -> None:
    """A table that is whole, and not ours."""
    store = Store(folder / ROLES[role][1])
    store._db.execute("DROP TABLE record")
    store._db.execute("CREATE TABLE record (other INTEGER)")
    store.close()
    said = started(role, folder)
    assert str(folder) in said and "from a backup" in said, said


def test_an_epoch_that_is_no_number(folder: Path) -> None:
    store = Store(folder / "registry.sqlite")
    store.commit([Change("epoch", "", b"seven")])
    store.close()
    said = started("master", folder)
    assert "its record epoch holds b'seven'" in said and "from a backup" in said, said
