"""Pages of one snapshot."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pymesos_master.queries import paging
from pymesos_master.queries.paging import PageGoneError, Pages
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2


def view(item: int) -> pb.TaskView:
    return pb.TaskView(task_info=types_pb2.TaskInfo(task_id=str(item)))


def listed(pages: Pages, items: list[int], size: int, even_only: bool = False) -> list[int]:
    """Follow the tokens to the end."""
    out: list[int] = []
    token = ""
    while True:
        page = pb.Page(page_size=size, page_token=token)
        views, token = pages.page(
            page, lambda: list(items), lambda item: not even_only or item % 2 == 0, view
        )
        assert len(views) <= size
        out += [int(v.task_info.task_id) for v in views]
        if not token:
            return out


@given(st.integers(0, 60), st.integers(1, 25), st.booleans(), st.integers(1, 30))
def test_every_item_once_and_in_order(
    number: int, size: int, even_only: bool, examined: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paging, "EXAMINED_AT_MOST", examined)
        found = listed(Pages(), list(range(number)), size, even_only)
    assert found == list(range(0, number, 2 if even_only else 1))


def test_a_listing_is_of_one_moment() -> None:
    pages, items = Pages(), list(range(10))
    views, token = pages.page(pb.Page(page_size=4), lambda: list(items), lambda _: True, view)
    items.clear()
    more, _ = pages.page(
        pb.Page(page_size=9, page_token=token), lambda: list(items), lambda _: True, view
    )
    assert len(views) + len(more) == 10


@pytest.mark.parametrize(
    "token", ["x", "1", "1.2", "99999999999999999999999.1", "1.-1", ".", "٣.1"]
)
def test_tokens_that_nobody_gave(token: str) -> None:
    with pytest.raises(PageGoneError):
        Pages().page(pb.Page(page_token=token), lambda: [1], lambda _: True, view)


def test_snapshots_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = Pages()
    _, first = pages.page(pb.Page(page_size=1), lambda: [1, 2], lambda _: True, view)
    for _ in range(paging.MAX_SNAPSHOTS):
        pages.page(pb.Page(page_size=1), lambda: [1, 2], lambda _: True, view)
    with pytest.raises(PageGoneError):
        pages.page(pb.Page(page_token=first), list, lambda _: True, view)
    _, token = pages.page(pb.Page(page_size=1), lambda: [1, 2], lambda _: True, view)
    later = time.monotonic() + paging.SNAPSHOT_S + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    with pytest.raises(PageGoneError):
        pages.page(pb.Page(page_token=token), list, lambda _: True, view)


def test_a_page_stays_below_the_limit_of_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "PAGE_BYTES", 20)
    assert listed(Pages(), list(range(30)), 1000) == list(range(30))
