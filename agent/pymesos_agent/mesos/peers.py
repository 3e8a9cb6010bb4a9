"""Whether who is connected is a process of a container.

An executor of Mesos proves itself by nothing else where it sends no token, as most clients do not.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psutil

from pymesos_agent.containers.usage import groups_of

Address = tuple[str, int]


def is_of_container(pid: int, peer: Address, here: Address) -> bool:
    """Return whether a process of the container of `pid` has the connection from `peer` to `here`.

    Blocking. Both addresses are of IPv4. Without cgroups of its own the container is `pid` and what
    descends from it.
    """
    for process in _processes(pid):
        with contextlib.suppress(psutil.Error):
            for connection in process.net_connections("tcp4"):
                if (connection.laddr, connection.raddr) == (peer, here):
                    return True
    return False


def _processes(pid: int) -> Iterator[psutil.Process]:
    with contextlib.suppress(psutil.Error, OSError):
        groups = groups_of(pid)
        if not groups:
            first = psutil.Process(pid)
            yield from (first, *first.children(recursive=True))
            return
        folder = groups.get("memory") or groups.get("pids") or next(iter(groups.values()))
        for file in folder.rglob("cgroup.procs"):
            yield from _of_file(file)


def _of_file(file: Path) -> Iterator[psutil.Process]:
    with contextlib.suppress(OSError):
        for each in file.read_text("ascii").split():
            with contextlib.suppress(psutil.Error):
                yield psutil.Process(int(each))
