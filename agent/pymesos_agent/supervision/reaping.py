"""The supervisor's children: which container each of them is of, and how it has ended.

A child subreaper has children that it did not start: what a container left behind, what its helper
or its spawner has started. The standard library only.
"""

from __future__ import annotations

import os
import time

from pymesos_agent.supervision.procfs import children
from pymesos_agent.supervision.spawning import Spawner, unfinished

TYPE_CHECKING = False  # as in typing, without its import
if TYPE_CHECKING:
    from collections.abc import Callable

    from pymesos_agent.supervision.container import Container

UNCLAIMED_S = 1.0  # how long the end of a child is kept that is nobody's yet


class Children:
    """Reaps the children, and tells of each whose container is known how it has ended."""

    def __init__(self, spawner: Spawner, on_ended: Callable[[Container, int], None]) -> None:
        self._spawner = spawner
        self._on_ended = on_ended
        self._by_pid: dict[int, Container] = {}
        # Status and time of what was reaped before it was said whose it is.
        self._unclaimed: dict[int, tuple[int, float]] = {}

    def add(self, pid: int, container: Container) -> None:
        """Note whose a process is that was started just now."""
        self._by_pid[pid] = container

    def claim(self, pid: int, container: Container) -> bool:
        """Note whose a process is that others started; whether it has ended, which is told now."""
        self._by_pid[pid] = container
        if pid not in self._unclaimed:
            return False
        self.reaped(pid, self._unclaimed.pop(pid)[0])
        return True

    def reap(self) -> None:
        """Reap all that have ended."""
        self._spawner.hear()  # or what it has started were nobody's
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            self.reaped(pid, os.waitstatus_to_exitcode(status))
        # The kernel gives us the child of a helper a moment before it lets us reap the helper.
        if self._spawner.is_waiting:
            return  # they may be what it has started just now
        long_ago = time.monotonic() - UNCLAIMED_S
        self._unclaimed = {p: (s, at) for p, (s, at) in self._unclaimed.items() if at > long_ago}

    def reaped(self, pid: int, status: int) -> None:
        """Tell the end of a child, if somebody wants to know it by now."""
        container = self._by_pid.pop(pid, None)
        if pid == self._spawner.pid:
            self._spawner.reaped()
        elif container is None:
            self._unclaimed[pid] = (status, time.monotonic())
        else:
            self._on_ended(container, status)

    def is_known(self, pid: int) -> bool:
        """Whether a process is the spawner, or one whose container is known."""
        return pid in self._by_pid or pid == self._spawner.pid

    def unknown(self) -> set[int]:
        """Return our children that we did not start. Raises OSError."""
        return children() - self._by_pid.keys() - {self._spawner.pid}

    def orphaned(self) -> set[int]:
        """Return our unknown children that the spawner is not starting just now. Raises OSError."""
        others = self.unknown()
        if others and self._spawner.is_waiting:
            self._spawner.hear()  # what it has said by now
            others -= self._by_pid.keys()
            others.difference_update(unfinished(others))
        return others
