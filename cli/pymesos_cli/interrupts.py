"""Ctrl-C, SIGTERM and a hang-up while something runs: what is said, and what is ended."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

from pymesos_cli.errors import CliError
from pymesos_cli.terminal import note
from pymesos_core.tasks import running

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
OF_SIGNAL = 128  # and the number: the exit status, as a shell has it


async def run_interruptibly(
    work: Coroutine[Any, Any, int],
    *,
    words: Callable[[], str],
    end: Callable[[], Awaitable[None]] | None = None,
) -> int:
    """The result of `work`, or 128 and the number of the signal that came first.

    The first signal calls `end`, and the work goes on to its end; the second leaves at once with
    `words`, as the first does where there is no `end`, or where that fails.
    """
    ending: asyncio.Task[bool] | None = None
    first: signal.Signals | None = None
    async with contextlib.AsyncExitStack() as begun:
        working = await begun.enter_async_context(running(work))
        came = begun.enter_context(_signals())
        while True:
            async with running(came.get()) as signalled:
                waits = {working, signalled, *({ending} if ending is not None else ())}
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                number = signalled.result() if signalled.done() else None
            if number is None:
                if working.done() or ending is None:
                    status = await working
                    return OF_SIGNAL + first if first else status
                if not ending.result():
                    assert first is not None
                    return OF_SIGNAL + first
                ending = None  # it is asked for; the work sees it through
                continue
            if first is not None or end is None:
                note(words())
                return OF_SIGNAL + (first or number)
            first = number
            ending = await begun.enter_async_context(running(_end(end, words)))


@contextlib.contextmanager
def _signals() -> Iterator[asyncio.Queue[signal.Signals]]:
    """The signals that come; those that this process was begun to ignore it ignores."""
    came: asyncio.Queue[signal.Signals] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup, or a job in the background
            loop.add_signal_handler(number, came.put_nowait, number)
    try:
        yield came
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)


async def _end(end: Callable[[], Awaitable[None]], words: Callable[[], str]) -> bool:
    """Whether the end could be asked for; else why not is said."""
    try:
        await end()
    except CliError as error:
        with contextlib.suppress(Exception):
            note(f"{error.format_message()}; {words()}")
        return False
    return True
