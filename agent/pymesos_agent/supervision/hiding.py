"""Hides paths from processes of tasks that have the agent's own user, and could read all it can.

Root gives each task another user. Who is not root can still have the kernel hide paths from a
process and all that it starts, in one of two ways, of which the first that works is taken:

    namespaces   A user and a mount namespace of its own, with an empty folder over each path. No
                 process outside, as the agent, can be traced or looked into from there.
    landlock     Rules that allow what is not hidden, since there are none that deny. So nothing can
                 be read or written that is made later in the folders that a hidden path is in.

Either way a process never gets more rights than it has (`no_new_privs`), with which it could undo
that. Run as a program, it says which way works here. The standard library only.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys

TYPE_CHECKING = False  # as in typing, without its import
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    # {"way": …, "paths": [(path, device, inode)…], "but": [path…]}; all are real paths.
    Path = tuple[str, int, int]
    Hidden = dict[str, Any]

NAMESPACES, LANDLOCK = "namespaces", "landlock"
# Of <sched.h>, <sys/mount.h>, <sys/prctl.h> and <linux/landlock.h>.
CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_SLAVE = 32, 4096, 16384, 1 << 19
TMPFS = "size=1m,mode=711"
EMPTY = MS_NOSUID | MS_NODEV | MS_NOEXEC
PR_SET_NO_NEW_PRIVS = 38
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # numbers of system calls
ASK_VERSION, PATH_BENEATH = 1, 1
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REFER, TRUNCATE = 1 << 13, 1 << 14  # of versions 2 and 3
OF_VERSION_1 = (1 << 13) - 1
OF_FILES = WRITE_FILE | READ_FILE | TRUNCATE

_libc = ctypes.CDLL(None, use_errno=True)


def hide(hidden: Hidden) -> None:
    """Hide paths from this process and all that it starts. Raises OSError.

    Each path has to be what it was: a task that may rename a folder above one could put another
    in its place, and the next task would see what is hidden elsewhere.
    """
    paths = [path for path, _, _ in hidden["paths"]]
    but = [path for path in hidden["but"] if _is_below(path, paths)]
    if hidden["way"] == NAMESPACES:
        _in_namespaces(hidden["paths"], but)
    else:
        _by_landlock(hidden["paths"], but)


def identify(paths: Iterable[str]) -> list[Path]:
    """What `hide` is told of folders: none of them in another. Raises OSError."""
    found: list[Path] = []
    for path in sorted(map(os.path.realpath, paths)):
        if not _is_below(path, [each for each, _, _ in found]):
            status = os.stat(path)
            found.append((path, status.st_dev, status.st_ino))
    return found


def _opened(path: Path) -> int:
    """The folder, as it was. Raises OSError."""
    name, device, inode = path
    folder = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    status = os.fstat(folder)
    if (status.st_dev, status.st_ino) != (device, inode):
        raise OSError(errno.ESTALE, f"{name} was replaced, so it cannot be hidden any more")
    return folder


def _in_namespaces(paths: list[Path], but: list[str]) -> None:
    uid, gid = os.geteuid(), os.getegid()
    _check(_libc.unshare(CLONE_NEWUSER | CLONE_NEWNS), "unshare")
    for name, line in (
        ("setgroups", "deny"),  # without which nobody but root may map a group
        ("uid_map", f"{uid} {uid} 1"),
        ("gid_map", f"{gid} {gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(line)
    _mount(None, "/", None, MS_SLAVE | MS_REC, None)  # what is mounted here stays here
    shown = [os.open(path, os.O_PATH | os.O_CLOEXEC) for path in but]
    for path in paths:
        folder = _opened(path)
        _mount("none", f"/proc/self/fd/{folder}", "tmpfs", EMPTY, TMPFS)
        os.close(folder)
    for name, folder in zip(but, shown, strict=True):
        os.makedirs(name, 0o711, exist_ok=True)
        _mount(f"/proc/self/fd/{folder}", name, None, MS_BIND | MS_REC, None)
        os.close(folder)
    for name, _, _ in paths:
        _mount("none", name, None, MS_REMOUNT | MS_RDONLY | EMPTY, TMPFS)
    never_more_rights()


def _by_landlock(paths: list[Path], but: list[str]) -> None:
    version = _libc.syscall(CREATE_RULESET, None, 0, ASK_VERSION)
    _check(version, "landlock_create_ruleset")
    handled = OF_VERSION_1 & ~(EXECUTE | READ_DIR)
    handled |= (REFER if version >= 2 else 0) | (TRUNCATE if version >= 3 else 0)
    rules = _libc.syscall(CREATE_RULESET, ctypes.byref(ctypes.c_uint64(handled)), 8, 0)
    _check(rules, "landlock_create_ruleset")
    for path in paths:
        os.close(_opened(path))
    for name in (*_beside("/", [name for name, _, _ in paths]), *but):
        _allow(rules, name, handled)
    never_more_rights()
    _check(_libc.syscall(RESTRICT_SELF, rules, 0), "landlock_restrict_self")
    os.close(rules)


def _allow(rules: int, name: str, handled: int) -> None:
    try:
        found = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return  # it has just gone, or is nobody's to open
    kind = os.fstat(found).st_mode
    if not stat.S_ISLNK(kind):  # what that leads to is allowed, or hidden, where it is
        allowed = handled if stat.S_ISDIR(kind) else handled & OF_FILES
        rule = allowed.to_bytes(8, sys.byteorder) + found.to_bytes(4, sys.byteorder)
        _check(_libc.syscall(ADD_RULE, rules, PATH_BENEATH, rule, 0), f"landlock_add_rule {name}")
    os.close(found)


def _beside(folder: str, paths: list[str]) -> Iterator[str]:
    """The paths in a folder, and in those that lead to `paths`, which are not among them."""
    try:
        names = os.listdir(folder)
    except OSError:
        return  # so nothing of it is allowed
    for name in names:
        path = os.path.join(folder, name)
        if path in paths:
            continue
        if any(each.startswith(f"{path}/") for each in paths):
            yield from _beside(path, paths)
        else:
            yield path


def _is_below(path: str, folders: list[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def never_more_rights() -> None:
    """Whatever this process executes, no set-uid program raises its rights. Raises OSError."""
    _check(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None) -> None:
    words = [word and os.fsencode(word) for word in (source, target, kind)]
    _check(_libc.mount(*words, ctypes.c_ulong(flags), data and data.encode()), f"mount {target}")


def _check(result: int, what: str) -> None:
    """Raises OSError for a call that has failed."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{os.strerror(number)} ({what})")


def way_here() -> str:
    """The first way that works for this user; empty for none. Threads may call it."""
    import subprocess

    argv = (sys.executable, "-I", "-S", __file__)
    done = subprocess.run(argv, capture_output=True, stdin=subprocess.DEVNULL, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def find_way() -> str:
    """The same, by trying each in a fork of this process."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="pymesos-hidden-") as made:
        folder = os.path.realpath(made)
        for name in ("hidden", "shown"):
            os.mkdir(f"{folder}/{name}")
            with open(f"{folder}/{name}/file", "w") as file:
                file.write(name)
        return next((name for name in (NAMESPACES, LANDLOCK) if _works(name, folder)), "")


def _works(name: str, folder: str) -> bool:
    child = os.fork()
    if child == 0:
        try:
            hide({"way": name, "paths": identify([f"{folder}/hidden"]), "but": []})
            with open(f"{folder}/shown/file", "a+"):
                os._exit(1 if _can_read(f"{folder}/hidden/file") else 0)
        except BaseException:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def _can_read(path: str) -> bool:
    try:
        with open(path) as file:
            return bool(file.read())
    except OSError:
        return False


if __name__ == "__main__":
    print(find_way())
