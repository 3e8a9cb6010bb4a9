"""What one peer may take of a server: whose certificate it has or, without one, whose address.

It counts the calls that are open, ends streams on which nothing was said in time, and lets one
short call in at each turn of the loop. What comes before a call (connections on which nothing is
said) is bounded by gRPC's own options (`pymesos_core.serving.SERVER_OPTIONS`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pymesos_core.caller import Caller, taker_text
from pymesos_core.limits import PEER_CALLS, Limit
from pymesos_core.text import duration
from pymesos_core.transport import CallError, Code, StreamedCall
from pymesos_core.turns import Turns

FIRST_MESSAGE_S = 10.0


def host_of(peer: str) -> str:
    """The address of a peer without its port: `ipv4:10.0.0.1:4321` is `ipv4:10.0.0.1`."""
    return peer.rpartition(":")[0] or peer


class TimedCall:
    """A ServerCall of which the first message must come in time."""

    def __init__(self, call: StreamedCall[Any, Any], timeout_s: float) -> None:
        self._call = call
        self._timeout_s: float | None = timeout_s
        self.write = call.write

    @property
    def peer(self) -> str:
        """See ServerCall."""
        return self._call.peer

    @property
    def caller(self) -> Caller:
        """See ServerCall."""
        return self._call.caller

    @property
    def metadata(self) -> Mapping[str, str]:
        """See ServerCall."""
        return self._call.metadata

    async def read(self) -> Any | None:
        """See ServerCall."""
        decode = await self.receive()
        return None if decode is None else decode()

    async def receive(self) -> Callable[[], Any] | None:
        """See ServerCall."""
        if self._timeout_s is None:
            return await self._call.receive()
        try:
            async with asyncio.timeout(self._timeout_s):
                first = await self._call.receive()
        except TimeoutError:
            raise CallError(
                Code.DEADLINE_EXCEEDED,
                f"nothing was said on this stream for {duration(self._timeout_s)} after it was"
                f" opened",
            ) from None
        self._timeout_s = None
        return first


class PeerBudgets:
    """Bounds what each principal has open, or each address of which nobody knows who it is."""

    def __init__(
        self,
        limits: Mapping[str, Limit] | None = None,
        first_message_s: float = FIRST_MESSAGE_S,
    ) -> None:
        """`limits` by the method's full name; all others share PEER_CALLS."""
        self._limits = limits or {}
        self._first_message_s = first_message_s
        self._open: Counter[tuple[str, str]] = Counter()  # by the limit's name and whose they are
        self._turns = Turns()

    @contextlib.contextmanager
    def counted(self, method: str, taker: str) -> Iterator[None]:
        """While a call is open. Raises CallError when whose it is has too many."""
        limit = self._limits.get(method, PEER_CALLS)
        key = (limit.name, taker)
        self._open[key] += 1
        try:
            if problem := limit.problem(self._open[key], taker_text(taker)):
                raise CallError(Code.RESOURCE_EXHAUSTED, problem)
            yield
        finally:
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]

    async def turn(self, taker: str) -> None:
        """Let a short call in: one of each at each turn of the loop."""
        await self._turns.next(taker)

    def timed(self, call: StreamedCall[Any, Any]) -> TimedCall:
        """A call whose peer must begin in time."""
        return TimedCall(call, self._first_message_s)
