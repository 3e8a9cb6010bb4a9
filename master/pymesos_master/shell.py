"""The doing half of a leading master: connections, the registry's writes, the timer.

It feeds events to the core one at a time and carries the effects out in the order given.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from typing import Any

from pymesos_core.caller import Caller
from pymesos_core.clock import read_clock
from pymesos_core.complaints import Complaints
from pymesos_core.coordination import RegistryError, Term
from pymesos_core.errors import Problem, ProblemKind
from pymesos_core.outbox import Outbox
from pymesos_core.store import GroupCommit
from pymesos_core.wakeup import Wakeup
from pymesos_master.commands import Commands
from pymesos_master.core import MasterCore
from pymesos_master.core.effects import (
    AnswerOperator,
    AwaitDrained,
    CloseConnection,
    Complain,
    Effect,
    EndUnread,
    PersistRegistry,
    PublishEvent,
    StepDown,
    TellAgent,
    TellFramework,
)
from pymesos_master.core.events import (
    CoordinationResumed,
    CoordinationSuspended,
    Drained,
    Event,
    Persisted,
    PersistFailed,
    Tick,
)
from pymesos_master.queries import Queries
from pymesos_master.watching import Watching

log = logging.getLogger(__name__)

STOPPED_LEADING = "the master stopped leading before this was done; try again"


class Connection:
    """One open stream of an agent or a framework: what comes on it, and its one end."""

    def __init__(
        self,
        leader: Leader,
        connection_id: int,
        caller: Caller,
        disconnected: Callable[[int], Event],
    ) -> None:
        self.connection_id = connection_id
        self.caller = caller
        self.outbox: Outbox[Any] = Outbox()
        self._leader = leader
        self._disconnected = disconnected
        self._ended = False

    def feed(self, event: Event) -> None:
        """What came on it; nothing comes after its end."""
        if not self._ended:
            self._leader.feed(event)

    def await_drained(self) -> None:
        """The core wants to know when there is nothing left to send."""
        self.outbox.when_drained(lambda: self.feed(Drained(self.connection_id)))

    def end(self) -> None:
        """It is over, whoever ended it: the core hears so, once."""
        if not self._ended:
            self._ended = True
            self._leader.forget(self)
            self._leader.feed(self._disconnected(self.connection_id))


class Leader:
    """One term of leading."""

    def __init__(self, core: MasterCore, term: Term) -> None:
        self.core = core
        self.term = term
        self.failure: str | None = None
        self._connections: dict[int, Connection] = {}
        self.queries = Queries(core)
        self.commands = Commands(self.ask)
        self.watching = Watching(term.epoch, core.state, core.watch)
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Problem | None]] = {}
        self._commits = GroupCommit(term.registry.commit, self._committed)
        self._wakeup = Wakeup(core.next_deadline_s, lambda: self.feed(Tick()))
        self._complaints = Complaints(log)
        self._over = False
        core.watch(False)
        term.on_doubt = self._in_doubt

    def _in_doubt(self, in_doubt: bool) -> None:
        self.feed(CoordinationSuspended() if in_doubt else CoordinationResumed())

    async def run(self) -> None:
        """Lead until the term is lost or this is cancelled; then every stream is ended."""
        commits = asyncio.create_task(self._commits.run())
        lost = asyncio.create_task(self.term.lost.wait())
        try:
            self.feed(Tick())
            if not self.term.active.is_set():
                self._in_doubt(True)
            await asyncio.wait({commits, lost}, return_when=asyncio.FIRST_COMPLETED)
            if commits.done():
                commits.result()
        finally:
            self._over = True
            for task in (commits, lost):
                task.cancel()
            await asyncio.gather(commits, lost, return_exceptions=True)
            self._wakeup.cancel()
            for connection in self._connections.values():
                connection.outbox.close()
            self.watching.close()
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_result(Problem(ProblemKind.UNAVAILABLE, STOPPED_LEADING))

    def open(self, caller: Caller, disconnected: Callable[[int], Event]) -> Connection:
        """A new stream; its `end` makes the event that it is `disconnected`."""
        connection = Connection(self, next(self._ids), caller, disconnected)
        self._connections[connection.connection_id] = connection
        return connection

    def forget(self, connection: Connection) -> None:
        """Nothing more is said on it."""
        self._connections.pop(connection.connection_id, None)

    async def ask(self, make_event: Callable[[int], Event]) -> Problem | None:
        """Feed an operator's request and wait until it is done; the problem, or None."""
        request_id = next(self._ids)
        answer: asyncio.Future[Problem | None] = asyncio.get_running_loop().create_future()
        self._answers[request_id] = answer
        try:
            self.feed(make_event(request_id))
            return await answer
        finally:
            del self._answers[request_id]

    def feed(self, event: Event) -> None:
        """Take one event in and do what the core says."""
        if self._over:
            return
        for effect in self.core.step(read_clock(), event):
            self._do(effect)
        self._wakeup.reset()

    def _do(self, effect: Effect) -> None:
        match effect:
            case TellAgent(connection_id, message):
                if connection_id in self._connections:
                    self._connections[connection_id].outbox.put(message)
            case TellFramework(connection_id, event):
                if connection_id in self._connections:
                    self._connections[connection_id].outbox.put(event)
            case PublishEvent():
                self.watching.publish(effect)
            case PersistRegistry(token, changes):
                self._commits.submit(token, changes)
            case CloseConnection(connection_id):
                if connection_id in self._connections:
                    self._connections[connection_id].outbox.close()
            case EndUnread(connection_id):
                if connection_id in self._connections:
                    self._connections[connection_id].outbox.overflow()
            case AwaitDrained(connection_id):
                if connection_id in self._connections:
                    self._connections[connection_id].await_drained()
            case AnswerOperator(request_id, problem):
                answer = self._answers.get(request_id)
                if answer is not None and not answer.done():
                    answer.set_result(problem)
            case Complain(peer, kind, message):
                self._complaints.say(peer, kind, message)
            case StepDown(reason):
                log.error("stepping down: %s", reason)
                self.failure = reason
                self._over = True  # what it meant to be true is not, and nothing more is said of it
                self.term.end()

    def _committed(self, token: int, error: Exception | None) -> None:
        if error is None:
            self.feed(Persisted(token))
        elif isinstance(error, RegistryError):
            self.feed(PersistFailed(token, str(error)))
        else:
            self.feed(PersistFailed(token, f"a registry write failed: {error!r}"))
