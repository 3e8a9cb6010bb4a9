"""Messages over a socket of this machine: each has its length before it.

Between two processes of one program that trust each other, where gRPC's care for the network would
cost more than what is said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from google.protobuf.message import DecodeError

from pymesos_core.outbox import MAX_MESSAGE_BYTES
from pymesos_core.transport import CallError, Code

MAX_FRAME_BYTES = 2 * MAX_MESSAGE_BYTES
LENGTH_BYTES = 4


class FrameStream:
    """One end of such a socket. It is a ClientStream; whoever accepted it uses it as well."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        encode: Callable[[Any], bytes],
        decode: Callable[[bytes], Any],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._encode = encode
        self._decode = decode

    async def opened(self) -> None:
        """See ClientStream."""

    async def read(self) -> Any | None:
        """See ClientStream."""
        try:
            length = int.from_bytes(await self._reader.readexactly(LENGTH_BYTES), "big")
            if length > MAX_FRAME_BYTES:
                raise CallError(Code.RESOURCE_EXHAUSTED, f"a message of {length} bytes")
            return self._decode(await self._reader.readexactly(length))
        except asyncio.IncompleteReadError as error:
            if not error.partial and error.expected == LENGTH_BYTES:
                return None
            raise CallError(Code.UNAVAILABLE, "the other end was cut off") from None
        except DecodeError as error:
            raise CallError(Code.INTERNAL, str(error)) from None
        except OSError as error:
            raise CallError(Code.UNAVAILABLE, str(error)) from None

    async def write(self, message: Any) -> None:
        """See ClientStream."""
        data = self._encode(message)
        self._writer.write(len(data).to_bytes(LENGTH_BYTES, "big") + data)
        try:
            await self._writer.drain()
        except OSError as error:
            raise CallError(Code.UNAVAILABLE, str(error)) from None

    async def done_writing(self) -> None:
        """See ClientStream."""
        self._writer.write_eof()

    def cancel(self) -> None:
        """See ClientStream."""
        self._writer.close()
