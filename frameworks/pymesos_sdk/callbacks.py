"""The methods that an author overrides are called, not awaited."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable


def check_callbacks(author: object, names: Iterable[str]) -> None:
    """Raises TypeError for those that would do nothing when they are called."""
    wrong = [name for name in names if _does_nothing(getattr(author, name, None))]
    if wrong:
        raise TypeError(
            f"{type(author).__name__}.{wrong[0]} is `async def`, or yields: the driver calls it and"
            f" does not wait for it, so it would do nothing. Write `def {wrong[0]}`, and start what"
            f" takes longer with asyncio.create_task"
            + (f" (the same for {', '.join(wrong[1:])})" if wrong[1:] else "")
        )


def tell(method: Callable[..., object], *arguments: object) -> None:
    """Call one: a plain function may give a coroutine, too. Raises TypeError."""
    result = method(*arguments)
    if result is not None and inspect.isawaitable(result):
        if inspect.iscoroutine(result):
            result.close()
        name = getattr(method, "__name__", "a method")
        raise TypeError(
            f"{name} returned something to be awaited, which the driver does not: start"
            f" what takes longer with asyncio.create_task"
        )


def _does_nothing(method: object) -> bool:
    return (
        inspect.iscoroutinefunction(method)
        or inspect.isasyncgenfunction(method)
        or inspect.isgeneratorfunction(method)
    )
