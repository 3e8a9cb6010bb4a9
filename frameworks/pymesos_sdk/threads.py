"""Which thread a driver lives in: what other threads want of it is done there."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any


class Home:
    """The event loop that a driver runs in, once it does."""

    def __init__(self, who: str) -> None:
        self._who = who
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0

    def begin(self) -> None:
        """The driver runs in this loop from now on. Raises RuntimeError if it has run before."""
        if self._loop is not None:
            raise RuntimeError(
                f"{self._who} runs already, or has ended: `run` is called once. Make another for"
                f" the next run; with the same framework id it finds its tasks again"
            )
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()

    def passes(self, call: Callable[..., object], *arguments: Any) -> bool:
        """Have it called in the loop, if this is another thread than that's; whether it is.

        What comes when the loop is closed is for nobody any more.
        """
        if self._loop is None or threading.get_ident() == self._thread:
            return False
        with contextlib.suppress(RuntimeError):  # it is closed, perhaps just now
            self._loop.call_soon_threadsafe(call, *arguments)
        return True
