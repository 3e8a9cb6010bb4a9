"""The disk of a process, cut at the production Store: records that survive a crash.

What is not synced survives that of the process, and only in part that of the machine.
"""

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
        self._synced: Records = {}  # what a crash of the machine leaves
        self._unsynced: list[list[Change]] = []  # the writes since: it leaves some of the first

    def write(
        self, changes: list[Change], answer: Callable[..., None], *, synced: bool = True
    ) -> None:
        """Durable after a while, and synced if it is to be: then all before it is, too.

        What is not synced takes as long, so that seeds go on as they did.
        """
        world = self.node.world
        with world.fatal():
            assert not self._writing, f"{self.node.name} writes twice at a time"
        self._writing = changes

        def finish() -> None:
            self._writing = []
            if self.full_until_s > world.now_s:
                answer(StoreError("the disk is full"))
            else:
                self._apply(changes)
                if synced:
                    self.sync()
                answer()

        slow_s = world.weather.slow_write_s if world.faulty else 0.0
        self.node.soon(FSYNC_S + world.random.uniform(0, slow_s), finish)

    def write_at_once(self, changes: list[Change]) -> None:
        """Hand it to the kernel, which is no wait for the disk. Raises StoreError."""
        with self.node.world.fatal():
            assert not self._writing, f"{self.node.name} writes twice at a time"
        if self.full_until_s > self.node.world.now_s:
            raise StoreError("the disk is full")
        self._apply(changes)

    def _apply(self, changes: list[Change]) -> None:
        apply(changes, self.records)
        self._unsynced.append(changes)

    def sync(self) -> None:
        """All that was written outlives a crash of the machine."""
        for changes in self._unsynced:
            apply(changes, self._synced)
        self._unsynced.clear()

    def clear(self) -> None:
        """Somebody removes the file."""
        self.records.clear()
        self._synced.clear()
        self._unsynced.clear()

    def lose_power(self) -> int:
        """What was not synced may have been written all the same, up to some write; how many were
        lost."""
        kept = self.node.world.aside.randint(0, len(self._unsynced))
        lost = len(self._unsynced) - kept
        del self._unsynced[kept:]
        self.sync()
        self.records = dict(self._synced)
        return lost

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


def apply(changes: Iterable[Change], records: Records) -> None:
    """Make changes in a table."""
    for change in changes:
        if change.value is None:
            records.pop((change.kind, change.key), None)
        else:
            records[change.kind, change.key] = change.value


class SimulatedStore(Store):
    """The table on a simulated disk, open in one life of a process."""

    def __init__(self, disk: Disk, *, goes_on: bool) -> None:
        """`goes_on`: whether anything may be written behind a write that failed."""
        self.path = f"{disk.node.name}.sqlite"
        self._disk = disk
        self._goes_on = goes_on
        self._failed = False
        disk.sync()  # as SQLite's log is, when it is opened

    def load(self) -> Records:
        """See Store."""
        return dict(self._disk.records)

    def commit(self, changes: Iterable[Change], check: object = None) -> None:
        """See Store."""
        assert check is None
        wait("a write to disk", partial(self._begin, list(changes), True))

    def commit_unsynced(self, changes: Iterable[Change]) -> None:
        """See Store. In a thread it is `later`; in the loop it is over at once."""
        self._disk.write_at_once(list(changes))

    def later(self, call: partial[None], answer: Callable[..., None]) -> None:
        """Do what a call of either does, without a thread that waits for it."""
        self._begin(list(call.args[-1]), call.func == self.commit, answer)

    def _begin(self, changes: list[Change], synced: bool, answer: Callable[..., None]) -> None:
        node = self._disk.node
        with node.world.fatal():
            assert self._goes_on or not self._failed, f"{node.name} writes behind a failed write"

        def written(error: StoreError | None = None) -> None:
            self._failed = self._failed or error is not None
            answer(error=error)

        self._disk.write(changes, written, synced=synced)

    def close(self) -> None:
        """See Store."""
