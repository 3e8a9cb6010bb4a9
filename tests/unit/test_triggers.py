"""Periodic tasks are started by people, with values for their parameters."""

from __future__ import annotations

import pytest

from pymesos_binpack import core as c
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_testing.binpack_harness import BinpackHarness
from pymesos_testing.periodic_jobs import (
    JOB,
    environment,
    finish,
    offered,
    periodic,
    trigger,
)


@pytest.fixture
def h() -> BinpackHarness:
    harness = BinpackHarness()
    harness.feed(c.Subscribed("f"))
    return harness


class TestTriggers:
    def test_with_values_and_defaults(self, h: BinpackHarness) -> None:
        parameters = [{"name": "DAY"}, {"name": "SIZE", "type": "integer", "default": 3}]
        h.submit(periodic("", parameters=parameters))
        trigger(h, DAY="x; rm -rf /")
        (task_id,) = offered(h)
        env = environment(h, task_id)
        assert (env["DAY"], env["SIZE"]) == ("x; rm -rf /", "3")
        accepted = h.of(c.JobAccepted)[-1]
        assert accepted == c.JobAccepted("q", JOB, 1)
        finish(h, task_id)
        trigger(h, DAY="x")
        assert offered(h) == [], "the same request is one run"
        trigger(h, "other", DAY="x")
        assert len(offered(h)) == 1

    @pytest.mark.parametrize(
        ("args", "said"),
        [
            ({}, "DAY has no default"),
            ({"DAY": "1", "X": "1"}, "there is no parameter 'X'"),
            ({"DAY": "one"}, "'one' is no whole number"),
            ({"DAY": "1" * 2000}, "at most 1024 bytes"),
            ({"DAY": "1\0"}, "without a NUL"),
        ],
    )
    def test_values_that_cannot_be(
        self, h: BinpackHarness, args: dict[str, str], said: str
    ) -> None:
        h.submit(periodic("", parameters=[{"name": "DAY", "type": "integer"}]))
        trigger(h, **args)
        (refused,) = h.of(c.JobRefused)
        assert isinstance(refused, c.JobRefused) and said in refused.message
        assert refused.wrong

    @pytest.mark.parametrize(
        ("task", "said"),
        [
            ("nope", "the job j-r has no task 'nope'; periodic are t"),
            ("other", "the task other of the job j-r is not periodic; periodic are t"),
        ],
    )
    def test_a_task_that_cannot_be(self, h: BinpackHarness, task: str, said: str) -> None:
        tasks = [
            {"name": "t", "kind": "periodic", "command": "x"},
            {"name": "other", "command": "x"},
        ]
        h.submit(parse_job({"name": "j", "tasks": tasks}))
        h.feed(c.RunTriggered("q", JOB, task, {}, "ann"))
        (refused,) = h.of(c.JobRefused)
        assert refused == c.JobRefused("q", said, JOB, wrong=True)

    def test_it_goes_by_overlap(self, h: BinpackHarness) -> None:
        h.submit(periodic(""))
        trigger(h)
        offered(h)
        trigger(h, "second")
        (refused,) = h.of(c.JobRefused)
        assert isinstance(refused, c.JobRefused)
        assert "trigger-q goes on, and its overlap is skip" in refused.message
        assert not refused.wrong, "another time it can be"

    def test_none_of_a_job_without_any(self, h: BinpackHarness) -> None:
        h.submit(parse_job({"name": "j", "tasks": [{"name": "t", "command": "x"}]}))
        trigger(h)
        (refused,) = h.of(c.JobRefused)
        assert isinstance(refused, c.JobRefused) and "is periodic, so none" in refused.message
        assert refused.wrong
