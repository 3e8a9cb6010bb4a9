"""A runtime that answers and starts nothing: told from tasks that cannot be started.

What a launch fails with rarely says whose fault it is, and nobody's job may take a runtime from
others. So after some launches in a row have failed, a container that does nothing is tried. If that
fails as well, it is the runtime, which is offered to nobody until the trial succeeds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from pymesos_agent.core.events import (
    ContainerFailed,
    ContainerStarted,
    RuntimeBroken,
    RuntimeMended,
)
from pymesos_core.tasks import Background

log = logging.getLogger(__name__)

FAILURES = 5  # launches in a row
AGAIN_S = 30.0


class Trials:
    """Watches the launches of one runtime; in the event loop."""

    def __init__(
        self,
        name: str,
        trial: Callable[[], Awaitable[str]],
        tell: Callable[[RuntimeBroken | RuntimeMended], None],
    ) -> None:
        """`trial` says why nothing can be started; nothing when it can."""
        self._name = name
        self._trial = trial
        self._tell = tell
        self._failures = 0
        self._trying = Background(f"trying the runtime {name}")

    def look_at(self, event: object) -> None:
        """Count what becomes of launches. One that was killed meanwhile says nothing."""
        if isinstance(event, ContainerStarted):
            self._failures = 0
        elif isinstance(event, ContainerFailed) and not event.killed:
            self._failed()

    def _failed(self) -> None:
        self._failures += 1
        if self._failures >= FAILURES and not len(self._trying):
            self._failures = 0
            self._trying.start(self._try())

    async def _try(self) -> None:
        if not (problem := await self._problem()):
            return  # those tasks were to blame
        log.warning(
            "the runtime %s starts no container, so no tasks are offered to it: %s",
            *(self._name, problem),
        )
        self._tell(RuntimeBroken(self._name, problem))
        while problem:
            await asyncio.sleep(AGAIN_S)
            problem = await self._problem()
        log.info("the runtime %s starts containers again", self._name)
        self._tell(RuntimeMended(self._name))

    async def _problem(self) -> str:
        try:
            return await self._trial()
        except Exception as error:  # a trial is there to find out what goes wrong
            return f"{type(error).__name__}: {error}"

    async def close(self) -> None:
        """Try nothing any more."""
        await self._trying.close()
