"""Memory that is free goes back to the machine, of a process that has grown."""

from __future__ import annotations

import asyncio
import ctypes

from pymesos_core.garbage import WORTH_BYTES, give_back_memory, resident_bytes, trim
from pymesos_core.tasks import beside

LEAST = 100 * WORTH_BYTES
PIECES, PIECE_BYTES = 8000, 9000


async def trims(*grown_bytes: int) -> int:
    """How often it is given back by a process that has so much more, as it starts and then at each
    look.
    """
    found, looks = 0, iter(grown_bytes)

    def used_bytes() -> int:
        grown = next(looks, None)
        if grown is None:
            over.set()
        return LEAST + (grown or 0)

    def count() -> None:
        nonlocal found
        found += 1

    over = asyncio.Event()
    async with beside(give_back_memory(used_bytes, count, look_s=0)):
        await over.wait()
    return found


async def test_one_that_has_hardly_grown_is_left_alone() -> None:
    assert await trims(0, WORTH_BYTES, WORTH_BYTES, 0, WORTH_BYTES) == 0


async def test_one_that_has_grown_gives_back_until_it_is_small_again() -> None:
    grown = WORTH_BYTES + 1
    assert await trims(0, 0, grown, grown, grown, 0, 0) == 3


async def test_the_least_that_it_had_is_what_counts() -> None:
    assert await trims(WORTH_BYTES, 0, 2 * WORTH_BYTES) == 1


def test_what_lies_between_what_stays_goes_back() -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    begin = resident_bytes()
    pieces = [libc.malloc(PIECE_BYTES) for _ in range(PIECES)]
    for piece in pieces:
        ctypes.memset(piece, 1, PIECE_BYTES)
    full = resident_bytes() - begin
    assert full > PIECES * PIECE_BYTES * 0.9
    for piece in pieces[::2]:
        libc.free(piece)
    assert resident_bytes() - begin > full * 0.9, "malloc gives it back by itself"
    trim()
    assert resident_bytes() - begin < full * 0.85
    for piece in pieces[1::2]:
        libc.free(piece)
