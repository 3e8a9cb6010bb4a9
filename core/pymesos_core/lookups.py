"""Names of hosts are looked up beside all else: half a minute may pass until one fails."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from functools import partial
from typing import Any

from pymesos_core.streams import begin_in_own_thread

MOST_AT_ONCE = 32


def look_up_in_own_threads(most: int = MOST_AT_ONCE) -> None:
    """Look up the names that this event loop asks for in threads of their own.

    asyncio does it in the pool of `to_thread`. A few lookups that hang, as of the URLs of webhooks,
    would hold up all else that is done there, and the process's end, which waits for that pool.
    """
    loop = asyncio.get_running_loop()
    free = asyncio.Semaphore(most)

    def give_back(_: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(free.release)

    async def getaddrinfo(host: Any, port: Any, **how: int) -> list[Any]:
        await free.acquire()
        try:
            looking = begin_in_own_thread("lookup", partial(socket.getaddrinfo, host, port, **how))
        except RuntimeError as error:  # there are as many threads as there may be
            free.release()
            raise socket.gaierror(socket.EAI_AGAIN, f"{host} is not looked up: {error}") from error
        looking.add_done_callback(give_back)  # one that was given up still takes its thread
        return await asyncio.wrap_future(looking)

    loop.getaddrinfo = getaddrinfo  # type: ignore[method-assign]
