"""What is written where, for both versions; real groups are met in tests/integration."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pymesos_agent.containers import cgroups

MIB = 1024 * 1024


def test_v2_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids")
    monkeypatch.setattr(cgroups, "_own_groups", lambda: {"": "/"})
    found, why_not = cgroups.detect("tag", tmp_path)
    assert found is not None, why_not
    assert found.isolation == {
        "mem": "cgroup v2",
        "cpu": "cgroup v2 shares",
        "cpu_quota": "cgroup v2",
        "pids": "cgroup v2",
    }
    enabled = tmp_path / "pymesos" / "cgroup.subtree_control"
    assert enabled.read_text() == "+memory +cpu +pids"
    group = found.create("c1", cgroups.Limits(500, 64 * MIB, 100, cpu_quota=True))
    folder = tmp_path / "pymesos/tag/c1"
    values = {p.name: p.read_text() for p in folder.iterdir()}
    assert values == {
        "memory.max": str(64 * MIB),
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "cpu.weight": "20",
        "cpu.max": "50000 100000",
        "pids.max": "100",
    }
    assert group.join == (str(folder / "cgroup.procs"),)
    assert group.oom_file == str(folder / "memory.events")
    assert found.leftovers() == {"c1"}


def test_v1_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for controller in ("memory", "cpu", "pids"):
        (tmp_path / controller).mkdir()
        (tmp_path / controller / "cgroup.procs").touch()
    monkeypatch.setattr(cgroups, "_own_groups", lambda: {"memory": "/../elsewhere", "cpu": "/"})
    found, why_not = cgroups.detect("tag", tmp_path)
    assert found is not None, why_not
    group = found.create("c1", cgroups.Limits(2000, 0, 50))
    memory = tmp_path / "memory/pymesos/tag/c1"
    assert (memory / "memory.limit_in_bytes").read_text() == str(32 * MIB), "a task without mem"
    assert (tmp_path / "cpu/pymesos/tag/c1/cpu.shares").read_text() == "2048"
    assert [Path(p).name for p in group.join] == ["tasks", "tasks", "tasks"]
    assert (tmp_path / "pids/pymesos/tag/c1/pids.max").read_text() == "50"

    shutil.rmtree(memory)  # as a crash in the middle of its removal leaves it
    assert found.leftovers() == {"c1"}


def test_where_nothing_may_be_written_that_is_said(tmp_path: Path) -> None:
    found, why_not = cgroups.detect("tag", tmp_path / "none")
    assert found is None and "no memory controller" in why_not


@pytest.mark.parametrize("member", [True, False])
def test_warming_up_moves_nothing(
    member: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the list that this process is in already is written."""
    procs = tmp_path / "memory/unit/cgroup.procs"
    procs.parent.mkdir(parents=True)
    (tmp_path / "memory/cgroup.procs").touch()
    before = f"1\n{os.getpid()}\n" if member else "1\n"
    procs.write_text(before)
    monkeypatch.setattr(cgroups, "_own_groups", lambda: {"memory": "/unit"})
    found, why_not = cgroups.detect("tag", tmp_path)
    assert found is not None, why_not
    found.warm_up()
    assert procs.read_text() == (str(os.getpid()) if member else before)
