"""The disk of a process, cut at the production Store: records that survive a crash."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from pymesos_core.store import Change, Store, StoreError
from pymesos_simulation.threads import wait
from pymesos_simulation.world import FSYNC_S, Node

Records = dict[tuple[str, str], bytes]


class Disk:
    """What is on it. A write that fails has changed nothing."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.records: Records = {}
        self.full_until_s = 0.0
        self._writing: list[Change] = []

    def write(self, changes: list[Change], answer: Callable[..., None]) -> None:
        """Durable after a while."""
        assert not self._writing, f"{self.node.name} writes twice at a time"
        world = self.node.world
        self._writing = changes

        def finish() -> None:
            self._writing = []
            if self.full_until_s > world.now_s:
                answer(error=StoreError("the disk is full"))
            else:
                self._apply(changes)
                answer()

        slow_s = world.weather.slow_write_s if world.faulty else 0.0
        self.node.soon(FSYNC_S + world.random.uniform(0, slow_s), finish)

    def _apply(self, changes: list[Change]) -> None:
        for change in changes:
            if change.value is None:
                self.records.pop((change.kind, change.key), None)
            else:
                self.records[change.kind, change.key] = change.value

    def crash(self) -> None:
        """What is being written has reached the disk, or is torn: then it is not there.

        So it is with SQLite's log, of which `test_store.py` tears real files.
        """
        writing, self._writing = self._writing, []
        if not writing:
            return
        if self.node.world.random.random() < 0.5:
            self._apply(writing)
        else:
            self.node.world.counts["torn write"] += 1


class SimulatedStore(Store):
    """The table on a simulated disk, open in one life of a process."""

    def __init__(self, disk: Disk) -> None:
        self.path = f"{disk.node.name}.sqlite"
        self._disk = disk

    def load(self) -> Records:
        """See Store."""
        return dict(self._disk.records)

    def commit(self, changes: Iterable[Change], check: object = None) -> None:
        """See Store."""
        assert check is None
        wait("a write to disk", lambda answer: self._disk.write(list(changes), answer))

    def later(self, call: partial[None], answer: Callable[..., None]) -> None:
        """Do what a call of `commit` does, without a thread that waits for it."""
        changes = call.args[-1]
        self._disk.write(list(changes), answer)

    def close(self) -> None:
        """See Store."""
