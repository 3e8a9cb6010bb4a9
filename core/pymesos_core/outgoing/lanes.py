"""What waits to be taken by a receiver: sent in order, again and again, ever later.

Nothing of this is durable. Whoever must not lose what waits keeps it until it is `taken`, and puts
it in again after a restart: so each thing is sent at least once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from pymesos_core.complaints import Complaints
from pymesos_core.outside import Outside

log = logging.getLogger(__name__)

RETRY_S = (0.5, 60.0)  # between two tries
MOST_WAITING = 10_000  # of one receiver; beyond that the oldest goes

Item = TypeVar("Item")


class UnsentError(Exception):
    """The receiver has not taken it: the message says why, and repeats nothing secret.

    It asks to be left alone for `after_s`.
    """

    def __init__(self, message: str, after_s: float = 0.0) -> None:
        super().__init__(message)
        self.after_s = after_s


class Lane(Generic[Item]):
    """The way to one receiver.

    What is put in under a key takes the place of what waits under that key, at the end.
    """

    def __init__(
        self,
        name: str,
        send: Callable[[Sequence[Item]], Awaitable[None]],
        taken: Callable[[Item], None],
        outside: Outside,
        at_once: int = 1,
    ) -> None:
        """`send` is given at most `at_once` items, and raises UnsentError if they are not taken.

        `taken` is told of each that is.
        """
        self.name = name
        self.dropped = 0  # because too much waited
        self._send = send
        self._taken = taken
        self._at_once = at_once
        self._waiting: dict[str, Item] = {}
        self._wake = asyncio.Event()
        self._backoff = outside.backoff(*RETRY_S)
        self._complaints = Complaints(log, outside.mono_s)

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, key: str, item: Item) -> None:
        """Have something sent, after all that waits; never blocks."""
        self._waiting.pop(key, None)
        self._waiting[key] = item
        if len(self._waiting) > MOST_WAITING:
            del self._waiting[next(iter(self._waiting))]
            self.dropped += 1
            problem = f"more than {MOST_WAITING} wait for it: the oldest is dropped"
            self._complaints.say(self.name, "a receiver", problem)
        self._wake.set()

    async def once(self, item: Item) -> None:
        """Send something once, beside what waits. Raises UnsentError."""
        await self._send([item])

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            while not self._waiting:
                self._wake.clear()
                await self._wake.wait()
            batch = dict(list(self._waiting.items())[: self._at_once])
            try:
                await self._send(list(batch.values()))
            except UnsentError as error:
                self._complaints.say(
                    self.name, "a receiver has not taken what it was sent", f"{error}"
                )
                await asyncio.sleep(max(error.after_s, self._backoff.next_s()))
                continue
            except Exception:  # of what is sent, and no reason to end who sends it
                log.exception("what is sent to the receiver %s cannot be sent", self.name)
                await asyncio.sleep(RETRY_S[1])
                continue
            self._backoff.reset()
            for key, item in batch.items():
                if self._waiting.get(key) is item:  # else there is something newer to say
                    del self._waiting[key]
                self._taken(item)
