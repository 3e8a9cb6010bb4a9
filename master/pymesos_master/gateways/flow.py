"""One call of many on a stream: what comes on it, and how much may be on its way."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from pymesos_core.transport import CallError

# On its way to one side of a call, and not read there; HTTP/2's windows bound it outside.
WINDOW_BYTES = 256 * 1024
TELL_BYTES = WINDOW_BYTES // 4  # read, before the other side is told
ITEM_BYTES = 64  # of a message, beside its content: also empty ones are counted


class Flow:
    """One side of a call. Its owner passes on what comes, and `put`s what goes.

    `put` is given a message for the other side, and `tell_taken` how many bytes of it were read.
    """

    def __init__(self, put: Callable[[bytes], None], tell_taken: Callable[[int], None]) -> None:
        self._put = put
        self._tell_taken = tell_taken
        self._came: deque[bytes] = deque()
        self._over = False  # nothing more comes
        self._error: CallError | None = None  # why, if that is an error
        self._taken_bytes = 0  # and not told yet
        self._under_way_bytes = 0
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None

    # Of its owner.

    def came(self, message: bytes) -> None:
        """A message came."""
        self._came.append(message)
        _wake(self._reader)

    def end(self, error: CallError | None = None) -> None:
        """Nothing more comes. With an error nothing more can be sent, either."""
        self._over = True
        self._error = self._error or error
        _wake(self._reader)
        _wake(self._writer)

    def taken(self, taken_bytes: int) -> None:
        """The other side has read as much."""
        self._under_way_bytes -= taken_bytes
        _wake(self._writer)

    # Of who reads and writes.

    async def read(self) -> bytes | None:
        """The next message; None when there is no more. Raises the CallError that ended it."""
        while not self._came:
            if self._over:
                if self._error is not None:
                    raise self._error
                return None
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        message = self._came.popleft()
        self._taken_bytes += len(message) + ITEM_BYTES
        if self._taken_bytes >= TELL_BYTES:
            self._tell_taken(self._taken_bytes)
            self._taken_bytes = 0
        return message

    async def write(self, message: bytes) -> None:
        """Send one; waits while the other side does not read. Raises what ended the call."""
        while self._under_way_bytes >= WINDOW_BYTES and self._error is None:
            self._writer = asyncio.get_running_loop().create_future()
            await self._writer
        if self._error is not None:
            raise self._error
        self._under_way_bytes += len(message) + ITEM_BYTES
        self._put(message)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
