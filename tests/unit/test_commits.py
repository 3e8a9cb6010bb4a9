"""After a write that failed, nothing is written that counted on it."""

from __future__ import annotations

import asyncio
import threading

import pytest

from pymesos_core.clock import Now
from pymesos_core.runner import Fault, Runner, Writes
from pymesos_core.store import MAX_GROUP_BYTES, Change, CommitQueue, StoreError


class Disk:
    """The first write waits until it is let go, then fails; later ones succeed."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.written: list[str] = []
        self.calls = 0

    def commit(self, changes: list[Change]) -> None:
        self.calls += 1
        if self.calls == 1:
            self.go.wait(10)
            raise StoreError("disk full")
        self.written += [change.key for change in changes]


Told = tuple[int, bool]


class Asking:
    """A core whose events are what it is told of its writes; it asks for one in a step."""

    def __init__(self) -> None:
        self.answers: list[Told] = []

    def step(self, now: Now, event: Told) -> list[tuple[Change, ...]]:
        self.answers.append(event)
        return [(Change("k", "3", b""),)] if event[0] == 1 else []

    def next_deadline_s(self) -> None:
        return None


class Still:
    """A core to which nothing happens."""

    def step(self, now: Now, event: int) -> list[int]:
        raise AssertionError(event)

    def next_deadline_s(self) -> None:
        return None


def no_fault(fault: Fault) -> None:
    raise fault.error


async def told(disk: Disk, *, goes_on: bool) -> list[tuple[int, bool]]:
    """What is asked for before, while and after the first write fails, and what became of it."""
    core = Asking()
    commits: Runner[Told, tuple[Change, ...]] = Runner(
        core,
        lambda changes: commits.commit(3, changes),
        (0, True),
        no_fault,
        Writes(disk.commit, lambda token, error: (token, error is None), goes_on=goes_on),
    )
    running = asyncio.create_task(commits.run())
    commits.commit(1, (Change("k", "1", b""),))
    while not disk.calls:
        await asyncio.sleep(0)
    commits.commit(2, (Change("k", "2", b""),))  # behind it: what is now counts on it
    disk.go.set()
    await commits.flushed()
    commits.commit(4, (Change("k", "4", b""),))
    await commits.flushed()
    running.cancel()
    return core.answers


async def test_what_is_queued_behind_a_failed_write_fails_too() -> None:
    disk = Disk()
    assert await told(disk, goes_on=False) == [(1, False), (2, False), (3, False), (4, False)]
    assert not disk.written


async def test_who_knows_of_the_failure_may_go_on() -> None:
    disk = Disk()
    assert await told(disk, goes_on=True) == [(1, False), (2, False), (3, False), (4, True)]
    assert disk.written == ["4"]


def test_a_request_is_never_divided_and_never_overtaken() -> None:
    """What ZooKeeper takes at once is whole requests, in order."""
    queue = CommitQueue()
    large = b"x" * (MAX_GROUP_BYTES // 2)
    queue.submit(1, (Change("k", "a", large), Change("k", "b", b"1")))
    queue.submit(2, (Change("k", "c", large),))
    queue.submit(3, (Change("k", "a", b"2"),))
    written = []
    for tokens in ([1], [2, 3]):
        changes = queue.take()
        assert changes is not None
        written.append([(c.key, len(c.value or b"")) for c in changes])
        assert [token for token, _ in queue.settle(None)] == tokens
    assert written == [[("a", len(large)), ("b", 1)], [("c", len(large)), ("a", 1)]]
    assert queue.take() is None


def test_a_group_is_synced_if_one_of_it_has_to_be() -> None:
    queue = CommitQueue()
    synced = []
    for requests in ([False], [False, False], [False, True], [True], [False]):
        for token, each in enumerate(requests):
            queue.submit(token, (Change("k", str(token), b""),), synced=each)
        assert queue.take() is not None
        synced.append(queue.synced)
        assert len(list(queue.settle(None))) == len(requests)
    assert synced == [False, False, True, True, False]


@pytest.mark.parametrize("faster", [True, False])
async def test_what_need_not_be_synced_is_written_in_the_faster_way(*, faster: bool) -> None:
    fast: list[str] = []
    slow: list[str] = []
    runner: Runner[int, int] = Runner(
        Still(),
        lambda effect: None,
        0,
        no_fault,
        Writes(
            lambda changes: slow.extend(change.key for change in changes),
            lambda token, error: None,
            (lambda changes: fast.extend(change.key for change in changes)) if faster else None,
        ),
    )
    running = asyncio.create_task(runner.run())
    for token, synced in enumerate((False, True, False)):
        runner.commit(token, (Change("k", str(token), b""),), synced=synced)
        await runner.flushed()
    running.cancel()
    assert (fast, slow) == ((["0", "2"], ["1"]) if faster else ([], ["0", "1", "2"]))


@pytest.mark.parametrize("count", [1, 3])
def test_what_is_too_large_for_one_group_is_a_group_of_its_own(count: int) -> None:
    queue = CommitQueue()
    huge = tuple(Change("k", str(n), b"x" * MAX_GROUP_BYTES) for n in range(count))
    queue.submit(1, huge)
    queue.submit(2, ())
    assert queue.take() == list(huge)
    assert [token for token, _ in queue.settle(None)] == [1]
    assert queue.take() == []
