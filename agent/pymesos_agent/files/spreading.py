"""Sandboxes and bundles are spread over a disk of ext4 without a journal, where a file takes up to
1 ms else.

ext4 puts a folder beside the one that it is in, so those of all tasks share a few groups of inodes.
A new file gets the first of its group that is free and, without a journal, was not freed within the
last minutes: as tasks come and go, thousands are passed over for each folder and each log. Below a
folder with the flag T of chattr each folder is put into the group that has the fewest. To look at
all groups takes 0.1 ms on 250 GB, so it is done only where it is needed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from pathlib import Path

from pymesos_agent.files.guards import GUARDED
from pymesos_agent.workdir import SANDBOXES

OPTIONS = "/proc/fs/ext4/{device}/options"  # one a line; those of a journal begin with "data="
GET_FLAGS, SET_FLAGS = 0x80086601, 0x40086602  # FS_IOC_GETFLAGS and FS_IOC_SETFLAGS
TOP_OF_A_HIERARCHY = 0x00020000  # FS_TOPDIR_FL, the T of chattr
FLAGS = struct.Struct("=I4x")  # as large as a long, of which the kernel uses an int


def spread_sandboxes(work_dir: Path) -> None:
    """Make the folder of all sandboxes, and have them spread where that is needed."""
    sandboxes = work_dir / GUARDED / SANDBOXES
    with contextlib.suppress(OSError):  # what cannot be made is told with the first sandbox
        for folder in (sandboxes.parent, sandboxes):
            folder.mkdir(mode=0o711, exist_ok=True)
    spread_if_needed(sandboxes)


def spread_if_needed(folder: Path) -> None:
    """Have the folders in one put apart from each other where they are in each other's way."""
    with contextlib.suppress(OSError):
        if lacks_journal(folder):
            spread(folder)


def lacks_journal(folder: Path, options: str = OPTIONS) -> bool:
    """Return whether a folder is on ext4 without a journal. Raises OSError where it is on another
    file system."""
    device = folder.stat().st_dev
    block = os.path.realpath(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
    said = Path(options.format(device=Path(block).name)).read_text("utf-8")
    return not any(line.startswith("data=") for line in said.splitlines())


def spread(folder: Path) -> None:
    """Have the folders in one put apart from each other. Raises OSError where that cannot be."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flags = read_flags(opened)
        fcntl.ioctl(opened, SET_FLAGS, FLAGS.pack(flags | TOP_OF_A_HIERARCHY))
    finally:
        os.close(opened)


def read_flags(opened: int) -> int:
    """The flags of chattr of what a descriptor stands for. Raises OSError where there are none."""
    (flags,) = FLAGS.unpack(fcntl.ioctl(opened, GET_FLAGS, FLAGS.pack(0)))
    return int(flags)
