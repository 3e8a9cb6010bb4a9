"""Connections that go through a stream of messages, and what is left of them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator

import pytest

from pymesos_core.limits import KIB
from pymesos_core.tunnelling import carry

PART = b"x" * (64 * KIB)
MANY = 50  # more than a socket takes that nobody reads


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    with contextlib.ExitStack() as stack:
        ours, theirs = map(stack.enter_context, socket.socketpair())
        for end in (ours, theirs):
            end.setblocking(False)
        yield ours, theirs


def parts(number: int) -> Callable[[], Awaitable[bytes | None]]:
    """Return what reads so many parts, and then the end."""
    left = iter([PART] * number)

    async def read() -> bytes | None:
        return next(left, None)

    return read


async def nobody(data: bytes) -> None:
    raise AssertionError("nothing is sent back")


async def test_what_was_sent_before_the_end_is_read(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = ends
    carried = asyncio.create_task(carry(theirs, parts(MANY), nobody))
    reader, writer = await asyncio.open_connection(sock=ours)
    await asyncio.sleep(0.05)
    assert not carried.done(), "it waits for who reads"
    assert await asyncio.wait_for(reader.read(), 20) == PART * MANY
    await asyncio.wait_for(carried, 20)
    writer.close()


async def test_nothing_is_left_of_what_is_given_up(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    _, theirs = ends
    descriptor = theirs.fileno()
    carried = asyncio.create_task(carry(theirs, parts(MANY), nobody))
    await asyncio.sleep(0.05)
    carried.cancel()
    await asyncio.wait({carried})
    theirs.close()
    loop = asyncio.get_running_loop()
    assert not loop.remove_writer(descriptor), "it may be another's by now"


async def test_it_ends_with_who_is_at_the_other_end(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = ends
    carried = asyncio.create_task(carry(theirs, parts(MANY), nobody))
    await asyncio.sleep(0.05)
    ours.close()
    await asyncio.wait_for(carried, 20)
