"""The named pipes of containers, as the agent knows them: which folder they are in.

The supervisor makes them and reads them: see outputs.py.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from pymesos_agent.files.memory import Memory


class Pipes:
    """The folders of the named pipes of a runtime's containers: in memory, where there is some."""

    def __init__(self, runtime: str, on_disk: Path, memory: Memory | None) -> None:
        self._on_disk = on_disk
        # Of a container of an earlier version, or one without memory, they are on the disk; and
        # without root, too: what an account has in memory may go when it logs out.
        is_kept = memory is not None and os.geteuid() == 0
        self._folder = memory.pipes(runtime) if memory is not None and is_kept else on_disk

    def make_folders(self) -> None:
        """Raises OSError."""
        for folder in (self._on_disk, self._folder):
            folder.mkdir(mode=0o700, exist_ok=True)

    def of_new(self, container_id: str) -> list[str]:
        """The paths for a container that is launched."""
        return _paths(self._folder, container_id)

    def of_running(self, container_id: str) -> list[str]:
        """The paths of a container that is there already."""
        before = (self._on_disk / f"{container_id}.stdout").exists()
        return _paths(self._on_disk if before else self._folder, container_id)

    def has(self, container_id: str) -> bool:
        """Whether a container has pipes here."""
        return any(
            (folder / f"{container_id}.stdout").exists() for folder in (self._folder, self._on_disk)
        )

    def remove_others(self, known: Collection[str]) -> None:
        """Remove the pipes of all but some containers, and all else that is in their folders."""
        for folder in dict.fromkeys((self._on_disk, self._folder)):
            for path in folder.iterdir():
                if path.name.rpartition(".")[0] not in known:
                    path.unlink(missing_ok=True)


def _paths(folder: Path, container_id: str) -> list[str]:
    return [f"{folder}/{container_id}.{name}" for name in ("stdout", "stderr")]
