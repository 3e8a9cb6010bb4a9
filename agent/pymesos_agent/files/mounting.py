"""What an agent that root runs mounts on the machine: it outlives the agent, as tasks do.

The folders that tasks write to are mounted over themselves without set-uid programs and devices,
and whatever is mounted from there into a container inherits that, whoever mounts it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import quote

from pymesos_agent.files.guards import GUARDED
from pymesos_core.mounts import mounted_below, unmount
from pymesos_core.text import os_problem

GROUPS = "groups"  # below the work directory
DISKS = "volume-disks"
MADE, NEW = "made", "new"  # below it: what is ready, and what is not yet
VOLUMES = "volumes"
LONGEST_NAME = 255
TIMEOUT_S = 300.0
REMOVED = "removed-volumes"
ROUNDS = 3  # what was mounted is seen again when what was mounted over it has gone


class MountError(Exception):
    """Something cannot be mounted: the message says why."""


def role_folder(role: str) -> str:
    """What the folder of a role's volumes is called."""
    if len(name := quote(role, safe="")) <= LONGEST_NAME:
        return name
    return "%~" + hashlib.sha256(role.encode()).hexdigest()  # as nothing that is quoted begins


def why_not() -> str:
    """Why this agent mounts nothing; nothing if it does."""
    if os.geteuid() != 0:
        return "only an agent that root runs can mount"
    try:
        # What is mounted in a namespace of ours neither an engine sees nor the next agent.
        if Path("/proc/1/ns/mnt").readlink() != Path("/proc/self/ns/mnt").readlink():
            return "this agent has a mount namespace of its own"
    except PermissionError:  # where nobody may look at the first process, nobody has moved us
        return ""
    except OSError as error:
        return os_problem(error)
    return ""


def protect(work_dir: Path) -> str:
    """Have no set-uid program and no device work where tasks write; why that is not so, or nothing.

    What is mounted in there stays so.
    """
    if problem := why_not():
        return problem
    try:
        there = set(mounted_below(work_dir))
        for folder in (work_dir / GUARDED, work_dir / GROUPS):
            folder.mkdir(mode=0o711, exist_ok=True)
            if folder not in there:
                run("mount", "--rbind", str(folder), str(folder))
            run("mount", "-o", "remount,bind,nosuid,nodev", str(folder))
    except MountError as error:
        return str(error)
    except OSError as error:
        return os_problem(error)
    return ""


def unmount_own(work_dir: Path) -> None:
    """Unmount what agents of this directory have mounted, and nothing that an operator has.

    Raises OSError.
    """
    disks = (work_dir / DISKS / MADE).glob("*/*")
    volumes = work_dir / GUARDED / VOLUMES
    own = {volumes / disk.parent.name / disk.name / disk.name for disk in disks}
    own |= {work_dir / GUARDED, work_dir / GROUPS}
    own |= {*(work_dir / DISKS / NEW).glob("*/mounted")}
    own |= {*(work_dir / GUARDED / REMOVED).glob("*/*")}
    for _ in range(ROUNDS):
        unmount([point for point in mounted_below(work_dir) if point in own])


def run(program: str, *arguments: str) -> None:
    """Raises MountError with what it said."""
    path = shutil.which(program)
    if path is None:
        raise MountError(f"{program} is not installed (Debian: apt-get install e2fsprogs mount)")
    try:
        done = subprocess.run(
            [path, *arguments], check=False, capture_output=True, text=True, timeout=TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MountError(f"{program}: {error}") from error
    if done.returncode != 0:
        said = " ".join(done.stderr.split()) or f"it ended with status {done.returncode}"
        raise MountError(f"{program}: {said[:300]}")
