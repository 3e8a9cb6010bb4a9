"""What is left of a container of the `oci` runtime is removed.

Those are processes, cgroups, its network and folders; also of one that was never made.
"""

from __future__ import annotations

import logging
import os
import signal
from concurrent.futures import ThreadPoolExecutor

from pymesos_agent.containers.cgroups import Cgroups, Group
from pymesos_agent.runtimes.oci.networks import Networks
from pymesos_agent.runtimes.oci.places import Places
from pymesos_agent.supervision.procfs import pids_in

log = logging.getLogger(__name__)

CLEANERS = 2


class Cleaning:
    """Cleans up after the containers of one agent."""

    def __init__(
        self,
        places: Places,
        cgroups: Cgroups,
        networks: Networks,
    ) -> None:
        self._places = places
        self._cgroups = cgroups
        self._networks = networks
        self._threads = ThreadPoolExecutor(CLEANERS, thread_name_prefix="oci-clean")

    def clean(self, container_id: str) -> None:
        """Whatever is there of a container that is not to run; harmless when nothing is."""
        for pid in processes_of(self._cgroups.group(container_id)):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._cgroups.destroy_everywhere(container_id)
        self._networks.remove(container_id)
        self._places.remove(container_id)

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
        return pids_in(group.procs)
    except OSError:
        return []
