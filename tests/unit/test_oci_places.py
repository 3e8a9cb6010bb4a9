"""Where what is of the containers of the oci runtime is, and where earlier versions had it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from pymesos_agent.files.memory import Memory
from pymesos_agent.runtimes.oci.bundle import CONFIG
from pymesos_agent.runtimes.oci.places import OF_BUNDLES, Places
from pymesos_agent.runtimes.oci.tools import Tool

CRUN = Tool("crun", "/usr/bin/crun", Path("/absent"), ())


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(os, "chown", lambda *_, **__: None)
    (tmp_path / "oci").mkdir()
    return tmp_path / "oci"


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    (tmp_path / "memory").mkdir()
    return Memory(tmp_path / "memory")


def put(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text(str(folder))
    return folder


def test_without_memory_all_is_on_the_disk(disk: Path) -> None:
    places = Places(disk, None)
    places.make(0)
    assert places.folder == disk
    assert places.bundle("c") == places.written_by("c") == disk / "containers/c"
    put(places.bundle("c"), *OF_BUNDLES)
    places.close()
    assert places.left() == {"c"}


def test_a_container_is_in_memory_and_what_it_writes_on_the_disk(
    disk: Path, memory: Memory
) -> None:
    places = Places(disk, memory)
    places.make(0)
    assert places.folder.stat().st_mode & 0o777 == 0o700
    assert places.left() == set() and places.knowing(CRUN, "c") is None
    states = put(places.folder / "crun/c", "status", "seccomp.bpf", "more").parent
    (put(places.bundle("c"), *OF_BUNDLES) / "rootfs").mkdir()
    put(places.written_by("c") / "upper", "big")
    assert places.written_by("c").is_relative_to(disk)
    assert places.config("c") == places.bundle("c") / CONFIG
    assert places.knowing(CRUN, "c") == replace(CRUN, states=states)
    assert places.knowing(replace(CRUN, name="runc"), "c") is None
    places.close()
    assert places.left() == {"c"}
    for _ in range(2):
        places.remove("c")
        assert places.left() == set()
    (states / ".cache").mkdir()
    assert places.left() == set(), "a tool's own is no container"
    places.close()
    assert not list(memory.folder.iterdir())


@pytest.mark.parametrize("secret", [False, True])
def test_what_an_earlier_version_made_is_found(disk: Path, memory: Memory, secret: bool) -> None:
    before = memory.of("c") / "oci" if secret else disk
    states = put(before / "crun/c", "status", "seccomp.bpf", CONFIG).parent
    bundle = put(disk / "containers/c", "pid")
    (before / CONFIG).write_text("{}")
    (bundle / CONFIG).symlink_to(before / CONFIG)
    places = Places(disk, memory)
    places.make(0)
    assert places.left() == {"c"}
    assert places.config("c") == before / CONFIG
    assert places.knowing(CRUN, "c") == replace(CRUN, states=states)
    places.remove("c")
    assert places.left() == set() and places.knowing(CRUN, "c") is None
    with pytest.raises(FileNotFoundError):
        places.config("c")
    Places(disk, memory).make(0)
    assert sorted(path.name for path in disk.glob("c*")) == ["config.json", "containers"][secret:]


def test_the_folder_of_a_runtime_is_no_containers(disk: Path, memory: Memory) -> None:
    places = Places(disk, memory)
    places.make(0)
    put(places.bundle("c"), CONFIG)
    memory.put("c", {"a": b"1"})
    memory.sweep(())
    memory.close()
    assert places.config("c").exists() and list(memory.folder.iterdir()) == [places.folder]
