"""Paths of the machine that tasks may have: judged once, opened, and then known by what they are.

A path that was judged may lead elsewhere a moment later, if who may write above it puts a link in
its place. So what is judged is opened through no link, and whoever mounts it compares what was
mounted with what was opened (`mounter.c`). An engine mounts by the path alone: it gets only
those that nobody but root can change.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pymesos_agent.containers.settings import AllowedPath
from pymesos_agent.files.below import open_real
from pymesos_core.text import os_problem
from pymesos_proto.v1 import types_pb2 as pb


class HostPathError(Exception):
    """A path of the machine may not be had: the message says why."""


@dataclass(frozen=True)
class HostPath:
    """What a path led to when it was judged, as long as the descriptor is open."""

    path: Path  # without links
    descriptor: int
    identity: str  # device and inode

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder; else it is a file of some kind."""
        return stat.S_ISDIR(os.fstat(self.descriptor).st_mode)


def judged(mount: pb.ContainerMount, allowed: Sequence[AllowedPath]) -> str:
    """The path without links, which is below one that is allowed. Raises HostPathError.

    The allowed path may be a link, which the operator made. Below it none is followed: the master
    goes by the path as it is written, and a task that may write there could make one that leads
    where its policy does not.
    """
    shown = mount.host_path[:200]
    if not mount.host_path.startswith("/"):
        raise HostPathError(f"the mount of {shown!r}: the path of the machine is not absolute")
    written = Path(os.path.normpath(mount.host_path))
    for allow in allowed:
        if written.is_relative_to(allow.path):
            if allow.read_only and not mount.read_only:
                raise HostPathError(f"{shown} may be mounted read-only only")
            path = str(Path(os.path.realpath(allow.path)) / written.relative_to(allow.path))
            if os.path.realpath(path) != path:
                raise HostPathError(
                    f"{shown} goes through a link below {allow.path}, which this agent allows: name"
                    f" the path to which it leads"
                )
            if not os.path.lexists(path):
                raise HostPathError(f"there is no {shown}")
            return path
    raise HostPathError(f"{shown} is not below a path that this agent allows (--allow-host-paths)")


@contextlib.contextmanager
def opened(mount: pb.ContainerMount, allowed: Sequence[AllowedPath]) -> Iterator[HostPath]:
    """What a mount leads to, held while it is used. Raises HostPathError."""
    real = judged(mount, allowed)
    try:
        descriptor = open_real(real)
    except OSError as error:
        raise HostPathError(f"{mount.host_path[:200]} changes: {os_problem(error)}") from error
    try:
        status = os.fstat(descriptor)
        yield HostPath(Path(real), descriptor, f"{status.st_dev}:{status.st_ino}")
    finally:
        os.close(descriptor)


def unchangeable(mount: pb.ContainerMount, allowed: Sequence[AllowedPath]) -> str:
    """The path without links, no part of which anybody but root or the agent's own user can
    replace. Raises HostPathError.
    """
    real = judged(mount, allowed)
    mine = (0, os.geteuid())
    path = Path(real)
    try:
        for folder, inner in zip(path.parents, (path, *path.parents), strict=False):
            status = folder.lstat()
            writable = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
            kept = status.st_mode & stat.S_ISVTX and inner.lstat().st_uid in mine
            if status.st_uid not in mine or (writable and not kept):
                raise HostPathError(
                    f"{mount.host_path[:200]} cannot be mounted by this runtime, which goes by the"
                    f" path: others than root can put something else in its place, since they may"
                    f" write to {folder}. The runtime oci can mount it"
                )
    except OSError as error:
        raise HostPathError(f"{mount.host_path[:200]} changes: {os_problem(error)}") from error
    return real
