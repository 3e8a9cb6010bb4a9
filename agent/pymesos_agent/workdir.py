"""The work directory of an agent: whose it is, and what is in it."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from pymesos_core.role import holding

CHECKPOINT = "checkpoint.sqlite"
SANDBOXES = "sandboxes"


@contextlib.contextmanager
def lock_work_dir(work_dir: Path) -> Iterator[None]:
    """Hold the directory for this process alone. Raises RoleError."""
    with holding(work_dir, "--work-dir"):
        if os.geteuid() == 0:
            # Tasks of other users pass through it, on their way to their sandboxes.
            work_dir.chmod(stat.S_IMODE(work_dir.stat().st_mode) | 0o011)
        yield


def if_damaged(work_dir: Path) -> str:
    """What can be done about a checkpoint that cannot be read."""
    return (
        f"Restore the file from a backup, or give up what this agent knew with"
        f" `pymesos-agent recover --discard --work-dir {work_dir}`"
    )
