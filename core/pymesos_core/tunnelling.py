"""Connections that go through a stream of messages: their bytes, both ways."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

from pymesos_core.limits import KIB
from pymesos_core.tasks import until_first

MAX_PART_BYTES = 64 * KIB

Read = Callable[[], Awaitable[bytes | None]]
Write = Callable[[bytes], Awaitable[None]]


async def carry(end: socket.socket, read: Read, write: Write) -> None:
    """Carry what is read to one end of a connection, and what comes from there to `write`.

    It is over when one of them has ended, and what was carried before is read, or when who reads it
    has gone; the connection is closed then. Raises what `read` and `write` raise.
    """
    reader, writer = await asyncio.open_connection(sock=end)

    async def incoming() -> None:
        while (data := await read()) is not None:
            writer.write(data)
            await writer.drain()

    async def outgoing() -> None:
        while data := await reader.read(MAX_PART_BYTES):
            await write(data)

    try:
        with suppress(ConnectionError):
            await until_first(incoming(), outgoing())
            writer.close()
            await writer.wait_closed()
    finally:
        # Else the event loop would wait to send the rest, by a descriptor that is another's soon.
        writer.transport.abort()
