"""A process with a disk that stays connected to whichever master leads."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from pymesos_core.store import Change, CommitQueue, StoreError
from pymesos_simulation.coordinator import Coordinator
from pymesos_simulation.world import FSYNC_S, Link, Node, World

RETRY_S = 1.0
Records = dict[tuple[str, str], bytes]


class Disk:
    """Records that survive a crash, written through the production CommitQueue.

    A group that was not confirmed may be there after a crash, or be torn: then it is not there when
    the disk is read again, as with SQLite's log (`test_store.py` tears real files).
    """

    def __init__(self, node: Node, *, goes_on: bool) -> None:
        self.node = node
        self.records: Records = {}
        self.full_until_s = 0.0
        self._goes_on = goes_on
        self._queue = CommitQueue(goes_on=goes_on)
        self._told: dict[int, Callable[[bool], None]] = {}
        self._writing: list[Change] | None = None
        self._tokens = itertools.count()

    def write(self, changes: tuple[Change, ...], done: Callable[[bool], None]) -> None:
        """Durable after a while, in order; `done(ok)` then."""
        token = next(self._tokens)
        self._told[token] = done
        self._queue.submit(token, changes)
        self._write()

    def _write(self) -> None:
        if self._writing is None:
            self._writing = self._queue.take()
            if self._writing is not None:
                world = self.node.world
                slow_s = world.weather.slow_write_s if world.faulty else 0.0
                self.node.soon(FSYNC_S + world.random.uniform(0, slow_s), self._finish)

    def _finish(self) -> None:
        queue, group = self._queue, self._writing
        assert group is not None
        failure = queue.failure
        if failure is None and self.full_until_s > self.node.world.now_s:
            failure = StoreError("the disk is full")
        if failure is None:
            self._apply(group)
        self._writing = []  # its outcome is certain, and nothing else is written meanwhile
        for token, error in queue.settle(failure):
            self._told.pop(token)(error is None)
            if self._queue is not queue:
                return  # it crashed
        self._writing = None
        self._write()

    def _apply(self, changes: list[Change]) -> None:
        for change in changes:
            if change.value is None:
                self.records.pop((change.kind, change.key), None)
            else:
                self.records[change.kind, change.key] = change.value

    def crash(self) -> None:
        """What is being written has reached the disk, or not; what waits behind it has not."""
        if self._writing:
            if self.node.world.random.random() < 0.5:
                self._apply(self._writing)
            else:
                self.node.world.counts["torn write"] += 1
        self._writing = None
        self._told.clear()
        self._queue = CommitQueue(goes_on=self._goes_on)


class ClientNode(Node):
    """It looks for the leader, connects, and looks again when the stream has ended."""

    disconnected: Callable[[int], Any]  # the event that tells the master
    outlives_failed_writes = False

    def __init__(self, world: World, name: str, coordinator: Coordinator) -> None:
        super().__init__(world, name)
        self.coordinator = coordinator
        self.disk = Disk(self, goes_on=self.outlives_failed_writes)
        self.stream: Link | None = None

    def on_crash(self) -> None:
        self.disk.crash()
        self.stream = None

    def look_for_leader(self) -> None:
        """Connect when a leader is known and reached; else try again."""
        if self.stream is not None or not self.alive:  # it may have died in its first step
            return
        leader = self.coordinator.leader
        believers = [m for m in self.coordinator.masters if m.core is not None]
        if self.world.faulty and len(believers) > 1 and self.world.random.random() < 0.5:
            leader = self.world.random.choice(believers)  # what it knows may be old
        reached = leader is not None and leader.alive and leader.core is not None
        if leader is None or not reached or self.world.apart(self.name, leader.name):
            self.soon(self.world.random.uniform(0.1, RETRY_S), self.look_for_leader)
            return
        self.world.counts["stream"] += 1
        self.stream = Link(
            self.world, self.world.counts["stream"], self, leader, type(self).disconnected
        )
        self.on_stream(self.stream)

    def leave(self, connection_id: int) -> None:
        """The core wants the stream ended."""
        if self.stream is not None and self.stream.link_id == connection_id:
            self.stream.hang_up()
            self._gone(self.stream)

    def _gone(self, link: Link) -> None:
        self.stream = None
        self.on_stream_lost(link.link_id)
        self.soon(self.world.random.uniform(0.1, RETRY_S), self.look_for_leader)

    def on_closed(self, link: Link) -> None:
        if self.stream is link:
            self._gone(link)

    def on_message(self, link: Link, message: Any) -> None:
        if message is None:  # the master ended the stream
            link.cut(None)
        elif self.stream is link:
            self.on_master_said(link.link_id, *message)

    def watch_leader(self) -> None:
        """Leave a master that leads no more, when that is noticed."""
        leader = self.coordinator.leader
        if self.stream is not None and leader is not None and self.stream.server is not leader:
            self.leave(self.stream.link_id)
        self.soon(self.world.random.uniform(0.5, 2.0), self.watch_leader)

    def on_stream(self, link: Link) -> None:
        """For the role."""

    def on_stream_lost(self, connection_id: int) -> None:
        """For the role."""

    def on_master_said(self, connection_id: int, epoch: int, message: Any) -> None:
        """For the role."""
