"""Peers that have much to say at once take turns, so that none keeps the others waiting."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import Counter, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import TracebackType

ROUND_S = 0.01  # of one turn of the loop, shared by the addresses that have something to say
TURNS_BETWEEN = 8  # of the loop, from one such turn to the next; alone each takes 50 µs
MIN_SLICE_S = 0.0005  # what a well-behaved peer says at once is not to be cut into pieces
# So many items that belong to the one before are taken in though the slice is over. Of tasks that
# end together the first few would free a part of an agent, which is offered then: its tasks would
# be launched, told of and acknowledged in two parts from then on, by twice as many messages.
TOGETHER = 32
WOKEN_AT_ONCE = 20  # so many smallest slices are another round at most


class Turn:
    """What one peer says: `async with turns.turn(host) as turn`, and a `pause` between items.

    A `pause` does nothing until the slice `is_over`.
    """

    def __init__(self, turns: Turns, host: str) -> None:
        self._turns = turns
        self._host = host
        self._time = asyncio.get_running_loop().time
        self._began_s = self._until_s = 0.0
        self._late = 0  # items that were taken in since the slice was over

    async def __aenter__(self) -> Turn:
        address = self._turns.arrived(self._host)
        try:
            if address.waiting or address.spent_s >= self._turns.budget_s():
                await self._turns.wait(address)
        except BaseException:
            self._turns.left(self._host)
            raise
        self._begin(address)
        return self

    def begins_now(self) -> bool:
        """Begin without a wait, until `end`; False: others of the address come first."""
        address = self._turns.arrived(self._host)
        if address.waiting or address.spent_s >= self._turns.budget_s():
            self._turns.left(self._host)
            return False
        self._begin(address)
        return True

    def end(self) -> None:
        """All is said."""
        if self._began_s:
            self._turns.addresses[self._host].spend(self._time() - self._began_s)
        self._turns.left(self._host)

    def is_over(self) -> bool:
        """Whether the others are to have their turn."""
        return self._time() >= self._until_s

    async def pause(self, *, joined: bool = False) -> None:
        """Return at once while the slice lasts; else let the others have their turn first.

        `joined`: what comes next belongs to what came before.
        """
        now_s = self._time()
        if now_s < self._until_s:
            return
        if joined and self._late < TOGETHER:
            self._late += 1
            return
        address = self._turns.addresses[self._host]
        address.spend(now_s - self._began_s)
        self._began_s = 0.0
        await self._turns.wait(address)
        self._begin(address)

    def _begin(self, address: Address) -> None:
        left_s = self._turns.budget_s() - address.spent_s
        self._began_s = self._time()
        self._until_s = self._began_s + max(MIN_SLICE_S, left_s)
        self._late = 0

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()


@dataclass(eq=False, slots=True)
class Address:
    """The peers of one address that are saying something."""

    peers: int = 0
    spent_s: float = 0.0  # in this turn of the loop
    usual_s: float = MIN_SLICE_S  # that a slice takes
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)

    def spend(self, took_s: float) -> None:
        """One of its slices is over."""
        self.spent_s += took_s
        self.usual_s += (took_s - self.usual_s) / 8

    def wake(self, budget_s: float) -> None:
        """Let those in who will use up the budget, first come first."""
        for _ in range(max(1, min(WOKEN_AT_ONCE, int(budget_s / max(1e-6, self.usual_s))))):
            while self.waiting:
                if not (waiter := self.waiting.popleft()).done():
                    waiter.set_result(None)
                    break


class Turns:
    """Shares each turn of the loop among addresses, and among the peers of each.

    A budget that nobody has to choose: one that is alone gets all, and beside others each address
    has its part of a round, however many calls and streams it has open. Whoever comes when it is
    used up waits, first come first, for the next turn of the loop. At least one item is taken in
    each turn.
    """

    def __init__(self) -> None:
        self.addresses: dict[str, Address] = {}  # that have something to say, or had in this turn
        self._calls: Counter[str] = Counter()
        self._locks: dict[str, asyncio.Lock] = {}
        self._round_due = False
        self._round_began_s = -math.inf

    def turn(self, host: str) -> Turn:
        """To say something, in slices."""
        return Turn(self, host)

    def budget_s(self) -> float:
        """What an address may take of a turn of the loop now."""
        return ROUND_S / max(1, len(self.addresses))

    def arrived(self, host: str) -> Address:
        """A peer of this address has something to say, until it has `left`."""
        address = self.addresses.get(host)
        if address is None:
            address = self.addresses[host] = Address()
            self._expect_round()
        address.peers += 1
        return address

    def left(self, host: str) -> None:
        """A peer is done. What its address has spent counts until the turn of the loop is over."""
        self.addresses[host].peers -= 1

    async def wait(self, address: Address) -> None:
        """Until those of the address who came before have had their turn."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        address.waiting.append(waiter)
        await waiter

    def _expect_round(self) -> None:
        if not self._round_due:
            self._round_due = True
            asyncio.get_running_loop().call_soon(self._come_round, TURNS_BETWEEN)

    def _come_round(self, left: int) -> None:
        """Let the loop turn for what else there is before the next round.

        gRPC takes in one new call in each turn: with a whole round in each, the streams of a
        thousand agents and whoever comes behind them took a thousand rounds to be heard. What comes
        so may not take longer than a round does.
        """
        loop = asyncio.get_running_loop()
        if left and loop.time() < self._round_began_s + 2 * ROUND_S:
            loop.call_soon(self._come_round, left - 1)
        else:
            self._begin_round()

    def _begin_round(self) -> None:
        """The loop has come round: those who wait come in, and all begin anew."""
        self._round_due = False
        self._round_began_s = asyncio.get_running_loop().time()
        for host, address in list(self.addresses.items()):
            address.spent_s = 0.0
            if not address.peers:
                del self.addresses[host]
        for address in self.addresses.values():
            address.wake(self.budget_s())
        if self.addresses:
            self._expect_round()

    async def next(self, host: str) -> None:
        """Wait for a turn of the loop in which no other call of this address comes in."""
        async with self._alone(host):
            await asyncio.sleep(0)

    @contextlib.asynccontextmanager
    async def _alone(self, host: str) -> AsyncIterator[None]:
        lock = self._locks.setdefault(host, asyncio.Lock())
        self._calls[host] += 1
        try:
            async with lock:
                yield
        finally:
            self._calls[host] -= 1
            if not self._calls[host]:
                del self._calls[host], self._locks[host]
