"""Events for those who watch a leader, by whatever door they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from pymesos_core import contract
from pymesos_core.caller import Caller
from pymesos_core.errors import RequestError
from pymesos_core.transport import CallError, Code
from pymesos_master.event_filter import EventFilter
from pymesos_master.history import CursorError
from pymesos_master.services.leading import CODES, Leadership
from pymesos_master.watching import Batch, View, Watch
from pymesos_proto.v1 import operator_pb2 as pb

PROGRESS_S = 15.0  # after which who is shown nothing is told how far it has come


async def batches(
    leadership: Leadership, request: pb.WatchEventsRequest, caller: Caller
) -> AsyncGenerator[Batch]:
    """What comes to a caller, to the end of the leader. Raises CallError, also for that end."""
    if problem := contract.problem(request):
        raise CallError(Code.INVALID_ARGUMENT, problem)
    with leadership.asked() as leader:
        may = leader.queries.permits.watching(caller)
    wanted = EventFilter.of(request)
    view = View(may, wanted, request.without_state, request.pace_s, request.latest)
    try:
        with leader.watching.watch(request.cursor, view) as watch:
            while (batch := await _next(watch)) is not None:
                shared = bool(request.pace_s) and batch.cursor is not None
                if not shared:  # which costs next to nothing
                    await leadership.turns.next(caller.peer)
                yield batch
                if shared:
                    await watch.pause(batch)
    except RequestError as error:
        raise CallError(CODES[error.problem.kind], error.problem.message) from None
    except CursorError as error:
        raise CallError(Code.INVALID_ARGUMENT, str(error)) from None
    told = f"master {leadership.me.address} leads no more; connect again"
    raise CallError(Code.UNAVAILABLE, told)


async def _next(watch: Watch) -> Batch | None:
    """What comes next; None: the leader is none any more. Raises RequestError."""
    told = watch.cursor
    while True:
        try:
            async with asyncio.timeout(PROGRESS_S):
                return await watch.batch()
        except TimeoutError:
            if watch.cursor not in (None, told):
                return Batch([], watch.cursor)
