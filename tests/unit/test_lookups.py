"""Lookups of names that hang hold up nothing else."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from typing import Any

import pytest

from pymesos_core.lookups import look_up_in_own_threads

PATIENCE_S = 10.0


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lookups end when this is set, as where no name server answers."""
    over = threading.Event()
    usual = socket.getaddrinfo

    def getaddrinfo(host: Any, *arguments: Any, **more: Any) -> Any:
        if host == "hangs.invalid":
            over.wait(PATIENCE_S)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return usual(host, *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield over
    over.set()


def test_a_process_ends_while_a_lookup_hangs(hanging: threading.Event) -> None:
    """The CLI and the servers ended once the resolver gave up: after half a minute."""

    async def main() -> None:
        look_up_in_own_threads()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await asyncio.open_connection("hangs.invalid", 5050)

    began_s = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - began_s < PATIENCE_S / 2
    assert not hanging.is_set()


def test_lookups_that_hang_hold_up_no_other_thread(hanging: threading.Event) -> None:
    async def main() -> None:
        look_up_in_own_threads()
        loop = asyncio.get_running_loop()
        hang = [asyncio.ensure_future(loop.getaddrinfo("hangs.invalid", 1)) for _ in range(20)]
        async with asyncio.timeout(PATIENCE_S / 2):
            assert await asyncio.to_thread(lambda: 7) == 7
            found = await loop.getaddrinfo("localhost", 1, type=socket.SOCK_STREAM)
        assert {"127.0.0.1", "::1"} & {address[0] for *_, address in found}
        hanging.set()
        for each in hang:
            with pytest.raises(socket.gaierror):
                await each

    asyncio.run(main())


def test_no_more_are_looked_up_at_once(hanging: threading.Event) -> None:
    """One that was given up counts until its thread has ended."""

    async def main() -> None:
        look_up_in_own_threads(most=2)
        loop = asyncio.get_running_loop()
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(loop.getaddrinfo("hangs.invalid", 1), 0.05)
        waiting = asyncio.ensure_future(loop.getaddrinfo("localhost", 1))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        hanging.set()
        assert await asyncio.wait_for(waiting, PATIENCE_S)

    asyncio.run(main())


def test_a_lookup_for_which_there_is_no_thread_fails_and_keeps_no_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where a user has all the processes that he may: it is over some time."""

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        look_up_in_own_threads(1)
        loop = asyncio.get_running_loop()
        with monkeypatch.context() as full:
            full.setattr(threading.Thread, "start", start)
            with pytest.raises(socket.gaierror, match="not looked up: can't start"):
                await loop.getaddrinfo("localhost", 1)
        async with asyncio.timeout(PATIENCE_S):
            assert await loop.getaddrinfo("localhost", 1)

    asyncio.run(main())
