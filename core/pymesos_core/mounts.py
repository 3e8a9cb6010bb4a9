"""File systems that are mounted below a folder, which keep it from being deleted."""

from __future__ import annotations

import errno
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

TIMEOUT_S = 30.0


def mounted_below(folder: Path) -> list[Path]:
    """Where something is mounted, from the folder itself on; what is in another comes first."""
    try:
        lines = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return []
    points = {Path(_plain(line.split()[4])) for line in lines}
    return sorted((p for p in points if p.is_relative_to(folder)), reverse=True)


def unmount_below(folder: Path) -> None:
    """Unmount all that there is, for those who are not in it yet. What stays mounted is found by
    who deletes the folder. Raises OSError."""
    unmount(mounted_below(folder))


def unmount(points: Sequence[Path]) -> None:
    """Unmount these, in the order given. Raises OSError when nothing can be tried."""
    if points:
        umount = shutil.which("umount") or "umount"
        argv = [umount, "--lazy", "--", *map(str, points)]
        try:
            subprocess.run(argv, check=False, capture_output=True, timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            said = f"it cannot be unmounted within {TIMEOUT_S:.0f} s"
            raise OSError(errno.ETIMEDOUT, said, str(points[0])) from error


def _plain(written: str) -> str:
    """A path without the octal numbers that the kernel writes for what separates (`\\040`)."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), written)
