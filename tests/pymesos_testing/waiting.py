"""Waiting in a test's own loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


async def until(what: str, condition: Callable[[], object], timeout_s: float = 20.0) -> None:
    """Poll until `condition`; AssertionError names `what` otherwise."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {timeout_s:g} s"
        await asyncio.sleep(0.02)
