"""Watching the cluster: a snapshot in pages, then what happens, from a cursor on.

Whoever watches has a place in one history of events, which is bounded and shared. One that is too
far behind, or comes with the cursor of another leader, begins with a snapshot. That is made page by
page, each of the state as it is then. Between two pages comes what happened meanwhile to what was
shown before; what happened to the rest is in the pages to come. So nothing is missed, nothing comes
twice, and neither the event loop nor the memory holds the whole state.

Nothing here knows how the events are brought to those who watch.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from pymesos_core.outbox import BATCH_BYTES
from pymesos_core.security.policy import EVERY_ROLE, Roles
from pymesos_master.core.effects import PublishEvent
from pymesos_master.core.state import ClusterState
from pymesos_master.event_filter import EVERY_EVENT, EventFilter
from pymesos_master.history import MAX_EVENTS, Cursor, Happened, History
from pymesos_master.snapshots import PAGE, Snapshot
from pymesos_proto.v1 import operator_pb2 as pb

AT_A_TIME = 16  # pages of the history are looked at for something that is wanted
SHARED_S = 1.0  # what is shared was made at most so long ago
MAX_SHARED = 16
REMEMBER_S = 300.0  # without anybody who watches; then nothing is kept any more


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is kept for those who watch, and how much of the state is shown in one go."""

    events: int = MAX_EVENTS
    page: int = PAGE


BOUNDS = Bounds()


@dataclass(slots=True, eq=False, weakref_slot=True)
class Batch:
    """What comes next to one who watches. Those who see the same share it: it never changes."""

    events: list[pb.ClusterEvent]
    cursor: Cursor | None  # None: a snapshot is not complete
    snapshot_begins: bool = False
    more: bool = False  # had happened when it was made
    # How many events of which kind happened before these and do not come.
    left_out: Mapping[pb.ClusterEvent.Kind, int] = field(default_factory=dict)


class _Shared:
    """Batches made a moment ago, for others who are at the same place and see the same."""

    def __init__(self) -> None:
        self._made: dict[Hashable, tuple[float, Batch]] = {}  # the oldest first

    def batch(self, key: Hashable, make: Callable[[], Batch]) -> Batch:
        """Return the batch of a moment ago, or a new one."""
        now_s = asyncio.get_running_loop().time()
        made_s, found = self._made.get(key, (-math.inf, None))
        if found is not None and now_s - made_s <= SHARED_S:
            return found
        made = make()
        self._made.pop(key, None)
        self._made[key] = (now_s, made)
        if len(self._made) > MAX_SHARED:
            del self._made[next(iter(self._made))]
        return made


@dataclass(frozen=True, slots=True)
class View:
    """What one who watches is shown."""

    may: Callable[[], Roles] = lambda: EVERY_ROLE  # what is of these roles; raises RequestError
    wanted: EventFilter = EVERY_EVENT
    without_state: bool = False  # a snapshot is empty
    pace_s: float = 0.0  # between two batches at least
    latest: int = 0  # of what happened meanwhile, only so many come; 0: all


EVERYTHING = View()


class Watch:
    """One who watches."""

    def __init__(self, watching: Watching, sequence: int | None, view: View) -> None:
        """What `view.may` raises, this and `batch` raise."""
        self._watching = watching
        self._view = view
        self._seen = view.may()
        self.wake = asyncio.Event()
        self.closed = False
        self._history = watching.history
        self._place = sequence if sequence is not None else -1
        self._snapshot: Snapshot | None = None
        self._waiting: deque[pb.ClusterEvent | Happened] = deque()  # of a snapshot

    @property
    def cursor(self) -> Cursor | None:
        """Where it is; None: within a snapshot."""
        return self._at(self._place) if self._snapshot is None else None

    async def batch(self) -> Batch | None:
        """What comes next, as soon as there is something; None: this leader is none any more."""
        while not self.closed:
            if (may := self._view.may()) != self._seen:
                self._seen = may
                return self._begin()  # what it may see now is another state
            if not self._history.has_all_since(self._place):
                return self._begin()
            if self._snapshot is not None:
                return self._go_on(self._snapshot)
            if self._place < self._history.latest:
                end = self._watching.end(self._view.pace_s, self._place)
                key = (self._place, end, self._seen, self._view.wanted, self._view.latest)
                make = self._latest if self._view.latest else self._live
                batch = self._watching.shared.batch(key, partial(make, end))
                assert batch.cursor is not None
                self._place = batch.cursor.sequence
                if batch.events:
                    return batch
                await self.pause(batch)
                continue
            await self._watching.something(self.wake)
        return None

    async def pause(self, batch: Batch) -> None:
        """Let events gather: those of one pace go on at one time, and share what is made.

        Who is behind has only others go on meanwhile.
        """
        pace_s, left_s = self._view.pace_s, 0.0
        if pace_s and not batch.more:
            left_s = pace_s - asyncio.get_running_loop().time() % pace_s
        await asyncio.sleep(left_s)

    def _at(self, sequence: int) -> Cursor:
        return Cursor(self._watching.epoch, sequence)

    def _begin(self) -> Batch:
        self._waiting.clear()
        self._place = self._history.latest
        if self._view.without_state:
            self._snapshot = None
            return Batch([], self.cursor, snapshot_begins=True)
        self._snapshot = self._watching.snapshot(self._seen, self._view.wanted)
        batch = self._go_on(self._snapshot)
        batch.snapshot_begins = True
        return batch

    def _go_on(self, snapshot: Snapshot) -> Batch:
        """With the snapshot: first what happened to what was shown, then the next page."""
        if not self._waiting:
            happened = self._history.since(self._place, self._history.latest)
            self._place = self._history.latest
            self._waiting.extend(h for h in happened if not snapshot.will_show(h.effect))
            self._waiting.extend(snapshot.page())
        events, _ = self._taken(self._waiting, self._place)
        if snapshot.complete and not self._waiting:
            self._snapshot = None
        return Batch(events, self.cursor)

    def _live(self, end: int) -> Batch:
        """What has happened since its place, up to where others go on who are behind, too."""
        page, place = self._watching.bounds.page, self._place
        events: list[pb.ClusterEvent] = []
        for _ in range(AT_A_TIME):
            if events or place == end:
                break
            happened = self._history.since(place, min(page - place % page, end - place))
            events, place = self._taken(deque[pb.ClusterEvent | Happened](happened), place)
        return Batch(events, self._at(place), more=place < end)

    def _latest(self, end: int) -> Batch:
        """The latest of all that has happened since its place; the others are counted."""
        place = self._place
        if self._seen.every and self._view.wanted.is_empty:  # then none is looked at to be counted
            place = max(place, end - self._view.latest)
        left_out = self._history.kinds_since(self._place, place - self._place)
        happened = self._history.since(place, end - place)
        shown = [one for one in happened if self._is_for_it(one)]
        events: list[pb.ClusterEvent] = []
        size = 0
        while shown and len(events) < self._view.latest and size < BATCH_BYTES:
            events.append(shown.pop().to_message(self._seen))
            size += events[-1].ByteSize()
        left_out.update(one.effect.kind for one in shown)
        return Batch(events[::-1], self._at(end), left_out=left_out)

    def _is_for_it(self, happened: Happened) -> bool:
        return happened.is_seen_by(self._seen) and happened.is_wanted(self._view.wanted)

    def _taken(
        self, waiting: deque[pb.ClusterEvent | Happened], last: int
    ) -> tuple[list[pb.ClusterEvent], int]:
        """As many of them as a message holds, and the number of the last one that happened.

        `last` is that of the one before.
        """
        events: list[pb.ClusterEvent] = []
        size = 0
        while waiting and len(events) < self._watching.bounds.page and size < BATCH_BYTES:
            item = waiting.popleft()
            if isinstance(item, Happened):
                last = item.sequence
                if not self._is_for_it(item):
                    continue
                item = item.to_message(self._seen)
            events.append(item)
            size += item.ByteSize()
        return events, last


class Watching:
    """Everybody who watches one leader."""

    def __init__(
        self,
        epoch: int,
        state: ClusterState,
        on_watched: Callable[[bool], None],
        wall_s: Callable[[], float] = time.time,
        bounds: Bounds = BOUNDS,
    ) -> None:
        """`on_watched` is told whether events are wanted."""
        self.epoch = epoch
        self.bounds = bounds
        self.history = History(bounds.events)
        self.shared = _Shared()
        self._state = state
        self._on_watched = on_watched
        self._wall_s = wall_s
        self._watches: dict[Watch, None] = {}  # in the order in which they came
        # Until something happens, in the order in which they fell asleep; most are not.
        self._asleep: dict[asyncio.Event, None] = {}
        # Up to where those of a pace are told, in one of the times that have its length.
        self._end_at: tuple[float, float] | None = None
        self._end = 0
        self._forgetting: asyncio.TimerHandle | None = None
        self._noting = False
        self._closed = False

    def __len__(self) -> int:
        return len(self._watches)

    def publish(self, effect: PublishEvent) -> None:
        """Publish an event that happened."""
        self.history.add(effect)
        if self._asleep:
            asleep, self._asleep = self._asleep, {}
            for wake in asleep:
                wake.set()

    async def something(self, wake: asyncio.Event) -> None:
        """Return once something has happened, or `wake` is set."""
        wake.clear()
        self._asleep[wake] = None
        try:
            await wake.wait()
        finally:
            self._asleep.pop(wake, None)

    def end(self, pace_s: float, place: int) -> int:
        """Up to where one is told who is at this place: those of one pace up to the same.

        So they are at one place afterwards, and share what is made for them.
        """
        now = (pace_s, asyncio.get_running_loop().time() // pace_s) if pace_s else None
        if now is None or now != self._end_at or self._end <= place:
            self._end_at, self._end = now, self.history.latest
        return self._end

    def snapshot(self, may: Roles, wanted: EventFilter) -> Snapshot:
        """The state as it is, to be shown in pages."""
        return Snapshot(self._state, self._wall_s, self.bounds.page, may, wanted)

    @contextmanager
    def watch(self, cursor: str = "", view: View = EVERYTHING) -> Iterator[Watch]:
        """From a cursor on, or from the beginning.

        Raises CursorError, and what `view.may` raises.
        """
        asked = Cursor.parse(cursor) if cursor else None
        sequence = asked.sequence if asked is not None and asked.epoch == self.epoch else None
        watch = Watch(self, sequence, view)
        watch.closed = self._closed
        self._watches[watch] = None
        self._note()
        try:
            yield watch
        finally:
            self._watches.pop(watch, None)
            if not self._watches and not self._closed:
                loop = asyncio.get_running_loop()
                self._forgetting = loop.call_later(REMEMBER_S, self._forget)

    def _note(self) -> None:
        if self._forgetting is not None:
            self._forgetting.cancel()
            self._forgetting = None
        if not self._noting:
            self._noting = True
            self._on_watched(True)

    def _forget(self) -> None:
        """Nobody has watched for long: noting costs something, and nobody reads it."""
        self._noting = False
        self.history.forget()
        self._on_watched(False)

    def close(self) -> None:
        """This leader is none any more."""
        self._closed = True
        if self._forgetting is not None:
            self._forgetting.cancel()
        for watch in self._watches:
            watch.closed = True
            watch.wake.set()
