"""Which disk a folder is on, as the kernel's I/O limits name it."""

from __future__ import annotations

import os
from pathlib import Path

SYS = Path("/sys/dev/block")
MIB = 1024 * 1024


def disk_of(folder: Path, sys: Path = SYS) -> tuple[int, int] | None:
    """Major and minor number of the whole disk; None where a file system has none of its own."""
    device = folder.stat().st_dev
    path = sys / f"{os.major(device)}:{os.minor(device)}"
    if not path.exists():
        return None
    real = path.resolve()
    if (real / "partition").exists():
        real = real.parent
    major, _, minor = (real / "dev").read_text("ascii").strip().partition(":")
    return int(major), int(minor)


def device_path(numbers: tuple[int, int], sys: Path = SYS) -> str:
    """The file in /dev of the disk with these major and minor numbers."""
    return f"/dev/{(sys / f'{numbers[0]}:{numbers[1]}').resolve().name}"
