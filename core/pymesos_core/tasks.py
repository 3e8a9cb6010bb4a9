"""Work that goes on side by side, of which nothing is left behind: see asyncio.TaskGroup."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

log = logging.getLogger(__name__)

Result = TypeVar("Result")


async def until_first(*works: Coroutine[Any, Any, Any]) -> None:
    """Do all of them until one ends; the others are cancelled, and have ended, too, by then.

    Raises what the first one raised that raised anything.
    """
    errors: list[Exception] = []
    tasks: list[asyncio.Task[None]] = []

    async def one(work: Coroutine[Any, Any, Any]) -> None:
        # Nothing is raised into the group, which would raise all errors together, and in Python
        # 3.11 leaves its caller with a request to be cancelled.
        try:
            await work
        except Exception as error:
            errors.append(error)
        finally:
            for task in tasks:
                if task is not asyncio.current_task():
                    task.cancel()

    try:
        async with asyncio.TaskGroup() as group:
            tasks += [group.create_task(one(work)) for work in works]
    finally:
        for work in works:
            work.close()  # one that was cancelled before it had begun
    if errors:
        raise errors[0] from errors[0].__cause__


@contextlib.asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Do `work` beside the body of the `with`; after that it is cancelled, and has ended then.

    What it raises is the concern of nobody here: it handles what it expects.
    """

    async def contained() -> None:
        try:
            await work
        except Exception:
            log.exception("what was done beside something else has failed")

    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(contained())
            try:
                yield
            finally:
                task.cancel()
    except BaseExceptionGroup as raised:  # of what the body raised alone
        raise raised.exceptions[0] from raised.exceptions[0].__cause__
    finally:
        work.close()  # if it was cancelled before it had begun


class Background:
    """Work that plain functions begin, and that its owner ends: none is forgotten while it runs.

    What one raises is a fault, and logged, unless it is for who awaits it.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._tasks: dict[asyncio.Task[Any], None] = {}  # in their order

    def __len__(self) -> int:
        return len(self._tasks)

    def start(
        self, work: Coroutine[Any, Any, Result], *, awaited: bool = False
    ) -> asyncio.Task[Result]:
        """Begin it. The task is to be cancelled alone, or `awaited` by who wants its result."""
        task = asyncio.create_task(work)
        self._tasks[task] = None
        task.add_done_callback(self._looked_at if awaited else self._ended)
        return task

    def _looked_at(self, task: asyncio.Task[Any]) -> BaseException | None:
        self._tasks.pop(task, None)
        return None if task.cancelled() else task.exception()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if (error := self._looked_at(task)) is not None:
            log.error("%s has failed", self._what, exc_info=error)

    async def close(self) -> None:
        """End all of them; they have ended then."""
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)


@contextlib.asynccontextmanager
async def running(work: Coroutine[Any, Any, Result]) -> AsyncIterator[asyncio.Task[Result]]:
    """A task beside the body, who awaits it; after the body it is cancelled, and has ended."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        while not task.done():
            await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # looked at: who awaited it was told
