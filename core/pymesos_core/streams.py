"""A stream from its beginning to its end, of which those concerned hear once, however it ends.

It may end by its peer, by an error, or by a cancellation at any await, also at one of the clearing
up. So what must be done at the end is done before anything is waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from pymesos_core.outbox import Outbox, OverflowedError

Result = TypeVar("Result")


class NotReadError(Exception):
    """The peer does not read: too much waited for it."""


async def to_the_end(awaitable: Awaitable[Result]) -> Result:
    """Carry something out to its end; a cancellation meanwhile counts after it.

    For what must not be left half done, and is known to end: a file that is opened, a process that
    is being killed.
    """
    inner = asyncio.ensure_future(awaitable)
    cancelled: asyncio.CancelledError | None = None
    while not inner.done():
        try:
            await asyncio.wait({inner})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return inner.result()
    if not inner.cancelled():
        inner.exception()  # looked at, so that nobody is warned of it
    raise cancelled


async def in_thread(function: Callable[..., Result], *arguments: Any) -> Result:
    """Call it in a thread, and never go on while it still runs there."""
    return await to_the_end(asyncio.to_thread(function, *arguments))


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
    handler = asyncio.current_task()
    assert handler is not None
    reader = asyncio.create_task(read)
    reader.add_done_callback(lambda _: outbox.close())
    # The writer may be waiting for the peer, which does not read.
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
        try:
            ended()
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
    if not reader.cancelled() and (error := reader.exception()):
        raise error


async def use_stream(
    call: Any,
    outbox: Outbox[Any],
    write: Coroutine[Any, Any, None],
    begun: Callable[[], None],
    hear: Callable[[Any], bool | None],
    ended: Callable[[], None],
) -> None:
    """Use a stream as its client: `begun`, then `hear` each batch, while `write` empties the box.

    Once it is over (`hear` may say so by False), `ended` is called, once and at once. Raises what
    they raised, and NotReadError.
    """
    writer = asyncio.create_task(write)
    outbox.on_overflow = call.cancel
    try:
        begun()
        async for batch in call:
            if hear(batch) is False:
                break
    except asyncio.CancelledError:
        me = asyncio.current_task()
        if not outbox.overflowed or (me is not None and me.cancelling()):
            raise
        raise NotReadError from None
    finally:
        outbox.on_overflow = lambda: None
        writer.cancel()
        call.cancel()
        try:
            ended()
        finally:
            await asyncio.gather(writer, return_exceptions=True)
