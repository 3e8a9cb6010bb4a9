"""Jobs are read again with other values of their variables, one at a time and beside the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pymesos_binpack.core.effects import MakeJob
from pymesos_binpack.core.events import JobMade
from pymesos_binpack.jobfiles.parsing import parse_stored
from pymesos_binpack.jobfiles.variables import with_variables
from pymesos_binpack.specs import Job


class Making:
    """What is to be made: at most one job of each variable at a time, as the core asks for it."""

    def __init__(self, made: Callable[[JobMade], None]) -> None:
        self._made = made
        self._wanted: asyncio.Queue[MakeJob] = asyncio.Queue()

    def make(self, wanted: MakeJob) -> None:
        """Make a job, after those that were wanted before."""
        self._wanted.put_nowait(wanted)

    async def run(self) -> None:
        """Make what is wanted, until it is cancelled."""
        while True:
            wanted = await self._wanted.get()
            self._made(JobMade(wanted, await asyncio.to_thread(made_job, wanted)))


def made_job(wanted: MakeJob) -> Job | Exception:
    """Return a job as it is wanted, or why it cannot be: the core says whose fault that is."""
    try:
        document = with_variables(wanted.document, wanted.values)
        return parse_stored(document)
    except Exception as error:
        return error
