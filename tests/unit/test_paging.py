"""Pages of one snapshot."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pymesos_core.clock import Now, read_clock
from pymesos_core.errors import RequestError
from pymesos_master.queries import paging
from pymesos_master.queries.paging import PageRequest, Pages
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2

ME = "operator/me"


def view(item: int) -> pb.TaskView:
    return pb.TaskView(task_info=types_pb2.TaskInfo(task_id=str(item)))


def listed(pages: Pages, items: list[int], size: int, even_only: bool = False) -> list[int]:
    """Follow the tokens to the end."""
    out: list[int] = []
    token = ""
    while True:
        page = PageRequest(size, token)
        found = pages.page(
            ME, page, lambda: list(items), lambda item: not even_only or item % 2 == 0, view
        )
        views, token = found.views, found.next_token
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
        found = listed(Pages(read_clock), list(range(number)), size, even_only)
    assert found == list(range(0, number, 2 if even_only else 1))


def test_a_listing_is_of_one_moment() -> None:
    pages, items = Pages(read_clock), list(range(10))
    first = pages.page(ME, PageRequest(4), lambda: list(items), lambda _: True, view)
    items.clear()
    more = pages.page(
        ME, PageRequest(9, first.next_token), lambda: list(items), lambda _: True, view
    )
    assert len(first.views) + len(more.views) == 10


@pytest.mark.parametrize(
    "token", ["x", "1", "1.2", "99999999999999999999999.1", "1.-1", ".", "٣.1"]
)
def test_tokens_that_nobody_gave(token: str) -> None:
    with pytest.raises(RequestError, match="list again"):
        Pages(read_clock).page(ME, PageRequest(token=token), lambda: [1], lambda _: True, view)


def test_snapshots_are_forgotten() -> None:
    now_s = 1000.0
    pages = Pages(lambda: Now(now_s, now_s))
    first = pages.page(ME, PageRequest(1), lambda: [1, 2], lambda _: True, view)
    for _ in range(paging.MAX_SNAPSHOTS):
        pages.page(ME, PageRequest(1), lambda: [1, 2], lambda _: True, view)
    with pytest.raises(RequestError, match="list again"):
        pages.page(ME, PageRequest(token=first.next_token), list, lambda _: True, view)
    again = pages.page(ME, PageRequest(1), lambda: [1, 2], lambda _: True, view)
    now_s += paging.SNAPSHOT_S + 1
    with pytest.raises(RequestError, match="list again"):
        pages.page(ME, PageRequest(token=again.next_token), list, lambda _: True, view)


def test_who_takes_many_listings_loses_his_own() -> None:
    pages = Pages(read_clock)

    def token_of(taker: str) -> str:
        return pages.page(taker, PageRequest(1), lambda: [1, 2], lambda _: True, view).next_token

    def goes_on(token: str) -> bool:
        try:
            pages.page(ME, PageRequest(1, token), list, lambda _: True, view)
        except RequestError:
            return False
        return True

    mine = [token_of(ME), token_of(ME)]
    others = [token_of("ipv4:10.0.0.9") for _ in range(2 * paging.MAX_SNAPSHOTS)]
    assert all(map(goes_on, mine))
    kept = paging.MAX_SNAPSHOTS - len(mine)
    assert [token for token in others if goes_on(token)] == others[-kept:]


def test_a_page_stays_below_the_limit_of_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "PAGE_BYTES", 20)
    assert listed(Pages(read_clock), list(range(30)), 1000) == list(range(30))
