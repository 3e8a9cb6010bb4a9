"""The checks of an agent's tasks that are being asked: so many at a time, and none for ever."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from pymesos_agent.containers.marks import Marks
from pymesos_agent.containers.users import UserError
from pymesos_agent.core.effects import RunCheck
from pymesos_agent.core.events import Checked
from pymesos_agent.files.folders import Folders
from pymesos_agent.health.checking import CheckError
from pymesos_agent.host import AskTask
from pymesos_agent.runtimes.interface import Runtime
from pymesos_core.tasks import Background

log = logging.getLogger(__name__)

MAX_COMMANDS, MAX_ASKED = 32, 256  # checks at a time


class Checks:
    """Asks tasks how they are."""

    def __init__(
        self,
        runtimes: Mapping[str, Runtime],
        folders: Folders,
        marks: Marks,
        tell: Callable[[Checked], None],
        ask: AskTask,
    ) -> None:
        self._ask_task = ask
        self._runtimes = runtimes
        self._folders = folders
        self._marks = marks
        self._tell = tell
        self._asked = Background("asking a task")
        self._running = asyncio.Semaphore(MAX_COMMANDS)
        self._asking = asyncio.Semaphore(MAX_ASKED)

    def start(self, effect: RunCheck) -> None:
        """Ask, and tell what the answer was."""
        self._asked.start(self._ask(effect))

    async def close(self) -> None:
        """End those under way, without a word."""
        await self._asked.close()

    async def _ask(self, effect: RunCheck) -> None:
        container_id, problem = effect.container_id, None
        async with self._running if effect.check.HasField("command") else self._asking:
            try:
                name = effect.container.runtime
                if (runtime := self._runtimes.get(name)) is None:
                    raise CheckError(f"the runtime {name} does not answer now")
                spec = self._folders.spec(effect.container)
                await self._ask_task(
                    effect.check,
                    spec,
                    effect.pid,
                    lambda argv: runtime.entry(spec, argv, "").kept_in(self._marks),
                    effect.timeout_s,
                )
            except (CheckError, UserError) as error:
                problem = str(error)
            except Exception as error:  # unheard, it would be the last check of this task
                log.exception("checking %s", container_id)
                problem = f"it cannot be asked: {type(error).__name__}: {error}"
        self._tell(Checked(container_id, effect.name, problem))
