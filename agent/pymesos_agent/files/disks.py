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
import uuid
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from pymesos_agent.containers.spec import Mount
from pymesos_agent.files.guards import GUARDED
from pymesos_agent.files.mounting import DISKS, VOLUMES, MountError, run, why_not
from pymesos_core.exits import RoleError
from pymesos_core.mounts import unmount_below
from pymesos_core.text import os_problem

AUTO, LOOP, NONE = "auto", "loop", "none"
WAYS = (AUTO, LOOP, NONE)

NEW = ".new-"
MIB = 1024 * 1024
LEAST_MIB = 12  # of a disk: ext4 has no journal on less
# Bytes for each inode: few enough that inodes do not end before the space does.
BYTES_PER_INODE = 16384
OPTIONS = "loop,nosuid,nodev"


class VolumeDisks:
    """The disks of one agent's volumes."""

    def __init__(self, work_dir: Path) -> None:
        self._folder = work_dir / DISKS
        self._lock = threading.Lock()  # a volume is not removed while it is mounted

    def of(self, role: str, volume_id: str) -> Path:
        """Where the disk of a volume is, if it has one."""
        return self._folder / quote(role, safe="") / f"{volume_id}.ext4"

    def mount(self, volume: Mount, stopped: Callable[[], bool]) -> None:
        """Mount a volume's disk, which is made at its first use. Blocks.

        Raises MountError. Nothing is there of a volume that is not wanted any more.
        """
        assert volume.disk is not None
        new = None
        try:
            if not volume.disk.exists():
                new = make_disk(volume.disk.parent, volume.size_mib)
            with self._lock:
                if stopped():
                    raise MountError("it is not wanted any more")
                if volume.host_path.is_mount():
                    return  # for another task that has it, too
                if new is not None:
                    new.rename(volume.disk)  # before its folder, which would be one without a disk
                volume.host_path.mkdir(mode=0o700, exist_ok=True)
                run("mount", "-o", OPTIONS, str(volume.disk), str(volume.host_path))
                if new is not None:
                    _clear(volume.host_path)
        except OSError as error:
            raise MountError(os_problem(error)) from error
        finally:
            if new is not None:
                new.unlink(missing_ok=True)

    def remove(self, disk: Path, volume: Path, into: Path) -> Path:
        """Put a volume's disk out of the way, for the next of that id; where. Raises OSError."""
        with self._lock:
            unmount_below(volume)
            with contextlib.suppress(FileNotFoundError):
                volume.rmdir()
            removed = into / uuid.uuid4().hex
            disk.rename(removed)
        return removed

    def remove_unfinished(self) -> None:
        """Delete what was being made when an earlier agent died."""
        for path in self._folder.glob(f"*/{NEW}*"):
            path.unlink(missing_ok=True)


def make_disk(folder: Path, size_mib: int) -> Path:
    """A new file system in which a volume of this size fits. Raises MountError."""
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=NEW)
    path = Path(name)
    whole_mib, journal_mib = _whole_mib(size_mib)
    try:
        there = os.fstatvfs(descriptor)
        if there.f_bavail * there.f_frsize < whole_mib * MIB:  # it would be filled, then refused
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.posix_fallocate(descriptor, 0, whole_mib * MIB)
        run(
            *("mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0", "-i", str(BYTES_PER_INODE)),
            *("-J", f"size={journal_mib}", "-O", "^resize_inode", "-E", "nodiscard", name),
        )
        os.fsync(descriptor)
    except OSError as error:
        path.unlink()
        raise MountError(
            f"a volume of {size_mib} MiB needs {whole_mib} MiB of {folder}: {os_problem(error)}"
        ) from error
    except MountError:
        path.unlink()
        raise
    finally:
        os.close(descriptor)
    return path


def _whole_mib(size_mib: int) -> tuple[int, int]:
    """How large a disk is for what a volume is to hold, and how much of it is ext4's journal.

    Inodes of 256 bytes take a part of it, and ext4 keeps 2 % for itself, up to 16 MiB.
    """
    journal_mib = 4 if size_mib < 1024 else 64
    kept_mib = min(size_mib // 50 + 1, 17)
    inodes_mib = size_mib // 56
    return max(size_mib + inodes_mib + kept_mib + journal_mib + 1, LEAST_MIB), journal_mib


def _clear(volume: Path) -> None:
    """Have nothing in it: programs want to begin with an empty folder."""
    (volume / "lost+found").rmdir()
    volume.chmod(0o750)


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
        with tempfile.TemporaryDirectory(dir=work_dir, prefix=".trial-") as folder:
            try:
                disk = make_disk(Path(folder), 1)
                (there := Path(folder, "mounted")).mkdir()
                run("mount", "-o", OPTIONS, str(disk), str(there))
            finally:
                unmount_below(Path(folder))
    except MountError as error:
        return str(error)
    except OSError as error:
        return os_problem(error)
    return ""


def _without_disks(work_dir: Path) -> int:
    """How many volumes are folders."""
    guards = (work_dir / GUARDED / VOLUMES).glob("*/*")
    disks = work_dir / DISKS
    guarded = sum(not (disks / g.parent.name / f"{g.name}.ext4").exists() for g in guards)
    return guarded + sum(1 for _ in (work_dir / VOLUMES).glob("*/*"))
