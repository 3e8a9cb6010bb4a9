"""Followers of names are told all that serves, and then what changes, soon and together.

A follower has a list of what it is to be told of, each task once, and is told it as it is then. So
one that reads slowly costs no more than the names that there are. Of what it may not read it is not
told that there is any: neither when that begins nor when it ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice

from pymesos_core.security.policy import Roles
from pymesos_master.core.effects import NameChanged, NamesSettled
from pymesos_master.core.state import ClusterState, TaskKey
from pymesos_proto.v1 import names_pb2 as pb

TOGETHER_S = 0.1  # in which what changes is told together
HEARTBEAT_S = 5.0  # without anything to tell
IN_A_BATCH = 500


@dataclass(eq=False)
class Follower:
    """One who follows."""

    state: ClusterState
    may: Callable[[], Roles]  # of which roles it may read now; raises RequestError
    due: dict[TaskKey, None]  # it is to be told of these
    settled: dict[str, None] = field(default_factory=dict)  # and of these frameworks
    told: set[TaskKey] = field(default_factory=set)  # it was told that these serve
    awaited: set[str] = field(default_factory=set)  # it was told that these have not said all yet
    whole_is_due: bool = True
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    closed: bool = False
    _seen: Roles | None = None

    async def batch(self) -> pb.NamesBatch | None:
        """What comes next; without anything after HEARTBEAT_S. None: this leader is none any more.

        Raises RequestError when it may not follow any more.
        """
        if not (self.due or self.settled or self.whole_is_due or self.closed):
            self.wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_S):
                    await self.wake.wait()
                await asyncio.sleep(TOGETHER_S)
        self._look_at_rights()
        return None if self.closed else self._take()

    def _look_at_rights(self) -> None:
        if (may := self.may()) != self._seen:
            if self._seen is not None:  # what it may see now is another state
                self.due = dict.fromkeys((*self.told, *self.state.names.shown))
                self.whole_is_due = True
            self._seen = may

    def _take(self) -> pb.NamesBatch:
        batch = pb.NamesBatch()
        for key in list(islice(self.due, IN_A_BATCH)):
            del self.due[key]
            shown = self.state.names.shown.get(key)
            if shown is not None and self._may_read(shown.task.role):
                self.told.add(key)
                batch.serves.append(shown)
            elif key in self.told:
                self.told.remove(key)
                batch.ended.add(framework_id=key[0], task_id=key[1])
        if not self.due:
            self._take_frameworks(batch)
        return batch

    def _take_frameworks(self, batch: pb.NamesBatch) -> None:
        """All tasks were told: so are the frameworks that have not said all, or have by now."""
        settled = self.awaited.intersection(self.settled)
        self.settled.clear()
        self.awaited -= settled
        batch.settled_frameworks.extend(sorted(settled))
        if self.whole_is_due:
            self.whole_is_due = False
            batch.whole = True
            self.awaited = {
                framework.framework_id
                for framework in self.state.frameworks.values()
                if framework.framework_id not in self.state.names.settled
                and any(map(self._may_read, framework.roles))
            }
            batch.awaited_frameworks.extend(sorted(self.awaited))

    def _may_read(self, role: str) -> bool:
        return self._seen is not None and role in self._seen


class Naming:
    """All who follow one leader."""

    def __init__(self, state: ClusterState) -> None:
        self._state = state
        self._followers: dict[Follower, None] = {}  # in the order in which they came
        self._closed = False

    def __len__(self) -> int:
        return len(self._followers)

    def changed(self, effect: NameChanged) -> None:
        """What is shown of a task is another."""
        for follower in self._followers:
            follower.due[effect.framework_id, effect.task_id] = None
            follower.wake.set()

    def settled(self, effect: NamesSettled) -> None:
        """A framework has said all, or is no more."""
        for follower in self._followers:
            follower.settled[effect.framework_id] = None
            follower.wake.set()

    @contextmanager
    def follow(self, may: Callable[[], Roles]) -> Iterator[Follower]:
        """Somebody follows, who may read what is of the roles that `may` gives then."""
        follower = Follower(self._state, may, dict.fromkeys(self._state.names.shown))
        follower.closed = self._closed
        self._followers[follower] = None
        try:
            yield follower
        finally:
            del self._followers[follower]

    def close(self) -> None:
        """This leader is none any more."""
        self._closed = True
        for follower in self._followers:
            follower.closed = True
            follower.wake.set()
