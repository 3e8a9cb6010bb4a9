"""Pages of other sites, in somebody's browser, change nothing and read nothing."""

from __future__ import annotations

from typing import Any

import pytest

from pymesos_master.http.answering import Admitted, Answer, Answering, Request
from pymesos_testing.http_cluster import (
    a_bit_of_everything,
    get_json,
    leadership_of,
    open_answering,
    post,
)
from pymesos_testing.http_posts import QUOTA
from pymesos_testing.master_harness import MasterHarness

SAME = "http://127.0.0.1:5080"  # the origin of a page of the master itself


@pytest.fixture
def h() -> MasterHarness:
    return a_bit_of_everything()


@pytest.fixture
def answering(h: MasterHarness) -> Answering:
    return open_answering(leadership_of(h))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": SAME, "sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://127.0.0.1:8080"}, 403),
        ({"origin": "http://127.0.0.1"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"origin": "http://["}, 403),
        ({"origin": f"{SAME} http://evil.example"}, 403),
        ({"origin": "file://127.0.0.1:5080"}, 403),
        ({"origin": SAME, "sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
    ],
)
async def test_a_page_of_another_site_changes_nothing(
    answering: Answering, headers: Any, status: int
) -> None:
    answer = await post(answering, "/v1/quota/set", QUOTA, headers=headers)
    assert answer.status == status, answer.body
    if status == 403:
        assert b"a page of another site has sent this" in answer.body
        (quota,) = (await get_json(answering, "/v1/quota"))["quota"]
        assert quota["limits"] == {"cpus": 3.0}, "it is as it was"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "same-origin", "sec-fetch-dest": "empty"}, 200),
        ({"sec-fetch-site": "none", "sec-fetch-dest": "document"}, 200),
        ({"sec-fetch-site": "cross-site", "sec-fetch-dest": "document"}, 200),
        ({"sec-fetch-site": "cross-site", "sec-fetch-dest": "empty"}, 403),
        ({"sec-fetch-site": "same-site", "sec-fetch-dest": "script"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-dest": "iframe"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
    ],
)
async def test_a_script_of_another_site_reads_nothing(
    answering: Answering, headers: Any, status: int
) -> None:
    """The script takes a stream, or a slot, that the page of whoever looks at it would have."""
    for target in ("/v1/quota", "/v1/events"):
        admitted = answering.admit(
            Request("GET", target, "127.0.0.1:5080", "ipv4:127.0.0.1", headers=headers)
        )
        if status == 200:
            assert isinstance(admitted, Admitted)
        else:
            assert isinstance(admitted, Answer) and admitted.status == status
            assert b"a page of another site has sent this" in admitted.body


async def test_a_name_that_is_not_the_masters_changes_nothing(answering: Answering) -> None:
    headers = {"origin": "http://evil.example:5080", "sec-fetch-site": "same-origin"}
    answer = await post(
        answering, "/v1/quota/set", QUOTA, host="evil.example:5080", headers=headers
    )
    assert answer.status == 403 and b"the header Host" in answer.body
