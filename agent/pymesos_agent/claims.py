"""Which users of a machine are given to tasks, and by which of its agents.

Each agent of a machine has a range of its own: two tasks of one user could end each other and read
each other's files. Who has which is written down in a file of the machine, and stays so while the
work directory is there, since tasks and files outlive the agent.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from pymesos_agent.core.uids import UidRange
from pymesos_core.directories import disk_problem
from pymesos_core.exits import RoleError
from pymesos_core.text import os_problem, quoted

CLAIMS = Path("/var/lib/pymesos/task-uids")
ETC = Path("/etc")
PROC = Path("/proc")
# What systemd leaves to nobody, above what directory services make ids of:
# https://systemd.io/UIDS-GIDS
FIRST, END = 2_100_000_000, 2_147_352_576
COUNT = 65_536
LEAST_COUNT = 16_384  # more than an agent's tasks and the sandboxes that it keeps
HIGHEST = 2**31
LEAST_BASE = 65_536
INSTEAD = "give others with --task-uids BASE:COUNT, or `none` to run such tasks as root"


def read_task_uids(written: str) -> UidRange:
    """`2100000000:65536`, or `none`, an empty range. Raises ValueError."""
    if written == "none":
        return UidRange(0, 0)
    base, colon, count = written.partition(":")
    if not colon or not all(part.isascii() and part.isdigit() for part in (base, count)):
        raise ValueError(f"{quoted(written)} is given, and BASE:COUNT or `none` is expected")
    given = UidRange(int(base), int(count))
    if given.base < LEAST_BASE or given.end > HIGHEST or given.count < LEAST_COUNT:
        raise ValueError(
            f"{quoted(written)} is given; at least {LEAST_COUNT} ids from {LEAST_BASE} to"
            f" {HIGHEST - 1} are expected"
        )
    return given


def claim(work_dir: Path, wanted: UidRange | None, namespaces: UidRange | None) -> UidRange:
    """The range of an agent of root, from now on: what it wants, what it has, or the first that
    is free. `namespaces` are the ids of its user namespaces. Raises RoleError.
    """
    with _claims() as file:
        claims = dict(_read(file))
        mine = claims.pop(work_dir, None)
        taken = [(f"the agent in {path}", given) for path, given in claims.items()]
        taken += _of_the_machine()
        if namespaces is not None:
            taken.append(("--user-namespace-base", namespaces))
        given = wanted or mine or _first_free([each for _, each in taken])
        for whose, each in taken:
            if _overlap(given, each):
                raise RoleError(
                    f"the users {given.base} to {given.end - 1}, which are to be given to tasks,"
                    f" overlap with those of {whose} ({each}): {INSTEAD}"
                )
        _check_there(given)
        if given != mine:
            _write(file, claims | {work_dir: given})
        return given


def check_passable(work_dir: Path) -> None:
    """Whether other users than root get to their sandboxes. Raises RoleError."""
    for folder in work_dir.parents:
        if not folder.stat().st_mode & 0o001:
            raise RoleError(
                f"tasks are to run as other users than root (--task-uids), who may not pass through"
                f" {folder}: chmod o+x, or give another --work-dir"
            )


@contextlib.contextmanager
def _claims() -> Iterator[IO[str]]:
    """The file, for this process alone. Raises RoleError."""
    try:
        CLAIMS.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        opened = os.open(CLAIMS, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(opened, "r+", encoding="utf-8", errors="surrogateescape") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
    except OSError as error:
        why = disk_problem(error) or os_problem(error)
        raise RoleError(
            f"{CLAIMS}, which says which users the tasks of this machine's agents are given, cannot"
            f" be used: {why}"
        ) from error


def _read(file: IO[str]) -> Iterator[tuple[Path, UidRange]]:
    """What is claimed by agents whose work directory is there."""
    for line in file:
        written, _, path = line.rstrip("\n").partition(" ")
        with contextlib.suppress(ValueError):
            if Path(path).is_dir():
                yield Path(path), read_task_uids(written)


def _write(file: IO[str], claims: dict[Path, UidRange]) -> None:
    lines = [f"{given} {path}\n" for path, given in claims.items() if "\n" not in str(path)]
    file.seek(0)
    file.truncate()
    file.writelines(lines)
    file.flush()
    os.fsync(file.fileno())


def _of_the_machine() -> Iterator[tuple[str, UidRange]]:
    """The users and groups of the machine, and what it has set aside for containers."""
    for name in ("passwd", "group"):
        for fields in _lines(name):
            if len(fields) > 2 and fields[2].isdigit():
                yield f"{fields[0]} in {ETC / name}", UidRange(int(fields[2]), 1)
    for name in ("subuid", "subgid"):
        for fields in _lines(name):
            if len(fields) == 3 and fields[1].isdigit() and fields[2].isdigit():
                yield f"{fields[0]} in {ETC / name}", UidRange(int(fields[1]), int(fields[2]))


def _lines(name: str) -> Iterator[list[str]]:
    with contextlib.suppress(FileNotFoundError), (ETC / name).open(errors="replace") as lines:
        yield from (line.strip().split(":") for line in lines)


def _first_free(taken: list[UidRange]) -> UidRange:
    """Raises RoleError."""
    running = {entry.stat().st_uid for entry in _processes()}
    for base in range(FIRST, END - COUNT + 1, COUNT):
        given = UidRange(base, COUNT)
        if not any(_overlap(given, each) for each in taken) and not any(
            uid in given for uid in running
        ):
            return given
    raise RoleError(f"no {COUNT} users from {FIRST} on are free to be given to tasks: {INSTEAD}")


def _processes() -> Iterator[os.DirEntry[str]]:
    """The processes of the machine: what is left of an agent that was deleted may run still."""
    with os.scandir(PROC) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                if entry.name.isdigit() and entry.stat():
                    yield entry


def _overlap(one: UidRange, other: UidRange) -> bool:
    return one.base < other.end and other.base < one.end


def _check_there(given: UidRange) -> None:
    """In a user namespace not all ids are there. Raises RoleError."""
    for name in ("uid_map", "gid_map"):
        extents = [tuple(map(int, line.split())) for line in _map(name)]
        if extents and not any(
            first <= given.base and given.end <= first + count for first, _, count in extents
        ):
            raise RoleError(
                f"this machine is a user namespace without the users {given.base} to"
                f" {given.end - 1}, which are to be given to tasks ({PROC}/self/{name}): {INSTEAD}"
            )


def _map(name: str) -> list[str]:
    try:
        return (PROC / "self" / name).read_text("ascii").splitlines()
    except FileNotFoundError:
        return []  # a kernel without user namespaces
