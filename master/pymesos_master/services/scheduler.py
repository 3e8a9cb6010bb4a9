"""The Scheduler service: one stream per framework."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc.aio

from pymesos_master.core.events import (
    FrameworkCalled,
    FrameworkDisconnected,
    FrameworkSubscribing,
)
from pymesos_master.services.leading import BadStreamError, Leadership, run_stream
from pymesos_master.shell import Connection
from pymesos_proto.v1 import scheduler_pb2 as pb
from pymesos_proto.v1 import scheduler_pb2_grpc as services


class SchedulerService(services.SchedulerServicer):
    """Calls become events of the core, its effects become events on the stream."""

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership

    async def Connect(  # type: ignore[override]  # noqa: N802
        self,
        request_iterator: AsyncIterator[pb.CallBatch],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> None:
        """Serve one framework."""
        leader = await self._leadership.here(context)

        async def read(connection: Connection) -> None:
            connection_id = connection.connection_id
            subscribed = False
            async for batch in request_iterator:
                for call in batch.call:
                    if not subscribed:
                        if not call.HasField("subscribe"):
                            raise BadStreamError("the first call of a stream must be SUBSCRIBE")
                        subscribed = True
                        connection.feed(FrameworkSubscribing(connection_id, call.subscribe))
                    else:
                        connection.feed(FrameworkCalled(connection_id, call))

        epoch = leader.term.epoch
        await run_stream(
            leader,
            context,
            read,
            lambda events: pb.EventBatch(epoch=epoch, event=events),
            FrameworkDisconnected,
        )
