"""What a call of a peer meets before its handler does, whatever carries it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from pymesos_core.budgets import PeerBudgets, host_of
from pymesos_core.security.revocations import Revocations
from pymesos_core.security.validity import while_valid
from pymesos_core.transport import CallError, Code, ServerCall, StreamedCall

log = logging.getLogger(__name__)


class Guard:
    """Counts the calls of each peer, and ends those of a credential that is good no more."""

    def __init__(self, budgets: PeerBudgets, revocations: Revocations | None = None) -> None:
        self._budgets = budgets
        self._revocations = revocations or Revocations()

    async def one(
        self,
        method: str,
        behaviour: Callable[[Any, Any], Awaitable[Any]],
        read: Callable[[], Any],
        call: ServerCall[Any, Any],
    ) -> Any:
        """Answer a call of one request, which is read when it is its turn. Raises CallError."""
        taker = call.caller.taker or host_of(call.peer)
        with self._budgets.counted(method, taker):
            await self._budgets.turn(taker)
            request = read()
            async with while_valid(call.caller, self._revocations):
                return await behaviour(request, call)

    async def many(
        self, method: str, behaviour: Callable[[Any], Awaitable[Any]], call: StreamedCall[Any, Any]
    ) -> None:
        """Serve a call of many requests. Raises CallError."""
        with self._budgets.counted(method, call.caller.taker or host_of(call.peer)):
            timed = self._budgets.timed(call)
            async with while_valid(call.caller, self._revocations):
                await behaviour(timed)


def refusal_of(method: str, error: Exception) -> CallError:
    """What a peer is told of an error of its call; one that is a fault of ours is logged."""
    if isinstance(error, CallError):
        return error
    log.error("a fault in the handler of %s", method, exc_info=error)
    return CallError(Code.INTERNAL, f"{method} failed; the server's log has more")
