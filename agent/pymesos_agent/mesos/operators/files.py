"""Files of tasks, listed and read for Mesos' operators."""

from __future__ import annotations

import codecs
import errno
import grp
import os
import pwd
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pymesos_agent.files import sandbox
from pymesos_agent.files.sandbox import SandboxError
from pymesos_agent.mesos.operators.gathering import Gathering
from pymesos_agent.mesos.operators.paths import locate
from pymesos_core.mesos.files import not_found
from pymesos_core.mesos.older import Json
from pymesos_core.mesos.refusing import RefusalError, bad_request
from pymesos_core.mesos.tasks import NANO
from pymesos_core.streams import in_thread
from pymesos_proto.mesos.v1 import agent_pb2 as mesos_agent

MAX_READ_BYTES = 16 * 4096  # as Mesos, which says pages
Result = TypeVar("Result")


async def listed(gathering: Gathering, path: str) -> list[mesos_agent.FileInfo]:
    """Return what is in a folder, by name; nothing, if it is none. Raises RefusalError."""
    return await _do(gathering, path, lambda folder, inner: _list(folder, inner, path))


async def read(
    gathering: Gathering, path: str, offset: int, length: int | None
) -> tuple[int, bytes]:
    """Return the size of a file, and a part of it. Raises RefusalError."""
    wanted = MAX_READ_BYTES if length is None else min(length, MAX_READ_BYTES)
    return await _do(gathering, path, lambda folder, inner: _read(folder, inner, offset, wanted))


async def _do(gathering: Gathering, path: str, work: Callable[[Path, str], Result]) -> Result:
    """Do something with what a path leads to, in a thread. Raises RefusalError."""
    found = locate(gathering.queries, path)
    if found is None or found.role not in gathering.may.read:
        raise not_found()
    if found.role not in gathering.may.files:
        raise RefusalError(403, f"you may not read files of the role {found.role}")
    folder, inner = found.files.locate(found.way)
    try:
        return await in_thread(work, folder, inner)
    except SandboxError as error:
        raise _refusal(error, path) from None


def _refusal(error: SandboxError, path: str) -> RefusalError:
    if isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.ENOENT:
        return not_found()
    return bad_request(f"'{path[:200]}' is inaccessible.\n")


def _list(folder: Path, inner: str, path: str) -> list[mesos_agent.FileInfo]:
    if not _is_folder(folder, inner):
        return []
    shown = path.rstrip("/")
    return [
        _info(f"{shown}/{name.encode('utf-8', 'replace').decode()}", status)
        for name, status in sandbox.list_files(folder, inner)
    ]


def _is_folder(folder: Path, inner: str) -> bool:
    with sandbox.opened(folder, inner) as descriptor:
        return stat.S_ISDIR(os.fstat(descriptor).st_mode)


def _info(path: str, status: os.stat_result) -> mesos_agent.FileInfo:
    out = mesos_agent.FileInfo(
        path=path,
        nlink=status.st_nlink,
        size=status.st_size,
        mode=status.st_mode,
        uid=_name(status.st_uid, lambda uid: pwd.getpwuid(uid).pw_name),
        gid=_name(status.st_gid, lambda gid: grp.getgrgid(gid).gr_name),
    )
    out.mtime.nanoseconds = int(status.st_mtime) * NANO
    return out


def _name(number: int, name_of: Callable[[int], str]) -> str:
    try:
        return name_of(number)
    except KeyError:
        return str(number)


def _read(folder: Path, inner: str, offset: int, length: int) -> tuple[int, bytes]:
    if _is_folder(folder, inner):
        raise bad_request("Cannot read a directory.\n")
    # None at all is as much as there is, to `read_file`.
    data, _, size = sandbox.read_file(folder, inner, min(offset, 2**62), max(length, 1))
    return size, data[:length]


def older(info: mesos_agent.FileInfo) -> Json:
    """Return a file as `/files/browse` shows it."""
    return {
        "gid": info.gid,
        "mode": stat.filemode(info.mode),
        "mtime": info.mtime.nanoseconds / NANO,
        "nlink": info.nlink,
        "path": info.path,
        "size": info.size,
        "uid": info.uid,
    }


def text_of(data: bytes) -> str:
    """Return what a file holds as text.

    A character that is cut at the end is left for who reads on from there.
    """
    text, used = codecs.utf_8_decode(data, "replace", False)
    return text if used else data.decode("utf-8", "replace")
