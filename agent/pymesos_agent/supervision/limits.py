"""The limits of containers that are looked after from outside.

Memory is looked at every now and then: what a container uses where no cgroup holds it, and else
whether the kernel has killed a process of it. The standard library only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

from pymesos_agent.supervision.procfs import content, process_table

TYPE_CHECKING = False  # as in typing, without its import
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from pymesos_agent.supervision.container import Container

    Message = dict[str, Any]

SAMPLE_S = 0.1  # how often memory is looked at
FEW = 4  # containers, whose own files say as quickly whether the kernel has killed
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class MemoryWatch:
    """Kills what uses more memory than it may."""

    def __init__(
        self, containers: Mapping[str, Container], kill: Callable[[Container, int], None]
    ) -> None:
        self._containers = containers
        self._kill = kill
        self._next_s = 0.0
        self._kills = OomKills()

    def has_any(self) -> bool:
        """Whether there is a container to look at."""
        return any(c.watch and not c.main_ended for c in self._containers.values())

    def is_due(self, now_s: float) -> bool:
        """Whether it is time to look."""
        return now_s >= self._next_s and self.has_any()

    def wait_s(self) -> float:
        """How long it is until then."""
        return max(0.0, self._next_s - time.monotonic())

    def sample(self, now_s: float) -> None:
        """Look at all: by RSS, or since its cgroup killed one of it."""
        self._next_s = now_s + SAMPLE_S
        by_rss: dict[int, Container] = {}
        in_cgroups: list[Container] = []
        for container in self._containers.values():
            if container.main_ended:
                continue
            if container.watch.get("rss_limit_bytes"):
                if container.error_fd is None:  # else it is a copy of us still
                    by_rss[container.keeper or container.pid] = container
            elif container.watch.get("oom_file"):
                in_cgroups.append(container)
        is_due = len(in_cgroups) <= FEW or self._kills.are_new()
        self._look_at([c for c in in_cgroups if is_due or c.limit])
        if not by_rss:
            return
        used = resident_bytes(by_rss)
        for pid, container in by_rss.items():
            container.peak_bytes = max(container.peak_bytes, used.get(pid, 0))
            if used.get(pid, 0) > container.watch["rss_limit_bytes"]:
                container.limit = "memory"
                self._kill(container, signal.SIGKILL)

    def _look_at(self, in_cgroups: list[Container]) -> None:
        """Kill the rest of those of which the kernel has killed a process."""
        for container in in_cgroups:
            if container.helper is not None:
                self._kills.look_again()  # its cgroup may not be there yet
                continue
            check_oom(container)
            if container.limit:
                self._kill(container, signal.SIGKILL)


class OomKills:
    """Whether the kernel has killed anything on this machine for memory since it was asked last.

    One file tells, and those of a thousand containers need not be read ten times a second.
    """

    def __init__(self) -> None:
        self._seen = b""
        self._looks = 0  # still to be had

    def are_new(self) -> bool:
        """Also the next time: a cgroup counts a kill a moment after the machine does."""
        now = counted_kills()
        if now is None:
            return True  # a kernel that does not say
        if now != self._seen:
            self._seen, self._looks = now, 2
        is_due = self._looks > 0
        self._looks = max(0, self._looks - 1)
        return is_due

    def look_again(self) -> None:
        """Have the next look, too, though nothing else be killed."""
        self._looks = max(1, self._looks)


def counted_kills() -> bytes | None:
    """How many processes the kernel has killed for memory since it began, if it says so."""
    with contextlib.suppress(OSError):
        _, name, rest = content("/proc/vmstat").partition(b"\noom_kill ")
        return rest.partition(b"\n")[0] if name else None
    return None


def raise_limit(watch: Message, rss_limit_bytes: int) -> None:
    """Let a container use more memory; what it has is not taken back."""
    watch["rss_limit_bytes"] = max(watch.get("rss_limit_bytes", 0), rss_limit_bytes)


def check_oom(container: Container) -> None:
    """Note whether the kernel has killed a process of a container for its memory limit."""
    path = container.watch.get("oom_file")
    if not path or container.limit:
        return
    with contextlib.suppress(OSError, ValueError):
        for line in content(path).splitlines():
            name, _, value = line.partition(b" ")
            if name == b"oom_kill" and int(value) > 0:
                container.limit = "memory"
    if not container.limit:
        return  # nobody asks for its peak
    peak_path = container.watch.get("peak_file", "")
    with contextlib.suppress(OSError, ValueError):
        container.peak_bytes = max(container.peak_bytes, int(content(peak_path)))


def check_pids(container: Container) -> None:
    """Note how often a container was refused one more process."""
    if path := container.watch.get("pids_file"):
        with contextlib.suppress(OSError, ValueError):
            container.pids_refused = int(content(path).removeprefix(b"max "))


def resident_bytes(mains: dict[int, Container]) -> dict[int, int]:
    """The summed resident memory of each main process and all that belongs to it."""
    parents, sessions, _ = process_table()
    used = dict.fromkeys(mains, 0)
    for pid in parents:
        if pid in mains and pid == mains[pid].keeper:
            continue  # ours
        owner = pid
        for _ in range(64):
            if owner in mains or owner not in parents:
                break
            owner = sessions[owner] if sessions[owner] in mains else parents[owner]
        if owner not in mains:
            continue
        with contextlib.suppress(OSError, LookupError, ValueError):  # it may end just now
            used[owner] += int(content(f"/proc/{pid}/statm").split()[1]) * PAGE_BYTES
    return used
