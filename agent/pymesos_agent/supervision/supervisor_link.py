"""The agent's end of a supervisor's socket: it finds the supervisor, or starts one.

See protocol.py for what is said, and agent_link.py for the other end.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import secrets
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pymesos_agent
from pymesos_agent.supervision import protocol
from pymesos_core.tasks import Background

log = logging.getLogger(__name__)

START_TIMEOUT_S = 10.0
# Of all that could be imported only what the program names is.
PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv.pop(1));"
    " from pymesos_agent.supervision.supervisor import main; main()"
)
PACKAGES = str(Path(pymesos_agent.__file__).parent.parent)
# What a message that is none, or is of others than supervisors, makes of its reader.
ODD = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
NUMBERS = (("pid", 0, 2**31 - 1), ("status", -64, 255), ("peak_bytes", 0, 2**63 - 1),
           ("pids_refused", 0, 2**63 - 1))  # fmt: skip
NEEDED = {"started": ("pid",), "failed": ("error",), "exited": ("status",)}
NEEDED_OF_VIEWS = ("pid", "state", "status")  # in a hello
ENCODE = json.JSONEncoder(ensure_ascii=False).encode  # `dumps` would make one for each message

Message = dict[str, Any]


class SupervisorLink:
    """The connection to the supervisor of a directory."""

    def __init__(
        self,
        directory: Path,
        on_message: Callable[[Message], None],
        on_lost: Callable[[], Awaitable[None]],
    ) -> None:
        """`on_lost` is awaited when a supervisor has ended that is wanted still."""
        self._directory = directory
        self._on_message = on_message
        self._on_lost = on_lost
        self._writer: asyncio.StreamWriter | None = None
        self._lines: list[bytes] = []  # to be sent in this turn of the loop
        self._reading = Background("hearing the supervisor")
        self.found: list[Message] = []  # the containers that it held as it was greeted
        self.version = protocol.VERSION  # that both speak
        self.is_closing = False

    async def connect(self) -> None:
        """Connect to the supervisor that is there, or start one. Raises OSError, TimeoutError."""
        deadline = asyncio.get_running_loop().time() + START_TIMEOUT_S
        while True:
            with contextlib.suppress(ConnectionError, FileNotFoundError):
                await self._greet()
                return
            if asyncio.get_running_loop().time() > deadline:
                raise TimeoutError(f"no answer on {self._directory}/supervisor.sock")
            await self._spawn()

    async def _greet(self) -> None:
        folder = os.open(self._directory, os.O_PATH | os.O_DIRECTORY)
        try:
            # A path through the folder's descriptor stays below the limit of 108 bytes.
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.setblocking(False)
            await asyncio.get_running_loop().sock_connect(
                connection, f"/proc/self/fd/{folder}/supervisor.sock"
            )
        finally:
            os.close(folder)
        if (uid := protocol.peer(connection)[1]) != os.geteuid():
            connection.close()
            raise OSError(f"user {uid} listens on {self._directory}/supervisor.sock")
        reader, writer = await asyncio.open_unix_connection(
            sock=connection, limit=protocol.MAX_LINE_BYTES
        )
        self._writer = writer
        self._lines.clear()  # of one that has ended
        secret = self._secret()
        self.send({"op": "hello", "version": protocol.VERSION, "secret": secret})
        line = await asyncio.wait_for(reader.readline(), START_TIMEOUT_S)
        if not line:
            raise ConnectionResetError("the supervisor was just ending")
        try:
            hello = json.loads(line)
            self.version = min(int(hello["version"]), protocol.VERSION)
            self.found = [checked(view) for view in hello["containers"]]
        except ODD as error:
            writer.close()
            raise OSError(
                f"what answers on {self._directory}/supervisor.sock is no supervisor: its hello"
                f" cannot be read ({error!r})"
            ) from error
        if not self.found and self.is_old:
            # It has nothing to look after: it ends as we leave, and a new one takes its place.
            writer.close()
            raise ConnectionResetError("the supervisor is of an older version")
        if self.is_old:
            log.info("its supervisor is of version %d, and ends with its last task", self.version)
        self._reading.start(self._read(reader))

    def _secret(self) -> str:
        """What only agents of this directory know. Raises OSError."""
        path = self._directory / "supervisor.secret"
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(path, flags, 0o600), "r+") as file:
            if not (secret := file.read().strip()):
                secret = secrets.token_hex(16)
                file.write(f"{secret}\n")
        return secret

    async def _spawn(self) -> None:
        """Start a supervisor that no signal to the agent's group or terminal reaches."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        with os.fdopen(os.open(self._directory / "supervisor.log", flags, 0o600), "ab") as errors:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", "-c", PROGRAM, PACKAGES, str(self._directory)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
                cwd="/",
            )
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(f"{self._secret()}\n".encode())
        process.stdin.close()
        try:
            await asyncio.wait_for(process.stdout.readline(), START_TIMEOUT_S)
        except TimeoutError:
            process.kill()  # it serves nobody yet
            raise TimeoutError("a new supervisor does not start") from None

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError, ValueError):  # the latter: what is no message
            while line := await reader.readline():
                self._hear(line)
        if not self.is_closing:
            assert self._writer is not None
            self._writer.close()  # nothing is said to nobody
            if not self.is_old:
                log.warning("the supervisor has ended; another takes its containers over")
            await self._on_lost()

    def _hear(self, line: bytes) -> None:
        """One that cannot be read is left out: those of other containers are not to be lost."""
        try:
            message = checked(json.loads(line))
        except ODD as error:
            log.warning("the supervisor said what cannot be read: %r", error)
            return
        self._on_message(message)

    @property
    def is_old(self) -> bool:
        """Whether the supervisor is of an older version than we are."""
        return self.version < protocol.VERSION

    @property
    def is_connected(self) -> bool:
        """Whether something can be said to it."""
        return self._writer is not None and not self._writer.is_closing()

    def send(self, message: Message) -> None:
        """Say something, together with all else of one turn of the loop: each time wakes it."""
        self.write(written(message))

    def write(self, line: bytes) -> None:
        """Say what is written already: see `written`."""
        if self.is_connected:
            if not self._lines:
                asyncio.get_running_loop().call_soon(self._flush)
            self._lines.append(line)

    def _flush(self) -> None:
        lines, self._lines = self._lines, []
        if lines and self.is_connected:
            assert self._writer is not None
            self._writer.write(b"".join(lines))

    def leave(self) -> None:
        """Disconnect from an old one that has no container left: a new one takes its place."""
        assert self._writer is not None
        self._flush()
        self._writer.close()

    async def close(self) -> None:
        """Disconnect. The supervisor ends by itself when it has no container left."""
        self.is_closing = True
        self._flush()
        if self._writer is not None:
            with contextlib.suppress(ConnectionError):
                await self._writer.drain()
            self._writer.close()
        await self._reading.close()


def checked(message: Any) -> Message:
    """What a supervisor says of a container, if it is made as protocol.py has it.

    Raises one of ODD.
    """
    if not isinstance(message["id"], str):
        raise TypeError(f"its container is {message['id']!r}, which is no id")
    for name, least, most in NUMBERS:
        value = message.get(name)
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if name in message and not (value is None or (is_number and least <= value <= most)):
            raise ValueError(f"its {name} is {value!r}")
    if not isinstance(message.get("error", ""), str):
        raise TypeError(f"its error is {message['error']!r}, which is no text")
    needed = NEEDED.get(message["ev"], ()) if "ev" in message else NEEDED_OF_VIEWS
    if missing := [name for name in needed if name not in message]:
        raise KeyError(missing[0])
    said: Message = message
    return said


def written(message: Message) -> bytes:
    """A message as it is sent, in as few bytes as JSON needs for its texts."""
    return ENCODE(message).encode("utf-8", "surrogatepass") + b"\n"  # as json.loads takes them
