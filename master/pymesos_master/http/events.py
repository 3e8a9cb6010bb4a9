"""Events as a browser's EventSource reads them: https://html.spec.whatwg.org/#server-sent-events.

What happens has the default type of event, and its cursor as id, from which a browser goes on by
itself. `reset` forgets all before it, and the cursor: the state follows, up to `complete`. `end` is
the last, and says why.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from weakref import WeakKeyDictionary

from pymesos_core.caller import Caller
from pymesos_core.json_dialect import event_json, to_json
from pymesos_core.streams import in_thread
from pymesos_core.transport import CallError
from pymesos_master.http.streams import Parts
from pymesos_master.services.relaying import OperatorCalls
from pymesos_master.watching import Batch, Cursor
from pymesos_proto.v1 import operator_pb2 as pb

CONTENT_TYPE = "text/event-stream"
PACE_S = 0.25  # between two batches: nobody sees the difference, and those who watch share the work
RETRY_MS = 2000
BEGIN = f"retry: {RETRY_MS}\n\n".encode()
IDLE = b": \n\n"
RESET = b'event: reset\nid:\ndata: {"snapshot": "begins"}\n\n'
SNAPSHOT_REST = 3  # times as long as a page of a snapshot took, nobody is shown another


class Events:
    """The events of a cluster, to all who watch them by HTTP."""

    def __init__(self, operators: OperatorCalls) -> None:
        self._operators = operators
        self._frames: WeakKeyDictionary[Batch, bytes] = WeakKeyDictionary()  # of what many share
        self._showing = asyncio.Lock()

    def to(self, request: pb.WatchEventsRequest, caller: Caller) -> Parts:
        """What comes to somebody."""
        return Parts(CONTENT_TYPE, self._parts(request, caller), IDLE, last)

    async def _parts(self, request: pb.WatchEventsRequest, caller: Caller) -> AsyncGenerator[bytes]:
        request.pace_s = PACE_S
        complete, begin = True, BEGIN
        async with aclosing(self._operators.events(request, caller)) as batches:
            async for batch in batches:
                complete = complete and not batch.snapshot_begins
                part = self._live(batch) if complete else await self._shown(batch)
                complete = batch.cursor is not None
                yield begin + part
                begin = b""

    def _live(self, batch: Batch) -> bytes:
        frames = self._frames.get(batch)
        if frames is None:
            frames = self._frames[batch] = live_frames(batch)
        return frames

    async def _shown(self, batch: Batch) -> bytes:
        """A part of a snapshot. The work of all who are shown one leaves time for the rest."""
        async with self._showing:
            loop = asyncio.get_running_loop()
            began_s = loop.time()
            frames = await in_thread(snapshot_frames, batch)
            await asyncio.sleep(SNAPSHOT_REST * (loop.time() - began_s))
        return frames


def live_frames(batch: Batch) -> bytes:
    """What happened; or, where nothing did that is shown, how far that is."""
    cursor = batch.cursor
    assert cursor is not None
    if not batch.events:
        return f"id: {cursor}\n\n".encode()
    return b"".join(_frame(event, Cursor(cursor.epoch, event.sequence)) for event in batch.events)


def snapshot_frames(batch: Batch) -> bytes:
    """A part of the state, without cursors as long as that is not complete."""
    frames = [_frame(event, None) for event in batch.events]
    if batch.snapshot_begins:
        frames.insert(0, RESET)
    if batch.cursor is not None:
        complete = f'event: complete\nid: {batch.cursor}\ndata: {{"snapshot": "complete"}}\n\n'
        frames.append(complete.encode())
    return b"".join(frames)


def last(error: CallError) -> bytes:
    """Why a stream ends."""
    said = {"error": {"code": error.code.name, "message": error.message}}
    return f"event: end\ndata: {to_json(said, None)}\n\n".encode()


def _frame(event: pb.ClusterEvent, cursor: Cursor | None) -> bytes:
    number = f"id: {cursor}\n" if cursor is not None else ""
    return f"{number}data: {to_json(event_json(event), None)}\n\n".encode()
