"""What gRPC has is taken in at once, however often it woke the loop."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import grpc.aio
import pytest

from pymesos_core import grpc_wakeups
from pymesos_core.addresses import HostPort
from pymesos_core.grpc_transport import open_channel


class Queue:
    """What grpc.aio does: its thread puts an event in and writes a byte."""

    def __init__(self, reading: socket.socket, writing: socket.socket) -> None:
        self.reading, self.writing = reading, writing
        self.events: deque[int] = deque()
        self.taken: list[int] = []
        self.calls = 0

    def put(self, event: int) -> None:
        self.events.append(event)
        self.writing.send(b"1")

    def _handle_events(self, *_: Any) -> None:
        self.calls += 1
        assert self.reading.recv(1) == b"1"
        while self.events:
            self.taken.append(self.events.popleft())


@pytest.fixture
def queue() -> Iterator[Queue]:
    reading, writing = socket.socketpair()
    with reading, writing:
        reading.setblocking(False)
        yield Queue(reading, writing)


async def test_a_hundred_events_take_one_turn_and_none_is_lost(queue: Queue) -> None:
    loop = asyncio.get_running_loop()
    grpc_wakeups.prepare(loop)
    grpc_wakeups.prepare(loop)
    loop.add_reader(queue.reading, queue._handle_events)
    for number in range(100):
        queue.put(number)
    while not queue.taken:
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    assert queue.calls == 1 and queue.taken == list(range(100))
    queue.put(100)
    while len(queue.taken) < 101:
        await asyncio.sleep(0)
    assert queue.calls == 2
    loop.remove_reader(queue.reading)


async def test_what_is_left_by_an_event_that_fails_is_taken_in(queue: Queue) -> None:
    """One of a loop that is closed raises; the others wait behind it."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: None)
    grpc_wakeups.prepare(loop)
    waking = queue._handle_events

    def _handle_events(*_: Any) -> None:
        if queue.events[0] == 0:
            queue.reading.recv(1)
            queue.events.popleft()
            raise RuntimeError("Event loop is closed")
        waking()

    loop.add_reader(queue.reading, _handle_events)
    for number in range(5):
        queue.put(number)
    async with asyncio.timeout(10):
        while len(queue.taken) < 4:
            await asyncio.sleep(0)
    loop.remove_reader(queue.reading)


async def test_the_queue_of_this_version_of_grpc_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a new version would quietly be as slow as it was."""
    found: list[socket.socket] = []
    take_all = grpc_wakeups.take_all

    def noted(waking: socket.socket, handle: Callable[..., Any]) -> Callable[..., Any]:
        found.append(waking)
        return take_all(waking, handle)

    monkeypatch.setattr(grpc_wakeups, "take_all", noted)
    async with open_channel(HostPort("127.0.0.1", 1)) as channel:
        assert isinstance(channel, grpc.aio.Channel)
    assert len(found) == 1
