"""Answers that go on for as long as they are read: whose there are, and how one is sent."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

from aiohttp import web

from pymesos_core.caller import Caller, taker_text
from pymesos_core.security.revocations import Revocations
from pymesos_core.security.validity import while_valid
from pymesos_core.tasks import beside
from pymesos_core.transport import CallError, Code

MOST_STREAMS = 250
MOST_STREAMS_OF_ONE = 20  # principal, or address without one
OPENING_S = 0.5  # a refusal that comes later is told within the stream
IDLE_S = 15.0  # after which it is said that it goes on, before proxies give it up
SENDING_S = 30.0  # until a part is read
LAST_S = 1.0  # the same of the last one


class NotReadError(Exception):
    """Who asked for a stream does not read it, or has gone."""


@dataclass(frozen=True)
class Parts:
    """What a stream says, in parts, with nothing of HTTP."""

    content_type: str
    parts: AsyncGenerator[bytes]  # raises CallError
    idle: bytes = b""  # said when it says nothing for long
    last: Callable[[CallError], bytes] = lambda error: b""  # said of what ends it


class Streams:
    """The streams that are open: so many in all, and of one principal or address."""

    def __init__(self) -> None:
        self._of_one: Counter[str] = Counter()
        self._open: set[asyncio.Timeout] = set()

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def slot(self, taker: str) -> Iterator[None]:
        """Take one of the slots. Raises CallError."""
        if self._of_one[taker] >= MOST_STREAMS_OF_ONE:
            told = f"{taker_text(taker)} has {MOST_STREAMS_OF_ONE} streams open already; end some"
            raise CallError(Code.RESOURCE_EXHAUSTED, told)
        if self._of_one.total() >= MOST_STREAMS:
            told = f"this master has {MOST_STREAMS} streams open already; ask another master"
            raise CallError(Code.RESOURCE_EXHAUSTED, told)
        self._of_one[taker] += 1
        try:
            yield
        finally:
            self._of_one[taker] -= 1
            self._of_one += Counter()  # without those who have none

    async def send(self, to: Sender, parts: Parts, caller: Caller, valid: Revocations) -> None:
        """Send a stream to its end.

        Raises CallError for one that has not begun; NotReadError.
        """
        try:
            async with aclosing(parts.parts), while_valid(caller, valid):
                await self._until_ended(to, parts)
        except CallError as error:
            if not to.has_begun:
                raise
            if said := parts.last(error):
                await to.send(said, LAST_S)

    async def _until_ended(self, to: Sender, parts: Parts) -> None:
        async with self.open(), beside(to.keep_up(parts.idle)):
            async for part in parts.parts:
                await to.send(part)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """While one is open, which ends with the server. Raises CallError then."""
        try:
            async with asyncio.timeout(None) as ending:
                self._open.add(ending)
                yield
        except TimeoutError:
            if not ending.expired():
                raise
            raise CallError(Code.UNAVAILABLE, "this master ends; connect to another") from None
        finally:
            self._open.discard(ending)

    def end(self) -> None:
        """End them all, at once."""
        now_s = asyncio.get_running_loop().time()
        for ending in self._open:
            ending.reschedule(now_s)


class Sender:
    """Sends the parts of one stream by HTTP."""

    def __init__(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        self.has_begun = False
        self._request = request
        self._response = response
        self._sending = asyncio.Lock()
        self._sent_s = asyncio.get_running_loop().time()

    async def send(self, part: bytes, within_s: float | None = None) -> None:
        """Send a part, with all before the first that HTTP needs. Raises NotReadError."""
        try:
            async with asyncio.timeout(within_s or SENDING_S), self._sending:
                if not self.has_begun:
                    self.has_begun = True
                    await self._response.prepare(self._request)
                if part:
                    await self._response.write(part)
        except (TimeoutError, ConnectionError):
            if self._request.transport is not None:
                self._request.transport.abort()
            raise NotReadError from None
        self._sent_s = asyncio.get_running_loop().time()

    async def keep_up(self, idle: bytes) -> None:
        """Begin when the first part lets wait, and say when nothing was said for long."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(OPENING_S)
        with suppress(NotReadError):  # which ends the connection
            if not self.has_begun:
                await self.send(idle)
            while True:
                left_s = self._sent_s + IDLE_S - loop.time()
                if left_s <= 0 and not self._sending.locked():
                    await self.send(idle)
                await asyncio.sleep(max(left_s, 1.0))
