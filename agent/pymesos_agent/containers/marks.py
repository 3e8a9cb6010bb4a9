"""Finding what a command started in a container, wherever it has gone there.

The tools that bring a command into a container (`docker exec`, `crun exec`) leave it running when
they are killed, and a shell leaves what it put into the background. All of it has inherited a mark
in its environment.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from pymesos_agent.containers.usage import groups_of

MARK = "PYMESOS_ENTRY_ID"
ROUNDS = 20  # what forks while it is killed is found in the next
PAUSE_S = 0.01
LATE_S = 0.05  # a tool that was killed may have been about to start it


def new_mark() -> str:
    """One that nothing else has."""
    return uuid.uuid4().hex


def end_marked(mark: str, container_pid: int, *, again: bool = False) -> None:
    """SIGKILL to all that have the mark, in the container of a process. Blocking.

    Without a process, or where the container has no cgroups, on the whole machine.
    """
    wanted = f"{MARK}={mark}".encode()
    for look in range(2 if again else 1):
        if look:
            time.sleep(LATE_S)
        for _ in range(ROUNDS):
            found = [pid for pid in _candidates(container_pid) if _has(pid, wanted)]
            for pid in found:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            if not found:
                break
            time.sleep(PAUSE_S)


def _candidates(container_pid: int) -> Iterator[int]:
    groups = None
    if container_pid:
        try:
            groups = groups_of(container_pid)
        except OSError:
            return  # it has ended, and all of it with it
    if not groups:
        yield from (int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208
        return
    folder = groups.get("memory") or groups.get("pids") or next(iter(groups.values()))
    for file in folder.rglob("cgroup.procs"):
        with contextlib.suppress(OSError, ValueError):
            yield from map(int, file.read_text("ascii").split())


def _has(pid: int, wanted: bytes) -> bool:
    with contextlib.suppress(OSError):
        # One that has ended, and that nobody has waited for, has no environment any more.
        return wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return False
