"""What operators read of what was used: by role, job and framework, and as metrics."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from pymesos_core.caller import Caller, Method
from pymesos_core.errors import RequestError
from pymesos_core.resources import parse
from pymesos_core.security.policy_file import read_policy
from pymesos_master import metrics
from pymesos_master.core import accounting
from pymesos_master.core.accounts import (
    DAY_MS,
    HOUR_MS,
    REST,
    Account,
    At,
    Held,
    Sums,
    held_by,
)
from pymesos_master.queries import PageRequest, Queries, TaskFilter, accounted
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_testing.master_harness import MasterHarness

ALL = PageRequest()


OPERATOR = Caller("operator/o", Method.CERT, "1")


def filled() -> MasterHarness:
    h = MasterHarness()
    accounts = h.core.state.accounts
    day = accounting.read_day("2026-11-28")
    hour = 1000 * HOUR_MS
    for n, account in enumerate(
        (
            Account("dev", "jobs", "shop"),
            Account("dev", "jobs", "cron"),
            Account("ops", "spark", ""),
            Account("ops", rest=True),
            REST,
        )
    ):
        for later in (0, 1):
            now = At(0, (day + later) * DAY_MS)
            accounts.use(account, (n + 1) * hour, 2**n * 1024 * hour, now)
    return h


def rows(h: MasterHarness, caller: Caller = OPERATOR, **asked: Any) -> list[tuple[Any, ...]]:
    request = pb.GetAccountingRequest(**asked)
    queries = Queries(h.core, lambda: h.now)
    found = asyncio.run(queries.accounting(caller, ALL, request)).views
    return [
        (*(v for v in (r.day, r.role, r.framework, r.job) if v), r.rest, r.used_cpu_hours)
        for r in found
    ]


class TestQueries:
    def test_it_is_added_up_by_role(self) -> None:
        h = filled()
        assert rows(h) == [("dev", False, 6), ("ops", False, 14), (True, 10)]

    def test_it_is_added_up_by_framework_or_job(self) -> None:
        h = filled()
        assert rows(h, by="framework") == [("jobs", False, 6), ("spark", False, 6), (True, 18)]
        assert rows(h, by="job", role="dev") == [
            ("dev", "cron", False, 4),
            ("dev", "shop", False, 2),
        ]
        assert rows(h, by="job", role="ops") == [("ops", False, 6), ("ops", True, 8)]

    def test_of_some_days_and_each_by_itself(self) -> None:
        h = filled()
        assert rows(h, role="dev", until="2026-11-28") == [("dev", False, 3)]
        assert rows(h, role="dev", since="2026-11-30") == []
        assert rows(h, role="dev", daily=True) == [
            ("2026-11-28", "dev", False, 3),
            ("2026-11-29", "dev", False, 3),
        ]

    @pytest.mark.parametrize(
        ("asked", "words"),
        [
            ({"by": "agent"}, "by role, framework, job, not by 'agent'"),
            ({"since": "yesterday"}, "since is 'yesterday': a day is expected, as in 2026-11-29"),
            ({"until": "2026-02-30"}, "until is '2026-02-30': a day is expected"),
            ({"until": "2026-2-3"}, "a day is expected"),
            ({"since": "2026-12-01", "until": "2026-11-01"}, "2026-12-01, is after until, 2026-11"),
        ],
    )
    def test_what_cannot_be_answered_is_said(self, asked: Any, words: str) -> None:
        with pytest.raises(RequestError, match=words):
            rows(filled(), **asked)

    async def test_others_go_on_while_it_is_added_up_and_change_nothing_of_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        h = filled()
        begun, changed = threading.Event(), threading.Event()
        add_up = accounted.groups

        def slow(*asked: Any) -> Any:
            begun.set()
            assert changed.wait(20), "nobody else goes on"
            return add_up(*asked)

        monkeypatch.setattr(accounted, "groups", slow)
        queries = Queries(h.core, lambda: h.now)
        asked = asyncio.create_task(queries.accounting(OPERATOR, ALL, pb.GetAccountingRequest()))
        async with asyncio.timeout(20):
            while not begun.is_set():
                await asyncio.sleep(0)
        for day in h.core.state.accounts.days.values():
            day.add(Account("later"), Sums(1))
        changed.set()
        assert [row.role for row in (await asked).views] == ["dev", "ops", ""]

    async def test_a_page_of_another_s_listing_is_none(self) -> None:
        """The token of a page can be guessed, as snapshots are numbered."""
        h = filled()
        allow = "allow:\n- {who: operator/o, do: [read], role: '**'}\n"
        h.core.state.policy = read_policy(f"{allow}- {{who: operator/d, do: [read], role: dev}}\n")
        queries = Queries(h.core, lambda: h.now)
        asked = pb.GetAccountingRequest()
        first = await queries.accounting(OPERATOR, PageRequest(1), asked)
        assert first.next_token
        rest = PageRequest(1000, first.next_token)
        with pytest.raises(RequestError, match="the page token is not known"):
            await queries.accounting(Caller("operator/d", Method.CERT, "2"), rest, asked)
        with pytest.raises(RequestError, match="the page token is not known"):
            queries.tasks(OPERATOR, rest, TaskFilter())
        assert len((await queries.accounting(OPERATOR, rest, asked)).views) == 2

    def test_who_may_read_one_role_sees_no_other_and_no_rest_of_all(self) -> None:
        h = filled()
        document = "allow:\n- {who: operator/o, do: [read], role: ops}\n"
        h.core.state.policy = read_policy(document)
        assert rows(h) == [("ops", False, 14)]
        assert rows(h, by="framework") == [("spark", False, 6), (True, 8)]
        assert rows(h, role="dev") == []


def test_metrics_are_by_role() -> None:
    used = {"dev": Sums(2_000_000, 3_000_000, 0, 1_000_000, 0), "": Sums(1)}
    seen = metrics.Snapshot(leads=True, used=used)
    values = {
        (sample.name, sample.labels["role"]): sample.value
        for family in metrics.to_metrics(seen)
        for sample in family.samples
        if "role" in sample.labels
    }
    assert values["pymesos_master_role_asked_cpu_seconds_total", "dev"] == 2
    assert values["pymesos_master_role_asked_mem_byte_seconds_total", "dev"] == 3 * 1024 * 1024
    assert values["pymesos_master_role_used_cpu_seconds_total", "dev"] == 1
    assert values["pymesos_master_role_asked_cpu_seconds_total", ""] == 1e-6


def test_resources_of_every_tag_are_held() -> None:
    held = held_by(parse("cpus(db):1;cpus:0.5;mem:64"))
    assert held == Held(1500, 64_000)
