"""Telling a framework of all its tasks: in turns, the next when it has read the one before.

So no step is about all tasks of a framework, and what waits for it stays small however many it has.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from pymesos_core import limits
from pymesos_master.core.context import Context
from pymesos_master.core.effects import AwaitDrained
from pymesos_master.core.events import Drained
from pymesos_master.core.state import Framework

MAX_QUEUED = 2 * limits.ASKED_TASKS.most  # that one framework asked for and was not told of yet


@dataclass(eq=False, slots=True)
class Round:
    """Things to be told of, as they are when their turn comes."""

    name: str
    items: deque[Any]
    tell: Callable[[list[Any]], None]
    begun: bool = False


def tell_all(
    ctx: Context,
    framework: Framework,
    name: str,
    items: Iterable[Any],
    tell: Callable[[list[Any]], None],
) -> None:
    """Call `tell` with all there is, as many at a time as a turn has.

    When a round of that name has not begun yet, that will do.
    """
    rounds = _rounds(ctx, framework)
    if rounds is not None and not any(r.name == name and not r.begun for r in rounds):
        _add(ctx, framework, rounds, Round(name, deque(items), tell))


def tell_some(
    ctx: Context,
    framework: Framework,
    name: str,
    items: Collection[Any],
    tell: Callable[[list[Any]], None],
) -> bool:
    """Call `tell` with these, as many at a time as a turn has; False: too many are queued."""
    rounds = _rounds(ctx, framework)
    if rounds is None:
        return True
    if sum(len(r.items) for r in rounds if r.name == name) + len(items) > MAX_QUEUED:
        return False
    if rounds and rounds[-1].name == name:
        rounds[-1].items.extend(items)
    else:
        _add(ctx, framework, rounds, Round(name, deque(items), tell))
    return True


def _rounds(ctx: Context, framework: Framework) -> deque[Round] | None:
    """What is queued on its stream, of which there are never many; None: it has none."""
    connection_id = framework.connection_id
    return None if connection_id is None else ctx.rounds.setdefault(connection_id, deque())


def _add(ctx: Context, framework: Framework, rounds: deque[Round], added: Round) -> None:
    rounds.append(added)
    if len(rounds) == 1 and framework.connection_id is not None:
        _turn(ctx, framework.connection_id)


def on_drained(ctx: Context, event: Drained) -> None:
    """Tell a peer more, now that it has read what it was told."""
    framework_id = ctx.state.framework_by_connection.get(event.connection_id)
    framework = ctx.state.frameworks.get(framework_id) if framework_id else None
    if framework is not None and framework.connection_id == event.connection_id:
        _turn(ctx, event.connection_id)
    else:
        forget(ctx, event.connection_id)


def _turn(ctx: Context, connection_id: int) -> None:
    rounds = ctx.rounds.get(connection_id)
    left = ctx.config.told_in_a_turn
    while rounds and left:
        current = rounds[0]
        current.begun = True
        chunk = [current.items.popleft() for _ in range(min(left, len(current.items)))]
        left -= len(chunk)
        if chunk:
            current.tell(chunk)
        if not current.items:
            rounds.popleft()
    if rounds:
        ctx.out.append(AwaitDrained(connection_id))
    else:
        forget(ctx, connection_id)


def forget(ctx: Context, connection_id: int) -> None:
    """Nobody hears it any more, or all is told."""
    ctx.rounds.pop(connection_id, None)
