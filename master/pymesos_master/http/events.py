"""Events as a browser's EventSource reads them: https://html.spec.whatwg.org/#server-sent-events.

What happens has the default type of event, and its cursor as id, from which a browser goes on by
itself. `reset` forgets all before it, and the cursor: the state follows, up to `complete`. `end` is
the last, and says why.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from weakref import WeakKeyDictionary

from pymesos_core.caller import Caller
from pymesos_core.json_dialect import event_json, to_json
from pymesos_core.states import kind_name
from pymesos_core.streams import in_thread
from pymesos_core.transport import CallError
from pymesos_master.history import Cursor
from pymesos_master.http.streams import Parts
from pymesos_master.services.relaying import OperatorCalls
from pymesos_master.watching import Batch
from pymesos_proto.v1 import operator_pb2 as pb

CONTENT_TYPE = "text/event-stream"
PACE_S = 1.0  # between two batches; what happens after a silence comes at once
LOOK_S = 2.0  # the same for who only looks on
RETRY_MS = 2000
BEGIN = f"retry: {RETRY_MS}\n\n".encode()
IDLE = b": \n\n"
RESET = b'event: reset\nid:\ndata: {"snapshot": "begins"}\n\n'
MAX_MADE = 4096
SNAPSHOT_REST = 3  # times as long as a page of a snapshot took, nobody is shown another


class Events:
    """The events of a cluster, to all who watch them by HTTP."""

    def __init__(self, operators: OperatorCalls) -> None:
        self._operators = operators
        self._frames: WeakKeyDictionary[Batch, bytes] = WeakKeyDictionary()  # of what many share
        # The latest events of these, of which those who are behind are sent other parts.
        self._made: dict[int, tuple[pb.ClusterEvent, bytes]] = {}
        self._showing = asyncio.Lock()

    def to(self, request: pb.WatchEventsRequest, caller: Caller) -> Parts:
        """What comes to somebody."""
        return Parts(CONTENT_TYPE, self._parts(request, caller), IDLE, last)

    async def _parts(self, request: pb.WatchEventsRequest, caller: Caller) -> AsyncGenerator[bytes]:
        request.pace_s = LOOK_S if request.latest else PACE_S
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
            frames = self._frames[batch] = live_frames(batch, self._frame)
        return frames

    def _frame(self, event: pb.ClusterEvent, cursor: Cursor) -> bytes:
        made = self._made.get(id(event))
        if made is not None and made[0] is event:
            return made[1]
        frame = frame_of(event, cursor)
        self._made[id(event)] = (event, frame)
        if len(self._made) > MAX_MADE:
            del self._made[next(iter(self._made))]
        return frame

    async def _shown(self, batch: Batch) -> bytes:
        """A part of a snapshot. The work of all who are shown one leaves time for the rest."""
        if not batch.events:
            return snapshot_frames(batch)
        async with self._showing:
            loop = asyncio.get_running_loop()
            began_s = loop.time()
            frames = await in_thread(snapshot_frames, batch)
            await asyncio.sleep(SNAPSHOT_REST * (loop.time() - began_s))
        return frames


def live_frames(batch: Batch, frame: Callable[[pb.ClusterEvent, Cursor], bytes]) -> bytes:
    """What happened; or, where nothing did that is shown, how far that is."""
    cursor = batch.cursor
    assert cursor is not None
    if not batch.events:
        return f"id: {cursor}\n\n".encode()
    frames = [frame(event, Cursor(cursor.epoch, event.sequence)) for event in batch.events]
    if batch.left_out:
        frames.insert(0, left_out_frame(batch))
    return b"".join(frames)


def left_out_frame(batch: Batch) -> bytes:
    """How many events of each kind happened before those that come."""
    said = {kind_name(kind): events for kind, events in batch.left_out.items()}
    return f"event: left_out\ndata: {to_json(said, None)}\n\n".encode()


def snapshot_frames(batch: Batch) -> bytes:
    """A part of the state, without cursors as long as that is not complete."""
    frames = [frame_of(event, None) for event in batch.events]
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


def frame_of(event: pb.ClusterEvent, cursor: Cursor | None) -> bytes:
    """One event, with its cursor if it has one."""
    number = f"id: {cursor}\n" if cursor is not None else ""
    return f"{number}data: {to_json(event_json(event), None)}\n\n".encode()
