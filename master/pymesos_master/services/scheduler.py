"""The Scheduler service: one stream per framework."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from pymesos_core import limits
from pymesos_core.copies import add_all
from pymesos_core.transport import ServerCall
from pymesos_master.core.events import (
    FrameworkCalled,
    FrameworkDisconnected,
    FrameworkSubscribing,
)
from pymesos_master.services.leading import BadStreamError, Leadership, run_stream
from pymesos_master.shell import Connection
from pymesos_proto.v1 import scheduler_pb2 as pb

Refused = pb.Event.Refused


class Accepts:
    """Puts an ACCEPT together that came in several parts."""

    def __init__(self, tell: Callable[[pb.Event], None]) -> None:
        self._tell = tell
        self._parts: pb.Call | None = None
        self._size = 0
        self._spoilt: tuple[str, ...] | None = (
            None  # the offers of one that was given up, and goes on
        )

    def take(self, call: pb.Call) -> Iterator[pb.Call]:
        """The calls that are whole now."""
        if not call.HasField("accept"):
            yield call
            return
        if self._parts is not None and self._parts.accept.offer_ids != call.accept.offer_ids:
            yield self._give_up("It was cut short by an ACCEPT of other offers")
        if self._spoilt == tuple(call.accept.offer_ids):
            if not call.accept.more:
                self._spoilt = None
            return
        self._spoilt = None
        if self._parts is None and not call.accept.more:
            yield call
            return
        self._size += call.ByteSize()
        if problem := limits.ACCEPT.problem(self._size):
            self._parts = self._parts or call
            if call.accept.more:
                self._spoilt = tuple(call.accept.offer_ids)
            yield self._give_up(problem, Refused.TOO_LARGE)
        elif self._parts is None:
            self._parts = pb.Call()
            self._parts.CopyFrom(call)
        else:
            self._parts.accept.operations.extend(call.accept.operations)
            self._parts.accept.filters.CopyFrom(call.accept.filters)
            if not call.accept.more:
                whole, self._parts, self._size = self._parts, None, 0
                yield whole

    def _give_up(self, why: str, code: Refused.Code = Refused.INVALID) -> pb.Call:
        """Nothing of it is done; its offers are given back."""
        assert self._parts is not None
        message = f"{why}. None of its tasks and operations is done; its offers are given back"
        self._tell(pb.Event(refused=Refused(call="ACCEPT", code=code, message=message)))
        offer_ids = self._parts.accept.offer_ids
        self._parts, self._size = None, 0
        # Without a filter: they were wanted.
        filters = pb.Filters(refuse_seconds=0.0)
        return pb.Call(decline=pb.Call.Decline(offer_ids=offer_ids, filters=filters))


def _go_together(before: pb.Call, said: pb.Call) -> bool:
    """Whether two calls acknowledge updates of one agent."""
    agent_id = said.acknowledge.agent_id  # of another call none
    return bool(agent_id) and agent_id == before.acknowledge.agent_id


class SchedulerService:
    """Calls become events of the core, its effects become events on the stream."""

    contract = pb.DESCRIPTOR.services_by_name["Scheduler"]

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership

    async def Connect(  # noqa: N802
        self, call: ServerCall[pb.CallBatch, pb.EventBatch]
    ) -> None:
        """Serve one framework."""
        leader = await self._leadership.here_soon()

        async def read(connection: Connection) -> None:
            connection_id = connection.connection_id
            subscribed, caller = False, connection.caller
            accepts = Accepts(connection.outbox.put)
            while (batch := await call.read()) is not None:
                before = pb.Call()
                async with self._leadership.turns.turn(caller.peer) as turn:
                    for said in batch.call:
                        if turn.is_over():
                            await turn.pause(joined=_go_together(before, said))
                        before = said
                        if subscribed:
                            for whole in accepts.take(said) if said.HasField("accept") else (said,):
                                connection.feed(FrameworkCalled(connection_id, whole, caller))
                        elif said.HasField("subscribe"):
                            subscribed = True
                            connection.feed(
                                FrameworkSubscribing(connection_id, said.subscribe, caller)
                            )
                        else:
                            raise BadStreamError("the first call of a stream must be SUBSCRIBE")

        epoch = leader.term.epoch

        def make_batch(events: Sequence[pb.Event]) -> pb.EventBatch:
            batch = pb.EventBatch(epoch=epoch)
            add_all(batch.event, events)
            return batch

        await run_stream(
            leader,
            call,
            read,
            make_batch,
            FrameworkDisconnected,
        )
