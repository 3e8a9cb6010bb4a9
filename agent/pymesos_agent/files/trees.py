"""Folders of any depth, seen and removed: no recursion, no path, no descriptor for each level.

A task may make folders ten thousand deep, whose path no call of the kernel takes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
MAX_OPEN = 64  # levels that are open at a time


def remove_tree(path: Path) -> None:
    """A folder with all below it; one that is not there is no error. Blocks.

    Several may remove the same at a time. What is mounted in it stays. Raises OSError for the
    first thing that stays, after the rest has been removed.
    """
    try:
        parent = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        remove_at(parent, path.name)
    finally:
        os.close(parent)


def try_remove_tree(path: Path) -> None:
    """As `remove_tree`; what cannot be removed stays without a word."""
    with contextlib.suppress(OSError):
        remove_tree(path)


def try_remove_files(folder: str, names: Iterable[str]) -> None:
    """A folder that nobody else changes, with the files that are usually in it, and as
    `try_remove_tree` with all else: what is made and removed for each container goes without more.
    """
    try:
        os.rmdir(folder)  # noqa: PTH106
        return
    except FileNotFoundError:
        return
    except OSError:
        pass
    for name in names:
        with contextlib.suppress(OSError):
            os.unlink(f"{folder}/{name}")  # noqa: PTH108
    try:
        os.rmdir(folder)  # noqa: PTH106
    except OSError:
        try_remove_tree(Path(folder))


def remove_at(parent: int, name: str) -> None:
    """What is called so in a folder, whatever it is; see `remove_tree`. Raises OSError."""
    try:
        os.unlink(name, dir_fd=parent)
        return
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError) as error:
        refused = error
    try:
        top = _opened(name, parent)
    except NotADirectoryError:
        raise refused from None
    except FileNotFoundError:
        return
    try:
        _Emptying(top).run()
    finally:
        os.close(top)
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(name, dir_fd=parent)


class _Emptying:
    """Everything in one folder is removed. What is too deep is moved to the top first, where it is
    not deep any more."""

    def __init__(self, top: int) -> None:
        self._top = top
        self._device = os.fstat(top).st_dev
        self._problem: OSError | None = None
        # Of each level: its descriptor, its name in the one before, the folders in it yet to see.
        self._levels = [(top, "", self._without_files(top))]

    def run(self) -> None:
        """Raises OSError for the first thing that stays."""
        while self._levels:
            folder, name, waiting = self._levels[-1]
            try:
                if waiting:
                    self._descend(folder, waiting.pop())
                    continue
                self._levels.pop()
                if self._levels:
                    os.close(folder)
                    os.rmdir(name, dir_fd=self._levels[-1][0])
            except FileNotFoundError:
                continue  # somebody else has removed it meanwhile
            except OSError as error:
                self._problem = self._problem or error
        if self._problem is not None:
            raise self._problem

    def _descend(self, folder: int, name: str) -> None:
        if len(self._levels) == MAX_OPEN:
            moved = f".{uuid.uuid4().hex}"
            os.rename(name, moved, src_dir_fd=folder, dst_dir_fd=self._top)
            self._levels[0][2].append(moved)
            return
        below = _opened(name, folder)
        is_ours = os.fstat(below).st_dev == self._device  # else it is mounted there
        self._levels.append((below, name, self._without_files(below) if is_ours else []))

    def _without_files(self, folder: int) -> list[str]:
        """The folders in one, of which everything else is removed."""
        folders: list[str] = []
        status = os.fstat(folder)
        try:
            if status.st_mode & 0o700 != 0o700 and status.st_uid == os.geteuid():
                os.fchmod(folder, 0o700)
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.name)
                        continue
                    try:
                        os.unlink(entry.name, dir_fd=folder)
                    except FileNotFoundError:
                        continue
                    except OSError as error:
                        self._problem = self._problem or error
        except OSError as error:
            self._problem = self._problem or error
        return folders


def _opened(name: str, parent: int) -> int:
    """A folder, also one that its owner may not read, as long as that is us. Raises OSError."""
    try:
        return os.open(name, FOLDER, dir_fd=parent)
    except PermissionError:
        held = os.open(name, FOLDER | os.O_PATH, dir_fd=parent)
        try:
            os.chmod(f"/proc/self/fd/{held}", 0o700)  # noqa: PTH101 - by its descriptor
        finally:
            os.close(held)
        return os.open(name, FOLDER, dir_fd=parent)


See = Callable[[int, str, os.stat_result], None]
Errors = tuple[type[OSError], ...]


def see_below(top: int, see: See, *, all_of_it: bool = False) -> None:
    """Tell of all below a folder, on its file system: the folder that it is in, its name there, and
    what lstat says of it. Links are not followed.

    A level is left by "..", so that it costs no descriptor. Where that leads elsewhere, because
    somebody moved a folder meanwhile, the rest of its branch is not seen this time.

    With `all_of_it` what cannot be seen, or told of, is not passed over: it raises OSError.
    """
    passed_over: Errors = () if all_of_it else (OSError,)
    device = os.fstat(top).st_dev
    folder = os.dup(top)
    try:
        # Of each level: which folder it is, and the folders in it yet to see.
        levels = [(_identity(folder), _look(folder, device, see, passed_over))]
        while levels:
            if waiting := levels[-1][1]:
                below = _entered(folder, waiting.pop(), passed_over)
                if below is not None:
                    os.close(folder)
                    folder = below
                    levels.append((_identity(folder), _look(folder, device, see, passed_over)))
                continue
            levels.pop()
            if levels:
                above = _entered(folder, "..", passed_over)
                if above is not None and _identity(above) != levels[-1][0]:
                    os.close(above)
                    above = None
                    if all_of_it:
                        raise OSError(errno.EBUSY, "a folder was moved meanwhile")
                if above is None:
                    del levels[1:]
                    above = os.dup(top)
                os.close(folder)
                folder = above
    finally:
        os.close(folder)


def _look(folder: int, device: int, see: See, passed_over: Errors) -> list[str]:
    """Tell of all that is in a folder; the names of the folders among it."""
    inner: list[str] = []
    with contextlib.suppress(*passed_over):
        if os.fstat(folder).st_dev != device:
            return inner  # it was mounted while we looked
        with os.scandir(folder) as entries:
            for entry in entries:
                with contextlib.suppress(*passed_over):  # it went while we looked
                    status = entry.stat(follow_symlinks=False)
                    if status.st_dev == device:
                        see(folder, entry.name, status)
                        if stat.S_ISDIR(status.st_mode):
                            inner.append(entry.name)
    return inner


def _entered(folder: int, name: str, passed_over: Errors) -> int | None:
    with contextlib.suppress(*passed_over):
        return os.open(name, FOLDER, dir_fd=folder)
    return None


def _identity(folder: int) -> tuple[int, int]:
    status = os.fstat(folder)
    return status.st_dev, status.st_ino
