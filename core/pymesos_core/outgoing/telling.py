"""What tells receivers of alerts, as its owner knows it; and the one that has no receivers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple, Protocol

from pymesos_core.outgoing.lanes import UnsentError
from pymesos_core.outgoing.notices import Notice

log = logging.getLogger(__name__)


class Unreached(NamedTuple):
    """Why a receiver has not taken what it was sent last, and since when (Unix time)."""

    problem: str
    since_s: float


class Tells(Protocol):
    """What tells receivers of alerts: see pymesos_core.outgoing.notifier."""

    @property
    def names(self) -> Collection[str]:
        """The names of the receivers."""

    @property
    def unreached(self) -> Mapping[str, Unreached]:
        """The receivers that do not take what they are sent."""

    def tell(self, notice: Notice) -> None:
        """Have its receiver told."""

    async def run(self) -> None:
        """Tell until cancelled."""

    async def test(self, name: str) -> None:
        """Have a receiver told of nothing. Raises UnsentError where it does not take that.

        Raises CallError where it was tested just now.
        """


class TellsNobody:
    """There are no receivers."""

    names: Collection[str] = ()
    unreached: Mapping[str, Unreached] = {}

    def __init__(self, taken: Callable[[Notice], None]) -> None:
        self._taken = taken

    def tell(self, notice: Notice) -> None:
        """See Tells: what is over can be forgotten."""
        log.error("alert %s: there are no receivers, so that nobody is told", ascii(notice.key))
        if notice.is_over:
            self._taken(notice)

    async def run(self) -> None:
        """See Tells."""
        await asyncio.Event().wait()

    async def test(self, name: str) -> None:
        """See Tells."""
        raise UnsentError("there are no receivers")


MakeTells = Callable[[Callable[[Notice], None]], Tells]
