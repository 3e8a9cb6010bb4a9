"""A response that is a stream of records, each of them a chunk, as Mesos' masters send it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from aiohttp import web
from aiohttp.http import HttpVersion11

from pymesos_core.mesos.refusing import bad_request

SENDING_S = 30.0  # until what is sent is read


class Chunks(web.StreamResponse):
    """Writes the chunks itself: records that are there together are sent together.

    One call of the system for each would take most of the time of a master that answers a
    reconciliation.
    """

    _length_check = False  # so aiohttp cuts no chunks, as for WebSockets

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__(headers={**headers, "Transfer-Encoding": "chunked"})

    async def begin(self, request: web.BaseRequest) -> None:
        """Send the head. Raises RefusalError for a client that knows no chunks."""
        if request.version != HttpVersion11:
            raise bad_request("a stream is had by HTTP/1.1")
        await self.prepare(request)

    async def send(self, records: Sequence[bytes]) -> None:
        """Send records, and wait until there is room for more. Raises TimeoutError."""
        if not records:
            return
        async with asyncio.timeout(SENDING_S):
            await self.write(b"".join([b"%x\r\n%b\r\n" % (len(one), one) for one in records]))

    async def end(self) -> None:
        """Send that nothing follows."""
        await self.write(b"0\r\n\r\n")
        await self.write_eof()
