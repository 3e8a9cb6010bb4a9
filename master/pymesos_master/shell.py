"""The doing half of a leading master: connections, the registry's writes, the timer.

It feeds events to the core one at a time and carries the effects out in the order given.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pymesos_core import crash
from pymesos_core.caller import Caller
from pymesos_core.complaints import Complaints
from pymesos_core.coordination import RegistryError, Term
from pymesos_core.errors import Problem, ProblemKind
from pymesos_core.outbox import Outbox
from pymesos_core.outgoing.notices import Notice
from pymesos_core.outgoing.telling import MakeTells, TellsNobody
from pymesos_core.outside import OUTSIDE, Outside
from pymesos_core.runner import Fault, FaultError, Runner, Writes
from pymesos_core.security.auditing import Audit
from pymesos_core.security.secrets import MAKE_ONE, Keyring, OpeningError, Sealed
from pymesos_core.tasks import until_first
from pymesos_master.commands import Commands
from pymesos_master.core import MasterCore
from pymesos_master.core import effects as fx
from pymesos_master.core.effects import (
    AnswerOperator,
    AwaitDrained,
    CloseConnection,
    Complain,
    Effect,
    EndUnread,
    PersistRegistry,
    PublishEvent,
    SetRevoked,
    StepDown,
    TellAgent,
    TellFramework,
    TellSecrets,
)
from pymesos_master.core.events import (
    CoordinationResumed,
    CoordinationSuspended,
    Drained,
    Event,
    NoticeTaken,
    Persisted,
    PersistFailed,
    SecretsResealed,
    Tick,
)
from pymesos_master.core.registry import place_of
from pymesos_master.naming import Naming
from pymesos_master.overview import Overviews
from pymesos_master.queries import Queries
from pymesos_master.watching import BOUNDS, Bounds, Watching
from pymesos_proto.v1 import agent_pb2 as agent_pb

log = logging.getLogger(__name__)

SEALED_TOGETHER = 8  # secrets, in one write
NO_KEY = f"the master that leads has no key for secrets: {MAKE_ONE}, and start it again"
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
        """End the stream, whoever ended it: the core hears so, once."""
        if not self._ended:
            self._ended = True
            self._leader.forget(self)
            self._leader.feed(self._disconnected(self.connection_id))


class Leader:
    """One term of leading."""

    def __init__(
        self,
        core: MasterCore,
        term: Term,
        crash_folder: Path | None = None,
        outside: Outside = OUTSIDE,
        watched: Bounds = BOUNDS,
        audit: Audit | None = None,
        keyring: Keyring | None = None,
        tells: MakeTells = TellsNobody,
    ) -> None:
        """`crash_folder` is where a fault is written down, `watched` what watchers may cost.

        Without a `keyring` no secret is opened. `tells` makes what tells receivers of alerts.
        """
        self.core = core
        self.term = term
        self.failure: str | None = None  # why it leads no more, if that is no other's leading
        self.fault: Fault | None = None  # it stopped by this one
        self.cause_is_set_aside = False  # for the next leader
        self.audit = audit or Audit()
        self.keyring = keyring
        self.tells = tells(self._taken)
        self.queries = Queries(core, outside.clock, self.audit.write)
        self.overviews = Overviews(core.state, self.queries, outside.clock)
        self.commands = Commands(self.ask)
        self.watching = Watching(term.epoch, core.state, core.watch, outside.wall_s, watched)
        self.naming = Naming(core.state)
        self._connections: dict[int, Connection] = {}
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Problem | None]] = {}
        self._crash_folder = crash_folder
        self._clock = outside.clock
        self._runner: Runner[Event, Effect] = Runner(
            core,
            self._do,
            Tick(),
            self._on_fault,
            Writes(term.registry.commit, _written),
            outside.clock,
        )
        self._complaints = Complaints(log, outside.mono_s)
        self._carry_out: dict[type, Callable[[Any], None]] = {
            TellAgent: self._tell_agent,
            TellSecrets: self._tell_secrets,
            TellFramework: self._tell_framework,
            PublishEvent: self.watching.publish,
            fx.NameChanged: self.naming.changed,
            fx.NamesSettled: self.naming.settled,
            PersistRegistry: lambda effect: self._runner.commit(effect.token, effect.changes),
            CloseConnection: lambda effect: self._on_outbox(effect, Outbox.close),
            EndUnread: lambda effect: self._on_outbox(effect, Outbox.overflow),
            AwaitDrained: self._await_drained,
            fx.Audit: lambda effect: self.audit.write(effect.entry),
            AnswerOperator: self._answer,
            Complain: lambda effect: self._complaints.say(effect.peer, effect.kind, effect.message),
            StepDown: self._step_down,
            fx.Tell: lambda effect: self.tells.tell(effect.notice),
            SetRevoked: lambda effect: outside.set_revoked(effect.names),
        }
        core.watch(False)
        outside.set_revoked(core.state.revoked())
        term.on_doubt = self._in_doubt

    def _taken(self, notice: Notice) -> None:
        self.feed(NoticeTaken(notice.key, notice.began_s, notice.is_over))

    def _in_doubt(self, in_doubt: bool) -> None:
        self.feed(CoordinationSuspended() if in_doubt else CoordinationResumed())

    async def run(self) -> None:
        """Lead until the term is lost or this is cancelled; then every stream is ended."""
        try:
            self.feed(Tick())
            self._seal_anew()
            if not self.term.active.is_set():
                self._in_doubt(True)
            await until_first(self._runner.run(), self.term.lost.wait())
        except FaultError as error:
            self.failure = str(error.fault)
        finally:
            self._runner.stop()
            for connection in self._connections.values():
                connection.outbox.close()
            self.watching.close()
            self.naming.close()
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

    @property
    def revision(self) -> tuple[int, int]:
        """The epoch, and how many steps were made in it: while it is the same, the state is."""
        return self.term.epoch, self._runner.steps

    async def ask(self, make_event: Callable[[int], Event]) -> Problem | None:
        """Feed an operator's request and wait until it is done; the problem, or None.

        What could not be written in the audit afterwards is not begun.
        """
        if (problem := await self.audit.make_room()) is not None:
            return problem
        if self._runner.over:
            return Problem(ProblemKind.UNAVAILABLE, STOPPED_LEADING)
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
        self._runner.feed(event)

    # What the core wants done.

    def _do(self, effect: Effect) -> None:
        self._carry_out[type(effect)](effect)

    def _tell_agent(self, effect: TellAgent) -> None:
        connection = self._connections.get(effect.connection_id)
        if connection is not None:
            connection.outbox.put(effect.message)

    def _tell_secrets(self, effect: TellSecrets) -> None:
        """The one place where values are, on their way into a stream."""
        told = agent_pb.MasterMessage.Secrets(
            framework_id=effect.framework_id, task_id=effect.task_id, problem=effect.problem
        )
        try:
            for name, sealed in effect.secrets:
                if self.keyring is None:
                    raise OpeningError(NO_KEY)
                told.values.add(name=name, value=self.keyring.open(effect.role, name, sealed))
        except OpeningError as error:
            del told.values[:]
            told.problem = str(error)
            self._complaints.say("secrets", "cannot be opened", str(error))
        message = agent_pb.MasterMessage(secrets=told)
        self._tell_agent(TellAgent(effect.connection_id, message))

    def _seal_anew(self) -> None:
        """Have what an older key has sealed sealed by the one in use."""
        if self.keyring is None:
            return
        done: list[tuple[str, Sealed, Sealed]] = []
        for key, record in self.core.state.secrets().items():
            if record.sealed.key_id != self.keyring.key_id:
                role, name = place_of(key)
                try:
                    value = self.keyring.open(role, name, record.sealed)
                except OpeningError as error:
                    self._complaints.say("secrets", "cannot be sealed anew", str(error))
                    continue
                done.append((key, record.sealed, self.keyring.seal(role, name, value)))
        for begin in range(0, len(done), SEALED_TOGETHER):
            self.feed(SecretsResealed(tuple(done[begin : begin + SEALED_TOGETHER])))

    def _tell_framework(self, effect: TellFramework) -> None:
        connection = self._connections.get(effect.connection_id)
        if connection is not None:
            connection.outbox.put(effect.event)

    def _on_outbox(
        self, effect: CloseConnection | EndUnread, do: Callable[[Outbox[Any]], None]
    ) -> None:
        connection = self._connections.get(effect.connection_id)
        if connection is not None:
            do(connection.outbox)

    def _await_drained(self, effect: AwaitDrained) -> None:
        connection = self._connections.get(effect.connection_id)
        if connection is not None:
            connection.await_drained()

    def _answer(self, effect: AnswerOperator) -> None:
        answer = self._answers.get(effect.request_id)

        def tell(unwritten: Problem | None) -> None:
            if answer is not None and not answer.done():
                answer.set_result(effect.problem or unwritten)

        self.audit.then(tell)

    def _step_down(self, effect: StepDown) -> None:
        log.error("stepping down: %s", effect.reason)
        self.failure = effect.reason
        self._runner.stop()  # what it meant to be true is not, and nothing more is said of it
        self.term.end()

    def _on_fault(self, fault: Fault) -> None:
        """A step was left half-way: the next leader refuses the call that brought it."""
        self.fault = fault
        now = self._clock()
        try:  # the step has left its objects as they were half-way
            changes = self.core.set_aside_cause(now, str(fault))
        except Exception:
            log.exception("whose call the fault was met in cannot be told")
            changes = []
        if changes:
            self.cause_is_set_aside = True
            log.critical("set aside for the next leader: the call %s", changes[0].key)
            self._runner.commit(0, tuple(changes))
        crash.report("the leader", self._crash_folder, fault, self.core.stories(), now)


def _written(token: int, error: Exception | None) -> Event:
    if error is None:
        return Persisted(token)
    if isinstance(error, RegistryError):
        return PersistFailed(token, str(error))
    return PersistFailed(token, f"a registry write failed: {error!r}")
