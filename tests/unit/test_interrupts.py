"""Signals while something runs: the first asks for its end, the second leaves."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from pymesos_cli.errors import CliError
from pymesos_cli.interrupts import run_interruptibly


async def after(seconds: float, status: int) -> int:
    await asyncio.sleep(seconds)
    return status


def soon(*delays_s: float) -> None:
    for delay_s in delays_s:
        asyncio.get_running_loop().call_later(delay_s, os.kill, os.getpid(), signal.SIGTERM)


async def test_what_cannot_be_ended_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    """The cluster of the work is gone: nothing would ever end it."""

    async def end() -> None:
        raise CliError("the Jobs service is not reachable")

    soon(0.05)
    status = await run_interruptibly(after(1000, 0), words=lambda: "it may run on", end=end)
    assert status == 128 + signal.SIGTERM
    assert "is not reachable; it may run on" in capsys.readouterr().err


async def test_what_is_asked_to_end_is_seen_through() -> None:
    asked: list[str] = []

    async def end() -> None:
        asked.append("end")

    soon(0.05)
    status = await run_interruptibly(after(0.3, 1), words=lambda: "", end=end)
    assert (status, asked) == (128 + signal.SIGTERM, ["end"])


async def test_the_second_leaves_though_it_was_asked_to_end() -> None:
    async def end() -> None:
        pass

    soon(0.05, 0.2)
    status = await run_interruptibly(after(1000, 0), words=lambda: "left", end=end)
    assert status == 128 + signal.SIGTERM


async def test_nothing_comes() -> None:
    assert await run_interruptibly(after(0.01, 3), words=lambda: "") == 3
