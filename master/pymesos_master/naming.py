"""Followers of names are told all that serves, and then what changes, soon and together.

What changes is noted in one log, which costs the same however many follow; some moments later all
of them read on in it, each from its own place, and those who may read all share what is made. A
follower is told a task as it is then, and the stream of one that is too far behind ends, so that it
begins anew: who reads slowly costs no more than the names that there are. Of what it may not read
it is not told that there is any: neither when that begins nor when it ends.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice

from pymesos_core.errors import Problem, ProblemKind, RequestError
from pymesos_core.security.policy import Roles
from pymesos_master.core.effects import NameChanged, NamesSettled
from pymesos_master.core.state import ClusterState, TaskKey
from pymesos_proto.v1 import names_pb2 as pb

TOGETHER_S = 0.1  # in which what changes is told together,
EACH_S = 0.0001  # or in which so many can be told
HEARTBEAT_S = 5.0  # without anything to tell
IN_A_BATCH = 500
MOST_CHANGES = 65_536  # that are kept for who is behind
BEHIND = "more has changed than is kept for those who read slowly; follow anew"


class Follower:
    """One who follows."""

    def __init__(self, naming: Naming, may: Callable[[], Roles]) -> None:
        """`may` says of which roles it may read now; it raises RequestError."""
        self.wake = asyncio.Event()
        self._naming = naming
        self._state = naming.state
        self._may = may
        self._seen: Roles | None = None
        self._place = naming.told  # up to which it has taken the log
        self._due: dict[TaskKey, None] = dict.fromkeys(self._state.names.shown)
        self._settled: dict[str, None] = {}  # it is to be told of these frameworks
        self._told: set[TaskKey] = set()  # who may not read all was told that these serve
        self._awaited: set[str] = set()  # it was told that these have not said all yet
        self._whole_is_due = True

    async def batch(self) -> pb.NamesBatch | None:
        """What comes next; without anything after HEARTBEAT_S. None: this leader is none any more.

        Raises RequestError when it may not follow any more, or is too far behind.
        """
        naming = self._naming
        if not (self._is_behind or naming.closed or self._place < naming.told):
            with suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_S):
                    await naming.something(self.wake)
        if naming.closed:
            return None
        may, place = self._may(), self._place
        if may == self._seen and may.every and not self._is_behind:
            shared = naming.shared(place)
            if shared is not None:
                self._place = naming.told
                return shared
        self._read_on()
        self._look_at_rights(may)
        return self._take()

    @property
    def _is_behind(self) -> bool:
        return bool(self._due or self._settled or self._whole_is_due)

    def _read_on(self) -> None:
        changes = self._naming.since(self._place)
        self._place = self._naming.told
        for change in changes:
            if isinstance(change, str):
                self._settled[change] = None
            else:
                self._due[change] = None

    def _known(self) -> set[TaskKey]:
        """What it may have been told: all that is noted, if it may read all."""
        if self._seen is None or not self._seen.every:
            return self._told
        return {*self._state.names.shown, *self._due}

    def _look_at_rights(self, may: Roles) -> None:
        if may == self._seen:
            return
        if self._seen is not None:  # what it may see now is another state
            self._told = self._known()
            self._due = dict.fromkeys((*self._told, *self._state.names.shown))
            self._whole_is_due = True
        self._seen = may

    def _take(self) -> pb.NamesBatch:
        batch = pb.NamesBatch()
        every = self._seen is not None and self._seen.every
        for key in list(islice(self._due, IN_A_BATCH)):
            del self._due[key]
            shown = self._state.names.shown.get(key)
            if shown is not None and self._may_read(shown.task.role):
                batch.serves.append(shown)
                if not every:
                    self._told.add(key)
            elif every or key in self._told:
                self._told.discard(key)
                batch.ended.add(framework_id=key[0], task_id=key[1])
        if not self._due:
            self._take_frameworks(batch)
        return batch

    def _take_frameworks(self, batch: pb.NamesBatch) -> None:
        """All tasks were told: so are the frameworks that have not said all, or have by now."""
        settled = self._awaited.intersection(self._settled)
        self._settled.clear()
        self._awaited -= settled
        batch.settled_frameworks.extend(sorted(settled))
        if self._whole_is_due:
            self._whole_is_due = False
            batch.whole = True
            self._awaited = {
                framework.framework_id
                for framework in self._state.frameworks.values()
                if framework.framework_id not in self._state.names.settled
                and any(map(self._may_read, framework.roles))
            }
            batch.awaited_frameworks.extend(sorted(self._awaited))

    def _may_read(self, role: str) -> bool:
        return self._seen is not None and role in self._seen


class Naming:
    """All who follow one leader, and what has changed lately."""

    def __init__(self, state: ClusterState) -> None:
        self.state = state
        self.closed = False
        self.told = 0  # up to here followers may read: the rest is told a moment later
        self._changes: deque[TaskKey | str] = deque()  # tasks, and frameworks that have settled
        self._end = 0  # how many there have been
        self._followers = 0
        self._asleep: dict[asyncio.Event, None] = {}  # in the order in which they fell asleep
        self._telling: asyncio.TimerHandle | None = None
        self._made: dict[int, pb.NamesBatch | None] = {}  # up to `told`, from some places

    def __len__(self) -> int:
        return self._followers

    def changed(self, effect: NameChanged) -> None:
        """What is shown of a task is another."""
        self._note((effect.framework_id, effect.task_id))

    def settled(self, effect: NamesSettled) -> None:
        """A framework has said all, or is no more."""
        self._note(effect.framework_id)

    def _note(self, change: TaskKey | str) -> None:
        if not self._followers:
            return  # who comes is told all
        self._changes.append(change)
        self._end += 1
        if len(self._changes) > MOST_CHANGES:
            self._changes.popleft()
        if self._telling is None:
            after_s = max(TOGETHER_S, EACH_S * self._followers)
            self._telling = asyncio.get_running_loop().call_later(after_s, self._tell)

    def _tell(self) -> None:
        self._telling = None
        self.told = self._end
        self._made.clear()
        asleep, self._asleep = self._asleep, {}
        for wake in asleep:
            wake.set()

    async def something(self, wake: asyncio.Event) -> None:
        """Return once there is more to read, or this leader is none any more."""
        wake.clear()
        self._asleep[wake] = None
        try:
            await wake.wait()
        finally:
            self._asleep.pop(wake, None)

    def since(self, place: int) -> list[TaskKey | str]:
        """What has changed after a place, as far as it may be read.

        Raises RequestError when some of it is not known any more.
        """
        oldest = self._end - len(self._changes)
        if place < oldest:
            raise RequestError(Problem(ProblemKind.OUTDATED, BEHIND))
        return list(islice(self._changes, place - oldest, self.told - oldest))

    def shared(self, place: int) -> pb.NamesBatch | None:
        """What all are told who are at a place and may read all; None: it is not the same."""
        if place not in self._made:
            self._made[place] = self._make(place)
        return self._made[place]

    def _make(self, place: int) -> pb.NamesBatch | None:
        keys = dict.fromkeys(self.since(place))
        if len(keys) > IN_A_BATCH or any(isinstance(key, str) for key in keys):
            return None
        batch = pb.NamesBatch()
        for key in keys:
            assert not isinstance(key, str)
            shown = self.state.names.shown.get(key)
            if shown is not None:
                batch.serves.append(shown)
            else:
                batch.ended.add(framework_id=key[0], task_id=key[1])
        return batch

    @contextmanager
    def follow(self, may: Callable[[], Roles]) -> Iterator[Follower]:
        """Somebody follows, who may read what is of the roles that `may` gives then."""
        self._followers += 1
        try:
            yield Follower(self, may)
        finally:
            self._followers -= 1

    def close(self) -> None:
        """This leader is none any more."""
        self.closed = True
        if self._telling is not None:
            self._telling.cancel()
        self._tell()
