"""Our end of a terminal: it is read and written without blocking, and some tools hand it over."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
import struct
import termios
from collections.abc import AsyncGenerator, Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pymesos_core.tasks import running
from pymesos_proto.v1 import sandbox_pb2 as pb

CHUNK_BYTES = 64 * 1024
HELD_BYTES = 64 * 1024  # more than a terminal holds of what nobody has read (Linux: 12 KiB)
REOPENED_S = 0.1  # how often a terminal without users is looked at

Chunks = AsyncGenerator[bytes, None]
Result = TypeVar("Result")


def resize(terminal: int, size: pb.TerminalSize) -> None:
    """Have it so many rows and columns; its foreground processes are told (SIGWINCH)."""
    rows, columns = min(size.rows or 24, 65535), min(size.columns or 80, 65535)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


async def read_terminal(terminal: int, ended: asyncio.Future[Any]) -> Chunks:
    """What is written to it until `ended`, of which nothing is left out; it does not block.

    What others write after that, as a process in the background, is not waited for.
    """
    left = HELD_BYTES
    while left > 0:
        over = ended.done()
        try:
            data = await _unless_over(terminal, ended, partial(os.read, terminal, CHUNK_BYTES))
        except OSError:  # EIO: nobody has it open
            if over:
                return
            # It may be opened again, as /dev/tty; until then it would always be ready.
            await asyncio.wait((ended,), timeout=REOPENED_S)
            continue
        if not data:
            return
        if over:
            left -= len(data)
        yield data


async def write_terminal(terminal: int, data: bytes) -> None:
    """All of it, as its users read; it does not block. Raises OSError."""
    waited = False
    while data:
        try:
            data = data[os.write(terminal, data) :]
            waited = False
        except BlockingIOError:
            if waited:
                # Nobody has it open, so it always seems writable; it may be opened again.
                await asyncio.sleep(REOPENED_S)
            await _writable(terminal)
            waited = True


class ConsoleSocket:
    """A socket at a path, to which a container's tool sends our end of a terminal that it makes.

    See `--console-socket` of crun. Who may pass through the socket's folder may send.
    """

    def __init__(self, path: Path) -> None:
        """Listen there. Raises OSError."""
        self._path = path
        self._listener = socket.socket(socket.AF_UNIX)
        folder = -1
        try:
            # The path itself may be longer than an address may (107 bytes).
            folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
            self._listener.bind(f"/proc/self/fd/{folder}/{path.name}")
            self._listener.listen(1)
            self._listener.setblocking(False)
        except BaseException:
            self.close()
            raise
        finally:
            if folder >= 0:
                os.close(folder)

    async def receive(self, ended: asyncio.Future[Any]) -> int | None:
        """The terminal, or None when the tool has `ended` without sending one. Raises OSError."""
        accepted = await _unless_over(self._listener.fileno(), ended, self._listener.accept)
        if accepted is None:
            return None
        with accepted[0] as connection:
            connection.setblocking(False)
            # For no other program that the agent starts.
            flags = socket.MSG_CMSG_CLOEXEC
            receive = partial(socket.recv_fds, connection, CHUNK_BYTES, 1, flags)
            received = await _unless_over(connection.fileno(), ended, receive)
            if received is None or not received[1]:
                return None
            (terminal,) = received[1]
            os.set_blocking(terminal, False)
            return terminal

    def close(self) -> None:
        """Nothing can be sent any more, and the path is free."""
        self._listener.close()
        self._path.unlink(missing_ok=True)


async def _unless_over(
    fd: int, ended: asyncio.Future[Any], attempt: Callable[[], Result]
) -> Result | None:
    """What `attempt`, which reads from `fd`, returns as soon as it would not block.

    None if it would still block once `ended`: what was there by then has been read. Raises OSError.
    """
    while True:
        over = ended.done()
        with contextlib.suppress(BlockingIOError):
            return attempt()
        if over:
            return None
        await _readable(fd, ended)


async def _writable(fd: int) -> None:
    """There is room, or nobody has the other end."""
    loop = asyncio.get_running_loop()
    writable = asyncio.Event()
    loop.add_writer(fd, writable.set)
    try:
        await writable.wait()
    finally:
        loop.remove_writer(fd)


async def _readable(fd: int, ended: asyncio.Future[Any]) -> None:
    """There is something to read, or it has `ended`."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(fd, readable.set)
    try:
        async with running(readable.wait()) as reading:
            await asyncio.wait((reading, ended), return_when=asyncio.FIRST_COMPLETED)
    finally:
        loop.remove_reader(fd)
