"""A persistent volume that holds its size and no more: it is a file system of its own, in a file.

The file is allocated whole, so that nobody else takes what the volume was promised. It is mounted
where the volume is, without set-uid programs and devices, as long as an agent or a task needs it;
what is mounted outlives the agent. A volume from before, or of an agent that holds no sizes, is a
folder, and stays one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from pymesos_agent.containers.spec import Mount
from pymesos_agent.files.guards import GUARDED
from pymesos_agent.files.mounting import (
    DISKS,
    MADE,
    NEW,
    VOLUMES,
    MountError,
    role_folder,
    run,
    why_not,
)
from pymesos_agent.files.trees import try_remove_tree
from pymesos_core.exits import RoleError
from pymesos_core.mounts import unmount_below
from pymesos_core.text import os_problem

AUTO, LOOP, NONE = "auto", "loop", "none"
WAYS = (AUTO, LOOP, NONE)

MIB = 1024 * 1024
LEAST_MIB = 12  # of a disk: ext4 has no journal on less
# Bytes for each inode: few enough that inodes do not end before the space does.
BYTES_PER_INODE = 16384
OPTIONS = "loop,nosuid,nodev"


class VolumeDisks:
    """The disks of one agent's volumes."""

    def __init__(self, work_dir: Path) -> None:
        self._folder = work_dir / DISKS
        self._mounting = threading.Lock()  # one at a time
        self._names = threading.Lock()  # of what is there; held for moments, for the loop takes it

    def of(self, role: str, volume_id: str) -> Path:
        """Where the disk of a volume is, if it has one."""
        return self._folder / MADE / role_folder(role) / volume_id

    def mount(self, volume: Mount, stopped: Callable[[], bool]) -> None:
        """Mount a volume's disk, which is made at its first use. Blocks.

        Raises MountError. Nothing is there of a volume that is not wanted any more.
        """
        assert volume.disk is not None
        with contextlib.ExitStack() as closing:
            try:
                new = None
                if not volume.disk.exists():
                    folder = closing.enter_context(new_folder(self._folder))
                    new = make_disk(folder, volume.size_mib, 0o777 if volume.shared else 0o750)
                closing.enter_context(self._mounting)
                with self._names:
                    if stopped():
                        raise MountError("it is not wanted any more")
                    if volume.host_path.is_mount():
                        return  # for another task that has it, too
                    if new is not None:  # before its folder, which would be one without a disk
                        volume.disk.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                        new.rename(volume.disk)
                    volume.host_path.mkdir(mode=0o700, exist_ok=True)
                run("mount", "-o", OPTIONS, str(volume.disk), str(volume.host_path))
            except OSError as error:
                raise MountError(os_problem(error)) from error

    def put_away(self, disk: Path, removed_disk: Path, guard: Path, removed: Path) -> None:
        """Make room for the next volume of that id; what is mounted in the guard goes with it.

        Raises OSError.
        """
        with self._names:  # so nobody who is stopped makes it anew
            with contextlib.suppress(FileNotFoundError):
                disk.rename(removed_disk)
            guard.rename(removed)

    def unfinished(self) -> list[Path]:
        """What was being made when an earlier agent died, if no disk is made by this one yet."""
        return list((self._folder / NEW).glob("*"))


@contextlib.contextmanager
def new_folder(disks: Path) -> Iterator[Path]:
    """A folder for what is unfinished, which is gone in the end. Raises OSError."""
    for each in (disks, disks / NEW):
        each.mkdir(mode=0o700, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=disks / NEW))
    try:
        yield folder
    finally:
        with contextlib.suppress(OSError):  # what stays is removed by the next agent
            unmount_below(folder)
        try_remove_tree(folder)


def make_disk(folder: Path, size_mib: int, mode: int) -> Path:
    """A new file system in which a volume of this size fits, ready to be used. Raises MountError.

    It has been mounted once, beside where it is made, to be empty and to have the mode: whoever
    finds it in its place needs to know of nothing that is left to do.
    """
    disk, mounted = folder / "disk", folder / "mounted"
    whole_mib, journal_mib = _whole_mib(size_mib)
    try:
        mounted.mkdir(mode=0o700)
        there = os.statvfs(folder)
        if there.f_bavail * there.f_frsize < whole_mib * MIB:  # it would be filled, then refused
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with disk.open("xb") as file:
            os.fchmod(file.fileno(), 0o600)
            os.posix_fallocate(file.fileno(), 0, whole_mib * MIB)
        run(
            *("mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0", "-i", str(BYTES_PER_INODE)),
            *("-J", f"size={journal_mib}", "-O", "^resize_inode", "-E", "nodiscard", str(disk)),
        )
        run("mount", "-o", OPTIONS, str(disk), str(mounted))
        (mounted / "lost+found").rmdir()  # programs want to begin with an empty folder
        mounted.chmod(mode)
        run("umount", str(mounted))
        with disk.open("rb") as file:
            os.fsync(file.fileno())
    except OSError as error:
        raise MountError(
            f"a volume of {size_mib} MiB needs {whole_mib} MiB of {folder.parent.parent}:"
            f" {os_problem(error)}"
        ) from error
    return disk


def _whole_mib(size_mib: int) -> tuple[int, int]:
    """How large a disk is for what a volume is to hold, and how much of it is ext4's journal.

    Inodes of 256 bytes take a part of it, and ext4 keeps 2 % for itself, up to 16 MiB.
    """
    journal_mib = 4 if size_mib < 1024 else 64
    kept_mib = min(size_mib // 50 + 1, 17)
    inodes_mib = size_mib // 56
    return max(size_mib + inodes_mib + kept_mib + journal_mib + 1, LEAST_MIB), journal_mib


class VolumeLimitsError(RoleError):
    """Sizes of volumes are to be held and cannot be: the message says why."""


def volume_limits(work_dir: Path, wanted: str) -> str:
    """What holds volumes at their sizes on this machine, by a trial; empty: nothing does.

    Raises VolumeLimitsError.
    """
    if wanted == NONE:
        return ""
    if problem := _problem(work_dir):
        if wanted == AUTO:
            return ""
        raise VolumeLimitsError(
            f"--volume-limits {LOOP}: {problem}. With `{NONE}`, sizes of volumes are not held"
        )
    older = _without_disks(work_dir)
    return LOOP if not older else f"{LOOP}; {older} from before are not held"


def _problem(work_dir: Path) -> str:
    if problem := why_not():
        return problem
    try:
        with new_folder(work_dir / DISKS) as folder:
            make_disk(folder, 1, 0o750)
    except MountError as error:
        return str(error)
    except OSError as error:
        return os_problem(error)
    return ""


def _without_disks(work_dir: Path) -> int:
    """How many volumes are folders."""
    guards = (work_dir / GUARDED / VOLUMES).glob("*/*")
    disks = work_dir / DISKS / MADE
    guarded = sum(not (disks / g.parent.name / g.name).exists() for g in guards)
    return guarded + sum(1 for _ in (work_dir / VOLUMES).glob("*/*"))
