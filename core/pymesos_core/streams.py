"""A stream from its beginning to its end, of which those concerned hear once, however it ends.

It may end by its peer, by an error, or by a cancellation at any await, also at one of the clearing
up. So what must be done at the end is done before anything is waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from pymesos_core.outbox import Outbox, OverflowedError
from pymesos_core.tasks import beside
from pymesos_core.transport import CallError, ClientStream

Result = TypeVar("Result")


class NotReadError(Exception):
    """The peer does not read: too much waited for it."""


def _nothing() -> None:
    pass


async def to_the_end(
    awaitable: Awaitable[Result], on_cancel: Callable[[], None] = _nothing
) -> Result:
    """Carry something out to its end; a cancellation meanwhile counts after it.

    `on_cancel` is called then, to have it end sooner. For what must not be left half done, and is
    known to end: a file that is opened, a process that is being killed.
    """
    inner = asyncio.ensure_future(awaitable)
    cancelled: asyncio.CancelledError | None = None
    while not inner.done():
        try:
            await asyncio.wait({inner})
        except asyncio.CancelledError as error:
            cancelled = error
            on_cancel()
    if cancelled is None:
        return inner.result()
    if not inner.cancelled():
        inner.exception()  # looked at, so that nobody is warned of it
    raise cancelled


async def in_thread(function: Callable[..., Result], *arguments: Any) -> Result:
    """Call it in a thread, and never go on while it still runs there."""
    return await to_the_end(asyncio.to_thread(function, *arguments))


def begin_in_own_thread(
    name: str, function: Callable[..., Result], *arguments: Any
) -> Future[Result]:
    """Call it in a thread of this name, which whoever waits for it may leave behind.

    It keeps no process alive: for what may wait for others for long, and may be left half done.
    """
    called: Future[Result] = Future()

    def run() -> None:
        if not called.set_running_or_notify_cancel():
            return
        try:
            called.set_result(function(*arguments))
        except Exception as error:
            called.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return called


async def in_own_thread(name: str, function: Callable[..., Result], *arguments: Any) -> Result:
    """Wait for what is called in a thread of its own, which a cancellation leaves behind."""
    return await asyncio.wrap_future(begin_in_own_thread(name, function, *arguments))


async def serve_stream(
    outbox: Outbox[Any],
    read: Coroutine[Any, Any, None],
    write: Callable[[list[Any]], Awaitable[bool | None]],
    ended: Callable[[], None],
) -> None:
    """Serve a stream: `read` takes what comes, `write` is given what is in the outbox, in batches.

    It is over when one of them is (`write` says so by False), and then `ended` is called, once and
    at once. Raises what they raised, and NotReadError.
    """
    problems: list[Exception] = []

    async def reading() -> None:
        try:
            await read
        except Exception as error:
            problems.append(error)
        finally:
            outbox.close()

    try:
        async with beside(reading()):
            await _write_all(outbox, write, ended)
    finally:
        read.close()
    if problems:
        raise problems[0]


async def _write_all(
    outbox: Outbox[Any],
    write: Callable[[list[Any]], Awaitable[bool | None]],
    ended: Callable[[], None],
) -> None:
    handler = asyncio.current_task()
    assert handler is not None
    # It may be waiting for the peer, which does not read.
    outbox.on_overflow = handler.cancel
    try:
        while (batch := await outbox.batch()) is not None and await write(batch) is not False:
            pass
    except (asyncio.CancelledError, OverflowedError):
        if not outbox.overflowed:
            raise
        handler.uncancel()
        raise NotReadError from None
    finally:
        outbox.on_overflow = lambda: None
        ended()


async def use_stream(
    stream: ClientStream,
    outbox: Outbox[Any],
    write: Coroutine[Any, Any, None],
    begun: Callable[[], None],
    hear: Callable[[Any], bool | None],
    ended: Callable[[], None],
) -> None:
    """Use a stream as its client: `begun`, then `hear` each batch, while `write` empties the box.

    It has `begun` when its peer is connected: a registration is not put together for nobody. Once
    it is over (`hear` may say so by False), `ended` is called, once and at once. Raises what they
    raised, CallError, and NotReadError.
    """

    async def writing() -> None:
        with contextlib.suppress(CallError, OverflowedError):  # which end the reading, too
            await write

    outbox.on_overflow = stream.cancel
    try:
        async with beside(writing()):
            try:
                await stream.opened()
                begun()
                while (batch := await stream.read()) is not None:
                    if hear(batch) is False:
                        break
            except CallError:
                if not outbox.overflowed:
                    raise
                raise NotReadError from None
            finally:
                outbox.on_overflow = lambda: None
                stream.cancel()
                ended()
    finally:
        write.close()
