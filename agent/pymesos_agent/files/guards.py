"""A guard is the folder around what a task writes: the machine's users do not get past it.

Root of a container may leave set-uid programs in its sandbox and its volumes, which are files of
the machine, and open these to everybody. The guard stays root's: mode 0700, and an access control
list that names who else passes through, since a task without a root file system of its own goes to
its sandbox by its path. Guards have a folder of their own, `guarded/`, where nothing else is, for a
name may be anything. What was made before there were guards stays where it is.
"""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path

GUARDED = Path("guarded")  # below the work directory
ACCESS = "system.posix_acl_access"
VERSION = 2
OWNER, USER, GROUP, MASK, OTHERS = 0x01, 0x02, 0x04, 0x10, 0x20  # kinds of entries
NOBODY_IN_PARTICULAR = 0xFFFFFFFF
PASS = 1  # as in --x
HEADER, ENTRY = struct.Struct("<I"), struct.Struct("<HHI")


def guarded(work_dir: Path, folder: Path, name: str) -> Path:
    """Where what is called so is, or is to be, of a folder of the work directory; its parent is its
    guard, unless it is one from before there were any.
    """
    guard = f"{work_dir}/{GUARDED}/{folder}/{name}"  # each launch comes here: without pathlib
    if not os.path.exists(guard):  # noqa: PTH110
        before = f"{work_dir}/{folder}/{name}"
        if os.path.isdir(before) and not os.path.islink(before):  # noqa: PTH112, PTH114
            return Path(before)
    return Path(f"{guard}/{name}")


def make_guard(guard: Path) -> bool:
    """Make one that lets nobody but root, or the agent's own user, through; whether it is new.

    What it is in, if that is missing, is passed through and not listed. Raises OSError.
    """
    try:
        os.mkdir(guard, 0o700)  # noqa: PTH102
    except FileExistsError:
        guard.mkdir(mode=0o700, exist_ok=True)  # which raises for what is no folder
        return False
    except FileNotFoundError:
        for folder in reversed([parent for parent in guard.parents if not parent.exists()]):
            folder.mkdir(mode=0o711, exist_ok=True)
        guard.mkdir(mode=0o700, exist_ok=True)
    return True


def let_pass(guard: Path, uid: int, *, new: bool = False) -> None:
    """Let one more user through; everybody, where the file system has no such lists.

    Of a `new` one, which was made just now, it is known whom it lets through. Raises OSError.
    """
    mode, owner = 0o700, os.geteuid()
    if not new:
        status = guard.stat()
        mode, owner = status.st_mode, status.st_uid
    if uid == owner or mode & PASS:
        return
    try:
        others = set[int]() if new else _users(guard)
        _let_only(guard, others | {uid}, mode)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        guard.chmod(0o711)


def stop_at(guard: Path, uid: int) -> None:
    """Let a user through no more. Raises OSError."""
    try:
        if uid in (users := _users(guard)):
            _let_only(guard, users - {uid}, guard.stat().st_mode)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise


def close_guard(guard: Path) -> None:
    """Let nobody through any more but root, or the agent's own user. Raises OSError."""
    try:
        os.removexattr(guard, ACCESS)
    except OSError as error:
        if error.errno not in (errno.ENODATA, errno.EOPNOTSUPP):
            raise
    guard.chmod(0o700)


def _let_only(guard: Path, users: set[int], mode: int) -> None:
    """Raises OSError."""
    entries = [
        (OWNER, mode >> 6 & 7, NOBODY_IN_PARTICULAR),
        *((USER, PASS, each) for each in sorted(users)),
        (GROUP, 0, NOBODY_IN_PARTICULAR),
        (MASK, PASS, NOBODY_IN_PARTICULAR),
        (OTHERS, mode & 7, NOBODY_IN_PARTICULAR),
    ]
    packed = HEADER.pack(VERSION) + b"".join(ENTRY.pack(*entry) for entry in entries)
    os.setxattr(guard, ACCESS, packed)


def _users(guard: Path) -> set[int]:
    try:
        packed = os.getxattr(guard, ACCESS)
    except OSError as error:
        if error.errno == errno.ENODATA:
            return set()
        raise
    entries = ENTRY.iter_unpack(packed[HEADER.size :])
    return {who for kind, _, who in entries if kind == USER}
