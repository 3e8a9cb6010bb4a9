"""The supervisor's end of its socket: who may speak there, and what is said to the agent.

It answers who has its own user or is root, is no process of a container nor started by the agent
that is connected, and says the secret that was written to its standard input as it started. The
secret keeps out other programs of its user. A task that has the agent's user may read it, and is
told by its descent alone, which cannot always be seen: see docs/security.md.

See protocol.py for what is said. The standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket

from pymesos_agent.supervision.procfs import stat_of
from pymesos_agent.supervision.protocol import MAX_LINE_BYTES, peer

TYPE_CHECKING = False  # as in typing, without its import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Message = dict[str, Any]

MAX_CALLERS = 8  # that have not said hello yet
MAX_HELLO_BYTES = 4096
READ_BYTES = 64 * 1024  # of more, the memory would be mapped for each call


class AgentLink:
    """The socket, those who call there, and the one of them that is the agent."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        secret: str,
        on_line: Callable[[bytes], None],
        on_left: Callable[[], None],
    ) -> None:
        """`secret` is empty for an agent of an earlier version, which says none."""
        self._selector = selector
        self._secret = secret
        self._on_line = on_line
        self._on_left = on_left
        self._listener: socket.socket | None = None
        self._callers: dict[socket.socket, bytes] = {}  # and what they said so far
        self._client: socket.socket | None = None
        self._client_pid = 0
        self._inbox = b""
        self._outbox = b""
        self._is_blocked = False  # what is in it waits for the agent to read

    @property
    def is_connected(self) -> bool:
        """Whether an agent is there."""
        return self._client is not None

    def listen(self, directory: str) -> None:
        """Listen on the socket of a work directory. Raises OSError."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        folder = os.open(directory, os.O_PATH | os.O_DIRECTORY)
        # A path through the folder's descriptor stays below the limit of 108 bytes.
        path = f"/proc/self/fd/{folder}/supervisor.sock"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        mask = os.umask(0o177)
        listener.bind(path)
        os.umask(mask)
        os.close(folder)
        listener.listen(4)
        self._listener = listener
        self._selector.register(listener, selectors.EVENT_READ, self._on_connect)

    # Until there is an agent.

    def _on_connect(self) -> None:
        assert self._listener is not None
        caller, _ = self._listener.accept()
        caller.setblocking(False)
        pid, uid = peer(caller)
        if uid not in (0, os.geteuid()) or self._is_of_a_task(pid):
            caller.close()
            return
        while len(self._callers) >= MAX_CALLERS:
            self._drop_caller(next(iter(self._callers)))
        self._callers[caller] = b""
        self._selector.register(caller, selectors.EVENT_READ, lambda: self._on_hello(caller))

    def _is_of_a_task(self, caller: int) -> bool:
        """Whether a process descends from us, or from the agent: neither does another agent.

        Where /proc hides the processes of others (`hidepid`), an agent's ancestors are seen up to
        the first of them. Those of a task can be read, unless one hides itself: our secret then
        stands before the caller.
        """
        pid = caller
        while pid > 1:
            if pid == os.getpid() or (pid == self._client_pid and pid != caller):
                return True
            try:
                pid = int(stat_of(pid)[1])
            except OSError:
                # Who knows what it was, if it has ended.
                return pid == caller or not is_there(pid)
        return False

    def _on_hello(self, caller: socket.socket) -> None:
        """Listen to what somebody says first; who says it right is the agent from now on."""
        try:
            data = caller.recv(MAX_HELLO_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop_caller(caller)
            return
        self._callers[caller] += data
        line, newline, rest = self._callers[caller].partition(b"\n")
        if not newline and len(line) < MAX_HELLO_BYTES:
            return
        pid, uid = peer(caller)
        if not self._is_hello(line, uid):
            self._drop_caller(caller)
            return
        self._selector.unregister(caller)
        del self._callers[caller]
        self._drop_client()  # a newer agent replaces the older
        self._client, self._client_pid, self._inbox, self._outbox = caller, pid, b"", b""
        self._is_blocked = False
        self._selector.register(caller, selectors.EVENT_READ, self._on_readable)
        self._take(line + b"\n" + rest)

    def _is_hello(self, line: bytes, uid: int) -> bool:
        """Root needs no secret: it may read ours, and an agent of an earlier version has none."""
        try:
            message = json.loads(line)
            known = not self._secret or uid == 0 or message.get("secret") == self._secret
            return bool(known and message["op"] == "hello")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return False

    def _drop_caller(self, caller: socket.socket) -> None:
        self._selector.unregister(caller)
        del self._callers[caller]
        caller.close()

    # While there is one.

    def _drop_client(self) -> None:
        if self._client is not None:
            self._selector.unregister(self._client)
            self._client.close()
            self._client, self._client_pid = None, 0
            self._on_left()
            # Nothing was lost: what the next agent must know is in the answer to its hello.

    def _on_readable(self) -> None:
        self.flush()
        if self._client is None:
            return
        try:
            data = self._client.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop_client()
            return
        self._take(data)

    def _take(self, data: bytes) -> None:
        self._inbox += data
        *lines, self._inbox = self._inbox.split(b"\n")
        if len(self._inbox) > MAX_LINE_BYTES:
            self._drop_client()
            return
        for line in lines:
            self._on_line(line)

    def send(self, message: Message) -> None:
        """Say something to the agent, together with all else of one turn of the loop."""
        if self._client is not None:
            self._outbox += json.dumps(message).encode() + b"\n"

    def flush(self) -> None:
        """Give the agent what was said, as far as it reads."""
        while self._client is not None and self._outbox:
            try:
                sent = self._client.send(self._outbox)
            except BlockingIOError:
                break
            except OSError:
                self._drop_client()
                return
            self._outbox = self._outbox[sent:]
        if self._client is not None and bool(self._outbox) != self._is_blocked:
            self._is_blocked = not self._is_blocked
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._outbox else 0)
            self._selector.modify(self._client, events, self._on_readable)


def is_there(pid: int) -> bool:
    """Whether a process has not been reaped yet, though it may be another user's."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
