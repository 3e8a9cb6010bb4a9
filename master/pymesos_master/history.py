"""What happened in the cluster, as its leader remembers it: events with numbers, in their order."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from itertools import islice

from pymesos_core.resources import EMPTY, Resources, to_proto
from pymesos_core.security.policy import Roles
from pymesos_master.core.effects import PublishEvent
from pymesos_master.event_filter import EventFilter
from pymesos_master.queries.views import visible
from pymesos_proto.v1 import operator_pb2 as pb

MAX_EVENTS = 32_768
MAX_KEPT_BYTES = 16 * 1024 * 1024  # of what the events say that are kept
ENTRY_BYTES = 128  # of a number, a range or an item of resources, or a little less


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
class Happened:
    """An event with its number, for who reads it."""

    effect: PublishEvent
    sequence: int
    message: pb.ClusterEvent | None = None  # made for the first who reads it

    def is_wanted(self, wanted: EventFilter) -> bool:
        """Whether one who watches wants it."""
        of = self.effect
        return wanted.is_empty or wanted.passes(
            of.kind, of.roles, of.framework_id, of.agent_id, of.task_id
        )

    def to_message(self, may: Roles) -> pb.ClusterEvent:
        """As one sees it who may read these roles; most see the same."""
        tagged = self.effect.resources.tagged
        if not may.every and tagged:
            return self._made(visible(self.effect.resources, may))
        if self.message is None:
            self.message = self._made(self.effect.resources)
        return self.message

    def is_seen_by(self, may: Roles) -> bool:
        """Whether one sees it who may read these roles."""
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


def _resources_bytes(resources: Resources) -> int:
    entries = _entries(resources)
    for bag in resources.tagged.values():
        entries += _entries(bag)
    return ENTRY_BYTES * entries


def _entries(bag: Resources) -> int:
    found = len(bag.scalars)
    if bag.ranges or bag.sets:
        found += sum(map(len, bag.ranges.values())) + sum(map(len, bag.sets.values()))
    return found


class History:
    """The latest events of one leader, numbered without a gap as long as they are kept.

    Most are read by nobody, or counted alone: what readers need is made for those that are read.
    """

    def __init__(self, max_events: int = MAX_EVENTS) -> None:
        self.latest = 0
        self._max_events = max_events
        self._events: deque[PublishEvent] = deque()
        self._sizes: deque[int] = deque()  # of each of them, in bytes
        self._kept_bytes = 0
        self._read: dict[int, Happened] = {}  # by their numbers, of those that are kept

    def add(self, effect: PublishEvent) -> None:
        """Note an event that happened."""
        self.latest += 1
        size = len(effect.message) + len(effect.task_id)
        if effect.resources is not EMPTY:  # as of most it is
            size += _resources_bytes(effect.resources)
        self._events.append(effect)
        self._sizes.append(size)
        self._kept_bytes += size
        while len(self._events) > self._max_events or self._kept_bytes > MAX_KEPT_BYTES:
            self._read.pop(self.latest - len(self._events) + 1, None)
            self._events.popleft()
            self._kept_bytes -= self._sizes.popleft()

    def forget(self) -> None:
        """What happens from now on is not noted, so nobody can go on from here."""
        self._events.clear()
        self._sizes.clear()
        self._read.clear()
        self._kept_bytes = 0
        self.latest += 1

    def has_all_since(self, sequence: int) -> bool:
        """Whether every event after this one is still known."""
        return self.latest - len(self._events) <= sequence <= self.latest

    def since(self, sequence: int, most: int) -> list[Happened]:
        """The events after this one; at most so many of them."""
        events = self._since(sequence, most)
        return [self._happened(effect, at) for at, effect in enumerate(events, sequence + 1)]

    def kinds_since(self, sequence: int, most: int) -> Counter[pb.ClusterEvent.Kind]:
        """How many of these events there are of each kind."""
        return Counter(effect.kind for effect in self._since(sequence, most))

    def _since(self, sequence: int, most: int) -> list[PublishEvent]:
        newer = self.latest - sequence
        older = len(self._events) - newer
        if older < newer:
            return list(islice(self._events, older, older + most))
        # Who is up to date looks at the end only, however much is kept.
        return list(islice(reversed(self._events), newer))[::-1][:most]

    def _happened(self, effect: PublishEvent, sequence: int) -> Happened:
        found = self._read.get(sequence)
        if found is None:
            found = self._read[sequence] = Happened(effect, sequence)
        return found
