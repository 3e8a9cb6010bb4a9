"""A process with a disk that stays connected to whichever master leads."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Sequence
from typing import Any

from pymesos_core.store import Change, CommitQueue
from pymesos_core.transport import CallError
from pymesos_simulation.coordinator import Coordinator
from pymesos_simulation.disk import Disk
from pymesos_simulation.masters import MasterNode
from pymesos_simulation.network import Network
from pymesos_simulation.world import Node, World

RETRY_S = 1.0


class QueuedDisk(Disk):
    """Written through the production CommitQueue, by a shell of the simulator's."""

    def __init__(self, node: Node, *, goes_on: bool) -> None:
        super().__init__(node)
        self._goes_on = goes_on
        self._queue = CommitQueue(goes_on=goes_on)
        self._told: dict[int, Callable[[bool], None]] = {}
        self._busy = False
        self._tokens = itertools.count()

    def request(self, changes: tuple[Change, ...], done: Callable[[bool], None]) -> None:
        """Durable after a while, in order; `done(ok)` then."""
        token = next(self._tokens)
        self._told[token] = done
        self._queue.submit(token, changes)
        self._next()

    def _next(self) -> None:
        if self._busy or (group := self._queue.take()) is None:
            return
        self._busy, queue = True, self._queue

        def answer(result: object = None, error: Exception | None = None) -> None:
            for token, problem in queue.settle(error):
                self._told.pop(token)(problem is None)
                if self._queue is not queue:
                    return  # it crashed
            self._busy = False
            self._next()

        self.write(group, answer)

    def crash(self) -> None:
        super().crash()
        self._told.clear()
        self._busy = False
        self._queue = CommitQueue(goes_on=self._goes_on)


class Uplink:
    """A stream to a master, of a client with a shell of the simulator's."""

    def __init__(self, node: ClientNode, server: MasterNode) -> None:
        node.world.counts["uplink"] += 1
        self.link_id = node.world.counts["uplink"]
        self.server = server
        self._node = node
        self._stream = node.network.open(node, server.address, node.path)
        node.spawn(self._read())

    async def _read(self) -> None:
        with contextlib.suppress(CallError):
            while (batch := await self._stream.client.read()) is not None:
                self._node.on_batch(self, batch)
        self._node.on_closed(self)

    def send(self, batch: Any) -> None:
        """Whether the master reads or not."""
        stream = self._stream
        if stream.open and stream.client.error is None:
            stream.other(stream.client).send((type(batch), batch.SerializeToString()))

    def done_writing(self) -> None:
        """Nothing more comes; the master ends the stream when it has read all."""
        stream = self._stream
        if stream.open and stream.client.error is None:
            stream.other(stream.client).send(None)

    def hang_up(self) -> None:
        """The master learns it after what was sent before."""
        self._stream.client.cancel()


class ClientNode(Node):
    """It looks for the leader, connects, and looks again when the stream has ended."""

    path: str  # of the master's method
    outlives_failed_writes = False

    def __init__(self, world: World, name: str, coordinator: Coordinator, network: Network) -> None:
        super().__init__(world, name)
        self.coordinator = coordinator
        self.network = network
        self.disk = QueuedDisk(self, goes_on=self.outlives_failed_writes)
        self.stream: Uplink | None = None

    def on_crash(self) -> None:
        self.network.died(self)
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
        self.stream = Uplink(self, leader)
        self.on_stream(self.stream)

    def leave(self, connection_id: int) -> None:
        """The core wants the stream ended."""
        if self.stream is not None and self.stream.link_id == connection_id:
            self.stream.hang_up()
            self._gone(self.stream)

    def _gone(self, link: Uplink) -> None:
        self.stream = None
        self.on_stream_lost(link.link_id)
        self.soon(self.world.random.uniform(0.1, RETRY_S), self.look_for_leader)

    def on_closed(self, link: Uplink) -> None:
        """The stream has ended."""
        if self.alive and self.stream is link:
            self._gone(link)

    def on_batch(self, link: Uplink, batch: Any) -> None:
        """Messages came on a stream."""
        for message in self.messages(batch):
            if self.alive and self.stream is link:
                self.on_master_said(link.link_id, batch.epoch, message)

    def watch_leader(self) -> None:
        """Leave a master that leads no more, when that is noticed."""
        leader = self.coordinator.leader
        if self.stream is not None and leader is not None and self.stream.server is not leader:
            self.leave(self.stream.link_id)
        self.soon(self.world.random.uniform(0.5, 2.0), self.watch_leader)

    def messages(self, batch: Any) -> Sequence[Any]:
        """For the role."""
        raise NotImplementedError

    def on_stream(self, link: Uplink) -> None:
        """For the role."""

    def on_stream_lost(self, connection_id: int) -> None:
        """For the role."""

    def on_master_said(self, connection_id: int, epoch: int, message: Any) -> None:
        """For the role."""
