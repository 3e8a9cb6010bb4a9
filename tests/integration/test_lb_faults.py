"""HAProxy ends with who started it, and serves on where its configuration cannot be written."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pymesos_lb import balancer as lb
from pymesos_lb.config import Doors, Layout
from pymesos_lb.main import PATH
from pymesos_lb.routes import Route, Routes
from pymesos_lb.slots import FeedError, HaProxy
from pymesos_testing.components import free_port
from pymesos_testing.waiting import until

HERE = frozenset({("127.0.0.1", 9)})
BALANCES = """
import asyncio, sys, time
from pathlib import Path
from pymesos_lb.balancer import Balancer
from pymesos_lb.config import Doors, Layout
from pymesos_lb.routes import Routes

made = Balancer(sys.argv[1], Path(sys.argv[2]), Doors("127.0.0.1"), time.monotonic)
asyncio.run(made.run(lambda: Routes({})))
"""


@pytest.fixture
def haproxy() -> str:
    program = shutil.which("haproxy", path=PATH)
    if program is None:
        pytest.skip("haproxy is missing; deploy/test-deps.sh installs it")
    return program


async def answers(folder: Path) -> bool:
    with contextlib.suppress(FeedError):
        return bool(await HaProxy(str(folder / lb.SOCKET)).ask("show info"))
    return False


async def test_it_ends_with_a_balancer_that_is_killed(haproxy: str, tmp_path: Path) -> None:
    """Else it would serve what was there for ever, and keep its ports from the next one."""
    with subprocess.Popen([sys.executable, "-c", BALANCES, haproxy, str(tmp_path)]) as balancer:
        try:
            async with asyncio.timeout(60):
                while not await answers(tmp_path):
                    await asyncio.sleep(0.1)
        finally:
            balancer.kill()
    async with asyncio.timeout(60):
        while await answers(tmp_path):
            await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def balancing(balancer: lb.Balancer, routes: Routes) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(balancer.run(lambda: routes))
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_a_disk_that_is_full_ends_nothing_that_is_served(
    haproxy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lb, "LOOK_AGAIN_S", 0.1)
    first, second = Route(free_port(), "a.example"), Route(free_port(), "b.example")
    served = {first: HERE}
    balancer = lb.Balancer(haproxy, tmp_path, Doors("127.0.0.1"), time.monotonic)
    async with balancing(balancer, Routes(served)) as task:
        await until("it serves", lambda: first in balancer._layout.slots or task.done())
        assert await answers(tmp_path)
        in_the_way = tmp_path / f"{lb.CONFIG}.new"
        in_the_way.mkdir()
        served[second] = HERE
        await until("it says so", lambda: "goes on with the one of before" in caplog.text)
        assert not task.done() and await answers(tmp_path)
        in_the_way.rmdir()
        await until("it serves more", lambda: second in balancer._layout.slots or task.done())
        assert not task.done()


async def test_one_that_has_just_ended_is_said_to_have_ended(
    haproxy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not that there is no such process, which is true and helps nobody."""
    monkeypatch.setattr(lb, "LOOK_AGAIN_S", 0.1)
    balancer = lb.Balancer(haproxy, tmp_path, Doors("127.0.0.1"), time.monotonic)

    async def takes(process: asyncio.subprocess.Process, layout: Layout) -> bool:
        if not layout.slots:
            return True
        process.kill()  # as it is told to start anew
        await process.wait()
        return False

    monkeypatch.setattr(balancer, "_takes", takes)
    served = Routes({Route(free_port(), "a.example"): HERE})
    with pytest.raises(lb.BrokenError, match="HAProxy has ended with status"):
        await balancer.run(lambda: served)
