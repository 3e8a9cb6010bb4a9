"""What is left of a container of the `oci` runtime is removed.

Those are processes, cgroups, its network and folders; also of one that was never made.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pymesos_agent.containers.cgroups import Cgroups, Group
from pymesos_agent.files.memory import Memory
from pymesos_agent.files.trees import try_remove_tree
from pymesos_agent.runtimes.oci.bundle import remove_bundle
from pymesos_agent.runtimes.oci.making import PRIVATE
from pymesos_agent.runtimes.oci.networks import Networks

log = logging.getLogger(__name__)

CLEANERS = 2


class Cleaning:
    """Cleans up after the containers of one agent."""

    def __init__(
        self,
        bundles: Path,
        states: Sequence[Path],
        cgroups: Cgroups,
        networks: Networks,
        memory: Memory | None,
    ) -> None:
        """`states` are the folders of what tools know of containers."""
        self._bundles = bundles
        self._states = states
        self._cgroups = cgroups
        self._networks = networks
        self._memory = memory
        self._threads = ThreadPoolExecutor(CLEANERS, thread_name_prefix="oci-clean")

    def left(self) -> set[str]:
        """The containers of which there are folders."""
        folders = (self._bundles, *self._states)
        return {path.name for folder in folders for path in folder.iterdir()}

    def clean(self, container_id: str) -> None:
        """Whatever is there of a container that is not to run; harmless when nothing is."""
        for pid in processes_of(self._cgroups.group(container_id)):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._cgroups.destroy_everywhere(container_id)
        for states in self._states:
            try_remove_tree(states / container_id)
        if self._memory is not None:
            try_remove_tree(self._memory.of(container_id) / PRIVATE)
        self._networks.remove(container_id)
        remove_bundle(self._bundles / container_id)

    def clean_later(self, container_id: str) -> None:
        """In a thread of its own."""

        def clean() -> None:
            try:
                self.clean(container_id)
            except Exception:
                log.exception("what is left of %s cannot be removed", container_id)

        self._threads.submit(clean)

    def close(self) -> None:
        """Wait until all is clean."""
        self._threads.shutdown()


def processes_of(group: Group) -> list[int]:
    """The processes in a container's cgroup; none when the cgroup is gone."""
    try:
        text = Path(group.procs).read_text("ascii")
    except OSError:
        return []
    return [int(line) for line in text.split()]
