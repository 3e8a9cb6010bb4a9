"""What waits for a receiver is sent in order until it is taken."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence

import pytest

from pymesos_core.clock import Now, read_clock
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
        self.given_up: list[str] = []
        self.refuses: set[str] = set()
        self.broken: set[str] = set()
        self.changed = asyncio.Event()

    async def send(self, items: Sequence[str]) -> None:
        self.tries += 1
        await asyncio.sleep(0)
        if self.fails:
            self.fails -= 1
            raise UnsentError("it is away")
        if self.broken.intersection(items):
            raise KeyError("it cannot be made")
        if self.refuses.intersection(items):
            raise UnsentError("it is spam", refused=True)
        self.got.append(list(items))

    def give_up(self, item: str) -> None:
        self.given_up.append(item)
        self.changed.set()

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


def lane_to(
    receiver: Receiver, at_once: int = 1, clock: Callable[[], Now] = read_clock
) -> Lane[str]:
    outside = Outside(clock, jitter=random.Random(1))
    return Lane("r", receiver.send, receiver.take, outside, at_once, receiver.give_up)


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


@pytest.mark.parametrize("at_once", [1, 3])
@pytest.mark.parametrize("why", ["refuses", "broken"])
async def test_what_is_refused_holds_up_nothing_else(at_once: int, why: str) -> None:
    receiver = Receiver()
    lane = lane_to(receiver, at_once)
    getattr(receiver, why).add("bad")
    for item in ("a", "bad", "b", "c", "d"):
        lane.put(item, item)
    async with running(lane.run()):
        await receiver.until(4)
        assert receiver.taken == ["a", "b", "c", "d"] and len(lane) == 1
        lane.put("e", "e")
        await receiver.until(5)
        getattr(receiver, why).clear()  # it takes it after all
        await receiver.until(6)
    assert receiver.taken[4:] == ["e", "bad"] and len(lane) == 0


@pytest.mark.parametrize("at_once", [1, 3])
async def test_what_is_of_one_subject_goes_in_its_order(at_once: int) -> None:
    receiver = Receiver()
    lane = lane_to(receiver, at_once)
    receiver.refuses.add("a fires")
    for item in ("a fires", "a is over", "b fires"):
        lane.put(item, item, item[0])
    async with running(lane.run()):
        await receiver.until(1)
        lane.put("c", "c")
        await receiver.until(2)
        assert receiver.taken == ["b fires", "c"]
        receiver.refuses.clear()
        await receiver.until(4)
    assert receiver.taken[2:] == ["a fires", "a is over"]


async def test_of_a_batch_nothing_overtakes_what_did_not_go() -> None:
    receiver = Receiver()
    sent: list[list[str]] = []

    async def send(items: Sequence[str]) -> None:
        sent.append(list(items))
        if len(sent) == 1:
            raise UnsentError("one of them is spam", refused=True)
        if len(sent) == 2:
            raise UnsentError("it is away")

    lane = Lane("r", send, receiver.take, Outside(), 2)
    lane.put("a fires", "a fires", "a")
    lane.put("a is over", "a is over", "a")
    async with running(lane.run()):
        await receiver.until(2)
    assert sent == [["a fires", "a is over"], ["a fires"], ["a fires", "a is over"]]


async def test_what_is_refused_for_hours_while_others_are_taken_is_given_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now_s = 100.0
    receiver = Receiver()
    lane = lane_to(receiver, clock=lambda: Now(now_s, now_s))
    receiver.refuses.add("bad")
    lane.put("bad", "bad", "x")
    lane.put("after", "after", "x")

    async def tried(times: int) -> None:
        wanted = receiver.tries + times
        while receiver.tries < wanted:
            await asyncio.sleep(0)

    async with running(lane.run()):
        await tried(2)
        now_s += lanes.GIVE_UP_S + 1
        await tried(3)
        assert not receiver.given_up, "nothing else was taken: it may be the receiver"
        lane.put("good", "good")
        await receiver.until(2)
    assert receiver.given_up == ["bad"] and receiver.taken == ["good", "after"]
    assert "bad is given up: it is spam" in caplog.text and len(lane) == 0
