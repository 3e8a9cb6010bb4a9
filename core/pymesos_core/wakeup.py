"""The timer of a shell: it wakes its core when the core's next deadline is due."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Wakeup:
    """At most one timer is set; call `reset` after every step of the core."""

    def __init__(self, next_deadline_s: Callable[[], float | None], tick: Callable[[], None]):
        self._next_deadline_s = next_deadline_s
        self._tick = tick
        self._timer: asyncio.TimerHandle | None = None
        self._cancelled = False

    def reset(self) -> None:
        """Look at the core's next deadline again."""
        at = self._next_deadline_s()
        if self._timer is not None:
            if at is not None and self._timer.when() <= at:
                return  # it fires early enough, and looks again
            self._timer.cancel()
            self._timer = None
        if at is not None and not self._cancelled:
            self._timer = asyncio.get_running_loop().call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._tick()

    def cancel(self) -> None:
        """Wake nobody any more."""
        self._cancelled = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
