"""Where a role keeps what must survive it, unless it is told, and what is wrong with that place."""

from __future__ import annotations

import errno
import os
from pathlib import Path

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
NOT_OURS = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP}
)
MAKE_ROOM = (
    "make room on its file system, and start again what has ended for it: nothing that was"
    " acknowledged is lost"
)
GIVE_ACCESS = "have it belong to the user that this runs as, or name another directory"


def default_directory(role: str) -> Path:
    """/var/lib/pymesos/ROLE for root, else below $XDG_STATE_HOME (~/.local/state).

    Raises ValueError where the user has no home folder.
    """
    if os.geteuid() == 0:
        return Path("/var/lib/pymesos") / role
    if state := os.environ.get("XDG_STATE_HOME"):
        return Path(state) / "pymesos" / role
    try:
        return Path.home() / ".local" / "state" / "pymesos" / role
    except RuntimeError as error:
        raise ValueError(
            "this user has no home folder, and no directory is named: name one, or the folder of"
            " all of them with XDG_STATE_HOME"
        ) from error


def real_path(path: Path) -> Path:
    """Where a path leads; links that lead in a circle stay, for who opens it to refuse.

    `Path.resolve` raises RuntimeError for them. A path is as it is, too, where the directory that
    it starts from was removed.
    """
    try:
        return Path(os.path.realpath(path))
    except FileNotFoundError:  # there is no such directory as this one any more
        return path


def disk_problem(error: OSError) -> str | None:
    """A sentence for what only the owner of a disk can mend, naming the path; None for the rest."""
    if error.errno not in FULL | NOT_OURS:
        return None
    advice = MAKE_ROOM if error.errno in FULL else GIVE_ACCESS
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror}; {advice}"
