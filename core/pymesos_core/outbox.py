"""What waits to be written to one gRPC stream: bounded, in order, and batched."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

MAX_MESSAGE_BYTES = 1024 * 1024  # what a receiver accepts
BATCH_BYTES = 512 * 1024  # what a sender packs into one message
DEFAULT_LIMIT_BYTES = 32 * 1024 * 1024


class Sized(Protocol):
    """A protobuf message."""

    def ByteSize(self) -> int:  # noqa: N802
        """The serialized size of the message."""
        ...


Item = TypeVar("Item", bound=Sized)


class OverflowedError(Exception):
    """The peer does not read: more than the limit waits for it."""


class Outbox(Generic[Item]):
    """A queue of messages with a limit in bytes; the reader takes them in batches."""

    def __init__(self, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self._items: deque[tuple[Item, int, int]] = deque()
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self._wake = asyncio.Event()
        self._closed = False
        self.overflowed = False
        # Called once at the overflow, since the writer may be waiting for the peer, not for us.
        self.on_overflow: Callable[[], object] = lambda: None
        self._on_drained: Callable[[], object] | None = None

    def put(self, item: Item, *, bounded: bool = True) -> None:
        """Append; never blocks. Past the limit the box overflows for good.

        What is not `bounded` has its limit elsewhere: the parts of one message that its peer puts
        together again.
        """
        if self._closed or self.overflowed:
            return
        size = item.ByteSize()
        if bounded and self._bytes + size > self._limit_bytes:
            self.overflow()
        else:
            self._items.append((item, size, size if bounded else 0))
            self._bytes += size if bounded else 0
        self._wake.set()

    def overflow(self) -> None:
        """Give the peer up: it does not read."""
        if not self.overflowed:
            self.overflowed = True
            self._items.clear()
            self.on_overflow()
        self._wake.set()

    def when_drained(self, drained: Callable[[], object]) -> None:
        """Call it once when the reader wants more than there is: it may put the next in."""
        self._on_drained = drained
        self._wake.set()

    def close(self) -> None:
        """Let the reader have what is there, and then end."""
        self._closed = True
        self._wake.set()

    async def batch(self) -> list[Item] | None:
        """The next messages, together at most BATCH_BYTES (or one longer one); None at the end.

        Raises OverflowedError.
        """
        while not self._items:
            if self.overflowed:
                raise OverflowedError
            if self._closed:
                return None
            self._wake.clear()
            if (drained := self._on_drained) is None:
                await self._wake.wait()
                continue
            await asyncio.sleep(0)  # others come between
            if not (self._items or self.overflowed or self._closed):
                self._on_drained = None
                drained()
        out: list[Item] = []
        size = 0
        while self._items and (not out or size + self._items[0][1] <= BATCH_BYTES):
            item, weight, counted = self._items.popleft()
            out.append(item)
            size += weight + 8
            self._bytes -= counted
        return out
