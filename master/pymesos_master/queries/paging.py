"""Listings in pages. The first page takes a snapshot, and the others go on in it.

So a page costs what is on it, however much there is, and a listing is of one moment. Snapshots are
few, and forgotten after a while; then the listing has to begin anew. Who takes more of them than
others loses his own first.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from google.protobuf.message import Message

from pymesos_core.clock import Now
from pymesos_core.errors import Problem, ProblemKind, RequestError

DEFAULT_PAGE_SIZE = 500
MAX_PAGE_SIZE = 1000
PAGE_BYTES = 768 * 1024
EXAMINED_AT_MOST = 10_000  # items for one page, so that no filter keeps the event loop for long
MAX_SNAPSHOTS = 32
SNAPSHOT_S = 60.0

Item = TypeVar("Item")
Item_co = TypeVar("Item_co", covariant=True)
View = TypeVar("View", bound=Message)


class Items(Protocol[Item_co]):
    """What is listed, in its order, of which a page reads no more than it looks at."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Item_co: ...


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page: of how many at most (0: as many as usual), and after which token."""

    size: int = 0
    token: str = ""


@dataclass(frozen=True, slots=True)
class Listing(Generic[View]):
    """The views of a page, and the token of the next; empty: there is none."""

    views: list[View]
    next_token: str


@dataclass
class _Snapshot:
    taker: str
    of: Hashable
    items: Items[Any]
    taken_s: float


class Pages:
    """The snapshots of one master."""

    def __init__(self, clock: Callable[[], Now]) -> None:
        self._clock = clock
        self._snapshots: dict[int, _Snapshot] = {}  # the oldest first
        self._numbers = itertools.count(int(clock().mono_s * 1e9))  # not an earlier leader's

    def page(
        self,
        taker: str,
        page: PageRequest,
        items: Callable[[], Items[Item]],
        wanted: Callable[[Item], bool],
        to_view: Callable[[Item], View],
        *,
        of: Hashable = "",
    ) -> Listing[View]:
        """The views of a page, for a taker as `Caller` has it. Raises RequestError (OUTDATED).

        `of` says what is listed, and for whom, if `wanted` does not look at that: tokens can be
        guessed, and that of another listing is none.
        There may be fewer on a page than asked for, even none, and more to come.
        """
        self._forget_old()
        number, begin, snapshot = self._find(page.token, of)
        listed = items() if snapshot is None else snapshot.items
        size = min(page.size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
        views: list[View] = []
        used_bytes = 0
        end = min(len(listed), begin + EXAMINED_AT_MOST)
        for index in range(begin, end):
            item = listed[index]
            if not wanted(item):
                continue
            view = to_view(item)
            used_bytes += view.ByteSize()
            if views and (used_bytes > PAGE_BYTES or len(views) == size):
                return Listing(views, self._token(taker, of, number, index, listed))
            views.append(view)
        more = end < len(listed)
        return Listing(views, self._token(taker, of, number, end, listed) if more else "")

    def _find(self, token: str, of: Hashable) -> tuple[int | None, int, _Snapshot | None]:
        if not token:
            return None, 0, None
        number, _, begin = token.partition(".")
        if not (number.isascii() and number.isdigit() and begin.isascii() and begin.isdigit()):
            raise _outdated()
        snapshot = self._snapshots.get(int(number[:20]))
        if snapshot is None or snapshot.of != of:
            raise _outdated()
        return int(number[:20]), int(begin[:12]), snapshot

    def _token(
        self, taker: str, of: Hashable, number: int | None, index: int, items: Items[Any]
    ) -> str:
        if number is None:
            number = next(self._numbers)
            self._snapshots[number] = _Snapshot(taker, of, items, self._clock().mono_s)
            if len(self._snapshots) > MAX_SNAPSHOTS:
                self._make_room()
        return f"{number}.{index}"

    def _make_room(self) -> None:
        """Forget the oldest snapshot of those who have most."""
        held = Counter(snapshot.taker for snapshot in self._snapshots.values())
        most = max(held.values())
        del self._snapshots[
            next(n for n, snapshot in self._snapshots.items() if held[snapshot.taker] == most)
        ]

    def _forget_old(self) -> None:
        before = self._clock().mono_s - SNAPSHOT_S
        while self._snapshots and next(iter(self._snapshots.values())).taken_s < before:
            del self._snapshots[next(iter(self._snapshots))]


def _outdated() -> RequestError:
    message = "the page token is not known any more; list again from the start"
    return RequestError(Problem(ProblemKind.OUTDATED, message))
