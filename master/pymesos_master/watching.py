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
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice

from pymesos_core.outbox import BATCH_BYTES
from pymesos_core.resources import Resources, to_proto
from pymesos_core.security.policy import EVERY_ROLE, Roles
from pymesos_core.states import state_name
from pymesos_master.core.effects import PublishEvent
from pymesos_master.core.state import Agent, ClusterState, Task, TaskKey
from pymesos_master.queries.views import visible
from pymesos_proto.v1 import operator_pb2 as pb

MAX_EVENTS = 32_768
MAX_KEPT_BYTES = 16 * 1024 * 1024  # of what the events say that are kept
ENTRY_BYTES = 128  # of a number, a range or an item of resources, or a little less
PAGE = 500  # what is shown in one go
REMEMBER_S = 300.0  # without anybody who watches; then nothing is kept any more


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is kept for those who watch, and how much of the state is shown in one go."""

    events: int = MAX_EVENTS
    page: int = PAGE


BOUNDS = Bounds()


class CursorError(ValueError):
    """A text is no cursor: the message says what one looks like."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in the history of one leader."""

    epoch: int
    sequence: int  # of the last event that came

    def __str__(self) -> str:
        return f"{self.epoch}-{self.sequence}"

    @staticmethod
    def parse(text: str) -> Cursor:
        """Raises CursorError."""
        epoch, dash, sequence = text.partition("-")
        numbers = [t for t in (epoch, sequence) if t.isascii() and t.isdigit() and len(t) <= 20]
        if not dash or len(numbers) != 2:
            raise CursorError(
                f"{text[:50]!r} is no cursor: EPOCH-SEQUENCE, as in 7-1234, is expected; leave it"
                f" out to begin with the state as it is"
            )
        return Cursor(int(epoch), int(sequence))


@dataclass(slots=True)
class _Happened:
    effect: PublishEvent
    sequence: int
    kept_bytes: int
    message: pb.ClusterEvent | None = None  # made for the first who reads it

    def to_message(self, may: Roles) -> pb.ClusterEvent:
        """As one sees it who may read these roles; most see the same."""
        tagged = self.effect.resources.tagged
        if not may.every and tagged:
            return self._made(visible(self.effect.resources, may))
        if self.message is None:
            self.message = self._made(self.effect.resources)
        return self.message

    def is_seen_by(self, may: Roles) -> bool:
        roles = self.effect.roles
        # A task is of one role: where it is not known which, all must be theirs to read.
        enough = all if self.effect.kind == pb.ClusterEvent.TASK_REFUSED else any
        return may.every or not roles or enough(role in may for role in roles)

    def _made(self, resources: Resources) -> pb.ClusterEvent:
        effect = self.effect
        return pb.ClusterEvent(
            timestamp_s=effect.wall_s,
            kind=effect.kind,
            agent_id=effect.agent_id,
            framework_id=effect.framework_id,
            task_id=effect.task_id,
            offer_id=effect.offer_id,
            task_state=effect.task_state,
            reason=effect.reason,
            resources=to_proto(resources),
            message=effect.message,
            sequence=self.sequence,
        )


def _kept_bytes(effect: PublishEvent) -> int:
    entries = sum(
        len(bag.scalars) + sum(map(len, bag.ranges.values())) + sum(map(len, bag.sets.values()))
        for bag in (effect.resources, *effect.resources.tagged.values())
    )
    return len(effect.message) + len(effect.task_id) + ENTRY_BYTES * entries


class History:
    """The latest events of one leader, numbered without a gap as long as they are kept."""

    def __init__(self, max_events: int = MAX_EVENTS) -> None:
        self.latest = 0
        self._max_events = max_events
        self._events: deque[_Happened] = deque()
        self._kept_bytes = 0

    def add(self, effect: PublishEvent) -> None:
        """Note an event that happened."""
        self.latest += 1
        size = _kept_bytes(effect)
        self._events.append(_Happened(effect, self.latest, size))
        self._kept_bytes += size
        while len(self._events) > self._max_events or self._kept_bytes > MAX_KEPT_BYTES:
            self._kept_bytes -= self._events.popleft().kept_bytes

    def forget(self) -> None:
        """What happens from now on is not noted, so nobody can go on from here."""
        self._events.clear()
        self._kept_bytes = 0
        self.latest += 1

    def has_all_since(self, sequence: int) -> bool:
        """Whether every event after this one is still known."""
        return self.latest - len(self._events) <= sequence <= self.latest

    def since(self, sequence: int, most: int) -> list[_Happened]:
        """The events after this one; at most so many of them."""
        newer = self.latest - sequence
        older = len(self._events) - newer
        if older < newer:
            return list(islice(self._events, older, older + most))
        # Who is up to date looks at the end only, however much is kept.
        return list(islice(reversed(self._events), newer))[::-1][:most]


@dataclass(slots=True)
class Snapshot:
    """The state, shown from its beginning to its end in pages."""

    _state: ClusterState
    _wall_s: Callable[[], float]
    _page: int = PAGE
    _may: Roles = EVERY_ROLE  # of which the state is shown
    _frameworks: dict[str, None] = field(init=False)  # that are not shown yet
    _agents: dict[str, None] = field(init=False)
    _agent_id: str = ""  # of whose tasks some are shown
    _tasks: dict[TaskKey, None] = field(init=False, default_factory=dict)  # of it, not shown yet
    _offers: dict[str, None] | None = field(init=False, default=None)  # None: it is not their turn

    def __post_init__(self) -> None:
        self._frameworks = dict.fromkeys(reversed(self._state.frameworks))
        self._agents = dict.fromkeys(reversed(self._state.agents))

    @property
    def complete(self) -> bool:
        """Whether all is shown."""
        return self._offers is not None and not self._offers

    def will_show(self, event: PublishEvent) -> bool:
        """Whether a page to come shows what became of it."""
        if event.offer_id:
            return self._offers is None or event.offer_id in self._offers
        if event.agent_id:
            task = (event.framework_id, event.task_id)
            here = event.agent_id == self._agent_id and event.task_id and task in self._tasks
            return event.agent_id in self._agents or bool(here)
        return not event.task_id and event.framework_id in self._frameworks

    def page(self) -> list[pb.ClusterEvent]:
        """The next part of it, as it is now."""
        out: list[pb.ClusterEvent] = []
        size, now_s = 0, self._wall_s()
        for _ in range(self._page):
            if self.complete or size > BATCH_BYTES:
                break
            event = self._next(now_s)
            if event is not None:
                out.append(event)
                size += event.ByteSize()
        return out

    def _next(self, now_s: float) -> pb.ClusterEvent | None:
        state = self._state
        if self._frameworks:
            framework = state.frameworks.get(self._frameworks.popitem()[0])
            if framework is None or not any(role in self._may for role in framework.roles):
                return None
            return pb.ClusterEvent(
                timestamp_s=now_s,
                kind=pb.ClusterEvent.FRAMEWORK_PRESENT,
                framework_id=framework.framework_id,
                message=framework.info.name,
            )
        if self._tasks:
            key = self._tasks.popitem()[0]
            agent = state.agents.get(self._agent_id)
            task = agent.tasks.get(key) if agent is not None else None
            shown = task is not None and task.role in self._may
            return _task_present(task, now_s) if task is not None and shown else None
        if self._agents:
            self._agent_id = self._agents.popitem()[0]
            agent = state.agents.get(self._agent_id)
            if agent is None:
                return None
            self._tasks = dict.fromkeys(reversed(agent.tasks))
            return _agent_present(agent, now_s, self._may)
        if self._offers is None:
            self._offers = dict.fromkeys(reversed(state.offers))
            return None
        offer = state.offers.get(self._offers.popitem()[0])
        if offer is None or offer.role not in self._may:
            return None
        return pb.ClusterEvent(
            timestamp_s=now_s,
            kind=pb.ClusterEvent.OFFER_PRESENT,
            agent_id=offer.agent_id,
            framework_id=offer.framework_id,
            offer_id=offer.offer_id,
            resources=to_proto(offer.resources),
        )


def _agent_present(agent: Agent, now_s: float, may: Roles) -> pb.ClusterEvent:
    return pb.ClusterEvent(
        timestamp_s=now_s,
        kind=pb.ClusterEvent.AGENT_PRESENT,
        agent_id=agent.agent_id,
        resources=to_proto(visible(agent.total, may)),
        message=agent.state.value,
    )


def _task_present(task: Task, now_s: float) -> pb.ClusterEvent:
    return pb.ClusterEvent(
        timestamp_s=now_s,
        kind=pb.ClusterEvent.TASK_PRESENT,
        agent_id=task.agent_id,
        framework_id=task.framework_id,
        task_id=task.info.task_id,
        task_state=task.state,
        resources=to_proto(task.resources) if task.holds_resources else [],
        message=state_name(task.state),
    )


@dataclass(slots=True)
class Batch:
    """What comes next to one who watches."""

    events: list[pb.ClusterEvent]
    cursor: Cursor | None  # None: a snapshot is not complete
    snapshot_begins: bool = False


class Watch:
    """One who watches."""

    def __init__(
        self,
        epoch: int,
        history: History,
        state: ClusterState,
        sequence: int | None,
        wall_s: Callable[[], float],
        page: int = PAGE,
        may: Callable[[], Roles] = lambda: EVERY_ROLE,
    ) -> None:
        """`may` says of which roles it may see something now, or raises RequestError."""
        self._may = may
        self._seen = may()
        self._page = page
        self._wall_s = wall_s
        self.wake = asyncio.Event()
        self.closed = False
        self._epoch = epoch
        self._history = history
        self._state = state
        self._place = sequence if sequence is not None else -1
        self._snapshot: Snapshot | None = None
        self._waiting: deque[pb.ClusterEvent | _Happened] = deque()  # of a snapshot

    async def batch(self) -> Batch | None:
        """What comes next, as soon as there is something; None: this leader is none any more."""
        while not self.closed:
            if (may := self._may()) != self._seen:
                self._seen = may
                return self._begin()  # what it may see now is another state
            if not self._history.has_all_since(self._place):
                return self._begin()
            if self._snapshot is not None:
                return self._go_on(self._snapshot)
            if self._place < self._history.latest:
                happened = self._history.since(self._place, self._page)
                batch = self._batch(deque[pb.ClusterEvent | _Happened](happened), live=True)
                if batch.events:
                    return batch
                continue
            self.wake.clear()
            await self.wake.wait()
        return None

    def _begin(self) -> Batch:
        self._waiting.clear()
        self._place = self._history.latest
        self._snapshot = Snapshot(self._state, self._wall_s, self._page, self._seen)
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
        return self._batch(self._waiting, live=False)

    def _batch(self, waiting: deque[pb.ClusterEvent | _Happened], *, live: bool) -> Batch:
        """As many of them as a message holds."""
        events: list[pb.ClusterEvent] = []
        size = 0
        while waiting and len(events) < self._page and size < BATCH_BYTES:
            item = waiting.popleft()
            if isinstance(item, _Happened):
                if live:
                    self._place = item.sequence
                if not item.is_seen_by(self._seen):
                    continue
                item = item.to_message(self._seen)
            events.append(item)
            size += item.ByteSize()
        if self._snapshot is not None and self._snapshot.complete and not waiting:
            self._snapshot = None
        done = self._snapshot is None
        return Batch(events, Cursor(self._epoch, self._place) if done else None)


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
        self._epoch = epoch
        self._state = state
        self._on_watched = on_watched
        self._wall_s = wall_s
        self._bounds = bounds
        self._history = History(bounds.events)
        self._watches: dict[Watch, None] = {}  # in the order in which they came
        self._forgetting: asyncio.TimerHandle | None = None
        self._noting = False
        self._closed = False

    def __len__(self) -> int:
        return len(self._watches)

    def publish(self, effect: PublishEvent) -> None:
        """Publish an event that happened."""
        self._history.add(effect)
        for watch in self._watches:
            watch.wake.set()

    @contextmanager
    def watch(
        self, cursor: str = "", may: Callable[[], Roles] = lambda: EVERY_ROLE
    ) -> Iterator[Watch]:
        """From a cursor on, or from the beginning: what is of the roles that `may` gives then.

        Raises CursorError, and what `may` raises.
        """
        asked = Cursor.parse(cursor) if cursor else None
        sequence = asked.sequence if asked is not None and asked.epoch == self._epoch else None
        watch = Watch(
            self._epoch, self._history, self._state, sequence, self._wall_s, self._bounds.page, may
        )
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
        self._history.forget()
        self._on_watched(False)

    def close(self) -> None:
        """This leader is none any more."""
        self._closed = True
        if self._forgetting is not None:
            self._forgetting.cancel()
        for watch in self._watches:
            watch.closed = True
            watch.wake.set()
