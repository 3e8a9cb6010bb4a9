"""The supervisor's end of the spawner: a small compiled program that forks in its place.

It is there when a C compiler was as pymesos was installed (`deploy/hatch_build.py`), and it starts
what it knows of: a container in cgroups, from which nothing is hidden, and a helper that makes a
container (crun, runc). All else, and everything where there is none, is forked by the supervisor
itself. The standard library only.
"""

from __future__ import annotations

import contextlib
import os
import resource
import selectors
import signal
import socket
import struct
import time
from collections import deque

TYPE_CHECKING = False  # as in typing, without its import
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    Message = dict[str, Any]
    Told = Callable[[int | None], None]

PROGRAM = os.path.join(os.path.dirname(__file__), "pymesos-spawner")
NAME = "pymesos-spawner"  # as /proc has it
ANSWER_TIMEOUT_S = 5.0  # it answers within a millisecond, or has been stopped
MAX_REQUEST_BYTES = 64 * 1024  # as in spawner.c; what is larger is forked, which takes a while
NUMBER = struct.Struct("=q")


def is_built() -> bool:
    """Whether the program is there."""
    return os.access(PROGRAM, os.X_OK)


def request_of(spec: Message) -> bytes | None:
    """What the spawner is told of a launch; None for one that it does not know how to start.

    So is one with a text that no program can be given: who forks finds the words for it.
    """
    is_known = spec.get("cgroups") or spec.get("helper")
    if not is_known or spec.get("hidden") or "user" in spec:
        return None
    try:
        limits = [(getattr(resource, name), *most) for name, *most in spec.get("ulimits", ())]
        ids = spec.get("ids")
        texts = [
            *_counted(spec.get("cgroups", ())),
            *(len(limits), *(number for limit in limits for number in limit)),
            *spec["logs"]["pipes"],
            int(bool(spec.get("no_new_privileges"))),
            *((1, ids[0], ids[1], *_counted(ids[2])) if ids else (0,)),
            spec["cwd"],
            int(bool(spec.get("has_path_of_agent"))),
            *_counted(spec["argv"]),
            *_counted(_entries(spec["env"])),
        ]
        fields = [os.fsencode(str(text)) for text in texts]
    except (ValueError, AttributeError):
        return None
    if not spec["argv"] or any(b"\0" in field for field in fields):
        return None
    request = b"\0".join(fields) + b"\0"
    return request if len(request) <= MAX_REQUEST_BYTES else None


def _counted(items: Sequence[Any]) -> tuple[Any, ...]:
    return (len(items), *items)


def _entries(env: Mapping[str, str]) -> list[str]:
    """Raises ValueError."""
    if any("=" in name or not name for name in env):
        raise ValueError("a name of a variable")
    return [f"{name}={value}" for name, value in env.items()]


class Spawner:
    """The program, which is started when it is first needed, and again should it have ended.

    Nobody waits for it: what it answers is heard by the loop that it is registered with.
    """

    def __init__(self, program: str, selector: selectors.BaseSelector) -> None:
        """Hold the program as it is now: an upgrade puts another version in its place."""
        self.pid = 0  # until it is reaped
        self._selector = selector
        self._socket: socket.socket | None = None
        self._works = False
        # Who is to be told what it answers, and since when.
        self._waiting: deque[tuple[Told, float]] = deque()
        self._program = -1
        with contextlib.suppress(OSError):
            self._program = os.open(program, os.O_PATH | os.O_CLOEXEC)

    def is_ready(self) -> bool:
        """Return whether it takes requests; start it if it does not run."""
        if self._socket is None and self._program >= 0 and not self.pid:
            try:
                self._start()
            except OSError:
                self._greeted(None)
            else:
                self._ask(b"?", (), self._greeted)
        return self._works

    def _greeted(self, answer: int | None) -> None:
        """Take note of whether it works here: nobody tries again one built for another machine."""
        self._works = answer == 0
        if not self._works and self._program >= 0:
            os.close(self._program)
            self._program = -1

    @property
    def is_waiting(self) -> bool:
        """Whether there are requests that it has not answered."""
        return bool(self._waiting)

    def spawn(self, request: bytes, error_fd: int, told: Told) -> bool:
        """Have it start what a request says; whether it was asked, which is when `told` is called.

        `told` is given the pid of the new process, which is our child, or minus errno when nothing
        was started, or None when nobody knows: see `unfinished`. `error_fd` closes as that executes
        its program, and after the answer is there, or is told first why it cannot.
        """
        return self._ask(request, (error_fd,), told)

    def _ask(self, request: bytes, descriptors: Sequence[int], told: Told) -> bool:
        assert self._socket is not None
        rights = [
            (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", each)) for each in descriptors
        ]
        try:
            self._socket.sendmsg([request], rights)  # all of it, or nothing
        except BlockingIOError:
            return False  # it is busy, or was stopped
        except OSError:
            self.end()
            return False
        self._waiting.append((told, time.monotonic()))
        return True

    def hear(self) -> None:
        """Take the answers that are there."""
        while self._socket is not None:
            try:
                answer = self._socket.recv(NUMBER.size)
            except BlockingIOError:
                return
            except OSError:
                answer = b""
            if len(answer) < NUMBER.size or not self._waiting:
                self.end()
                return
            told, _ = self._waiting.popleft()
            told(NUMBER.unpack(answer)[0])

    def look_at(self, now_s: float) -> None:
        """End it if it has not answered for too long."""
        if self._waiting and self._waiting[0][1] + ANSWER_TIMEOUT_S < now_s:
            self.end()

    def _start(self) -> None:
        """Raises OSError."""
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        streams: list[tuple[Any, ...]] = [
            (os.POSIX_SPAWN_DUP2, its.fileno(), 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ]
        try:
            self.pid = os.posix_spawn(
                f"/proc/self/fd/{self._program}",
                [NAME],
                {},
                file_actions=streams,
                setsid=True,
                setsigdef=range(1, signal.SIGSYS + 1),
            )
        except OSError:
            ours.close()
            raise
        finally:
            its.close()
        self._socket = ours
        self._selector.register(ours, selectors.EVENT_READ, self.hear)

    def end(self) -> None:
        """End it, and tell who waits. It is not reaped here, but with everything else."""
        if self._socket is not None:
            self._selector.unregister(self._socket)
            self._socket.close()
            self._socket = None
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        self._works = False
        while self._waiting:
            self._waiting.popleft()[0](None)

    def reaped(self) -> None:
        """Take note that it has ended; the next request starts another."""
        self.pid = 0
        self.end()


def unfinished(pids: Iterable[int]) -> list[int]:
    """Return those of our children that the spawner has forked and that are no program yet."""
    found = []
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/comm") as comm:
            if comm.read().strip() == NAME:
                found.append(pid)
    return found
