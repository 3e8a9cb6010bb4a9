"""The deciding half of the driver: `DriverCore.step(now, event) -> effects`, without any I/O.

It subscribes on every new stream under the id it was given, obeys no master of an older epoch,
sends again what a broken stream may have lost (kills, suppression), and asks for the state of every
task of which its ledger does not know the end (docs/reconciliation.md of Mesos).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from pymesos_core import contract
from pymesos_core.clock import Now
from pymesos_core.copies import copy_of
from pymesos_core.store import Change
from pymesos_core.timers import Timers
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk.ledger import FRAMEWORK, Ledger, PendingWrites, is_over
from pymesos_sdk.standing import Standing

MISSED_HEARTBEATS = 3
SAID_WHEN_STORED = frozenset({"accept", "kill", "acknowledge"})
SAID_WHILE_LEAVING = frozenset({"teardown", "acknowledge"})  # of a framework that tears itself down


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed; deadlines may be due."""


@dataclass(frozen=True, slots=True)
class Connected:
    """A stream to a master is open; nothing has been said on it."""

    connection_id: int


@dataclass(frozen=True, slots=True)
class Disconnected:
    """A stream has ended."""

    connection_id: int


class MasterSaid(NamedTuple):
    """An event of a master under its epoch.

    A tuple, since there are several of every task: a frozen dataclass takes twice as long.
    """

    connection_id: int
    epoch: int
    event: scheduler_pb.Event


class SchedulerCalled(NamedTuple):
    """The framework wants a call made. A tuple, as MasterSaid."""

    call: scheduler_pb.Call


@dataclass(frozen=True, slots=True)
class Blocked:
    """The framework took long with what it was told: what the master said since is unread."""


@dataclass(frozen=True, slots=True)
class SchedulerKept:
    """The framework wants something written."""

    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Stored:
    """A Persist effect is durable."""

    token: int


Event = (
    Tick
    | Connected
    | Disconnected
    | MasterSaid
    | SchedulerCalled
    | SchedulerKept
    | Blocked
    | Stored
)


class Send(NamedTuple):
    """Send a call on a stream. A tuple, as MasterSaid."""

    connection_id: int
    call: scheduler_pb.Call


class Deliver(NamedTuple):
    """Hand an event to the framework. A tuple, as MasterSaid."""

    event: scheduler_pb.Event


@dataclass(frozen=True, slots=True)
class Answered:
    """Tell the framework what became of what it said of itself: in force, or why it is refused."""

    info: pb.FrameworkInfo
    problem: str = ""


@dataclass(frozen=True, slots=True)
class SetRevoked:
    """From now on these principals and serial numbers, and no others, are let in no more."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lost:
    """Tell the framework that the stream is gone, and its offers with it."""


@dataclass(frozen=True, slots=True)
class Disconnect:
    """End a stream and look for the leader again."""

    connection_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Fail:
    """Give up: the master will not have this framework; None where it was to be removed."""

    message: str | None
    code: scheduler_pb.Event.Error.Code = scheduler_pb.Event.Error.CODE_UNSPECIFIED


@dataclass(frozen=True, slots=True)
class Persist:
    """Write durably, all or nothing; Stored follows."""

    token: int
    changes: tuple[Change, ...]


Effect = Send | Deliver | Answered | SetRevoked | Lost | Disconnect | Fail | Persist


@dataclass
class DriverCore:
    """The state of one framework's subscription."""

    standing: Standing
    tearing_down: bool = False
    ledger: Ledger = field(default_factory=Ledger)
    durable: bool = False  # what is known of tasks is written, before anything is said of it
    master_version: str = ""
    master_capabilities: frozenset[scheduler_pb.MasterCapability] = frozenset()
    _connection_id: int | None = None
    _subscribed: bool = False
    _epoch_seen: int = 0
    _heartbeat_s: float = 0.0
    _writes: PendingWrites[scheduler_pb.Call] = field(default_factory=PendingWrites)
    _unwritten: list[Change] = field(default_factory=list)
    _timers: Timers[str] = field(default_factory=Timers)
    _out: list[Effect] = field(default_factory=list)

    def step(self, now: Now, event: Event) -> list[Effect]:
        """Take one event in, and every deadline that is due, and say what is to be done."""
        match event:
            case Connected(connection_id):
                self._connect(now, connection_id)
            case Disconnected(connection_id):
                if connection_id == self._connection_id:
                    self._disconnect()
            case MasterSaid(connection_id, epoch, said):
                if connection_id == self._connection_id:
                    self._hear(now, epoch, said)
            case SchedulerCalled(call):
                self._call(now, call)
            case SchedulerKept(changes):
                self._unwritten += changes
                self._write("what the framework keeps")
            case Blocked():
                self._read_first(now)
            case Stored(token):
                for call in self._writes.stored(token).then:
                    self._send(call)
        for key in self._timers.each_due(now.mono_s):
            if key == "heartbeat" and self._connection_id is not None:
                self._drop("the master has been silent for too long")
            elif key == "reconcile":
                self._reconcile(now)
        effects, self._out = self._out, []
        return effects

    def next_deadline_s(self) -> float | None:
        """When, in monotonic seconds, a Tick is due at the latest."""
        return self._timers.next_s()

    def _connect(self, now: Now, connection_id: int) -> None:
        self._connection_id = connection_id
        self._subscribed = False
        self._out.append(Send(connection_id, self.standing.subscribe()))

    def _disconnect(self) -> None:
        self._connection_id = None
        self._timers.cancel("heartbeat")
        if self._subscribed:
            self._subscribed = False
            self._tell(Lost())

    def _read_first(self, now: Now) -> None:
        """Not the master was silent: hear what it said before that is judged."""
        at_s = self._timers.at_s("heartbeat")
        if at_s is not None:
            self._timers.set("heartbeat", max(at_s, now.mono_s + self._heartbeat_s))

    def _drop(self, reason: str) -> None:
        assert self._connection_id is not None
        self._out.append(Disconnect(self._connection_id, reason))
        self._disconnect()

    def _hear(self, now: Now, epoch: int, event: scheduler_pb.Event) -> None:
        if epoch < self._epoch_seen:
            self._drop(f"the master speaks in epoch {epoch}; {self._epoch_seen} was seen")
            return
        self._epoch_seen = epoch
        if self._heartbeat_s:
            self._timers.set("heartbeat", now.mono_s + MISSED_HEARTBEATS * self._heartbeat_s)
        kind = event.WhichOneof("event")
        if kind == "subscribed":
            self._on_subscribed(now, event)
        elif kind == "error":
            said = None if self.tearing_down else event.error.message
            self._out.append(Fail(said, event.error.code))
        elif kind == "refused" and self.tearing_down and event.refused.call == "TEARDOWN":
            self._out.append(Fail(f"it was not removed: {event.refused.message}"))
        elif kind == "update":
            self._on_update(now, event)
        elif kind == "framework_updated":
            self._on_answered()
        elif kind == "refused" and event.refused.call == "UPDATE_FRAMEWORK":
            self._tell(Deliver(event))
            self._on_answered(event.refused.message or "the master does not say why")
        elif kind == "set_revoked":
            self._out.append(SetRevoked(tuple(event.set_revoked.revoked)))
        elif kind != "heartbeat" and kind is not None:
            self._tell(Deliver(event))

    def _tell(self, effect: Deliver | Answered | Lost) -> None:
        """Tell the framework, unless it tears itself down: then it is done with all of it.

        The end of its last task often comes with an offer, on which it would launch again.
        """
        if not self.tearing_down:
            self._out.append(effect)

    def _on_subscribed(self, now: Now, event: scheduler_pb.Event) -> None:
        subscribed = event.subscribed
        if self.durable and self.standing.info.framework_id != subscribed.framework_id:
            self._unwritten.append(Change(FRAMEWORK, "", subscribed.framework_id.encode()))
            self._write("the framework's id")
        self.standing.subscribed(subscribed.framework_id)
        self._subscribed = True
        self._out.append(SetRevoked(tuple(subscribed.revoked)))
        # Without one that is a number nothing is expected.
        well = contract.problem(subscribed) is None
        self._heartbeat_s = subscribed.heartbeat_interval_s if well else 0.0
        self.master_version = subscribed.master_version or "unknown"
        self.master_capabilities = frozenset(subscribed.master_capabilities)
        if self._heartbeat_s:
            self._timers.set("heartbeat", now.mono_s + MISSED_HEARTBEATS * self._heartbeat_s)
        if self.tearing_down:
            self._send(scheduler_pb.Call(teardown=scheduler_pb.Call.Teardown()))
        self._tell(Deliver(event))
        for call in self.ledger.subscribed():
            self._send(call)
        self._reconcile(now)
        self._say_what_is_new()  # at last: it may end the stream

    def _on_update(self, now: Now, event: scheduler_pb.Event) -> None:
        status = event.update.status
        if self.ledger.is_too_late(status):
            return
        if (kill := self.ledger.hear(status)) is not None:
            self._send(kill)
        if self.durable and is_over(status):
            self._unwritten += [self.ledger.record(status.task_id)]
            self._unwritten += self.ledger.forget(status.task_id)
        if self.ledger.asks_at_once:
            self._reconcile(now)
        elif self.ledger.asks:
            at_s = now.mono_s + self.ledger.again_s
            if (due_s := self._timers.at_s("reconcile")) is None or at_s < due_s:
                self._timers.set("reconcile", at_s)
        self._tell(Deliver(event))

    def _call(self, now: Now, call: scheduler_pb.Call) -> None:
        kind = call.WhichOneof("call")
        if self._is_left_out(call):
            return
        match kind:
            case "accept":
                for operation in call.accept.operations:
                    launched = (operation.launch, operation.launch_group)
                    for launch in launched:
                        self.ledger.launch(launch.task_infos, sent=self._subscribed)
                        self._note(info.task_id for info in launch.task_infos)
            case "suppress":
                self.standing.suppress(call.suppress.roles)
                self._say_of_roles(call, "suppress")
                return
            case "revive":
                self.standing.revive(call.revive.roles)
                self._say_of_roles(call, "revive")
                return
            case "update_framework":
                self.standing.be(call.update_framework.framework_info)
                self._say_what_is_new()
                return
            case "publish" if scheduler_pb.SERVES_NAMES not in self.master_capabilities:
                return
            case "kill":
                self.ledger.kill(call)
                self._note([call.kill.task_id])
            case "teardown":
                self.tearing_down = True
            case "reconcile":
                self._ask_for(now, call.reconcile.tasks)
                return
        if self.durable and kind in SAID_WHEN_STORED and (self._unwritten or self._writes):
            self._write(str(kind), call)
        else:
            self._send(call)

    def _say_what_is_new(self) -> None:
        """Say what the framework is to be, once what was said of it before is answered."""
        if self._subscribed and self.standing.is_due and not self.tearing_down:
            self._say_update()

    def _say_update(self) -> None:
        if scheduler_pb.UPDATES_FRAMEWORKS not in self.master_capabilities:
            self.standing.taken = None  # so the next SUBSCRIBE says it
            self._drop("it knows no UPDATE_FRAMEWORK, so it is subscribed to again")
            return
        self._send(self.standing.update())

    def _on_answered(self, problem: str = "") -> None:
        """What was said of the framework is in force; or it stays what it was, for a problem."""
        if (said := self.standing.answered(problem)) is not None:
            self._tell(Answered(said, problem))
            self._say_what_is_new()

    def _say_of_roles(self, call: scheduler_pb.Call, kind: str) -> None:
        """Send SUPPRESS or REVIVE; what they say of roles yet to be said goes with these."""
        if unsaid := self.standing.unsaid():
            call = copy_of(call)
            named = getattr(call, kind).roles
            rest = [role for role in named if role not in unsaid]
            if named and not rest:
                return
            named[:] = rest
        self._send(call)

    def _is_left_out(self, call: scheduler_pb.Call) -> bool:
        return self.tearing_down and call.WhichOneof("call") not in SAID_WHILE_LEAVING

    def _note(self, task_ids: Iterable[str]) -> None:
        """Have written what is known of tasks, before what is said of them."""
        if self.durable:
            self._unwritten += map(self.ledger.record, task_ids)

    def _write(self, why: str, *then: scheduler_pb.Call) -> None:
        write = self._writes.ask(why, self._unwritten, then)
        self._unwritten = []
        self._out.append(Persist(write.token, write.changes))

    def _ask_for(self, now: Now, tasks: Iterable[scheduler_pb.Call.Reconcile.Task]) -> None:
        """Explicit reconciliation, repeated until each is answered; implicit for no tasks."""
        asked = list(tasks)
        if not asked:
            self._send(scheduler_pb.Call(reconcile=scheduler_pb.Call.Reconcile()))
        self.ledger.expect((task.task_id, task.agent_id) for task in asked)
        self._reconcile(now)

    def _reconcile(self, now: Now) -> None:
        """Ask for the tasks of which no master has said anything."""
        if self.ledger.asks and self._subscribed:
            calls, next_s = self.ledger.to_send()
            for call in calls:
                self._send(call)
            self._timers.set("reconcile", now.mono_s + next_s)

    def _send(self, call: scheduler_pb.Call) -> None:
        """Send if there is a subscription; else what must not be lost is sent with the next one."""
        if self._subscribed and self._connection_id is not None and not self._is_left_out(call):
            self._out.append(Send(self._connection_id, call))
