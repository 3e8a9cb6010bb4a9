"""Much that comes at once leaves the loop its turns: large messages, and many items of one peer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest

from pymesos_core.caller import NOBODY
from pymesos_core.grpc_transport import LARGE_BYTES, GrpcCall
from pymesos_core.turns import ROUND_S, TURNS_BETWEEN, Turns


async def one_of(data: bytes) -> AsyncIterator[bytes]:
    yield data


class Reading:
    """What is decoded, and the turns of the loop between."""

    def __init__(self) -> None:
        self.turns = 0
        self.decoded_in: list[int] = []
        self._large = asyncio.Lock()

    def decode(self, data: bytes) -> int:
        if data.startswith(b"bad"):
            raise ValueError("no message")
        self.decoded_in.append(self.turns)
        return len(data)

    async def read(self, *sent: bytes) -> list[Any]:
        """Have a call for each read its message while the loop turns."""
        context: Any = None
        calls = [GrpcCall(context, NOBODY, one_of(d), self.decode, self._large) for d in sent]
        turning = asyncio.create_task(self._turn())
        try:
            read: list[Any] = await asyncio.gather(
                *map(GrpcCall.read, calls), return_exceptions=True
            )
            return read
        finally:
            turning.cancel()

    async def _turn(self) -> None:
        while True:
            self.turns += 1
            await asyncio.sleep(0)


@pytest.mark.parametrize(("size", "apart"), [(LARGE_BYTES, True), (LARGE_BYTES - 1, False)])
async def test_others_come_between_large_messages(size: int, apart: bool) -> None:
    reading = Reading()
    assert await reading.read(*[b"x" * size] * 5) == [size] * 5
    assert (len(set(reading.decoded_in)) == 5) is apart, reading.decoded_in


async def test_one_that_is_no_message_keeps_nobody_waiting() -> None:
    large = b"x" * LARGE_BYTES
    read = await Reading().read(large, b"bad" + large, large)
    assert [type(each) for each in read] == [int, ValueError, int]


async def test_the_loop_turns_for_others_between_two_rounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """gRPC takes in one new call in each turn of the loop, however long that is."""
    now_s, turned, turned_at = 0.0, 0, list[int]()
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now_s)

    async def turn_loop() -> None:
        nonlocal turned
        while True:
            turned += 1
            await asyncio.sleep(0)

    turning = asyncio.create_task(turn_loop())
    async with Turns().turn("h") as turn:
        for _ in range(4):
            now_s += 2 * ROUND_S
            await turn.pause()
            turned_at.append(turned)
    turning.cancel()
    assert all(after - before > TURNS_BETWEEN for before, after in pairwise(turned_at)), turned_at
