"""The driver: a framework's connection to whichever master leads."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pymesos_core import limits
from pymesos_core.addresses import HostPort
from pymesos_core.coordination import Detector
from pymesos_core.coordination.detect import detector_for
from pymesos_core.copies import add_all, copy_of
from pymesos_core.following import RECONNECT_S, follow
from pymesos_core.outbox import Outbox
from pymesos_core.outside import OUTSIDE, Outside, outside_with
from pymesos_core.runner import Fault, FaultError, Runner, Writes
from pymesos_core.security.identities import Kind
from pymesos_core.store import Change, Store
from pymesos_core.streams import use_stream
from pymesos_core.tasks import until_first
from pymesos_core.text import duration
from pymesos_core.transport import Channel, ClientStream, method_of
from pymesos_proto.v1 import scheduler_pb2 as pb
from pymesos_proto.v1 import types_pb2
from pymesos_sdk.callbacks import check_callbacks, tell
from pymesos_sdk.calls import Calls, data_of, text, texts
from pymesos_sdk.core import (
    Answered,
    Blocked,
    Connected,
    Deliver,
    Disconnect,
    Disconnected,
    DriverCore,
    Effect,
    Event,
    Fail,
    Lost,
    MasterSaid,
    Persist,
    SchedulerCalled,
    SchedulerKept,
    Send,
    SetRevoked,
    Stored,
    Tick,
)
from pymesos_sdk.ledger import FRAMEWORK, OWN_KINDS, Ledger
from pymesos_sdk.scheduler import (
    FrameworkDeniedError,
    FrameworkError,
    FrameworkRemovedError,
    FrameworkSupersededError,
    Scheduler,
)
from pymesos_sdk.sizes import check, parts_of
from pymesos_sdk.standing import Standing, roles_of
from pymesos_sdk.threads import Home

log = logging.getLogger(__name__)

CONNECT = method_of("/pymesos.v1.Scheduler/Connect", pb.CallBatch, pb.EventBatch)
STOP_GRACE_S = 2.0
BLOCKED_S = 1.0  # after which an author hears that a method of his blocks
CALLBACKS = ("subscribed", "offers", "rescinded", "update", "failure", "executor_lost", "message",
             "refused", "operation", "policy", "secret_versions", "drain", "uses",
             "inverse_offers", "inverse_rescinded", "framework_updated",
             "disconnected")  # fmt: skip


_ERRORS = {
    pb.Event.Error.FRAMEWORK_REMOVED: FrameworkRemovedError,
    pb.Event.Error.DENIED: FrameworkDeniedError,
    pb.Event.Error.SUPERSEDED: FrameworkSupersededError,
}


def _outside_of(tls: Path | str | None) -> Outside:
    """Raises RoleError."""
    if tls is None:
        return OUTSIDE
    # It needs a package more, which frameworks without certificates need not install.
    from pymesos_core.security.credentials import Credentials

    credentials = Credentials(Path(tls))
    credentials.need(Kind.FRAMEWORK)
    return outside_with(credentials)


def _own_info(info: object) -> types_pb2.FrameworkInfo:
    """A copy, of which the id is the driver's. Raises TypeError for what is none."""
    if not isinstance(info, types_pb2.FrameworkInfo):
        kind = type(info).__name__
        raise TypeError(f"info is a {kind}; a FrameworkInfo is expected: FrameworkInfo(name=…)")
    return copy_of(info)


def _constraints_of(by_role: Mapping[str, pb.OfferConstraints] | None) -> dict[str, Any]:
    """Raises TypeError for what is none."""
    if by_role is None:
        return {}
    if not isinstance(by_role, Mapping) or not all(
        isinstance(role, str) and isinstance(constraints, pb.OfferConstraints)
        for role, constraints in by_role.items()
    ):
        raise TypeError("offer_constraints has to have an OfferConstraints for each role")
    return dict(by_role)


class Driver(Calls):
    """Runs one framework. All methods but `run` may be called from the scheduler's methods.

    `stop` and calls may come from any thread; what they read is of the loop's.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        info: types_pb2.FrameworkInfo,
        master: str,
        *,
        acknowledge: bool = True,
        offer_constraints: Mapping[str, pb.OfferConstraints] | None = None,
        optimistic_roles: Sequence[str] = (),
        first_roles: Sequence[str] = (),
        store: Store | None = None,
        ledger: Ledger | None = None,
        detector: Detector | None = None,
        tls: Path | str | None = None,
        outside: Outside | None = None,
        core: Callable[..., DriverCore] = DriverCore,
        may_send: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        """`master` is host:port or zk://…; raises pymesos_core.addresses.AddressError.

        `tls` is the folder with the framework's certificate, as `pymesos-cli cluster issue` makes
        it; raises RoleError when it cannot be used.

        `offer_constraints`, by role, say which agents are wanted; `optimistic_roles` are shown what
        others are offered at the same time, too. `first_roles` are those in which it subscribes at
        first: the others of `info` are asked for after that, so that a master that refuses one of
        them ends nothing. A `store` is where the framework's id and tasks
        are written before they are said, and read back; a framework that writes them itself gives
        their `ledger`. Of several instances of a framework one leads: `may_send` waits while it is
        in doubt which, and returns whether this one does. Raises TypeError for a scheduler with
        methods that are `async def` or take other arguments, and for arguments of other types,
        TooLargeError for too large an `info`, and StoreError or ValueError for a store that cannot
        be read. `info` is copied: several drivers may be given the same.
        """
        check_callbacks(scheduler, Scheduler, CALLBACKS)
        info = _own_info(info)
        check(limits.FRAMEWORK_INFO, info.ByteSize())
        self._scheduler = scheduler
        self._acknowledge = acknowledge
        self._store = store
        records = store.load() if store is not None else {}
        ledger = ledger or Ledger()
        ledger.restore(records)
        if (stored_id := records.get((FRAMEWORK, ""))) is not None and not info.framework_id:
            info.framework_id = stored_id.decode()
        self.records = {key: value for key, value in records.items() if key[0] not in OWN_KINDS}
        constraints = _constraints_of(offer_constraints)
        standing = Standing(info, constraints, texts("optimistic_roles", optimistic_roles))
        if first_roles:
            standing.begin_in(texts("first_roles", first_roles))
        self._core = core(
            standing,
            ledger=ledger,
            durable=store is not None,
        )
        self._detector = detector if detector is not None else detector_for(text("master", master))
        self._outside = outside = outside or _outside_of(tls)
        self._may_send = may_send or _certain
        self._streams: dict[int, Outbox[pb.Call]] = {}
        self._connections = itertools.count(1)
        self._runner: Runner[Event, Effect] = Runner(
            self._core,
            self._do,
            Tick(),
            self._on_fault,
            Writes(store.commit, self._written) if store is not None else None,
            outside.clock,
        )
        self._home = Home("the driver")
        self._ended = asyncio.Event()
        self._failure: FrameworkError | None = None
        self._stopping = False

    @property
    def framework_id(self) -> str:
        """The id, once subscribed."""
        return self._core.standing.info.framework_id

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that a master has taken the framework into."""
        taken = self._core.standing.taken
        return tuple(sorted(roles_of(taken))) if taken is not None else ()

    @property
    def leader(self) -> HostPort | None:
        """The master that leads, as far as known."""
        return self._detector.leader.address if self._detector.leader else None

    async def run(self) -> None:
        """Run until `stop` or `teardown`. Raises FrameworkError, CoordinationError.

        Raises what a method of the scheduler raised, too, and FaultError for a fault of its own.
        Raises RuntimeError the second time: a framework that goes on does so with another driver.
        """
        self._home.begin()
        await self._detector.start(patient=True)
        try:
            await until_first(
                self._ended.wait(),
                self._runner.run(),
                self._keep_renewed(),
                follow(
                    self._detector,
                    self._session,
                    self._outside.backoff(*RECONNECT_S),
                    self._outside.dial,
                ),
            )
        except FaultError as error:
            if error.fault.effect is None:
                raise
            raise error.fault.error from error.fault.error.__cause__
        finally:
            self._runner.stop()
            await self._detector.close()
        if self._failure is not None:
            raise self._failure
        if self._core.tearing_down and self._store is not None:
            await asyncio.to_thread(self._store.commit, self._core.ledger.removal())

    async def _keep_renewed(self) -> None:
        """The framework's certificate, if it has one."""
        if self._outside.credentials is None:
            await asyncio.Event().wait()
        # It needs a package more, as `_outside_of` does.
        from pymesos_core.security.renewing import asking_leader, keep_renewed

        await keep_renewed(self._outside, asking_leader(self._detector, self._outside.dial))

    def stop(self) -> None:
        """Leave; the tasks live through the failover timeout, for the next run to take over."""
        if self._home.passes(self.stop):
            return
        self._stopping = True
        if not self._streams:
            self._ended.set()
        for outbox in self._streams.values():
            outbox.close()

    @property
    def master_version(self) -> str:
        """The version of the master that leads, once subscribed."""
        return self._core.master_version

    @property
    def master_capabilities(self) -> frozenset[pb.MasterCapability]:
        """What the master that leads can do, once subscribed."""
        return self._core.master_capabilities

    @property
    def tasks(self) -> Mapping[str, str]:
        """The agent's id of each task that is not known to have ended, by the task's id."""
        return self._core.ledger.tasks

    def keep(self, kind: str, key: str, value: bytes | None) -> None:
        """Write a record of yours, or delete it with None, before what is said next.

        What was written by earlier runs is in `records`. Raises ValueError without a store, and for
        a kind of the driver's own, TypeError for what is no text or no bytes.
        """
        if self._store is None:
            raise ValueError("the driver has no store: give it one with Driver(store=…)")
        if kind in OWN_KINDS:
            raise ValueError(f"records of the kind {kind!r} are the driver's own")
        kept = None if value is None else data_of(value, "value")
        self._feed(SchedulerKept((Change(text("kind", kind), text("key", key), kept),)))

    def call(self, call: pb.Call) -> None:
        """Make a call that has no method here. Raises TooLargeError."""
        in_parts = not self.master_version or pb.ACCEPT_IN_PARTS in self.master_capabilities
        for part in parts_of(call, accept_in_parts=in_parts):
            self._feed(SchedulerCalled(part))

    # The stream.

    async def _session(self, channel: Channel, address: HostPort) -> None:
        connection_id = next(self._connections)
        outbox: Outbox[pb.Call] = Outbox()
        self._streams[connection_id] = outbox
        stream = channel.stream(CONNECT)

        def hear(batch: pb.EventBatch) -> None:
            for event in batch.event:
                self._feed(MasterSaid(connection_id, batch.epoch, event))

        def ended() -> None:
            del self._streams[connection_id]
            self._feed(Disconnected(connection_id))
            if self._stopping or self._core.tearing_down:
                self._ended.set()

        begun = partial(self._feed, Connected(connection_id))
        writing = _write(stream, outbox, self._may_send)
        await use_stream(stream, outbox, writing, begun, hear, ended)

    def _feed(self, event: Event) -> None:
        if not self._home.passes(self._runner.feed, event):
            self._runner.feed(event)

    def _on_fault(self, fault: Fault) -> None:
        """`run` raises it."""

    def _do(self, effect: Effect) -> None:
        match effect:
            case Send(connection_id, call):
                if connection_id in self._streams:
                    self._streams[connection_id].put(call)
            case Deliver(event):
                self._deliver(event)
            case Answered(info, problem):
                self._tell(self._scheduler.framework_updated, self, info, problem)
            case SetRevoked(names):
                self._outside.set_revoked(names)
            case Lost():
                self._tell(self._scheduler.disconnected, self)
            case Disconnect(connection_id, reason):
                log.warning("leaving the master: %s", reason)
                if connection_id in self._streams:
                    self._streams[connection_id].close()
            case Persist(token, changes):
                self._runner.commit(token, changes)
            case Fail(message, code):
                if message is not None:
                    self._failure = _ERRORS.get(code, FrameworkError)(message)
                self._ended.set()

    def _written(self, token: int, error: Exception | None) -> Event | None:
        if error is None:
            return Stored(token)
        self._failure = FrameworkError(f"what is known of its tasks cannot be written: {error}")
        self._ended.set()
        return None

    def _tell(self, method: Callable[..., object], *arguments: object) -> None:
        """Tell the author, who may take long: nothing is heard meanwhile, a heartbeat neither."""
        began_s = self._outside.mono_s()
        tell(method, *arguments)
        if (took_s := self._outside.mono_s() - began_s) >= BLOCKED_S:
            name = getattr(method, "__name__", "a method")
            log.warning(
                "%s took %s, and nothing of the master was heard meanwhile: start what takes long"
                " with asyncio.to_thread",
                name, duration(took_s),
            )  # fmt: skip
            self._feed(Blocked())

    def _deliver(self, event: pb.Event) -> None:
        author = self._scheduler
        match event.WhichOneof("event"):
            case "subscribed":
                self._tell(author.subscribed, self, event.subscribed.framework_id)
            case "offers":
                self._tell(author.offers, self, event.offers.offers)
            case "rescind":
                self._tell(author.rescinded, self, event.rescind.offer_id)
            case "update":
                self._tell(author.update, self, event.update.status)
                if self._acknowledge:
                    self.acknowledge(event.update.status)
            case "failure" if event.failure.executor_id:
                lost = event.failure
                status = lost.status if lost.HasField("status") else None
                self._tell(author.executor_lost, self, lost.agent_id, lost.executor_id, status)
            case "failure":
                self._tell(author.failure, self, event.failure.agent_id)
            case "message":
                said = event.message
                self._tell(author.message, self, said.agent_id, said.executor_id, said.data)
            case "operation_update":
                self._tell(author.operation, self, event.operation_update)
            case "refused":
                self._tell(author.refused, self, event.refused)
            case "policy":
                self._tell(author.policy, self, event.policy.document, event.policy.version)
            case "secret_versions":
                self._tell(author.secret_versions, self, event.secret_versions)
            case "drain":
                self._tell(author.drain, self, event.drain)
            case "uses":
                self._tell(author.uses, self, event.uses.uses)
            case "inverse_offers":
                self._tell(author.inverse_offers, self, event.inverse_offers.inverse_offers)
            case "rescind_inverse_offer":
                rescinded = event.rescind_inverse_offer.inverse_offer_id
                self._tell(author.inverse_rescinded, self, rescinded)


async def _certain() -> bool:
    return True


async def _write(
    stream: ClientStream, outbox: Outbox[pb.Call], may_send: Callable[[], Awaitable[bool]]
) -> None:
    while (batch := await outbox.batch()) is not None:
        if not await may_send():
            break
        calls = pb.CallBatch()
        add_all(calls.call, batch)
        await stream.write(calls)
    await stream.done_writing()
    await asyncio.sleep(STOP_GRACE_S)  # the master ends the stream; if not, we do
    stream.cancel()
