"""Answers of a moment ago are for who takes one and may see the same, unless that has changed."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pymesos_core.caller import Caller, Method
from pymesos_core.outside import Outside
from pymesos_core.security.policy_file import read_policy
from pymesos_master.core import Config
from pymesos_master.core import events as ev
from pymesos_master.http.answering import Answering
from pymesos_master.http.fresh import MOST_ANSWERS, MOST_BYTES, Fresh, Kept, max_age_s
from pymesos_testing.http_cluster import closed_answering, get_json, leadership_of, post
from pymesos_testing.master_harness import MasterHarness

POLICY = """
allow:
- {who: operator/alice, do: ["*"], role: "**"}
- {who: operator/bob, do: [read], role: eng}
"""
ALICE, BOB = ({"peer_uri": [who]} for who in (b"operator/alice", b"operator/bob"))
OLD = {"cache-control": "max-age=1"}


def gate(method: str, peer: str, authentication: Mapping[str, Any]) -> Caller:
    who = next(iter(authentication["peer_uri"])).decode()
    return Caller(who, Method.CERT, "1", peer, "grpc")


class Cluster:
    """A cluster with certificates, and what is asked of its leader."""

    def __init__(self) -> None:
        self.h = MasterHarness(Config(seed_policy=POLICY))
        self.now_s = 100.0
        outside = Outside(clock=lambda: cast(Any, SimpleNamespace(mono_s=self.now_s, wall_s=1.0)))
        self.answering: Answering = closed_answering(leadership_of(self.h, outside=outside), gate)
        for role in ("eng", "db"):
            self.h.subscribe(name=role, roles=[role])

    async def roles(self, who: Any = ALICE, headers: Mapping[str, str] = OLD) -> list[str]:
        said = await get_json(
            self.answering, "/v1/frameworks", authentication=who, host="any", headers=headers
        )
        return [one["name"] for one in said["frameworks"]]


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


async def test_an_answer_does_for_a_moment_for_who_says_so(cluster: Cluster) -> None:
    assert await cluster.roles() == ["eng", "db"]
    cluster.h.subscribe(name="late", roles=["eng"])
    assert await cluster.roles() == ["eng", "db"]
    assert await cluster.roles(headers={}) == ["eng", "db", "late"], "who says nothing"
    cluster.now_s += 1.01
    assert await cluster.roles() == ["eng", "db", "late"]


async def test_who_may_see_less_is_not_given_what_others_were(cluster: Cluster) -> None:
    assert await cluster.roles(ALICE) == ["eng", "db"]
    assert await cluster.roles(BOB) == ["eng"]
    assert await cluster.roles(ALICE) == ["eng", "db"]


async def test_a_policy_that_changes_holds_at_once(cluster: Cluster) -> None:
    assert await cluster.roles(BOB) == ["eng"]
    changed = read_policy(POLICY.replace("role: eng", "role: db"))
    cluster.h.feed(ev.OperatorSetPolicy(1, changed, 1, Caller("operator/alice", Method.CERT)))
    assert await cluster.roles(BOB) == ["db"]


async def test_what_was_changed_from_here_is_seen_at_once(cluster: Cluster) -> None:
    assert await cluster.roles() == ["eng", "db"]
    cluster.h.subscribe(name="late", roles=["eng"])
    body = {"role": "eng", "weight": 2.0}
    await post(cluster.answering, "/v1/weights/set", body, authentication=ALICE, host="any")
    assert await cluster.roles() == ["eng", "db", "late"]


def test_what_is_kept_is_bounded() -> None:
    fresh: Fresh[str] = Fresh(lambda: 1.0)
    for number in range(MOST_ANSWERS + 1):
        fresh.keep(number, fresh.begin(), Kept("said", 1, None))
    assert fresh.find(0, 1.0, None) is None and fresh.find(1, 1.0, None) == "said"
    fresh.keep("large", fresh.begin(), Kept("large", MOST_BYTES, None))
    assert fresh.find(MOST_ANSWERS, 1.0, None) is None
    assert fresh.find("large", 1.0, None) == "large"


def test_what_was_begun_before_a_change_is_not_kept() -> None:
    fresh: Fresh[str] = Fresh(lambda: 1.0)
    begun = fresh.begin()
    fresh.forget()
    fresh.keep("key", begun, Kept("said", 1, None))
    assert fresh.find("key", 1.0, None) is None


@pytest.mark.parametrize(
    ("header", "age_s"),
    [
        ("", 0.0),
        ("max-age=0", 0.0),
        ("max-age=1", 1.0),
        ("no-transform, Max-Age=1", 1.0),
        ("max-age=2", 2.0),
        ("max-age=3600", 2.0),
        ("max-age=-1", 0.0),
        ("s-max-age=5", 0.0),
        ("max-age=1x", 0.0),
    ],
)
def test_how_old_it_may_be(header: str, age_s: float) -> None:
    assert max_age_s(header) == age_s
