"""No set-uid program and no device works where tasks write, whoever mounts that elsewhere."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pymesos_agent.containers.spec import ContainerSpec, Mount
from pymesos_agent.core.ports import Group
from pymesos_agent.files.folders import Folders
from pymesos_agent.files.mounting import protect, unmount_own
from pymesos_core import mounts
from pymesos_core.mounts import mounted_below
from pymesos_core.resources import EMPTY
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.components import passable_folder
from pymesos_testing.tried import OCI, tried_on

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
STRANGER = 65534


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in which a work directory is protected, or can be."""
    with passable_folder() as name:
        (name / "trial").mkdir()
        if problem := protect(name / "trial"):
            pytest.skip(problem)
        yield name


def options(point: Path | str, said: str) -> set[str]:
    """The options of what is mounted there, in the words of /proc/mounts."""
    found = [line.split() for line in said.splitlines() if line.split()[1] == str(point)]
    return set(found[-1][3].split(","))


@pytest.mark.parametrize("runtime", ["process", "docker", "podman", *OCI])
async def test_what_a_task_writes_is_harmless(
    runtime: str, request: pytest.FixtureRequest, folder: Path
) -> None:
    async with tried_on(runtime, request, folder) as tried:
        assert protect(tried.rig.folder) == ""
        folders = Folders(tried.rig.folder)
        plain = tried.rig.spec("cat /proc/mounts", image=tried.image)
        plain.sandbox.rmdir()  # which would be one from before there were guards
        volume = Mount(folders.volume("role", "v"), "data")
        spec = replace(plain, sandbox=folders.sandbox(plain.container_id), volumes=(volume,))
        assert folders.prepare(spec) is None
        tried.rig.runtime.launch(spec)
        await tried.rig.exited(spec)
        said = (spec.sandbox / "stdout").read_text()
        points = [tried.rig.folder / "guarded"]
        if tried.image:
            points = [Path("/mnt/pymesos/sandbox"), Path("/mnt/pymesos/sandbox/data")]
        for point in points:
            assert {"nosuid", "nodev"} <= options(point, said), point
        tried.rig.runtime.destroy(spec.container_id)


def test_a_set_uid_program_in_there_is_a_plain_one(folder: Path) -> None:
    """Also of an agent that starts anew, and in what was there before."""
    work = folder / "work"
    program = work / "guarded/sandboxes/c/c/id"
    program.parent.mkdir(parents=True)
    program.write_bytes(Path("/usr/bin/id").read_bytes())
    for path in (work, *program.parents[:4], program):
        path.chmod(0o4755 if path == program else 0o755)

    def user() -> str:
        ended = subprocess.run(
            [program, "-u"], user=STRANGER, group=STRANGER, extra_groups=[], capture_output=True
        )
        return ended.stdout.decode().strip()

    assert user() == "0", "it is one where nothing is done about it"
    for _ in range(2):
        assert protect(work) == ""
        assert user() == str(STRANGER)
        assert set(mounted_below(work)) == {work / "guarded", work / "groups"}
    unmount_own(work)
    assert mounted_below(work) == []


def test_what_an_operator_has_mounted_there_stays(folder: Path) -> None:
    work = folder / "work"
    (disk := work / "guarded/volumes").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(disk)], check=True)
    (disk / "kept").write_text("data")
    assert protect(work) == ""
    assert (disk / "kept").read_text() == "data"
    unmount_own(work)
    assert mounted_below(work) == [disk]
    assert (disk / "kept").read_text() == "data"


def test_folders_are_removed_from_there(folder: Path) -> None:
    """Nothing is renamed from one mount to another."""
    work = folder / "work"
    (work / "sandboxes").mkdir(parents=True)
    assert protect(work) == ""
    folders = Folders(work)
    group = Group("g", ("c",), ())
    base = ContainerSpec(
        "c", "f", "", None, pb.TaskInfo(), EMPTY, folders.sandbox("c"), group=group
    )
    base.info.container.mounts.add(group_path="shared", container_path="shared")
    spec = replace(base, volumes=(Mount(folders.volume("role", "v"), "data"),))
    assert folders.prepare(spec) is None
    (folders.volume("role", "v") / "f").write_text("data")
    folders.remove_volume("role", "v")
    folders.remove_sandbox("c")
    folders.remove_group("g")
    folders.close(unmount=True)
    assert [path for path in work.rglob("*") if path.is_file()] == []
    assert mounted_below(work) == []


def test_where_nothing_can_be_mounted_the_reason_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert "mount is not installed" in protect(folder)
    monkeypatch.setattr(os, "geteuid", lambda: 1)
    assert protect(folder) == "only an agent that root runs can mount"


def test_what_takes_too_long_to_unmount_is_an_error_of_the_system(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who unmounts expects no other; an agent logs it and goes on."""
    work = folder / "work"
    work.mkdir()
    assert protect(work) == ""
    (umount := folder / "bin/umount").parent.mkdir()
    umount.write_text("#!/bin/sh\nexec sleep 60\n")
    umount.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{umount.parent}:{os.environ['PATH']}")
        patch.setattr(mounts, "TIMEOUT_S", 0.05)
        with pytest.raises(OSError, match="cannot be unmounted within"):
            unmount_own(work)
        Folders(work).close(unmount=True)
    unmount_own(work)
    assert mounted_below(work) == []
