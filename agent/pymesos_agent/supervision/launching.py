"""How a container's first process is started: by the spawner, by a fork of ours, or by a helper.

A small compiled program forks in our place, where there is one: see spawning.py. Where there is
none, we fork ourselves; a container that no cgroup holds together has a keeper between us and its
main process: see keeping.py.

A launch with a `pid_file` is that of a helper (crun, runc), which makes the container and ends; the
container's first process is in the file, and becomes our child as the helper ends.

The standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import selectors
import signal

from pymesos_agent.supervision.becoming import become
from pymesos_agent.supervision.keeping import keep
from pymesos_agent.supervision.procfs import environment_id
from pymesos_agent.supervision.spawning import Spawner, request_of, unfinished

TYPE_CHECKING = False  # as in typing, without its import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from pymesos_agent.supervision.container import Container
    from pymesos_agent.supervision.reaping import Children

    Message = dict[str, Any]

NOT_EXECUTED = 127  # the status of what the spawner forks and could not make a program
PID_MAX = 2**31 - 1  # of pid_t
CHANGEABLE_SIGNALS = sorted(map(int, signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}))


class HelperError(Exception):
    """A helper that has made no container: the message says why."""


class Launcher:
    """Starts containers; what comes of it is told when the program executes, or cannot.

    While it is not known, the container has the launch pipe (`error_fd`): that closes as the
    program executes, and what comes through it says why it cannot.
    """

    def __init__(
        self,
        selector: selectors.BaseSelector,
        spawner: Spawner,
        children: Children,
        on_started: Callable[[Container], None],
        on_failed: Callable[[Container, str], None],
        kill: Callable[[Container, int], None],
    ) -> None:
        self._selector = selector
        self._spawner = spawner
        self._children = children
        self._on_started = on_started
        self._on_failed = on_failed
        self._kill = kill

    def launch(self, container: Container, spec: Message) -> None:
        """Start its helper, or its main process. Raises OSError, and others for a bad `spec`."""
        if not container.helper:
            self._fork(container, spec)
        elif not self._spawn_helper(container, spec):
            container.pid = start_helper(spec)
            self._children.add(container.pid, container)

    def _spawn_helper(self, container: Container, spec: Message) -> bool:
        """Have the spawner start a helper; whether it was asked. Raises OSError.

        Nobody waits for that: who starts a program is held up until it executes, which takes long
        where no core is idle. What the spawner cannot do stands in the helper's log.
        """
        request = request_of(spec) if self._spawner.is_ready() else None
        if request is None:
            return False
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        log = os.open(spec["helper"]["error_log"], flags, 0o600)
        try:
            return self._spawner.spawn(request, log, lambda pid: self.spawned(container, pid))
        finally:
            os.close(log)

    def _fork(self, container: Container, spec: Message) -> None:
        """Start a container's main process, or its keeper. Raises OSError.

        Its spawner says later what it has started: see `spawned`.
        """
        request = request_of(spec) if self._spawner.is_ready() else None
        error_read, error_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if request is None or not self._spawner.spawn(
                request, error_write, lambda pid: self.spawned(container, pid)
            ):
                self._fork_here(container, spec, error_write)
        except OSError:
            os.close(error_read)
            raise
        finally:
            os.close(error_write)
        container.error_fd = error_read
        self._selector.register(
            error_read, selectors.EVENT_READ, lambda: self.on_executed(container)
        )

    def _fork_here(self, container: Container, spec: Message, error_fd: int) -> None:
        """Start it without a spawner. Raises OSError."""
        pid = os.fork()
        if pid == 0:
            if spec.get("cgroups"):
                turn_into(spec, error_fd)
            keep(lambda: turn_into(spec, error_fd), error_fd, spec.get("own_uid", 0))
        if spec.get("cgroups"):
            container.pid = pid
        else:
            container.keeper = pid
        self._children.add(pid, container)

    def spawned(self, container: Container, pid: int | None) -> None:
        """The spawner has said what it started; None: it has ended without a word."""
        if pid is not None and pid > 0:
            container.pid = pid
            if self._children.claim(pid, container) or container.helper:
                return
            if container.pending_signal == signal.SIGKILL and not container.gone:
                self._kill(container, signal.SIGKILL)
            return
        why = "its spawner does not answer" if pid is None else os.strerror(-pid)
        if pid is None:
            self.end_unknown(container.id)
        if not container.gone:
            self._close_error_pipe(container)
            self._on_failed(container, f"cannot start it: {why}")

    def end_unknown(self, container_id: str) -> None:
        """Kill what the spawner may have started of a container before it failed."""
        with contextlib.suppress(OSError):
            others = self._children.unknown()
            own = [pid for pid in others if environment_id(pid) == container_id]
            for pid in (*own, *unfinished(others)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def on_executed(self, container: Container) -> None:
        """The launch pipe closed: executed, unless the child wrote why not."""
        problem = b""
        if container.keeper == container.pid == 0:
            self._spawner.hear()  # whose answer was there before
        if container.error_fd is None:
            return  # it was started by nobody
        with contextlib.suppress(BlockingIOError):
            problem = os.read(container.error_fd, 4096)
        if container.keeper and not container.pid:
            first, newline, problem = problem.partition(b"\n")
            if not newline:
                problem = first or b"cannot start it: it was killed at once"
            else:
                container.pid = int(first)
                if not problem:
                    return  # it executes its program next, or says why it cannot
        self._close_error_pipe(container)
        if problem:
            self._on_failed(container, problem.decode("utf-8", "replace"))
        else:
            self._on_started(container)

    def _close_error_pipe(self, container: Container) -> None:
        if container.error_fd is not None:
            self._selector.unregister(container.error_fd)
            os.close(container.error_fd)
            container.error_fd = None


def turn_into(spec: Message, error_fd: int) -> NoReturn:
    """In the child: turn into the container's main process, or say why not and end."""
    try:
        signal.set_wakeup_fd(-1)
        for number in CHANGEABLE_SIGNALS:
            with contextlib.suppress(OSError, ValueError):
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())  # as the spawner does
        os.setsid()
        if "user" in spec:  # of an agent that speaks version 2
            spec["ids"] = ids_of(spec["user"])
        become(spec, spec["logs"]["pipes"])
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.write(error_fd, str(error).encode("utf-8", "backslashreplace")[:4000])
    finally:
        os._exit(127)


def ids_of(user: str) -> tuple[int, int, list[int]] | None:
    """A user of this machine; None for the agent's own. Raises LookupError."""
    if not user:
        return None
    entry = pwd.getpwnam(user)
    return entry.pw_uid, entry.pw_gid, os.getgrouplist(entry.pw_name, entry.pw_gid)


def start_helper(spec: Message) -> int:
    """Start a helper, without the copy of ourselves that a fork makes. Raises OSError."""
    streams: list[tuple[Any, ...]] = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)]
    for number, path in enumerate(spec["logs"]["pipes"], 1):
        streams.append((os.POSIX_SPAWN_OPEN, number, path, os.O_RDWR, 0))
    return os.posix_spawn(
        spec["argv"][0],
        spec["argv"],
        spec["env"],
        file_actions=streams,
        setsid=True,
        setsigdef=CHANGEABLE_SIGNALS,
    )


def started_by(helper: Message, status: int) -> int:
    """The first process of the container that a helper, which has ended, made of it.

    Raises HelperError.
    """
    try:
        with open(helper["pid_file"]) as pid_file:
            pid = int(pid_file.read())
    except (OSError, ValueError) as error:
        problem = str(error)
    else:
        if status == 0 and 1 < pid <= PID_MAX:
            return pid
        problem = f"it ended with status {status}"
        if status == 0:  # to signal 0, 1 or less would be to signal others, or all
            problem = f"it says that the first process is {pid}, which is none of a container"
    said = last_error(helper["error_log"])
    if status == NOT_EXECUTED and said.startswith("cannot "):  # the spawner, of the helper itself
        said = f"cannot start its tool: {said}"
    raise HelperError(said or problem)


def last_error(path: str) -> str:
    """What a helper wrote last into its log, as a line of JSON or bare; empty when it did not."""
    line = ""
    try:
        with open(path) as file:
            line = file.read().splitlines()[-1]
        return str(json.loads(line)["msg"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return line
