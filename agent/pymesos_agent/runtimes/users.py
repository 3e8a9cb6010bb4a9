"""Who a container runs as: `user`, `uid`, `user:group`, as the image's own files know them."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

MAX_FILE_BYTES = 1024 * 1024


class UserError(Exception):
    """The user is not known: the message says where it was looked for."""


@dataclass(frozen=True)
class User:
    """Ids in the container, which are those of the machine."""

    uid: int
    gid: int
    more_gids: tuple[int, ...] = ()


Read = Callable[[str], str]  # "passwd" or "group": what that file in the image's /etc says


def resolve(text: str, read: Read) -> User:
    """Raises UserError."""
    name, _, group = text.partition(":")
    name = name or "0"
    passwd = _records(read("passwd"), 7)
    groups = _records(read("group"), 4)
    entry = next((r for r in passwd if name in (r[0], r[2])), None)
    if entry is None and not name.isdigit():
        raise UserError(f"the image has no user {name!r} in its /etc/passwd")
    uid = int(entry[2]) if entry else int(name)
    gid = int(entry[3]) if entry else 0
    if group:
        found = next((r for r in groups if group in (r[0], r[2])), None)
        if found is None and not group.isdigit():
            raise UserError(f"the image has no group {group!r} in its /etc/group")
        gid = int(found[2]) if found else int(group)
    if max(uid, gid) > 2**31:
        raise UserError(f"the user {text!r} has an id out of range")
    more = [int(r[2]) for r in groups if entry and not group and entry[0] in r[3].split(",")]
    return User(uid, gid, tuple(g for g in more if g != gid))


def _records(text: str, fields: int) -> list[list[str]]:
    records = [line.split(":") for line in text.splitlines()]
    ids = (2, 3) if fields == 7 else (2,)
    return [r for r in records if len(r) == fields and all(r[i].isdigit() for i in ids)]


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
