"""A persistent volume holds its size and no more: on each runtime, and whatever is started anew."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pymesos_agent.containers.spec import ContainerSpec, Mount
from pymesos_agent.core.effects import StartContainer
from pymesos_agent.files.disks import (
    MIB,
    VolumeLimitsError,
    make_disk,
    volume_limits,
)
from pymesos_agent.files.folders import Folders
from pymesos_agent.files.mounting import MountError, run
from pymesos_core.mounts import mounted_below, unmount_below
from pymesos_core.resource_tags import Reservation, Tag, Volume
from pymesos_core.resources import Resources, tagged, to_proto
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.components import passable_folder
from pymesos_testing.tried import OCI, Tried, tried_on

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
SIZE_MIB = 20
FILL = "dd if=/dev/zero of={path}/fill bs=1048576 2> /dev/null; wc -c < {path}/fill"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A work directory in which nothing stays mounted."""
    with passable_folder() as name:
        try:
            volume_limits(name, "loop")
        except VolumeLimitsError as error:
            pytest.skip(str(error))
        (name / "sandboxes").mkdir(mode=0o711)
        yield name
        unmount_below(name)


def started(
    name: str,
    size_mib: int = SIZE_MIB,
    shared: bool = False,
    role: str = "role/a",
    volume_id: str = "v",
) -> StartContainer:
    tag = Tag((Reservation(role),), Volume(volume_id, "data"), shared)
    info = pb.TaskInfo(
        task_id=name, resources=to_proto(tagged(tag, Resources({"disk": size_mib * 1000})))
    )
    return StartContainer(name, "f", "process", "", info)


def ready(folders: Folders, start: StartContainer) -> ContainerSpec:
    """A container whose files are ready, as the shell makes them."""
    spec = folders.spec(start)
    assert folders.prepare(spec) is None
    for volume in folders.to_mount(spec):
        folders.mount(volume, lambda: False)
    return spec


def holds_mib(path: Path) -> float:
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize / MIB


@pytest.mark.parametrize("size_mib", [1, 7, 8, 100, 127, 128, 1023, 1024, 5000])
def test_a_disk_holds_what_the_volume_was_promised(folder: Path, size_mib: int) -> None:
    (volume := folder / "guarded/volumes/r/v/v").parent.mkdir(parents=True)
    disk = folder / "volume-disks/made/r/v"
    folders = Folders(folder, sized=True)
    folders.mount(Mount(volume, "v", disk=disk, size_mib=size_mib), lambda: False)
    assert max(size_mib, 6) <= holds_mib(volume) <= max(size_mib * 1.03 + 2, 9)
    assert disk.stat().st_blocks * 512 >= size_mib * MIB, "nobody else takes its space"
    assert list(volume.iterdir()) == []
    assert os.statvfs(volume).f_flag & (os.ST_NOSUID | 4) == os.ST_NOSUID | 4, "nosuid, nodev"
    folders.close(unmount=True)
    assert mounted_below(folder) == []


def test_it_is_there_again_after_a_restart_and_gone_when_it_is_destroyed(folder: Path) -> None:
    folders = Folders(folder, sized=True)
    spec = ready(folders, started("one"))
    (volume,) = (mount.host_path for mount in spec.volumes)
    (volume / "kept").write_text("data")
    assert folders.to_mount(spec) == ()
    folders.close()
    assert mounted_below(folder) == [volume], "tasks may have it"
    unmount_below(folder)  # as a machine that starts anew
    for sized in (True, False):  # whatever the agent does with new ones
        again = Folders(folder, sized=sized)
        assert again.to_mount(again.spec(started("two"))) != ()
        ready(again, started(f"two-{sized}"))
        assert (volume / "kept").read_text() == "data"
        assert mounted_below(folder) == [volume]
        again.close(unmount=True)
        assert not volume.joinpath("kept").exists()
    ready(again := Folders(folder, sized=True), started("three"))
    again.remove_volume("role/a", "v")
    assert not volume.parent.exists(), "at once; it is unmounted soon"
    (now,) = ready(again, started("four")).volumes
    assert list(now.host_path.iterdir()) == [], "the next of its id begins with nothing"
    again.remove_volume("role/a", "v")
    again.close()
    assert mounted_below(folder) == []
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_one_from_before_stays_as_it_is_and_is_shown(folder: Path) -> None:
    older = Folders(folder)
    (volume,) = ready(older, started("one")).volumes
    assert volume.disk is None
    (volume.host_path / "kept").write_text("data")
    assert volume_limits(folder, "auto") == "loop; 1 from before are not held"
    folders = Folders(folder, sized=True)
    ready(folders, started("two"))
    assert mounted_below(folder) == []
    assert (volume.host_path / "kept").read_text() == "data"
    folders.remove_volume("role/a", "v")
    (volume,) = ready(folders, started("three")).volumes
    assert mounted_below(folder) == [volume.host_path]
    assert volume_limits(folder, "auto") == "loop"


def test_what_is_not_wanted_any_more_is_not_mounted(folder: Path) -> None:
    """A task that was killed meanwhile may have lost its volume, and another has that id."""
    folders = Folders(folder, sized=True)
    spec = folders.spec(started("one"))
    assert folders.prepare(spec) is None
    (volume,) = folders.to_mount(spec)
    with pytest.raises(MountError, match="not wanted"):
        folders.mount(volume, lambda: True)
    assert mounted_below(folder) == []
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_what_was_being_made_when_the_agent_died_goes(folder: Path) -> None:
    folders = Folders(folder, sized=True)
    ready(folders, started("one"))
    (half := folder / "volume-disks/new/half").mkdir()
    disk = make_disk(half, 1, 0o750)
    run("mount", "-o", "loop", str(disk), str(half / "mounted"))
    folders.remove_leftovers((), ())
    folders.close()
    assert not half.exists()
    assert mounted_below(folder) == [folders.volume("role/a", "v")]
    assert folders.volume("role/a", "v").is_mount()


def test_one_that_the_disk_has_no_room_for(folder: Path) -> None:
    folders = Folders(folder, sized=True)
    spec = folders.spec(started("one", size_mib=10_000_000))
    assert folders.prepare(spec) is None
    with pytest.raises(MountError, match=r"a volume of 10000000 MiB needs \d+ MiB of .*: .*space"):
        folders.mount(folders.to_mount(spec)[0], lambda: False)
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_a_shared_one_is_open_to_all_who_have_it(folder: Path) -> None:
    """Whichever of its tasks is stopped, or which agent dies, while it is made ready."""
    folders = Folders(folder, sized=True)
    (volume,) = ready(folders, started("one", shared=True)).volumes
    assert stat.S_IMODE(volume.host_path.stat().st_mode) == 0o777
    volume.host_path.chmod(0o700)  # by a task
    ready(folders, started("two", shared=True))
    assert stat.S_IMODE(volume.host_path.stat().st_mode) == 0o777


@pytest.mark.parametrize("shared", [True, False])
def test_a_disk_is_ready_when_it_is_in_its_place(folder: Path, shared: bool) -> None:
    """An agent that dies before it is mounted there leaves nothing to be made good."""
    folders = Folders(folder, sized=True)
    spec = folders.spec(started("one", shared=shared))
    assert folders.prepare(spec) is None
    (volume,) = folders.to_mount(spec)
    (folder / "bin").mkdir()
    (folder / "bin/mount").write_text(
        '#!/bin/sh\ncase "$*" in *guarded*) exit 1;; esac\nexec /bin/mount "$@"\n'
    )
    (folder / "bin/mount").chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
        with pytest.raises(MountError):
            folders.mount(volume, lambda: False)
    assert volume.disk is not None
    run("mount", "-o", "loop", str(volume.disk), str(volume.host_path))
    assert list(volume.host_path.iterdir()) == []
    assert stat.S_IMODE(volume.host_path.stat().st_mode) == (0o777 if shared else 0o750)


@pytest.mark.parametrize("name", ["v" * 255, "é" * 127, ".new-x", "new", "made", "disk", "v.ext4"])
def test_whatever_a_volume_is_called(folder: Path, name: str) -> None:
    role = "é" * 127
    folders = Folders(folder, sized=True)
    (volume,) = ready(folders, started("one", role=role, volume_id=name)).volumes
    (volume.host_path / "kept").write_text("data")
    folders.close(unmount=True)
    assert mounted_below(folder) == []
    again = Folders(folder, sized=True)
    again.remove_leftovers((), ())
    ready(again, started("two", role=role, volume_id=name))
    assert (volume.host_path / "kept").read_text() == "data"
    assert volume_limits(folder, "auto") == "loop"
    again.remove_volume(role, name)
    (now,) = ready(again, started("three", role=role, volume_id=name)).volumes
    assert list(now.host_path.iterdir()) == []
    again.remove_volume(role, name)
    again.close()
    assert mounted_below(folder) == []
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_removing_one_waits_for_no_other_that_is_mounted(folder: Path) -> None:
    """The agent's loop does it, which nothing may hold up."""
    folders = Folders(folder, sized=True)
    (volume,) = ready(folders, started("one")).volumes
    with folders._disks._mounting:
        folders.remove_volume("role/a", "v")
    assert not volume.host_path.parent.exists()
    folders.close()
    assert mounted_below(folder) == []


def test_what_a_killed_agent_had_put_away_is_unmounted(folder: Path) -> None:
    folders = Folders(folder, sized=True)
    (volume,) = ready(folders, started("one")).volumes
    for where in ("removed-volumes", "guarded/removed-volumes"):
        (folder / where).mkdir(mode=0o700)
    assert volume.disk is not None
    volume.disk.rename(folder / "removed-volumes/x")
    volume.host_path.parent.rename(folder / "guarded/removed-volumes/x")
    assert mounted_below(folder) != []
    again = Folders(folder, sized=True)
    again.remove_leftovers((), ())
    again.close()
    assert mounted_below(folder) == []
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_a_machine_that_cannot_is_told_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folder))
    assert volume_limits(folder, "auto") == "" == volume_limits(folder, "none")
    with pytest.raises(VolumeLimitsError, match=r"mkfs\.ext4 is not installed.*`none`"):
        volume_limits(folder, "loop")


@pytest.mark.parametrize("runtime", ["process", "docker", "podman", *OCI])
async def test_a_task_gets_no_further_than_its_volume(
    runtime: str, request: pytest.FixtureRequest, folder: Path
) -> None:
    async with tried_on(runtime, request, folder) as tried:
        await _fills(tried, Folders(folder, sized=True))


async def _fills(tried: Tried, folders: Folders) -> None:
    (volume,) = ready(folders, started("one")).volumes
    where = "sandbox/data" if tried.image else volume.host_path
    command = f"{FILL.format(path='$PYMESOS_SANDBOX/data')}; grep '{where} ' /proc/mounts"
    spec = tried.rig.spec(command, "cpus:0.5;mem:64", tried.image)
    tried.rig.runtime.launch(replace(spec, volumes=(volume,)))
    await tried.rig.exited(spec)
    written, mounted = (spec.sandbox / "stdout").read_text().splitlines()
    assert SIZE_MIB <= int(written) / MIB <= SIZE_MIB + 3
    assert {"nosuid", "nodev"} <= set(mounted.split()[3].split(","))
