"""What waits to be taken by a receiver: sent in order, again and again, ever later.

What a receiver refuses, while it takes others, does not hold up the rest: it waits apart, is tried
by itself, and is given up after hours in which others were taken.

Nothing of this is durable. Whoever must not lose what waits keeps it until it is `taken`, and puts
it in again after a restart: so each thing is sent at least once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import islice
from typing import Generic, NamedTuple, TypeVar

from pymesos_core.complaints import Complaints
from pymesos_core.outside import Outside
from pymesos_core.text import one_line

log = logging.getLogger(__name__)

RETRY_S = (0.5, 60.0)  # between two tries
MOST_WAITING = 10_000  # subjects, for one receiver; beyond that the oldest goes
SHOWN = 300  # characters of a problem
GIVE_UP_S = 6 * 3600.0  # after which what is still refused is given up, if others were taken

Item = TypeVar("Item")


class UnsentError(Exception):
    """The receiver has not taken it: the message says why, and repeats nothing secret.

    It asks to be left alone for `after_s`. `refused`: it is there, and does not want this item.
    """

    def __init__(self, message: str, after_s: float = 0.0, *, refused: bool = False) -> None:
        super().__init__(message)
        self.after_s = after_s
        self.refused = refused


class _Waiting(NamedTuple, Generic[Item]):
    of: str
    key: str
    item: Item


class Lane(Generic[Item]):
    """The way to one receiver.

    What is put in under a key takes the place of what waits under that key, at the end. What is of
    one subject is sent in its order, whatever is refused.
    """

    def __init__(
        self,
        name: str,
        send: Callable[[Sequence[Item]], Awaitable[None]],
        taken: Callable[[Item], None],
        outside: Outside,
        at_once: int = 1,
        given_up: Callable[[Item], None] = lambda _: None,
    ) -> None:
        """`send` is given at most `at_once` items, and raises UnsentError if they are not taken.

        `taken` is told of each that is, `given_up` of each that is refused for too long.
        """
        self.name = name
        self.dropped = 0  # because too much waited
        self.problem = ""  # why it has not taken what it was sent last
        self.problem_since_s = 0.0  # Unix time
        self._send = send
        self._taken = taken
        self._given_up = given_up
        self._at_once = at_once
        self._fresh: dict[str, dict[str, Item]] = {}  # what waits, by subject and key
        self._refused: dict[str, dict[str, Item]] = {}  # of subjects of which one was refused
        self._since: dict[str, tuple[str, float]] = {}  # which of those, and since when
        self._took_s = 0.0  # when something was taken
        self._retry_at_s = 0.0  # when one that was refused is tried again
        self._wake = asyncio.Event()
        self._outside = outside
        self._backoff = outside.backoff(*RETRY_S)
        self._retries = outside.backoff(*RETRY_S)  # of what was refused
        self._complaints = Complaints(log, outside.mono_s)

    def __len__(self) -> int:
        return len(self._fresh) + len(self._refused)

    def put(self, key: str, item: Item, of: str = "") -> None:
        """Have something sent, after all that waits; never blocks.

        `of`: its subject, the key unless one is given.
        """
        of = of or key
        waiting = self._refused if of in self._refused else self._fresh
        items = waiting.get(of, {})
        items.pop(key, None)
        if not items and waiting is self._fresh:
            waiting.pop(of, None)  # to the end
        items[key] = item
        waiting[of] = items
        if len(self) > MOST_WAITING:
            oldest = next(iter(self._refused or self._fresh))
            self._drop(oldest)
            self.dropped += 1
            problem = f"more than {MOST_WAITING} wait for it: the oldest is dropped"
            self._complaints.say(self.name, "a receiver", problem)
        self._wake.set()

    async def once(self, item: Item) -> None:
        """Send something once, beside what waits. Raises UnsentError."""
        try:
            await self._send([item])
        except UnsentError:
            raise
        except Exception as error:
            log.exception("what is sent to the receiver %s cannot be sent", self.name)
            raise UnsentError(_unsendable(error)) from error

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await self._try(await self._next())

    async def _next(self) -> list[_Waiting[Item]]:
        """What is sent next: what is fresh, in order, else one that was refused, by itself."""
        while True:
            self._wake.clear()
            if self._fresh:
                return list(islice(_each(self._fresh), self._at_once))
            left_s = self._retry_at_s - self._outside.mono_s()
            if self._refused and left_s <= 0:
                return [next(_each(self._refused))]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s if self._refused else None):
                    await self._wake.wait()

    async def _try(self, batch: Sequence[_Waiting[Item]]) -> bool:
        """Send some; whether the receiver was there to take or refuse them."""
        try:
            await self._send([one.item for one in batch])
        except UnsentError as error:
            problem = f"{error}"
            self._is_untaken(problem)
            self._complaints.say(self.name, "a receiver has not taken what it was sent", problem)
            if not error.refused:
                await asyncio.sleep(max(error.after_s, self._backoff.next_s()))
                return False
        except Exception as error:  # of what is sent, and no reason to end who sends it
            problem = _unsendable(error)
            self._is_untaken(problem)
            if len(batch) == 1 and batch[0].of not in self._refused:
                log.exception("what is sent to the receiver %s cannot be sent", self.name)
        else:
            self._backoff.reset()
            self._took_s = self._outside.mono_s()
            self.problem, self.problem_since_s = "", 0.0
            for one in batch:
                self._is_taken(one)
            return True
        if len(batch) == 1:
            await self._refuse(batch[0], problem)
            return True
        for one in batch:  # which of them it is
            if one.of not in self._refused and not await self._try([one]):
                return False
        return True

    def _is_untaken(self, problem: str) -> None:
        if not self.problem:
            self.problem_since_s = self._outside.wall_s()
        self.problem = one_line(problem, SHOWN)

    def _is_taken(self, one: _Waiting[Item]) -> None:
        if one.of in self._refused:
            self._retries.reset()
            self._retry_at_s = 0.0
        self._settle(one)
        self._taken(one.item)

    async def _refuse(self, one: _Waiting[Item], problem: str) -> None:
        """Have one that was refused, and what is of its subject, wait apart, or give it up."""
        now_s = self._outside.mono_s()
        was_refused = self._since.get(one.of, ("", 0.0))[0] == one.key
        since_s = self._since[one.of][1] if was_refused else now_s
        items = self._refused.pop(one.of, None) or self._fresh.pop(one.of, None)
        if items is not None:  # else it was dropped meanwhile
            self._refused[one.of] = items
            self._since[one.of] = one.key, since_s
        if now_s - since_s > GIVE_UP_S and self._took_s > since_s:  # so that it is this one's fault
            told = f"{one.key} is given up: {problem}"
            self._complaints.say(self.name, "a receiver refuses it for hours", told)
            self._settle(one)
            self._given_up(one.item)
        if was_refused:
            self._retry_at_s = now_s + self._retries.next_s()
        else:
            await asyncio.sleep(RETRY_S[0])

    def _settle(self, one: _Waiting[Item]) -> None:
        """One waits no more, and what is of its subject waits as if none had been refused."""
        items = self._fresh.get(one.of)
        if items is None:
            items = self._refused.pop(one.of, {})
            self._since.pop(one.of, None)
            self._fresh[one.of] = items
        if items.get(one.key) is one.item:  # else there is something newer to say
            del items[one.key]
        if not items:
            del self._fresh[one.of]

    def _drop(self, of: str) -> None:
        for waiting in (self._fresh, self._refused, self._since):
            waiting.pop(of, None)


def _unsendable(error: Exception) -> str:
    return f"it cannot be sent ({type(error).__name__})"


def _each(waiting: dict[str, dict[str, Item]]) -> Iterator[_Waiting[Item]]:
    return (_Waiting(of, k, item) for of, items in waiting.items() for k, item in items.items())
