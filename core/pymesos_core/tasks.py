"""Work that goes on side by side, of which nothing is left behind: see asyncio.TaskGroup."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def until_first(*works: Coroutine[Any, Any, Any]) -> None:
    """Do all of them until one ends; the others are cancelled, and have ended, too, by then.

    Raises what the first one raised that raised anything.
    """
    errors: list[Exception] = []
    tasks: list[asyncio.Task[None]] = []

    async def one(work: Coroutine[Any, Any, Any]) -> None:
        # Nothing is raised into the group, which would raise all errors together, and in Python
        # 3.11 leaves its caller with a request to be cancelled.
        try:
            await work
        except Exception as error:
            errors.append(error)
        finally:
            for task in tasks:
                if task is not asyncio.current_task():
                    task.cancel()

    async with asyncio.TaskGroup() as group:
        tasks += [group.create_task(one(work)) for work in works]
    if errors:
        raise errors[0] from errors[0].__cause__
