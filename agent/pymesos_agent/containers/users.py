"""Who a container runs as: `user`, `uid`, `user:group`, as the image's own files know them, or the
machine for a container without an image."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

MAX_FILE_BYTES = 1024 * 1024
MAX_ID = 2**31

T = TypeVar("T")


class UserError(LookupError):
    """The user is not known: the message says where it was looked for."""


@dataclass(frozen=True)
class User:
    """Ids in the container, which are those of the machine."""

    uid: int
    gid: int
    more_gids: tuple[int, ...] = ()


Read = Callable[[str], str]  # "passwd" or "group": what that file in the image's /etc says


def resolve(text: str, read: Read) -> User:
    """A number is an id, whatever has it as its name. Raises UserError."""
    name, _, group = text.partition(":")
    name = name or "0"
    written = read("passwd")
    if [line.strip().partition(":")[0] for line in written.splitlines()].count(name) > 1:
        # An engine reads lines that are none here, and may take the other.
        raise UserError(f"the image has several users {name[:100]!r} in its /etc/passwd")
    passwd = _records(written, 7)
    groups = _records(read("group"), 4)
    column = 2 if is_id(name) else 0
    entry = next((r for r in passwd if r[column] == name), None)
    if entry is None and not is_id(name):
        raise UserError(f"the image has no user {name!r} in its /etc/passwd")
    uid = int(entry[2]) if entry else int(name)
    gid = int(entry[3]) if entry else 0
    if group:
        found = next((r for r in groups if group in (r[0], r[2])), None)
        if found is None and not is_id(group):
            raise UserError(f"the image has no group {group!r} in its /etc/group")
        gid = int(found[2]) if found else int(group)
    _check(text, uid, gid)
    more = [int(r[2]) for r in groups if entry and not group and entry[0] in r[3].split(",")]
    return User(uid, gid, tuple(g for g in more if g != gid))


def on_machine(text: str) -> User:
    """The same of this machine's users and groups. Raises UserError.

    Ours: one that has no entry, and names no group, has the group of its own number. That of an
    image has root's, as in Docker; root's group of the machine is not for everybody.
    """
    name, _, group = text.partition(":")
    entry = _entry(name, pwd.getpwnam, pwd.getpwuid)
    if entry is None and not is_id(name):
        raise UserError(f"there is no user {name[:100]!r} on this machine")
    uid = entry.pw_uid if entry else int(name)
    gid = entry.pw_gid if entry else uid
    if group:
        found = _entry(group, grp.getgrnam, grp.getgrgid)
        if found is None and not is_id(group):
            raise UserError(f"there is no group {group[:100]!r} on this machine")
        gid = found.gr_gid if found else int(group)
    _check(text, uid, gid)
    more = os.getgrouplist(entry.pw_name, gid) if entry and not group else []
    return User(uid, gid, tuple(g for g in more if g != gid))


def own_name() -> str:
    """The name of the agent's own user; the user's id where it has no name."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def is_own(text: str) -> bool:
    """Whether it names the agent's own user, and no group."""
    return text in (own_name(), str(os.geteuid()))


def _entry(text: str, by_name: Callable[[str], T], by_id: Callable[[int], T]) -> T | None:
    """A number is an id, whatever has it as its name."""
    with contextlib.suppress(KeyError, ValueError, OverflowError):  # ValueError: a NUL character
        return by_id(int(text)) if is_id(text) else by_name(text)
    return None


def is_id(text: str) -> bool:
    """Whether it is a number, and may be an id."""
    return text.isascii() and text.isdigit() and len(text) <= 10


def _check(text: str, uid: int, gid: int) -> None:
    if max(uid, gid) > MAX_ID:
        raise UserError(f"the user {text[:100]!r} has an id out of range: at most {MAX_ID}")
    name = text.partition(":")[0]
    if uid == 0 and name not in ("", "root") and not is_id(name):
        # The master's policy goes by the name, and an image may give it any id.
        raise UserError(f"the user {text[:100]!r} has the id 0: name root if that is meant")


def _records(text: str, fields: int) -> list[list[str]]:
    records = [line.split(":") for line in text.splitlines()]
    ids = (2, 3) if fields == 7 else (2,)
    return [r for r in records if len(r) == fields and all(is_id(r[i]) for i in ids)]


def read_layers(layers: Sequence[Path], name: str) -> str:
    """From the uppermost layer that has it; links are not followed."""
    for layer in layers:
        try:
            folder = os.open(layer / "etc", os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        except OSError:
            continue
        finally:
            os.close(folder)
        with os.fdopen(file, "rb") as opened:
            if stat.S_ISREG(os.fstat(file).st_mode):
                return opened.read(MAX_FILE_BYTES).decode("utf-8", "replace")
    return ""
