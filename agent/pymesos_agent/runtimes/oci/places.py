"""Where what is of the containers of the `oci` runtime is: in memory, where an agent has some.

    FOLDER/containers/ID   the bundle: what the tool is told, and where it mounts (bundle.py)
    FOLDER/crun/ID         what the tool knows of it
    DISK/containers/ID     what it writes into its image, and which layers that has

FOLDER is the agent's in memory (memory.py): it makes and removes a dozen files for each container,
which takes a disk longer than all else of it, secrets are in some, and none is of use after a crash
of the machine. Without memory it is DISK, the runtime's folder in the work directory.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pymesos_agent.files.memory import Memory
from pymesos_agent.files.spreading import spread_if_needed
from pymesos_agent.files.trees import try_remove_files, try_remove_tree
from pymesos_agent.runtimes.oci.bundle import CONFIG
from pymesos_agent.runtimes.oci.preparing import make_directory
from pymesos_agent.runtimes.oci.tools import ERROR_LOG, NAMES, PID_FILE, Tool

CONTAINERS = "containers"
# What is usually there.
OF_BUNDLES = (CONFIG, PID_FILE, ERROR_LOG)
OF_TOOLS = (CONFIG, "status", "seccomp.bpf")  # as crun knows a container


class Places:
    """The folders of one agent's containers."""

    def __init__(self, disk: Path, memory: Memory | None) -> None:
        """`disk` is the runtime's folder in the work directory."""
        self._memory = memory
        self.folder = disk if memory is None else memory.of_runtime("oci")
        self.written = disk / CONTAINERS
        self._states = tuple(self.folder / name for name in NAMES)  # also of one that is gone
        # Where earlier versions had what a tool knew of a container.
        self._earlier = () if memory is None else tuple(disk / name for name in NAMES)

    def make(self, base: int) -> None:
        """Make the folders of all containers; `base` is as in make_directory. Raises OSError."""
        make_directory(self.folder, base)
        for folder in (self.written, self.folder / CONTAINERS, *self._states):
            folder.mkdir(mode=0o711, exist_ok=True)
            spread_if_needed(folder)
        for folder in self._earlier:
            with contextlib.suppress(OSError):
                folder.rmdir()
        self._earlier = tuple(folder for folder in self._earlier if folder.exists())

    def bundle(self, container_id: str) -> Path:
        """Where the bundle of a container is made."""
        return self.folder / CONTAINERS / container_id

    def written_by(self, container_id: str) -> Path:
        """Where a container writes into its image."""
        return self.written / container_id

    def config(self, container_id: str) -> Path:
        """What the tool was told of a container. Raises OSError if there is none."""
        path = self.bundle(container_id) / CONFIG
        if not path.exists():
            path = self.written_by(container_id) / CONFIG  # made by an earlier version
        return path.resolve(strict=True)

    def knowing(self, tool: Tool, container_id: str) -> Tool | None:
        """A tool that knows a container, if it made that."""
        for states in (*self._states, *self._earlier, *self._earlier_of(container_id)):
            if states.name == tool.name and (states / container_id).exists():
                return replace(tool, states=states)
        return None

    def _earlier_of(self, container_id: str) -> Iterator[Path]:
        """Where earlier versions had it of a container with secrets in its environment."""
        if self._memory is not None:
            yield from (self._memory.of(container_id) / "oci" / name for name in NAMES)

    def left(self) -> set[str]:
        """The containers of which there is anything."""
        folders = {self.written, self.folder / CONTAINERS, *self._states, *self._earlier}
        there = (path.name for folder in folders if folder.exists() for path in folder.iterdir())
        return {name for name in there if not name.startswith(".")}  # that is the tool's own

    def remove(self, container_id: str) -> None:
        """Remove all of a container; harmless when nothing is there."""
        for folder in (*self._states, *self._earlier, *self._earlier_of(container_id)):
            try_remove_files(f"{folder}/{container_id}", OF_TOOLS)
        try_remove_files(str(self.bundle(container_id)), OF_BUNDLES)
        try_remove_files(str(self.written_by(container_id)), ())

    def close(self) -> None:
        """Leave nothing in memory, unless there is something of a container."""
        if self._memory is not None and not self.left():
            try_remove_tree(self.folder)
