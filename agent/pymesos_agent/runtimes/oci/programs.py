"""Whether the kernel can execute the program of a container, looked up before it is made.

An init that finds that it cannot gives the program to a shell (glibc's execvp does), which then
reads the machine code of another processor, or a script that says no interpreter.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pymesos_agent.containers.environment import DEFAULT_PATH, NOT_EXECUTABLE

OPAQUE = ("trusted.overlay.opaque", "user.overlay.opaque")
MAX_LINKS = 40  # as in the kernel
BINFMT = Path("/proc/sys/fs/binfmt_misc")
ELF = b"\x7fELF"
# Machines that also execute what is of a smaller one: x86-64 of x86, AArch64 of ARM.
SMALLER = {62: 3, 183: 40}


@dataclass(frozen=True)
class Root:
    """What a container finds where."""

    layers: Sequence[Path]  # the uppermost first
    sandbox: tuple[Path, Path]  # where that is in it, and here
    mounted: Sequence[str] = ()  # where it has something else


def problem_of(root: Root, argv: Sequence[str], cwd: str, path: str) -> str | None:
    """Why the program of a container cannot be executed; None if it can, or that is not known."""
    if "/" in argv[0]:
        names = [str(PurePosixPath(cwd) / argv[0])]
    else:
        names = [str(PurePosixPath(cwd) / p / argv[0]) for p in (path or DEFAULT_PATH).split(":")]
    inside, here = str(root.sandbox[0]), root.sandbox[1]
    for name in names:
        if any(_is_below(name, str(PurePosixPath(mount))) for mount in root.mounted):
            return None
        if _is_below(name, inside):
            file = find([here], name[len(inside) :])
        else:
            file = find(root.layers, name)
        if file is not None and (judged := _judge(file)) is not None:
            return None if judged else f"{NOT_EXECUTABLE} ({argv[0]})"
    return None


def _is_below(name: str, folder: str) -> bool:
    """Whether a path is that of a folder, or of what is below it."""
    return name == folder or name.startswith(folder if folder.endswith("/") else f"{folder}/")


def find(layers: Sequence[Path], name: str) -> Path | None:
    """The file that a path leads to through layers that lie one over the other, as overlayfs has
    them; None if it leads to none."""
    waiting = [p for p in reversed(name.split("/")) if p not in ("", ".")]
    # The folders of each step, the uppermost first; each launch comes here: without pathlib.
    way: list[tuple[str, ...]] = [tuple(str(layer).rstrip("/") for layer in layers)]
    links = 0
    while waiting:
        part = waiting.pop()
        if part == "..":
            del way[max(1, len(way) - 1) :]
            continue
        found = _step(way[-1], part)
        if isinstance(found, _File):
            if not found.is_link:
                return Path(found.path) if not waiting else None
            target = os.readlink(found.path)  # noqa: PTH115
            links += 1
            if links > MAX_LINKS:
                return None
            if target.startswith("/"):
                del way[1:]
            waiting += [p for p in reversed(target.split("/")) if p not in ("", ".")]
        elif found:
            way.append(found)
        else:
            return None
    return None


class _File(NamedTuple):
    """A file, or a link."""

    path: str
    is_link: bool


def _step(folders: Sequence[str], name: str) -> tuple[str, ...] | _File:
    """What a name is in folders that lie one over the other: folders, or a file or link."""
    found: list[str] = []
    for folder in folders:
        path = f"{folder}/{name}"
        try:
            status = os.lstat(path)
        except OSError:
            continue
        if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
            break  # it hides what lower layers have
        if not stat.S_ISDIR(status.st_mode):
            return tuple(found) if found else _File(path, stat.S_ISLNK(status.st_mode))
        found.append(path)
        if len(folders) > 1 and _is_opaque(path):
            break
    return tuple(found)


def _is_opaque(folder: str) -> bool:
    for attribute in OPAQUE:
        try:
            if os.getxattr(folder, attribute) == b"y":
                return True
        except OSError:
            continue
    return False


def _judge(file: Path) -> bool | None:
    """Whether the kernel executes it; None if it is none that a search would take."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as opened:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or not status.st_mode & 0o111:
            return None
        start = opened.read(20)
    return start.startswith(b"#!") or _is_of_this_machine(start) or _has_helpers()


def _is_of_this_machine(start: bytes) -> bool:
    if not start.startswith(ELF) or len(start) < 20:
        return False
    machine = _machine(start)
    return machine in (own_machine(), SMALLER.get(own_machine()))


@cache
def own_machine() -> int:
    """The one that we are built for."""
    with Path("/proc/self/exe").open("rb") as mine:
        return _machine(mine.read(20))


def _machine(start: bytes) -> int:
    """As an ELF header has it, in the byte order that it says."""
    return int.from_bytes(start[18:20], "big" if start[5] == 2 else "little")


def _has_helpers() -> bool:
    """Whether this machine's kernel has been told of programs that execute others (qemu)."""
    try:
        return any(path.name not in ("register", "status") for path in BINFMT.iterdir())
    except OSError:
        return False
