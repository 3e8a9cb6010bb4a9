"""Tasks that fork without end.

The kernel refuses a process to a task that has as many as it may, but each try costs the machine:
a hundred processes that try all the time made their neighbour's p99 twice as long. Held at the CPU
that it asked for, as by `cpu_quota`, such a task is not noticed any more (`bench/neighbour.py`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from pymesos_agent.containers.cgroups import CPU_PERIOD_US, cpu_quota_us
from pymesos_agent.containers.usage import groups_of


class ForkWatch:
    """How often each container was refused a process since the last look."""

    def __init__(self) -> None:
        self._files: dict[str, Path | None] = {}
        self._counts: dict[str, int] = {}

    def look(self, pids: Mapping[str, int]) -> dict[str, int]:
        """By container, given the first process of each; those without any are not in it."""
        self._files = {c: file for c, file in self._files.items() if c in pids}
        self._counts = {c: count for c, count in self._counts.items() if c in pids}
        out = {}
        for container_id, pid in pids.items():
            count = self._read(container_id, pid)
            refused = count - self._counts.get(container_id, count)
            self._counts[container_id] = count
            if refused > 0:
                out[container_id] = refused
        return out

    def _read(self, container_id: str, pid: int) -> int:
        with contextlib.suppress(OSError, ValueError):
            if container_id not in self._files:
                groups = groups_of(pid) or {}
                folder = groups.get("pids", groups.get(""))
                self._files[container_id] = folder / "pids.events" if folder else None
            file = self._files[container_id]
            if file is not None:
                return int(file.read_text("ascii").removeprefix("max "))
        return self._counts.get(container_id, 0)


def cap_cpu(pid: int, cpus_milli: int) -> None:
    """Hold the container of a process at so much CPU. Raises OSError."""
    groups = groups_of(pid) or {}
    quota_us = cpu_quota_us(cpus_milli)
    if "" in groups:
        (groups[""] / "cpu.max").write_text(f"{quota_us} {CPU_PERIOD_US}", "ascii")
    elif "cpu" in groups:
        (groups["cpu"] / "cpu.cfs_period_us").write_text(str(CPU_PERIOD_US), "ascii")
        (groups["cpu"] / "cpu.cfs_quota_us").write_text(str(quota_us), "ascii")
