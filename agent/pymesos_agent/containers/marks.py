"""Finding what a command started in a container, wherever it has gone there.

The tools that bring a command into a container (`docker exec`, `crun exec`) leave it running when
they are killed, and a shell leaves what it put into the background. All of it has inherited a mark
in its environment. The next agent knows those of one that was killed by files.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
import uuid
from collections.abc import Collection, Iterator
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
    _end((mark,), container_pid, again=again)


class Marks:
    """The marks of the commands that an agent runs in containers now, each a file."""

    def __init__(self, work_dir: Path) -> None:
        self._folder = work_dir / "commands"

    def keep(self, mark: str) -> Path | None:
        """Return the file of a mark, to be removed with it; a full disk has none."""
        file = self._folder / mark
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            file.touch()
        except OSError:
            return None
        return file

    def end_left(self) -> None:
        """End what an agent that was killed had run. Blocking."""
        with contextlib.suppress(OSError):
            files = list(self._folder.iterdir())
            if files:
                _end([file.name for file in files], 0, again=False)
            for file in files:
                file.unlink()


def _end(marks: Collection[str], container_pid: int, *, again: bool) -> None:
    wanted = {f"{MARK}={mark}".encode() for mark in marks}
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


def _has(pid: int, wanted: set[bytes]) -> bool:
    with contextlib.suppress(OSError):
        # One that has ended, and that nobody has waited for, has no environment any more.
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        return not wanted.isdisjoint(environment)
    return False
