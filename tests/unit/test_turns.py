"""Much that comes at once leaves the loop its turns."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from pymesos_core.turns import ROUND_S, TOGETHER, TURNS_BETWEEN, Turns


async def test_the_loop_turns_for_others_between_two_rounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """gRPC takes in one new call in each turn of the loop, however long that is."""
    now_s, turned, turned_at = 0.0, 0, list[int]()  # what else comes takes no time
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now_s)

    async def turn_loop() -> None:
        nonlocal turned
        while True:
            turned += 1
            await asyncio.sleep(0)

    turning = asyncio.create_task(turn_loop())
    async with Turns().turn("h") as turn:
        for _ in range(4):
            now_s += 1.5 * ROUND_S
            await turn.pause()
            turned_at.append(turned)
    turning.cancel()
    assert all(after - before > TURNS_BETWEEN for before, after in pairwise(turned_at)), turned_at


async def test_what_comes_between_two_rounds_takes_no_longer_than_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s, turned, turned_at = 0.0, 0, list[int]()
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now_s)

    async def take_long() -> None:
        nonlocal now_s, turned
        while True:
            turned += 1
            now_s += 2 * ROUND_S
            await asyncio.sleep(0)

    others = asyncio.create_task(take_long())
    async with Turns().turn("h") as turn:
        for _ in range(6):
            now_s += 1.5 * ROUND_S
            await turn.pause()
            turned_at.append(turned)
    others.cancel()
    assert all(after - before <= 3 for before, after in pairwise(turned_at)), turned_at


async def test_what_belongs_together_is_parted_only_where_it_is_too_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = 0.0
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now_s)
    turns = Turns()
    async with turns.turn("h") as turn:
        assert not turn.is_over()
        now_s += 1.5 * ROUND_S
        assert turn.is_over()
        for _ in range(TOGETHER):
            await asyncio.wait_for(turn.pause(joined=True), 5)
            assert turn.is_over(), "others came between"
        await turn.pause(joined=True)
        assert not turn.is_over(), "as many as one likes are one"
        now_s += 1.5 * ROUND_S
        await turn.pause(joined=True)
        assert turn.is_over(), "each slice has as many"
        await turn.pause()
        assert not turn.is_over(), "what belongs to nothing waits for its turn"
