"""The keeper of a container that no cgroup holds together: the parent of all that it leaves behind.

A fork of the supervisor, a child subreaper (prctl(2)). The standard library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal

from pymesos_agent.supervision.procfs import children

TYPE_CHECKING = False  # as in typing, without its import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

PR_SET_NAME = 15
PR_SET_CHILD_SUBREAPER = 36
KEEPER_NAME = b"pymesos-keeper"


def become_subreaper() -> None:
    """Be the parent of what any descendant leaves behind. Raises OSError."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)


# By which the container is asked to end: its keeper ends with it.
NOT_HEEDED = (
    signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2,
)  # fmt: skip


def prctl(option: int, argument: int | bytes) -> None:
    """See prctl(2). Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, argument, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def keep(turn_into: Callable[[], NoReturn], error_fd: int, own_uid: int = 0) -> NoReturn:
    """In a fork: be the keeper of what turns into a container's main process.

    Into `error_fd` goes the pid of that, in a line, before what the fork says. `own_uid` is the
    user of the container, if no other has it.
    """
    status = 127 << 8
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number in NOT_HEEDED:
            signal.signal(number, signal.SIG_IGN)
        for name in os.listdir("/proc/self/fd"):
            # Least of all the lock and the socket, which the next supervisor wants.
            if int(name) > 2 and int(name) != error_fd:
                with contextlib.suppress(OSError):
                    os.close(int(name))
        become_subreaper()
        prctl(PR_SET_NAME, KEEPER_NAME)
        main = os.fork()
        if main == 0:
            os.write(error_fd, b"%d\n" % os.getpid())
            turn_into()
        os.close(error_fd)
        status = reap(main)
        if own_uid:
            end_all_of(own_uid)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.write(error_fd, f"cannot keep it: {error}".encode("utf-8", "backslashreplace"))
    end_as(status)


def reap(main: int) -> int:
    """Wait for the main process, then kill all that is left below us; the status of the first."""
    status = None
    while True:
        try:
            pid, ended = os.waitpid(-1, 0)
        except ChildProcessError:
            assert status is not None
            return status
        if pid == main:
            status = ended
        if status is not None:
            for left in children():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(left, signal.SIGKILL)


def end_all_of(uid: int) -> None:
    """Kill every process of a user: the kernel finds them, however fast they fork.

    This process is that user's from now on, so that it reaches nobody else. Raises OSError.
    """
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)


def end_as(status: int) -> NoReturn:
    """End in the way that a status of waitpid says."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(OSError):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code if code >= 0 else 128 - code)
