"""Where a role keeps what must survive it, unless it is told."""

from __future__ import annotations

import os
from pathlib import Path


def default_directory(role: str) -> Path:
    """/var/lib/pymesos/ROLE for root, else below $XDG_STATE_HOME (~/.local/state)."""
    if os.geteuid() == 0:
        return Path("/var/lib/pymesos") / role
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "pymesos" / role
