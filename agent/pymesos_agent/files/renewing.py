"""Config files of tasks that run, made anew when the addresses in them have changed.

Then the task is told by a signal, or begins anew, as its job wants it. Those that are to begin anew
do so at moments of their own, so that not all of a service are away at once. What cannot be made is
tried again, later each time. Until it can, the task is sent the signals of its other files, but
does not begin anew: its start would fail.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.containers.users import UserError
from pymesos_agent.core import AgentCore
from pymesos_agent.core.effects import StartContainer
from pymesos_agent.core.events import ConfigChanged
from pymesos_agent.core.tasks.task import Task
from pymesos_agent.files.addresses import Addresses
from pymesos_agent.files.config import ConfigError, Found, Rendering
from pymesos_agent.runtimes.interface import Runtime
from pymesos_core.backoff import Backoff
from pymesos_core.stop_signals import STOP_SIGNALS
from pymesos_core.tasks import Background
from pymesos_proto.v1 import types_pb2 as pb

LOOK_S = 2.0  # so often a task is told of something at most
SPLAY_S = 15.0  # within which those begin anew that have the same addresses
LEAST_S = 60.0  # that a task runs before: some of different jobs may restart each other for ever
AGAIN_S = (5.0, 300.0)  # from a failure to the next try: the shortest and the longest delay

log = logging.getLogger(__name__)


@dataclass
class _Failed:
    """Files that could not be made, and when that is tried again."""

    backoff: Backoff
    again_s: float = 0.0
    said: str = ""


class Renewing:
    """Makes the config files of one agent's tasks anew; `core` knows the tasks."""

    def __init__(
        self,
        core: AgentCore,
        addresses: Addresses,
        rendering: Rendering,
        runtimes: Mapping[str, Runtime],
        spec_of: Callable[[StartContainer], ContainerSpec],
        feed: Callable[[ConfigChanged], None],
        new_backoff: Callable[[], Backoff],
    ) -> None:
        self._core = core
        self._addresses = addresses
        self._rendering = rendering
        self._runtimes = runtimes
        self._spec_of = spec_of
        self._feed = feed
        self._new_backoff = new_backoff
        self._now_s = 0.0  # of the latest look
        self._since: dict[str, float] = {}  # by container: since when it is known to run
        self._seen: dict[str, Mapping[str, Found]] = {}  # what its files have
        self._as_of: dict[str, int] = {}  # with how many changes that was looked at
        self._due: dict[str, float] = {}  # containers that are to begin anew, and when
        self._busy: set[str] = set()  # those whose files are being made
        self._failed: dict[str, _Failed] = {}
        self._renewals = Background("making config files anew")

    async def run(self, now_s: Callable[[], float]) -> None:
        """Look again and again, until this is cancelled. `now_s` is monotonic."""
        try:
            while True:
                self.look(now_s())
                await asyncio.sleep(LOOK_S)
        finally:
            await self._renewals.close()

    def look(self, now_s: float) -> None:
        """Begin to make anew what has changed, and have begin anew what is due.

        Nobody waits for the files of others: those of each container are made by themselves.
        """
        self._now_s = now_s
        running = {task.container_id: task for task in self._running()}
        if running:
            self._addresses.want()
        self._since = {c: self._since.get(c, now_s) for c in running}
        self._seen = {c: told for c, told in self._seen.items() if c in running}
        self._as_of = {c: changes for c, changes in self._as_of.items() if c in running}
        self._failed = {c: failed for c, failed in self._failed.items() if c in running}
        given = self._addresses.given
        for container_id in given.keys() - self._core.state.owners.keys():
            del given[container_id]
        self._due = {c: when_s for c, when_s in self._due.items() if c in running}
        self._restart_due(now_s)
        if not self._addresses.is_heard:
            return
        for container_id, task in running.items():
            if container_id not in self._busy:
                self._look_at(task, now_s)

    def _running(self) -> Iterator[Task]:
        """The tasks that have such files, are not to end, and can be told."""
        for task in self._core.state.tasks.values():
            if (
                task.state == pb.TASK_RUNNING
                and task.kill is None
                and task.inside is None
                and task.runtime not in self._core.away
                and any(file.addresses for file in task.info.container.config)
            ):
                yield task

    def _restart_due(self, now_s: float) -> None:
        """Have begin anew what is due, unless it could not: its files are made at a start, too."""
        for container_id, when_s in list(self._due.items()):
            if container_id in self._failed:
                self._due[container_id] = max(when_s, now_s + _splay_s(container_id))
            elif when_s <= now_s:
                del self._due[container_id]
                self._feed(ConfigChanged(container_id))

    def _look_at(self, task: Task, now_s: float) -> None:
        container_id = task.container_id
        failed = self._failed.get(container_id)
        is_due = failed is not None and failed.again_s <= now_s
        if self._as_of.get(container_id) == self._addresses.changes and not is_due:
            return
        self._as_of[container_id] = self._addresses.changes
        told = self._addresses.told(task.info.container)
        given = self._addresses.given.pop(container_id, None)
        is_same = self._seen.get(container_id, given) == told
        self._seen[container_id] = told
        if not is_same or is_due:
            self._busy.add(container_id)
            self._renewals.start(self._renew(task, told, now_s))

    async def _renew(self, task: Task, told: Mapping[str, Found], now_s: float) -> None:
        problems: Sequence[Exception]
        try:
            problems = await self._remake(task, told, now_s)
        except Exception as error:
            problems = [error]
        finally:
            self._busy.discard(task.container_id)
        if problems:
            self._put_off(task, problems)
        else:
            self._failed.pop(task.container_id, None)

    async def _remake(
        self, task: Task, told: Mapping[str, Found], now_s: float
    ) -> Sequence[Exception]:
        """Make its files anew, and tell it; return why some of that could not be."""
        spec = self._spec_of(self._core.start_of(task))
        remade = await self._rendering.rewrite(spec, told)
        if task.kill is not None or task.state != pb.TASK_RUNNING:
            return remade.problems  # meanwhile
        if task.runtime in self._core.away:
            away = ConfigError(f"the runtime {task.runtime} does not answer, and tells it nothing")
            return [*remade.problems, away]
        self._tell(task, remade.changed, now_s)
        return [*remade.problems, *await self._rendering.keep(spec, remade)]

    def _tell(self, task: Task, changed: Sequence[str], now_s: float) -> None:
        files = [file for file in task.info.container.config if file.path in changed]
        if any(file.on_change == pb.ON_CHANGE_RESTART for file in files):
            since_s = self._since.get(task.container_id, now_s)
            when_s = max(now_s, since_s + LEAST_S) + _splay_s(task.container_id)
            self._due.setdefault(task.container_id, when_s)
        wanted = {file.signal for file in files if file.on_change == pb.ON_CHANGE_SIGNAL}
        for signal in sorted(wanted & set(STOP_SIGNALS)):
            if (runtime := self._runtimes.get(task.runtime)) is not None:
                runtime.signal(task.container_id, signal)

    def _put_off(self, task: Task, problems: Sequence[Exception]) -> None:
        """Have the files tried again; what is the matter is said when it is something new.

        What nobody foresaw is a fault, and said with where it happened.
        """
        if task.container_id not in self._failed:
            self._failed[task.container_id] = _Failed(self._new_backoff())
        failed = self._failed[task.container_id]
        failed.again_s = self._now_s + failed.backoff.next_s()
        faults = [each for each in problems if not isinstance(each, (ConfigError, UserError))]
        said = "; ".join(repr(each) if each in faults else str(each) for each in problems)
        if said != failed.said:
            failed.said = said
            log.log(
                logging.ERROR if faults else logging.WARNING,
                "%s: %s; what cannot be made stays as it was, and is tried again",
                task.info.task_id,
                said,
                exc_info=faults[0] if faults else None,
            )


def _splay_s(container_id: str) -> float:
    """How much later than others of its service a container begins anew."""
    return zlib.crc32(container_id.encode()) / 2**32 * SPLAY_S
