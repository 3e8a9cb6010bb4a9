"""Who leads: refused calls name the leader."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

import grpc
import grpc.aio

from pymesos_core.coordination import MasterInfo
from pymesos_core.following import LEADER_KEY
from pymesos_core.outbox import OverflowedError
from pymesos_master.core.events import Event
from pymesos_master.shell import Connection, Leader


@dataclass
class Leadership:
    """What the services ask: the leader, if that is here, and else who it is."""

    me: MasterInfo
    leader: Leader | None = None
    known_leader: Callable[[], MasterInfo | None] = lambda: None
    started_mono_s: float = field(default_factory=time.monotonic)
    led: asyncio.Event = field(
        default_factory=asyncio.Event
    )  # set when it leads for the first time

    async def here(self, context: grpc.aio.ServicerContext[Any, Any]) -> Leader:
        """The leader of this process; aborts the call when another master leads."""
        if self.leader is None:
            await self.refuse(context)
        return self.leader

    async def refuse(self, context: grpc.aio.ServicerContext[Any, Any]) -> NoReturn:
        """FAILED_PRECONDITION, with the leader's address when it is known."""
        known = self.known_leader()
        if known is None or known.master_id == self.me.master_id:
            await context.abort(
                grpc.StatusCode.UNAVAILABLE,
                f"master {self.me.address} does not lead; nobody does yet",
                ((LEADER_KEY, ""),),
            )
        await context.abort(
            grpc.StatusCode.FAILED_PRECONDITION,
            f"master {self.me.address} does not lead; {known.address} does",
            ((LEADER_KEY, str(known.address)),),
        )


async def run_stream(
    leader: Leader,
    context: grpc.aio.ServicerContext[Any, Any],
    requests: AsyncIterable[Any],
    read: Callable[[Connection, AsyncIterable[Any]], Any],
    make_batch: Callable[[list[Any]], Any],
    disconnected: Callable[[int], Event],
) -> None:
    """Serve one bidirectional stream: `read` feeds what comes, the outbox is written in batches."""
    connection = leader.open(context.peer())
    handler = asyncio.current_task()
    assert handler is not None
    connection.outbox.on_overflow = handler.cancel
    reader = asyncio.create_task(read(connection, requests))
    reader.add_done_callback(lambda _: connection.outbox.close())
    try:
        while True:
            batch = await connection.outbox.batch()
            if batch is None:
                break
            # Leadership may be in doubt: nothing is sent until it is not, the stream stays open.
            await leader.term.active.wait()
            if leader.term.lost.is_set():
                break
            await context.write(make_batch(batch))
        if reader.done() and not reader.cancelled() and (error := reader.exception()):
            if isinstance(error, BadStreamError):
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            raise error
        if leader.term.lost.is_set():
            await context.abort(grpc.StatusCode.UNAVAILABLE, "this master leads no more")
    except (asyncio.CancelledError, OverflowedError):
        if not connection.outbox.overflowed:
            raise
        handler.uncancel()
        # The peer's window is full, so the refusal may wait as long as the peer likes: first of all
        # its offers go back.
        leader.close(connection, disconnected(connection.connection_id))
        await context.abort(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "this stream is not read: too much waited for it. Read it faster, and connect again",
        )
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        leader.close(connection, disconnected(connection.connection_id))


class BadStreamError(Exception):
    """The peer broke the rules of the stream: the message says which."""
