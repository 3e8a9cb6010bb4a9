"""The file of a backup is written: for its owner alone, and there as a whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import tempfile
from pathlib import Path

from pymesos_cli.backup.records import Backup, BackupError, lines_of
from pymesos_cli.errors import EXIT_USAGE, CliError
from pymesos_cli.output import note
from pymesos_core.text import quoted

STDOUT = "-"
INCOMPLETE = ".incomplete"  # ends the name of a backup in which something is missing


def check_target(file: str, *, force: bool) -> None:
    """Raises CliError where a backup of this name cannot be written, or would destroy something."""
    if file == STDOUT:
        return
    try:
        kind = stat.S_IFMT(os.lstat(file).st_mode)
    except FileNotFoundError:
        _check_folder(file)
        return
    except OSError as error:
        raise _cannot_write(file, error) from error
    if kind == stat.S_IFDIR:
        raise _unfit(file, "is a folder: name a file in it")
    if kind == stat.S_IFLNK:
        raise _unfit(file, "is a link, which a backup would replace: name the file itself")
    if kind != stat.S_IFREG:
        raise _unfit(file, "is no regular file: name one, or - for standard output")
    if not force:
        raise _exists(file)


def check_incomplete(file: str) -> None:
    """Raises CliError where what is there cannot give way to an incomplete backup of this name."""
    try:
        kind = stat.S_IFMT(os.lstat(file + INCOMPLETE).st_mode)
    except OSError:  # it is not there; of anything else the writing tells
        return
    if kind != stat.S_IFREG:
        raise _unfit(
            file,
            f"with {INCOMPLETE} at its end names what is no regular file, so nothing could be kept"
            f" there: move that away, or give another name",
        )


def remove_incomplete(file: str) -> None:
    """Remove what an earlier backup of this name has left in which something was missing."""
    path = Path(file + INCOMPLETE)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        why = error.strerror or error
        note(f"{quoted(str(path))} is of an earlier backup, and cannot be removed: {why}")


def _check_folder(file: str) -> None:
    """Raises CliError where there is no folder in which a new file could be."""
    folder = Path(file).parent
    if file.endswith("/"):
        raise _unfit(file, "is the name of a folder: name a file in it")
    if not folder.is_dir():
        raise _unfit(str(folder), "is no folder that is there: make it, or give another name")


def _unfit(file: str, why: str) -> CliError:
    return CliError(f"{quoted(file)} {why}", EXIT_USAGE)


def _exists(file: str) -> CliError:
    return _unfit(file, "is there already, and is not overwritten: give another name, or --force")


def _cannot_write(file: str, error: OSError) -> CliError:
    """Say it of the name that was given, whichever file the error is about."""
    return CliError(f"the backup cannot be written to {quoted(file)}: {error.strerror or error}")


def write_file(backup: Backup, file: str, *, force: bool) -> int:
    """Write a backup to a file, or to standard output; its size. Raises CliError."""
    try:
        if file == STDOUT:
            return sum(sys.stdout.buffer.write(line) for line in lines_of(backup))
        check_target(file, force=force)
        return _put(backup, Path(file), force=force)
    except BackupError as error:
        raise CliError(f"the backup would not be one that can be restored: {error}") from error
    except FileExistsError as error:
        raise _exists(file) from error
    except OSError as error:
        raise _cannot_write(file, error) from error


def _put(backup: Backup, path: Path, *, force: bool) -> int:
    handle, name = tempfile.mkstemp(prefix=".pymesos-", dir=path.parent)  # 0600
    try:
        with os.fdopen(handle, "wb") as stream:
            size = sum(stream.write(line) for line in lines_of(backup))
            stream.flush()
            os.fsync(stream.fileno())
        if force:
            check_target(str(path), force=True)  # it may be another thing by now
            Path(name).replace(path)
        else:
            path.hardlink_to(name)  # which fails if somebody was quicker
    finally:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
    return size
