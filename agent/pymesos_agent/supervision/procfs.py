"""What the kernel says of processes in /proc, in as few calls as can be.

The supervisor and its keepers ask nothing else for it: the standard library only.
"""

from __future__ import annotations

import contextlib
import os

ID_KEY = b"PYMESOS_CONTAINER_ID="


def content(path: str) -> bytes:
    """What a file of the kernel's says, in as few calls as can be. Raises OSError."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(file, 65536):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(file)


def children() -> set[int]:
    """The children of this process. Raises OSError."""
    try:
        return {int(pid) for pid in content(f"/proc/self/task/{os.getpid()}/children").split()}
    except FileNotFoundError:  # of a kernel that does not list them
        return {pid for pid, parent in process_table()[0].items() if parent == os.getpid()}


def stat_of(pid: int) -> list[bytes]:
    """What the kernel says of a process: its state, parent, group, session… Raises OSError."""
    # The command in parentheses may hold anything, so count from its end.
    return content(f"/proc/{pid}/stat").rpartition(b")")[2].split()


def pids_in(path: str) -> list[int]:
    """The processes that a cgroup's file lists. Raises OSError.

    Those of other pid namespaces are all 0 there, by which kill(2) means the caller's own group.
    """
    return [int(pid) for pid in content(path).split() if pid.isdigit() and int(pid) > 0]


def process_table() -> tuple[dict[int, int], dict[int, int], set[int]]:
    """The parent and the session of every process, and which are zombies."""
    parents: dict[int, int] = {}
    sessions: dict[int, int] = {}
    zombies: set[int] = set()
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            pid, fields = int(name), stat_of(int(name))
            parent, session = int(fields[1]), int(fields[3])
        except (OSError, LookupError, ValueError):  # it ends just now
            continue
        parents[pid], sessions[pid] = parent, session
        if fields[0] in (b"Z", b"X"):
            zombies.add(pid)
    return parents, sessions, zombies


def environment(pid: int) -> bytes:
    """A process's environment as it was started; nothing when that may not be read."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as environ:
            return environ.read()
    except OSError:
        return b""


def environment_id(pid: int) -> str | None:
    """The container id in a process's environment, if it may be read and is there."""
    for entry in environment(pid).split(b"\0"):
        if entry.startswith(ID_KEY):
            return entry[len(ID_KEY) :].decode("utf-8", "replace")
    return None


def belongs(pid: int, container_id: str, cgroup_procs: str) -> bool:
    """Whether a process is of a container: by its environment, or by the container's cgroup."""
    if environment_id(pid) == container_id:
        return True
    with contextlib.suppress(OSError), open(cgroup_procs) as procs:
        return str(pid) in procs.read().split()
    return False
