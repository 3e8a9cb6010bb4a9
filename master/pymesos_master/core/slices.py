"""Work over very many tasks: in slices that other events come between, one at each Tick.

What begins, goes on or ends with an agent or a framework is done of all its tasks. Of few that is
done at once; of many, a step would keep everybody else waiting. Until such work is done it must not
matter that only a part of it is: each place that begins one says why.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from pymesos_master.core.context import WORK, Context, Work

Item = TypeVar("Item")
WorkKey = tuple[str, str]  # what is done, and of which agent or framework
MOST_WAITING = 16  # of a key, each of which holds a message


def run(ctx: Context, key: WorkKey, size: int, steps: Iterator[None]) -> None:
    """Carry `steps` out, each of which is a slice: to their end where there are few of `size`, else
    one at each Tick from now on.

    They take the place of what was being done by the same key.
    """
    cancel(ctx, key)
    if is_much(ctx, size):
        ctx.works[key] = deque([Work(steps, ctx.event)])
        ctx.timers.set(WORK, ctx.now.mono_s)
        return
    for _ in steps:
        pass


def run_after(ctx: Context, key: WorkKey, size: int, steps: Iterator[None]) -> None:
    """The same, but after what is being done by the key.

    A peer may say more than is done meanwhile: of too much that waits the first is done to its end.
    """
    if (waiting := ctx.works.get(key)) is None:
        run(ctx, key, size, steps)
        return
    waiting.append(Work(steps, ctx.event))
    if len(waiting) > MOST_WAITING:
        for _ in waiting.popleft().steps:
            pass


def is_much(ctx: Context, size: int) -> bool:
    """Whether so many tasks are more than one slice."""
    return size > ctx.config.tasks_in_a_slice


def parts(ctx: Context, items: Iterable[Item]) -> Iterator[list[Item]]:
    """Yield all items of a copy of `items`, as many together as a slice has.

    What an item refers to may have changed, or be gone, by the time that it is yielded.
    """
    return taken(ctx, deque(items))


def taken(ctx: Context, left: deque[Item]) -> Iterator[list[Item]]:
    """The same, taken out of `left`: what nobody else keeps is freed slice by slice, too."""
    while left:
        yield [left.popleft() for _ in range(min(len(left), ctx.config.tasks_in_a_slice))]


def cancel(ctx: Context, key: WorkKey) -> bool:
    """Do no more of what is being done by a key; whether anything was."""
    return ctx.works.pop(key, None) is not None


def go_on(ctx: Context) -> None:
    """Do one slice of one work; the others have their turn before it has the next."""
    key = next(iter(ctx.works), None)
    if key is None:
        return
    waiting = ctx.works.pop(key)
    while waiting:
        ctx.event = waiting[0].event
        if next(waiting[0].steps, _END) is not _END:
            break
        waiting.popleft()
    if waiting and key not in ctx.works:
        ctx.works[key] = waiting
    if ctx.works:
        ctx.timers.set(WORK, ctx.now.mono_s)


@dataclass(frozen=True)
class _End:
    """What no step yields."""


_END = _End()
