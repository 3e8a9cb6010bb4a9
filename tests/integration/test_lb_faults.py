"""HAProxy ends with who started it, and serves on where its configuration cannot be written."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import sys
import time
from asyncio.subprocess import Process
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

SLOW_S = 60.0  # HAProxy takes seconds to start anew where others are busy
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


async def until_it_answers(folder: Path) -> None:
    async with asyncio.timeout(SLOW_S):
        while not await answers(folder):
            await asyncio.sleep(0.1)


async def test_it_ends_with_a_balancer_that_is_killed(haproxy: str, tmp_path: Path) -> None:
    """Else it would serve what was there for ever, and keep its ports from the next one."""
    with subprocess.Popen([sys.executable, "-c", BALANCES, haproxy, str(tmp_path)]) as balancer:
        try:
            await until_it_answers(tmp_path)
        finally:
            balancer.kill()
    async with asyncio.timeout(SLOW_S):
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
        await until("it serves", lambda: first in balancer._layout.slots or task.done(), SLOW_S)
        await until_it_answers(tmp_path)  # it may be starting anew with that
        in_the_way = tmp_path / f"{lb.CONFIG}.new"
        in_the_way.mkdir()
        served[second] = HERE
        said = "goes on with the one of before"
        await until("it says so", lambda: said in caplog.text, SLOW_S)
        assert not task.done() and await answers(tmp_path)
        in_the_way.rmdir()
        await until(
            "it serves more", lambda: second in balancer._layout.slots or task.done(), SLOW_S
        )
        assert not task.done()


async def test_one_that_has_just_ended_is_said_to_have_ended(
    haproxy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error used to say that there is no such process, which helps nobody."""
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


STARTS_SLOWLY = """
import signal, sys, time

def lose(*_):
    pass

signal.signal(signal.SIGUSR2, lose)
signal.signal(signal.SIGTERM, lose)
print("here", flush=True)
sys.stdin.readline()
signal.signal(signal.SIGUSR2, lambda *_: print("anew", flush=True))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
signal.signal(signal.SIGCHLD, lose)
while True:
    time.sleep(0.1)
"""


async def slow_starter() -> tuple[Process, asyncio.StreamWriter, asyncio.StreamReader]:
    """Return a process that is there, and takes signals once a line is written to it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", STARTS_SLOWLY),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    assert await process.stdout.readline() == b"here\n"
    return process, process.stdin, process.stdout


async def test_what_it_is_told_while_it_starts_is_not_lost() -> None:
    """HAProxy did lose it: new routes were not served for a minute, or its end was waited for."""
    async with asyncio.timeout(SLOW_S):
        process, stdin, stdout = await slow_starter()
        telling = asyncio.create_task(lb._have_start_anew(process))
        await asyncio.sleep(0.3)
        assert not telling.done()
        stdin.write(b"\n")
        await telling
        assert await stdout.readline() == b"anew\n"
        await lb._end(process)
        await lb._end(process)  # it has ended
    assert process.returncode == 7


async def test_its_end_is_asked_for_until_it_comes() -> None:
    async with asyncio.timeout(SLOW_S):
        process, stdin, _ = await slow_starter()
        ending = asyncio.create_task(lb._end(process))
        await asyncio.sleep(0.3)
        stdin.write(b"\n")
        await ending
    assert process.returncode == 7
