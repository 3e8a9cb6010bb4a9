"""Listings in pages. The first page takes a snapshot, and the others go on in it.

So a page costs what is on it, however much there is, and a listing is of one moment. Snapshots are
few, and forgotten after a while; then the listing has to begin anew.
"""

from __future__ import annotations

import itertools
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pymesos_proto.v1 import operator_pb2 as pb

DEFAULT_PAGE_SIZE = 500
MAX_PAGE_SIZE = 1000
PAGE_BYTES = 768 * 1024
EXAMINED_AT_MOST = 20_000  # items for one page, so that no filter keeps the event loop for long
MAX_SNAPSHOTS = 32
SNAPSHOT_S = 60.0

Item = TypeVar("Item")


class PageGoneError(Exception):
    """The snapshot of a page token is not there any more: list again from the start."""


@dataclass
class _Snapshot:
    items: Sequence[Any]
    taken_s: float


class Pages:
    """The snapshots of one master."""

    def __init__(self) -> None:
        self._snapshots: OrderedDict[int, _Snapshot] = OrderedDict()
        self._numbers = itertools.count(time.monotonic_ns())  # not those of an earlier leader

    def page(
        self,
        page: pb.Page,
        items: Callable[[], Sequence[Item]],
        wanted: Callable[[Item], bool],
        to_view: Callable[[Item], Any],
    ) -> tuple[list[Any], str]:
        """The views of a page, and the token of the next, or "". Raises PageGoneError.

        There may be fewer on a page than asked for, even none, and more to come.
        """
        self._forget_old()
        number, begin, snapshot = self._find(page.page_token)
        listed = items() if snapshot is None else snapshot.items
        size = min(page.page_size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
        views: list[Any] = []
        used_bytes = 0
        end = min(len(listed), begin + EXAMINED_AT_MOST)
        for index in range(begin, end):
            item = listed[index]
            if not wanted(item):
                continue
            view = to_view(item)
            used_bytes += view.ByteSize()
            if views and (used_bytes > PAGE_BYTES or len(views) == size):
                return views, self._token(number, index, listed)
            views.append(view)
        return views, self._token(number, end, listed) if end < len(listed) else ""

    def _find(self, token: str) -> tuple[int | None, int, _Snapshot | None]:
        if not token:
            return None, 0, None
        number, _, begin = token.partition(".")
        if not (number.isascii() and number.isdigit() and begin.isascii() and begin.isdigit()):
            raise PageGoneError
        snapshot = self._snapshots.get(int(number[:20]))
        if snapshot is None:
            raise PageGoneError
        return int(number[:20]), int(begin[:12]), snapshot

    def _token(self, number: int | None, index: int, items: Sequence[Any]) -> str:
        if number is None:
            number = next(self._numbers)
            self._snapshots[number] = _Snapshot(items, time.monotonic())
            if len(self._snapshots) > MAX_SNAPSHOTS:
                self._snapshots.popitem(last=False)
        return f"{number}.{index}"

    def _forget_old(self) -> None:
        before = time.monotonic() - SNAPSHOT_S
        while self._snapshots and next(iter(self._snapshots.values())).taken_s < before:
            self._snapshots.popitem(last=False)
