"""What waits for a receiver is sent in order until it is taken."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence

import pytest

from pymesos_core.outgoing import lanes
from pymesos_core.outgoing.lanes import Lane, UnsentError
from pymesos_core.outside import Outside
from pymesos_core.tasks import running


class Receiver:
    def __init__(self) -> None:
        self.fails = 0
        self.got: list[list[str]] = []
        self.tries = 0
        self.taken: list[str] = []
        self.changed = asyncio.Event()

    async def send(self, items: Sequence[str]) -> None:
        self.tries += 1
        await asyncio.sleep(0)
        if self.fails:
            self.fails -= 1
            raise UnsentError("it is away")
        self.got.append(list(items))

    def take(self, item: str) -> None:
        self.taken.append(item)
        self.changed.set()

    async def until(self, taken: int) -> None:
        while len(self.taken) < taken:
            self.changed.clear()
            await self.changed.wait()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "RETRY_S", (0.0, 0.0))


def lane_to(receiver: Receiver, at_once: int = 1) -> Lane[str]:
    outside = Outside(jitter=random.Random(1))
    return Lane("r", receiver.send, receiver.take, outside, at_once)


async def test_in_order_and_again_until_it_is_taken(caplog: pytest.LogCaptureFixture) -> None:
    receiver = Receiver()
    receiver.fails = 2
    lane = lane_to(receiver)
    for item in ("a", "b", "c"):
        lane.put(item, item)
    with caplog.at_level(logging.WARNING):
        async with running(lane.run()):
            await receiver.until(3)
    assert receiver.taken == ["a", "b", "c"] and receiver.tries == 5
    assert len(caplog.records) == 1 and "it is away" in caplog.text  # said once a minute
    assert len(lane) == 0


async def test_what_is_newer_takes_the_place_of_what_waits() -> None:
    receiver = Receiver()
    lane = lane_to(receiver)
    for key, item in (("a", "a1"), ("b", "b1"), ("a", "a2")):
        lane.put(key, item)
    async with running(lane.run()):
        await receiver.until(2)
    assert receiver.taken == ["b1", "a2"]


async def test_what_comes_while_it_is_sent_is_sent_next() -> None:
    receiver = Receiver()
    lane = lane_to(receiver)
    lane.put("a", "a1")
    async with running(lane.run()):
        while not receiver.tries:
            await asyncio.sleep(0)
        lane.put("a", "a2")
        await receiver.until(2)
    assert receiver.taken == ["a1", "a2"]


async def test_many_go_together_where_the_receiver_takes_them() -> None:
    receiver = Receiver()
    lane = lane_to(receiver, at_once=2)
    for item in ("a", "b", "c"):
        lane.put(item, item)
    async with running(lane.run()):
        await receiver.until(3)
    assert receiver.got == [["a", "b"], ["c"]]


async def test_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "MOST_WAITING", 3)
    receiver = Receiver()
    lane = lane_to(receiver)
    for number in range(5):
        lane.put(str(number), str(number))
    assert (len(lane), lane.dropped) == (3, 2)
    async with running(lane.run()):
        await receiver.until(3)
    assert receiver.taken == ["2", "3", "4"]
