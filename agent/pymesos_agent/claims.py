"""Which users of a machine are given to tasks, and by which of its agents.

Each agent of a machine has a range of its own: two tasks of one user could end each other and read
each other's files. Who has which is written down in a file of the machine, and stays so while the
work directory is there, since tasks and files outlive the agent. An agent that is given another
range keeps the one before for as long as it holds users of it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from pymesos_agent.core.uids import UidRange
from pymesos_core.directories import disk_problem
from pymesos_core.exits import RoleError
from pymesos_core.numbers import NumberSyntaxError, parse_whole
from pymesos_core.security.issuing import replace_file
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
    base, _, count = written.partition(":")
    try:
        given = UidRange(parse_whole(base), parse_whole(count))
    except NumberSyntaxError as error:
        raise ValueError(
            f"{quoted(written)} is given, and BASE:COUNT or `none` is expected"
        ) from error
    if given.base < LEAST_BASE or given.end > HIGHEST or given.count < LEAST_COUNT:
        raise ValueError(
            f"{quoted(written)} is given; at least {LEAST_COUNT} ids from {LEAST_BASE} to"
            f" {HIGHEST - 1} are expected"
        )
    return given


def claim(
    work_dir: Path,
    wanted: UidRange | None,
    namespaces: UidRange | None,
    held: Collection[int] = (),
) -> UidRange:
    """The range of an agent of root, from now on: what it wants, what it has, or the first that
    is free. `namespaces` are the ids of its user namespaces; `held` are users that it has given:
    the ranges that they are of stay its own. Raises RoleError.
    """
    if "\n" in str(work_dir):
        raise RoleError(
            f"--work-dir: {quoted(str(work_dir))} has a line break in its name, and users cannot be"
            f" given to its tasks: rename it, or give --task-uids none"
        )
    with _alone():
        claims = _read()
        mine = [given for path, given in claims if path == work_dir]
        others = [(path, given) for path, given in claims if path != work_dir]
        taken = [*_of_the_machine()]
        if namespaces is not None:
            taken.append(("--user-namespace-base", namespaces))
        if wanted not in mine:
            taken += (each for each in _running() if not any(each[1].base in m for m in mine))
        has = mine[0] if mine else None  # the latest is the first
        given = wanted or has or _first_free(taken, others)
        if given is None:
            others = [(path, each) for path, each in others if path.exists()]
            given = _first_free(taken, others)
        if given is None:
            raise RoleError(
                f"no {COUNT} users from {FIRST} on are free to be given to tasks ({CLAIMS} says who"
                f" has them): {INSTEAD}"
            )
        taken += ((f"the agent in {path}", each) for path, each in others)
        for whose, each in taken:
            if _overlap(given, each):
                raise RoleError(
                    f"the users {given.base} to {given.end - 1}, which are to be given to tasks,"
                    f" overlap with those of {whose} ({each}): {INSTEAD}"
                )
        _check_there(given)
        kept = [each for each in mine if each != given and any(uid in each for uid in held)]
        claimed = [*others, *((work_dir, each) for each in (given, *kept))]
        if claimed != claims:
            _write(claimed)
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
def _alone() -> Iterator[None]:
    """Have the file for this process alone. Raises RoleError.

    Another is locked: each write puts a new file in the place of this one.
    """
    try:
        CLAIMS.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        lock = os.open(CLAIMS.with_suffix(".lock"), flags, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)
    except OSError as error:
        why = disk_problem(error) or os_problem(error)
        raise RoleError(
            f"{CLAIMS}, which says which users the tasks of this machine's agents are given, cannot"
            f" be used: {why}"
        ) from error


def _read() -> list[tuple[Path, UidRange]]:
    """What is claimed, and by the agents of which work directories. Raises OSError, RoleError."""
    try:
        text = CLAIMS.read_bytes().decode(errors="surrogateescape")
    except FileNotFoundError:
        return []
    claims = []
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else (), 1):
        written, _, path = line.partition(" ")
        try:
            given = read_task_uids(written)
        except ValueError:
            given = UidRange(0, 0)
        if not given.count or not path.startswith("/"):
            raise RoleError(
                f"line {number} of {CLAIMS} is {quoted(line)}, and BASE:COUNT and a work directory"
                f" are expected: mend it, or remove it if no agent has tasks with these users"
            )
        if not _is_deleted(Path(path)):
            claims.append((Path(path), given))
    return claims


def _is_deleted(work_dir: Path) -> bool:
    """If not even its parent is there, it may be on a disk that is not mounted yet.

    So its claim is kept, until no other range is free.
    """
    return not work_dir.exists() and work_dir.parent.is_dir()


def _write(claims: list[tuple[Path, UidRange]]) -> None:
    """Raises OSError."""
    lines = "".join(f"{given} {path}\n" for path, given in claims)
    replace_file(CLAIMS, lines.encode(errors="surrogateescape"))
    folder = os.open(CLAIMS.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


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


def _first_free(
    taken: list[tuple[str, UidRange]], claims: list[tuple[Path, UidRange]]
) -> UidRange | None:
    others = [*(each for _, each in taken), *(each for _, each in claims)]
    for base in range(FIRST, END - COUNT + 1, COUNT):
        given = UidRange(base, COUNT)
        if not any(_overlap(given, each) for each in others):
            return given
    return None


def _running() -> Iterator[tuple[str, UidRange]]:
    """The users of processes: what is left of an agent that was deleted may run still."""
    with os.scandir(PROC) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                if entry.name.isdigit():
                    yield f"the process {entry.name}", UidRange(entry.stat().st_uid, 1)


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
