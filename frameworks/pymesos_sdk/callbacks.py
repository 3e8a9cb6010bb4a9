"""The methods that an author overrides are called, not awaited."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Collection

from pymesos_core.nearest import nearest

log = logging.getLogger(__name__)

# In a coroutine, as the driver's own, these say that it is to end, and nothing of what went wrong.
ENDS_OF_COROUTINES = (asyncio.CancelledError, StopIteration, GeneratorExit)
CLOSE = 0.8  # how alike, from 0 to 1, a method's name is to that of a callback that is meant


def check_callbacks(author: object, base: type, names: Collection[str]) -> None:
    """Raises TypeError for those that cannot be called, or would do nothing when they are.

    A method that nobody calls, since its name is nearly that of one, is told in the log.

    Otherwise it would be known when the first task has an update, and has to end with all others.
    """
    if isinstance(author, type):
        raise TypeError(f"an instance is expected, not the class: {author.__name__}()")
    wrong = [name for name in names if _does_nothing(getattr(author, name, None))]
    if wrong:
        raise TypeError(
            f"{type(author).__name__}.{wrong[0]} is `async def`, or yields: the driver calls it and"
            f" does not wait for it, so it would do nothing. Write `def {wrong[0]}`, and start what"
            f" takes longer with asyncio.create_task"
            + (f" (the same for {', '.join(wrong[1:])})" if wrong[1:] else "")
        )
    for name in names:
        _check_callable(author, base, name)
    _warn_of_slips(type(author), base, names)


def _warn_of_slips(kind: type, base: type, names: Collection[str]) -> None:
    """Log methods that may be meant as a callback, `updates` as `update`, where there is none."""
    inherited = [name for name in names if getattr(kind, name, None) is getattr(base, name)]
    for name in dir(kind):
        if name.startswith("_") or hasattr(base, name) or not callable(getattr(kind, name, None)):
            continue
        if (meant := nearest(name, inherited, CLOSE)) is not None:
            log.warning(
                "the driver never calls %s.%s; did you mean %s? If it is yours, give it a name that"
                " is less like that",
                kind.__name__, name, meant,
            )  # fmt: skip


def _check_callable(author: object, base: type, name: str) -> None:
    expected = list(inspect.signature(getattr(base, name)).parameters)[1:]
    method = getattr(author, name, None)
    said = f"the driver calls {type(author).__name__}.{name}({', '.join(expected)})"
    if not callable(method):
        kind = "there is none" if method is None else f"it is a {type(method).__name__}"
        raise TypeError(f"{said}, and {kind}: derive from {base.__name__}, and write a method")
    try:
        signature = inspect.signature(method)
    except ValueError:  # as of some that are written in C
        return
    try:
        signature.bind(*expected)
    except TypeError as error:
        raise TypeError(f"{said}, which {signature} does not take: {error}") from None


def tell(method: Callable[..., object], *arguments: object) -> None:
    """Call one: a plain function may give a coroutine, too. Raises TypeError, and what it raises.

    What a coroutine takes for its end is a RuntimeError: the driver would seem to be cancelled.
    """
    try:
        result = method(*arguments)
    except ENDS_OF_COROUTINES as error:
        name, kind = _name_of(method), type(error).__name__
        raise RuntimeError(f"{name} raised {kind}, which is an error here as any other") from error
    if result is None:
        return
    if inspect.isawaitable(result):
        if inspect.iscoroutine(result):
            result.close()
        raise TypeError(
            f"{_name_of(method)} returned something to be awaited, which the driver does not: start"
            f" what takes longer with asyncio.create_task"
        )
    if inspect.isgenerator(result) or inspect.isasyncgen(result):
        raise TypeError(
            f"{_name_of(method)} returned a generator, through which the driver does not go: so it"
            f" has done nothing"
        )


def _name_of(method: object) -> str:
    return getattr(method, "__name__", "a method")


def _does_nothing(method: object) -> bool:
    return (
        inspect.iscoroutinefunction(method)
        or inspect.isasyncgenfunction(method)
        or inspect.isgeneratorfunction(method)
    )
