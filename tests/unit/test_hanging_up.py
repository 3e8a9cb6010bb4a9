"""A peer that takes a connection and ends it at once is not tried again at once for ever."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from pymesos_core.addresses import HostPort
from pymesos_core.backoff import Backoff
from pymesos_core.coordination.standalone import StandaloneDetector
from pymesos_core.following import LEADER_KEY, follow
from pymesos_core.transport import CallError, Code


class Longest(random.Random):
    """Draws the longest delay."""

    def uniform(self, a: float, b: float) -> float:
        return b


class Noted(Backoff):
    """Notes its delays, and waits for none of them."""

    def __init__(self) -> None:
        super().__init__(0.1, 5.0, Longest())
        self.delays_s: list[float] = []

    def next_s(self) -> float:
        self.delays_s.append(super().next_s())
        return 0.0


class Channel:
    """To anybody."""

    async def close(self) -> None:
        pass


async def test_sessions_that_end_at_once_come_ever_less_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    time_s, passed_s, sessions = loop.time, [0.0], [0]
    monkeypatch.setattr(loop, "time", lambda: time_s() + passed_s[0])

    async def session(*_: Any) -> None:
        sessions[0] += 1
        if sessions[0] == 5:
            passed_s[0] += 10.0  # this one lasts
        if sessions[0] == 7:
            raise EOFError

    backoff = Noted()
    detector = StandaloneDetector([HostPort("h", 1)])
    with pytest.raises(EOFError):
        await follow(detector, session, backoff, lambda *_: Channel())  # type: ignore[arg-type]
    assert backoff.delays_s == [0.1, 0.2, 0.4, 0.8, 0.1, 0.2]


async def test_masters_that_name_each_other_are_tried_ever_less_often() -> None:
    """Until one of them names another: that one is tried at once."""
    tried: list[int] = []

    async def session(_: Any, address: HostPort) -> None:
        tried.append(address.port)
        if address.port == 3:
            raise EOFError
        other = 3 if len(tried) == 8 else 3 - address.port
        leader = {LEADER_KEY: str(HostPort("h", other))}
        raise CallError(Code.FAILED_PRECONDITION, "it does not lead", leader)

    backoff = Noted()
    detector = StandaloneDetector([HostPort("h", 1), HostPort("h", 2)])
    with pytest.raises(EOFError):
        await follow(detector, session, backoff, lambda *_: Channel())  # type: ignore[arg-type]
    assert tried == [1, 2] * 4 + [3]
    assert backoff.delays_s == [0.1, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 0.1]
