"""The supervisor's end of the spawner: a small compiled program that forks in its place.

It is there when a C compiler was as pymesos was installed (`deploy/hatch_build.py`), and it starts
what it knows of: a container in cgroups, from which nothing is hidden. All else, and everything
where there is none, is forked by the supervisor itself. The standard library only.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import struct

TYPE_CHECKING = False  # as in typing, without its import
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    Message = dict[str, Any]

PROGRAM = os.path.join(os.path.dirname(__file__), "pymesos-spawner")
NAME = "pymesos-spawner"  # as /proc has it
ANSWER_TIMEOUT_S = 5.0  # it answers within a millisecond, or has been stopped
NUMBER = struct.Struct("=q")


class SpawnerError(Exception):
    """The spawner has not said what it started: the message says why."""


def is_built() -> bool:
    """Whether the program is there."""
    return os.access(PROGRAM, os.X_OK)


def request_of(spec: Message) -> bytes | None:
    """What the spawner is told of a launch; None for one that it does not know how to start.

    So is one with a text that no program can be given: who forks finds the words for it.
    """
    if not spec.get("cgroups") or spec.get("hidden") or "user" in spec:
        return None
    try:
        limits = [(getattr(resource, name), *most) for name, *most in spec.get("ulimits", ())]
        ids = spec.get("ids")
        texts = [
            *_counted(spec["cgroups"]),
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
    return b"\0".join(fields) + b"\0"


def _counted(items: Sequence[Any]) -> tuple[Any, ...]:
    return (len(items), *items)


def _entries(env: Mapping[str, str]) -> list[str]:
    """Raises ValueError."""
    if any("=" in name or not name for name in env):
        raise ValueError("a name of a variable")
    return [f"{name}={value}" for name, value in env.items()]


class Spawner:
    """The program, which is started when it is first needed, and again should it have ended."""

    def __init__(self, program: str) -> None:
        """Hold the program as it is now: an upgrade puts another version in its place."""
        self.pid = 0  # while it runs
        self._socket: socket.socket | None = None
        self._program = -1
        with contextlib.suppress(OSError):
            self._program = os.open(program, os.O_PATH | os.O_CLOEXEC)

    def is_ready(self) -> bool:
        """Start it unless it runs; whether it does."""
        if self._socket is None and self._program >= 0:
            try:
                self._socket = self._start()
                self._ask(b"", ())
            except (OSError, SpawnerError):
                # Built for another machine or its libraries, say: nobody tries again.
                self.end()
                os.close(self._program)
                self._program = -1
        return self._socket is not None

    def spawn(self, request: bytes, error_fd: int) -> int:
        """Start what a request says, when it is ready; the new process is our child.

        `error_fd` closes as that executes its program, or is told first why it cannot. Raises
        OSError when nothing was started, SpawnerError when nobody knows: see `unfinished`.
        """
        rights = ((socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", error_fd)),)
        try:
            pid = self._ask(request, rights)
        except (OSError, SpawnerError) as error:
            self.end()
            raise SpawnerError(f"its spawner does not answer: {error}") from error
        if pid < 0:
            raise OSError(-pid, os.strerror(-pid))
        return pid

    def _ask(self, request: bytes, rights: Iterable[tuple[int, int, bytes]]) -> int:
        """Raises OSError, SpawnerError."""
        assert self._socket is not None
        whole = NUMBER.pack(len(request)) + request
        sent = self._socket.sendmsg([whole], rights)
        if sent < len(whole):
            self._socket.sendall(whole[sent:])
        answer = self._socket.recv(NUMBER.size, socket.MSG_WAITALL)
        if len(answer) < NUMBER.size:
            raise SpawnerError("it has ended")
        return int(NUMBER.unpack(answer)[0])

    def _start(self) -> socket.socket:
        """Raises OSError."""
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        # Not by `settimeout`, which would have each call poll first.
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(ANSWER_TIMEOUT_S))
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(ANSWER_TIMEOUT_S))
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
        return ours

    def end(self) -> None:
        """End it. It is not reaped here, but with everything else."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def reaped(self) -> None:
        """Take note that it has ended; the next request starts another."""
        self.pid = 0
        self.end()


def _timeval(seconds: float) -> bytes:
    return struct.pack("ll", int(seconds), int(seconds % 1 * 1e6))


def unfinished(pids: Iterable[int]) -> list[int]:
    """Return those of our children that the spawner has forked and that are no program yet."""
    found = []
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/comm") as comm:
            if comm.read().strip() == NAME:
                found.append(pid)
    return found
