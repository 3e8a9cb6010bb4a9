"""Who leads: refused calls name the leader."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn

import grpc
import grpc.aio

from pymesos_core.budgets import host_of
from pymesos_core.caller import Caller
from pymesos_core.coordination import MasterInfo
from pymesos_core.errors import ProblemKind, RequestError
from pymesos_core.following import LEADER_KEY
from pymesos_core.streams import NotReadError, serve_stream
from pymesos_core.turns import Turns
from pymesos_master.core.events import Event
from pymesos_master.shell import Connection, Leader

CODES = {
    ProblemKind.INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    ProblemKind.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    ProblemKind.OUTDATED: grpc.StatusCode.ABORTED,
    ProblemKind.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
}


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
    turns: Turns = field(default_factory=Turns)

    async def here(self, context: grpc.aio.ServicerContext[Any, Any]) -> Leader:
        """The leader of this process; aborts the call when another master leads."""
        if self.leader is None:
            await self.refuse(context)
        return self.leader

    @asynccontextmanager
    async def asked(self, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Leader]:
        """The leader; a request that it refuses ends the call with the code of its kind."""
        leader = await self.here(context)
        try:
            yield leader
        except RequestError as error:
            await context.abort(CODES[error.problem.kind], error.problem.message)

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


def caller_of(context: grpc.aio.ServicerContext[Any, Any]) -> Caller:
    """Who makes a call, as far as that is known."""
    return Caller(peer=host_of(context.peer()), via="grpc")


async def run_stream(
    leader: Leader,
    context: grpc.aio.ServicerContext[Any, Any],
    read: Callable[[Connection], Coroutine[Any, Any, None]],
    make_batch: Callable[[list[Any]], Any],
    disconnected: Callable[[int], Event],
) -> None:
    """Serve one bidirectional stream: `read` feeds what comes, the outbox is written in batches."""
    connection = leader.open(caller_of(context), disconnected)

    async def write(batch: list[Any]) -> bool:
        # Leadership may be in doubt: nothing is sent until it is not, the stream stays open.
        await leader.term.active.wait()
        if not leader.term.lost.is_set():
            await context.write(make_batch(batch))
        return not leader.term.lost.is_set()

    try:
        await serve_stream(connection.outbox, read(connection), write, connection.end)
    except BadStreamError as error:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
    except NotReadError:
        # The peer's window is full, so this may wait as long as the peer likes: its offers went
        # back before.
        await context.abort(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "this stream is not read: too much waited for it. Read it faster, and connect again",
        )
    if leader.term.lost.is_set():
        await context.abort(grpc.StatusCode.UNAVAILABLE, "this master leads no more")


class BadStreamError(Exception):
    """The peer broke the rules of the stream: the message says which."""
