"""Which processes are of a container: however they were started, and whatever they have become.

By its cgroup where it has one, and by session, ancestry and the id in the environment. The standard
library only.
"""

from __future__ import annotations

import contextlib
import os

from pymesos_agent.supervision.procfs import environment, environment_id, pids_in, process_table

TYPE_CHECKING = False  # as in typing, without its import
if TYPE_CHECKING:
    from collections.abc import Collection

    from pymesos_agent.supervision.container import Container
    from pymesos_agent.supervision.reaping import Children


class Processes:
    """Finds the processes of containers."""

    def __init__(self, children: Children, known: Collection[str]) -> None:
        """`known` are the ids of all containers that there are."""
        self._children = children
        self._known = known

    def members(self, container: Container) -> list[int]:
        """The live processes of a container, its main process first."""
        found: dict[int, None] = {}
        if not container.main_ended and not container.keeper:
            found[container.pid] = None
        found.update(dict.fromkeys(grouped(container)))
        found.update((pid, None) for pid in self.search(container))
        found.pop(os.getpid(), None)
        return list(found)

    def search(self, container: Container) -> list[int]:
        """All processes that descend from it, share its session, or carry its id; the main first.

        With a keeper the main process is one of those: its pid may be another's once it has ended.
        """
        parents, sessions, zombies = process_table()
        mine = {pid for pid, session in sessions.items() if session == container.pid != 0}
        if not container.main_ended:
            mine.add(container.keeper or container.pid)
        for pid in parents:
            owner = environment_id(pid)
            if owner == container.id:
                mine.add(pid)
            elif (
                container.keeper
                and container.main_ended
                and parents[pid] == os.getpid()
                and not self._children.is_known(pid)
                and owner not in self._known
            ):
                mine.add(pid)  # left by its keeper, which was killed
        grown = True
        while grown:
            more = {pid for pid, parent in parents.items() if parent in mine} - mine
            mine |= more
            grown = bool(more)
        left = mine - zombies - {container.keeper}
        return sorted(left, key=lambda pid: (pid != container.pid, pid))

    def are_surely_over(self, container: Container) -> bool:
        """Whether there is nothing that could be left of it, which is told quickly.

        Neither a process in its cgroup or its process group, nor an orphan among our children.
        """
        if grouped(container):
            return False
        try:
            os.killpg(container.pid, 0)
            return False
        except ProcessLookupError:
            pass
        except PermissionError:
            return False
        try:
            return not self._children.orphaned()
        except OSError:
            return False

    def are_in_doubt(self) -> bool:
        """Whether there is an orphan among our children of which nobody knows whose it is."""
        with contextlib.suppress(OSError):
            return any(environment(pid) == b"" for pid in self._children.orphaned())
        return False


def grouped(container: Container) -> list[int]:
    """Return the processes in a container's cgroup, if it has one."""
    if path := container.watch.get("cgroup_procs"):
        with contextlib.suppress(OSError):
            return pids_in(path)
    return []
