"""A process with a disk that stays connected to whichever master leads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pymesos_core.store import Change
from pymesos_simulation.coordinator import Coordinator
from pymesos_simulation.world import FSYNC_S, Link, Node, World

RETRY_S = 1.0
Records = dict[tuple[str, str], bytes]


class Disk:
    """Records that survive a crash. A write that was not confirmed may be there after, or not.

    Batches reach the platter in order, the last perhaps torn: then it is not there when the disk is
    read again, as with SQLite's log (`test_store.py` tears real files).
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        self.records: Records = {}
        self.full_until_s = 0.0
        self._pending: list[tuple[Change, ...]] = []

    def write(self, changes: tuple[Change, ...], done: Any) -> None:
        """Durable after a while, in order; `done(ok)` then."""
        self._pending.append(changes)

        def finish() -> None:
            self._pending.remove(changes)
            full = self.full_until_s > self.node.world.now_s
            if not full:
                self._apply(changes)
            done(not full)

        self.node.soon(FSYNC_S, finish)

    def _apply(self, changes: tuple[Change, ...]) -> None:
        for change in changes:
            if change.value is None:
                self.records.pop((change.kind, change.key), None)
            else:
                self.records[change.kind, change.key] = change.value

    def crash(self) -> None:
        """Of what was not confirmed, a prefix has reached the disk."""
        written = self.node.world.random.randint(0, len(self._pending))
        for changes in self._pending[:written]:
            self._apply(changes)
        if written < len(self._pending):
            self.node.world.counts["torn write"] += 1
        self._pending.clear()


class ClientNode(Node):
    """It looks for the leader, connects, and looks again when the stream has ended."""

    disconnected: Callable[[int], Any]  # the event that tells the master

    def __init__(self, world: World, name: str, coordinator: Coordinator) -> None:
        super().__init__(world, name)
        self.coordinator = coordinator
        self.disk = Disk(self)
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
