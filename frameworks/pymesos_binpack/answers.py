"""Who asks something of the bin-packing core waits here for what it says to that."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

from pymesos_binpack import core as c

STARTS_AGAIN = "the framework starts again: try again"

Answer = c.JobAccepted | c.JobRefused | c.Released | c.Done


class StartsAgainError(Exception):
    """Asked of a framework that stops here, and goes on in another: ask again."""


class SubmitError(Exception):
    """The job is not taken: the message says why and what to do."""


class StaleError(SubmitError):
    """Somebody was quicker: another version is in force, or a job of the name runs."""


class WrongError(SubmitError):
    """What was asked for cannot be: to ask again later is of no use."""


def refusal(effect: c.JobRefused) -> SubmitError:
    """Return what is raised where the core has refused what somebody asked for."""
    kind = StaleError if effect.stale else WrongError if effect.wrong else SubmitError
    return kind(effect.message)


class Answers:
    """Feeds the core what is asked, and gives each answer to whoever waits for it."""

    def __init__(self, feed: Callable[[c.Event], None], is_over: Callable[[], bool]) -> None:
        """`is_over` says whether the core takes nothing in any more."""
        self._feed = feed
        self._is_over = is_over
        # By the job that is to be changed, or nothing, and the id of the request.
        self._accepted: dict[tuple[str, str], asyncio.Future[c.JobAccepted]] = {}
        self._released: dict[tuple[str, bool], asyncio.Future[str]] = {}  # by job, and `discard`
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[None]] = {}

    async def accepted(self, key: tuple[str, str], event: c.Event) -> c.JobAccepted:
        """Feed an event unless one of its key waits for its answer; return that answer.

        It is waited for whoever hangs up meanwhile: others may have sent the same request.
        Raises SubmitError, StaleError, StartsAgainError.
        """
        if (accepted := self._accepted.get(key)) is None:
            accepted = asyncio.get_running_loop().create_future()
            self._accepted[key] = accepted
            accepted.add_done_callback(lambda done: self._answered(key, done))
            self._feed(event)
            if self._is_over() and not accepted.done():
                accepted.set_exception(StartsAgainError(STARTS_AGAIN))
        return await asyncio.shield(accepted)

    def _answered(self, key: tuple[str, str], accepted: asyncio.Future[c.JobAccepted]) -> None:
        if self._accepted.get(key) is accepted:
            del self._accepted[key]
        if not accepted.cancelled():
            accepted.exception()  # nobody may have waited for it

    async def released(self, job_id: str, *, discard: bool) -> str:
        """Have a job in quarantine tried again, or forgotten; why not, or nothing.

        Raises StartsAgainError.
        """
        key = (job_id, discard)
        if (asked := self._released.get(key)) is None:
            asked = asyncio.get_running_loop().create_future()
            self._released[key] = asked
            asked.add_done_callback(lambda _: self._released.pop(key, None))
            self._feed(c.QuarantineReleased(job_id, discard))
            if self._is_over() and not asked.done():
                asked.set_exception(StartsAgainError(STARTS_AGAIN))
        return await asyncio.shield(asked)

    async def stored(self, event: Callable[[int], c.Event]) -> None:
        """Feed the event of a number; return once what it asks for is stored.

        Raises StartsAgainError.
        """
        number = next(self._numbers)
        self._asked[number] = done = asyncio.get_running_loop().create_future()
        try:
            self._feed(event(number))
            if self._is_over() and not done.done():
                raise StartsAgainError(STARTS_AGAIN)
            await done
        finally:
            del self._asked[number]

    def give(self, answer: Answer) -> None:
        """Give an answer of the core to who waits for it, if anybody still does."""
        match answer:
            case c.JobAccepted():
                accepted = self._accepted.get(answer.key)
                if accepted is not None and not accepted.done():
                    accepted.set_result(answer)
            case c.JobRefused(request_id, job_id=job_id):
                accepted = self._accepted.get((job_id, request_id))
                if accepted is not None and not accepted.done():
                    accepted.set_exception(refusal(answer))
            case c.Released(job_id, problem, discard):
                released = self._released.get((job_id, discard))
                if released is not None and not released.done():
                    released.set_result(problem)
            case c.Done(number):
                done = self._asked.get(number)
                if done is not None and not done.done():
                    done.set_result(None)

    def end(self) -> None:
        """Tell who waits that nobody is answered here any more."""
        waiting: tuple[asyncio.Future[Any], ...] = (
            *self._accepted.values(),
            *self._released.values(),
            *self._asked.values(),
        )
        for asked in waiting:
            if not asked.done():
                asked.set_exception(StartsAgainError(STARTS_AGAIN))
