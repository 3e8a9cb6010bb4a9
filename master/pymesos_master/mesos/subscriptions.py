"""Streams of frameworks that subscribed by Mesos' API: their calls come by other requests."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from pymesos_core.caller import Caller
from pymesos_core.mesos import media
from pymesos_core.mesos.media import Media
from pymesos_core.mesos.statuses import Places
from pymesos_master.core.events import FrameworkCalled
from pymesos_master.mesos.events import Here, translate
from pymesos_master.mesos.frameworks import Format
from pymesos_master.shell import Connection
from pymesos_proto.mesos.v1 import scheduler_pb2 as mesos_scheduler
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb

log = logging.getLogger(__name__)

Outcome = str | None  # why something is refused, or None


@dataclass(frozen=True)
class Direct:
    """An event of Mesos' API that is none of the core, on its way among those that are."""

    event: mesos_scheduler.Event

    def ByteSize(self) -> int:  # noqa: N802 - as of a message
        """The size of the event."""
        return self.event.ByteSize()


@dataclass(eq=False)
class Subscription:
    """One stream, from its SUBSCRIBE to its end."""

    stream_id: str
    caller: Caller
    media: Media
    form: Format
    connection: Connection | None = None
    framework_id: str = ""  # once the core has said it
    torn_down: bool = False
    updating: asyncio.Lock = field(default_factory=asyncio.Lock)
    _updated: asyncio.Future[Outcome] | None = None

    def call(self, call: scheduler_pb.Call, caller: Caller) -> None:
        """Feed a call to the core."""
        assert self.connection is not None
        if call.HasField("teardown"):
            self.torn_down = True
        self.connection.feed(FrameworkCalled(self.connection.connection_id, call, caller))

    def tell(self, events: list[mesos_scheduler.Event]) -> None:
        """Send events after those that wait already."""
        assert self.connection is not None
        for event in events:
            self.connection.outbox.put(Direct(event))

    async def update(self, call: scheduler_pb.Call, caller: Caller, form: Format) -> Outcome:
        """Make an UPDATE_FRAMEWORK, and wait for what becomes of it."""
        async with self.updating:
            updated: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
            self._updated = updated
            try:
                self.call(call, caller)
                outcome = await updated
            finally:
                self._updated = None
        if outcome is None:
            self.form = form
        return outcome

    def end(self) -> None:
        """Nothing more comes on the stream."""
        self._settle("the stream of this framework has ended meanwhile")

    def records(
        self,
        told: list[scheduler_pb.Event | Direct],
        here: Here,
        places: Places,
        subscribed: Callable[[], None],
    ) -> list[bytes]:
        """Return what goes out for events of the core; `subscribed` is called for the first."""
        out: list[bytes] = []
        for one in told:
            if isinstance(one, Direct):
                out.append(self._record(one.event))
                continue
            kind = one.WhichOneof("event")
            if kind == "subscribed":
                self.framework_id = one.subscribed.framework_id
                subscribed()
            elif kind == "framework_updated":
                self._settle(None)
            elif kind == "refused" and one.refused.call == "UPDATE_FRAMEWORK":
                self._settle(one.refused.message)
            elif kind == "rescind" and self.torn_down:
                continue  # its offers go with it, which Mesos does not say
            out += self._said(one, here, places)
        return out

    def _said(self, event: scheduler_pb.Event, here: Here, places: Places) -> list[bytes]:
        try:
            told = translate(event, self.form, here, places)
            return [
                media.record(media.write_fields(one, mesos_scheduler.Event, self.media))
                for one in told
            ]
        except Exception:  # it would end the stream again as soon as the framework is back
            kind = event.WhichOneof("event")
            log.exception("the framework %s cannot be told of: %s", self.framework_id, kind)
            return []

    def _record(self, event: mesos_scheduler.Event) -> bytes:
        return media.record(media.write(event, self.media))

    def _settle(self, outcome: Outcome) -> None:
        if self._updated is not None and not self._updated.done():
            self._updated.set_result(outcome)
