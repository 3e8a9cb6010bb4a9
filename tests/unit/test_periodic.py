"""Periodic tasks: when they are due, one run for a time whatever happens, overlap, triggers."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice, pairwise, takewhile

import pytest

from pymesos_binpack import core as c
from pymesos_binpack.jobfiles.parsing import JobError
from pymesos_binpack.jobs.state import RUNS
from pymesos_binpack.periodic.rules import Overlap, PeriodicRules
from pymesos_binpack.periodic.runs import Outcome, Run, Runs, decide, name_of
from pymesos_binpack.periodic.times import due_times
from pymesos_binpack.services.views import job_view
from pymesos_cli.jobs.periodic import periodic_lines
from pymesos_core.names import run_of
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.binpack_harness import WALL_S, BinpackHarness
from pymesos_testing.periodic_jobs import (
    JOB,
    environment,
    finish,
    info_of,
    offered,
    periodic,
    trigger,
)

MINUTE = 60.0


@pytest.fixture
def h() -> BinpackHarness:
    harness = BinpackHarness()
    harness.feed(c.Subscribed("f"))
    return harness


def runs(h: BinpackHarness) -> list[tuple[float, str]]:
    """When each run was due, after the beginning, and how it ended."""
    return [(run.due_s - WALL_S, str(run.outcome)) for run in h.core.jobs[JOB].runs["t"].runs]


def note(h: BinpackHarness) -> str:
    return h.core.jobs[JOB].runs["t"].note


class TestTimes:
    def test_fixed_times_happen_once_where_clocks_are_set(self) -> None:
        """In Berlin 02:30 is left out on 2026-03-29, and twice on 2026-10-25."""

        def first(since: datetime) -> list[str]:
            times = due_times("30 2 * * *", "Europe/Berlin", since.timestamp())
            return [name_of(at_s) for at_s in islice(times, 3)]

        spring = first(datetime(2026, 3, 27, 12, tzinfo=UTC))
        assert spring == ["2026-03-28T01:30Z", "2026-03-29T01:00Z", "2026-03-30T00:30Z"]
        autumn = first(datetime(2026, 10, 23, 12, tzinfo=UTC))
        assert autumn == ["2026-10-24T00:30Z", "2026-10-25T00:30Z", "2026-10-26T01:30Z"]

    def test_where_the_hour_is_a_star_what_has_elapsed_counts(self) -> None:
        since = datetime(2026, 10, 25, 0, 0, 30, tzinfo=UTC).timestamp()
        times = due_times("0 * * * *", "Europe/Berlin", since)
        named = [name_of(at_s)[11:] for at_s in islice(times, 3)]
        assert named == ["01:00Z", "02:00Z", "03:00Z"]

    @pytest.mark.parametrize("night", [datetime(2026, 3, 28, 23), datetime(2026, 10, 24, 22)])
    @pytest.mark.parametrize(
        "schedule",
        ["30 2 * * *", "0,30 2 * * *", "*/15 * * * *", "0 * * * *", "* 2 * * *", "5,50 1-3 * * *"],
    )
    def test_from_every_minute_of_a_night_the_same_times_follow(
        self, night: datetime, schedule: str
    ) -> None:
        """Both nights in which the clocks of Berlin are set, from midnight on."""
        begin_s = night.replace(tzinfo=UTC).timestamp()
        end_s = begin_s + 6 * 3600

        def times(after_s: float) -> list[float]:
            due = due_times(schedule, "Europe/Berlin", after_s)
            return list(takewhile(lambda at_s: at_s < end_s, due))

        every = times(begin_s)
        assert all(a < b for a, b in pairwise(every))
        for minute in range(6 * 60):
            after_s = begin_s + minute * MINUTE + 10.0
            assert times(after_s) == [at_s for at_s in every if at_s > after_s]

    @pytest.mark.parametrize("minute", range(0, 180, 7))
    def test_a_fixed_time_begins_one_run_of_a_night_whenever_a_schedule_begins(
        self, minute: int
    ) -> None:
        """The clocks of Berlin show 02:30 at 00:30Z and at 01:30Z, of which the first counts."""
        rules = PeriodicRules("30 2 * * *", "Europe/Berlin", start_deadline_s=1200.0, keep=0)
        now_s = datetime(2026, 10, 25, tzinfo=UTC).timestamp() + minute * MINUTE
        of, begun = Runs(), []
        for _ in range(200):
            decided = decide(rules, of, Outcome.GOING, now_s)
            begun += [run.run_id for run in decided.runs.runs if run.going]
            of = replace(decided.runs, runs=())  # it has ended, and is not kept
            look_in_s = decided.look_in_s(now_s)
            assert look_in_s is not None and look_in_s > 0, "it is due at once for ever"
            now_s += look_in_s
        assert begun == (["2026-10-25T00:30Z"] if minute < 30 else [])


class TestRuns:
    def test_one_begins_each_time_that_is_due(self, h: BinpackHarness) -> None:
        h.submit(periodic())
        assert offered(h) == [] and h.core.jobs[JOB].state == "running"
        h.advance(MINUTE)
        (first,) = offered(h)
        assert environment(h, first)["PYMESOS_RUN"] == name_of(WALL_S + MINUTE)
        assert run_of(info_of(h, first).labels) == name_of(WALL_S + MINUTE)
        finish(h, first)
        h.advance(MINUTE)
        (second,) = offered(h)
        assert second != first and runs(h) == [(60.0, "finished"), (120.0, "")]

    def test_one_that_fails_is_tried_again_and_has_failed_then(self, h: BinpackHarness) -> None:
        h.submit(periodic(retries=1))
        h.advance(MINUTE)
        (first,) = offered(h)
        finish(h, first, pb.TASK_FAILED)
        (again,) = offered(h)
        assert runs(h) == [(60.0, "")]
        finish(h, again, pb.TASK_FAILED)
        assert runs(h) == [(60.0, "failed")]

    def test_a_run_has_all_its_instances(self, h: BinpackHarness) -> None:
        h.submit(periodic("*/2 * * * *", instances=2))
        h.advance(2 * MINUTE)
        first, second = offered(h)
        finish(h, first)
        assert runs(h) == [(120.0, "")]
        finish(h, second)
        assert runs(h) == [(120.0, "finished")]

    def test_only_the_latest_are_kept(self, h: BinpackHarness) -> None:
        h.submit(periodic(keep=2))
        for _ in range(5):
            h.advance(MINUTE)
            finish(h, offered(h)[0])
        assert [due_s for due_s, _ in runs(h)] == [240.0, 300.0]
        assert len(h.core.jobs[JOB].instances) == 1

    def test_a_job_that_is_stopped_begins_none(self, h: BinpackHarness) -> None:
        h.submit(periodic())
        h.feed(c.JobStopped(JOB))
        h.advance(10 * MINUTE)
        assert h.core.jobs[JOB].state == "stopped" and offered(h) == []

    def test_another_version_counts_from_the_next_run_on(self, h: BinpackHarness) -> None:
        h.submit(periodic())
        h.advance(MINUTE)
        (first,) = offered(h)
        h.feed(c.VersionProposed("v", JOB, 1, periodic(command="y"), "apply"))
        finish(h, first)
        h.advance(MINUTE)
        offered(h)
        assert [i.spec.command for i in h.core.jobs[JOB].instances] == ["y"]
        assert runs(h) == [(60.0, "finished"), (120.0, "")]

    def test_another_schedule_counts_from_when_it_is_in_force(self, h: BinpackHarness) -> None:
        h.submit(periodic("*/5 * * * *"))
        h.advance(4 * MINUTE)
        h.feed(c.VersionProposed("v", JOB, 1, periodic("*/2 * * * *"), "apply"))
        assert runs(h) == []
        h.advance(2 * MINUTE)
        assert runs(h) == [(360.0, "")]


class TestOverlap:
    def two(self, h: BinpackHarness, overlap: str) -> str:
        """Have a second time be due while the first run goes on; the task of that."""
        h.submit(periodic(overlap=overlap))
        h.advance(MINUTE)
        (task_id,) = offered(h)
        h.update(task_id, pb.TASK_RUNNING)
        h.advance(MINUTE)
        return task_id

    def test_skip(self, h: BinpackHarness) -> None:
        first = self.two(h, "skip")
        assert offered(h) == [] and runs(h) == [(60.0, "")]
        assert "was skipped: the run " in note(h) and "goes on" in note(h)
        finish(h, first)
        assert offered(h) == [], "only the next time counts"
        h.advance(MINUTE)
        assert runs(h) == [(60.0, "finished"), (180.0, "")]

    def test_queue(self, h: BinpackHarness) -> None:
        first = self.two(h, "queue")
        h.advance(MINUTE)
        assert offered(h) == [] and runs(h) == [(60.0, "")]
        finish(h, first)
        assert runs(h) == [(60.0, "finished"), (120.0, "")] and len(offered(h)) == 1
        assert "waits was skipped" not in note(h) and "180" not in note(h)

    def test_what_waits_for_too_long_is_skipped(self, h: BinpackHarness) -> None:
        h.submit(periodic("*/10 * * * *", overlap="queue", start_deadline_s=60))
        h.advance(10 * MINUTE)
        (first,) = offered(h)
        h.update(first, pb.TASK_RUNNING)
        h.advance(12 * MINUTE)
        finish(h, first)
        assert runs(h) == [(600.0, "finished")] and "start_deadline_s" in note(h)

    def test_replace(self, h: BinpackHarness) -> None:
        first = self.two(h, "replace")
        assert [e.task_id for e in h.of(c.Kill) if isinstance(e, c.Kill)] == [first]
        assert offered(h) == [], "the first is still there"
        h.update(first, pb.TASK_KILLED, uuid=b"k")
        h.advance(1.0)
        assert len(offered(h)) == 1
        assert runs(h) == [(60.0, "replaced"), (120.0, "")]


class TestOnceOnly:
    def restarted(self, h: BinpackHarness, after_s: float = 0.0) -> BinpackHarness:
        again = BinpackHarness(h.records)
        again.now_s, again.skew_s = h.now_s + after_s, h.skew_s
        again.feed(c.Subscribed("f"))
        return again

    def test_a_run_is_stored_before_it_is_launched(self, h: BinpackHarness) -> None:
        h.submit(periodic())
        h.offer()
        h.hold_writes = True
        h.advance(MINUTE)
        first = [change.kind for _, changes in h.held for change in changes]
        assert first[0] == RUNS and h.launched() == []

    def test_another_life_does_not_begin_it_again(self, h: BinpackHarness) -> None:
        h.submit(periodic())
        h.advance(MINUTE)
        (first,) = offered(h)
        again = self.restarted(h)
        again.update(first, pb.TASK_RUNNING)
        again.advance(10.0)
        assert offered(again) == [] and runs(again) == [(60.0, "")]
        finish(again, first)
        assert runs(again) == [(60.0, "finished")] and offered(again) == []

    def test_one_that_had_begun_and_was_not_launched_goes_on(self, h: BinpackHarness) -> None:
        h.submit(periodic())
        h.advance(MINUTE)
        again = self.restarted(h)
        assert len(offered(again)) == 1 and runs(again) == [(60.0, "")]

    def test_of_those_missed_while_it_was_away_one_begins(self, h: BinpackHarness) -> None:
        h.submit(periodic())
        again = self.restarted(h, after_s=10.5 * MINUTE)
        again.advance(1.0)
        assert len(offered(again)) == 1 and runs(again) == [(600.0, "")]
        assert note(again).startswith("9 times before") and "began no run" in note(again)

    def test_what_is_too_late_is_not_begun(self, h: BinpackHarness) -> None:
        h.submit(periodic("0 0 * * *", start_deadline_s=60))
        again = self.restarted(h, after_s=30 * 3600.0)
        again.advance(1.0)
        assert runs(again) == []

    def test_a_clock_that_is_set_back_begins_nothing_again(self, h: BinpackHarness) -> None:
        h.submit(periodic())
        for _ in range(3):
            h.advance(MINUTE)
            finish(h, offered(h)[0])
        h.skew_s = -2 * MINUTE
        h.advance(2 * MINUTE - 1)
        assert offered(h) == [] and len(runs(h)) == 3
        h.advance(MINUTE + 1)
        assert len(offered(h)) == 1 and runs(h)[-1] == (240.0, "")

    def test_nor_does_another_schedule_once_it_was_set_back(self, h: BinpackHarness) -> None:
        h.submit(periodic(keep=1))
        for _ in range(3):
            h.advance(MINUTE)
            finish(h, offered(h)[0])
        h.skew_s = -2.5 * MINUTE
        h.feed(c.VersionProposed("v", JOB, 1, periodic("*/1 * * * *", keep=1), "apply"))
        h.advance(2 * MINUTE)
        assert offered(h) == [] and runs(h) == [(180.0, "finished")]
        again = self.restarted(h)
        again.advance(MINUTE)
        assert offered(again) == [] and runs(again) == [(180.0, "finished")]
        again.advance(MINUTE)
        assert len(offered(again)) == 1 and runs(again)[-1] == (240.0, "")

    def test_a_clock_that_was_years_ahead_is_not_waited_for(self, h: BinpackHarness) -> None:
        h.submit(periodic())
        h.advance(MINUTE)
        finish(h, offered(h)[0])
        h.skew_s = 12 * 365 * 86400.0
        h.advance(MINUTE)
        finish(h, offered(h)[0])
        assert len(runs(h)) == 2 and runs(h)[-1][0] > h.skew_s
        h.skew_s = -90.0
        again = self.restarted(h)
        again.advance(MINUTE)
        assert offered(again) == [], "what was due at 60 had begun its run"
        again.advance(MINUTE)
        assert len(offered(again)) == 1 and runs(again)[-1] == (120.0, "")

    def test_what_began_years_ahead_is_not_begun_again_then(self, h: BinpackHarness) -> None:
        ahead_s = 40 * 86400.0
        h.submit(periodic())
        h.skew_s = ahead_s
        h.advance(MINUTE)
        finish(h, offered(h)[0])
        h.skew_s = 0.0
        h.advance(2 * MINUTE)
        finish(h, offered(h)[0])
        assert runs(h) == [(ahead_s + 60, "finished"), (180.0, "finished")]
        h.skew_s = ahead_s - 180.0
        h.advance(MINUTE)
        assert offered(h) == [] and len(runs(h)) == 2
        h.advance(MINUTE)
        assert len(offered(h)) == 1 and runs(h)[-1] == (ahead_s + 120, "")

    def test_a_clock_that_is_set_forward_begins_one(self, h: BinpackHarness) -> None:
        h.submit(periodic())
        h.skew_s = 30 * MINUTE
        h.advance(MINUTE)
        assert runs(h) == [(31 * MINUTE, "")]


class TestJobFiles:
    @pytest.mark.parametrize(
        ("task", "said"),
        [
            ({"schedule": "* * * *"}, "has 4 fields"),
            ({"schedule": "99 * * * *"}, "Bad minute; expected are a minute from 0 to 59"),
            ({"schedule": "* * * * * *"}, "has 6 fields"),
            ({"schedule": "@daily"}, "were expected, as in '0 0 * * *'"),
            ({"schedule": "0 0 31 2 *"}, "cannot be read"),
            ({"time_zone": "Mars/Olympus"}, "'Mars/Olympus' is not known"),
            ({"time_zone": "../../etc/passwd"}, "expected: the name of a time zone"),
            ({"parameters": [{"name": "A"}]}, "A needs a default"),
            ({"parameters": [{"name": "A", "type": "integer", "default": "x"}]}, "no whole number"),
            ({"parameters": [{"name": "PYMESOS_X", "default": ""}]}, "the agents' own"),
            ({"parameters": [{"name": "A", "default": 1}] * 2}, "A is given twice"),
            ({"parameters": [{"name": "A", "default": 1}], "env": {"A": "x"}}, "is in env, too"),
            ({"kind": "batch"}, "schedule: it is of periodic tasks"),
        ],
    )
    def test_what_cannot_be_is_refused(self, task: dict[str, object], said: str) -> None:
        with pytest.raises(JobError) as refused:
            periodic(**{"schedule": "* * * * *", **task})  # type: ignore[arg-type]
        assert said in str(refused.value)

    def test_defaults_are_written_as_they_stand(self) -> None:
        given = [
            {"name": "A", "type": "boolean", "default": True},
            {"name": "B", "type": "number", "default": 0.5},
        ]
        rules = periodic(parameters=given).tasks[0].periodic
        assert rules is not None
        assert [p.default for p in rules.parameters] == ["true", "0.5"]


def test_what_those_who_watch_are_shown(h: BinpackHarness) -> None:
    h.submit(periodic("*/5 * * * *", time_zone="Europe/Berlin", overlap="queue"))
    h.advance(300.0)
    (first,) = offered(h)
    finish(h, first)
    trigger(h)
    trigger(h, "second")
    (shown,) = job_view(h.core.jobs[JOB], "f").periodic
    assert (shown.schedule, shown.time_zone) == ("*/5 * * * *", "Europe/Berlin")
    assert shown.next_at_s == WALL_S + 600
    assert [(run.run_id, run.state, run.by) for run in shown.runs] == [
        (name_of(WALL_S + 300), "finished", ""),
        ("trigger-q", "running", "ann"),
        ("trigger-second", "waiting", "ann"),
    ]
    lines = list(periodic_lines(job_view(h.core.jobs[JOB], "f")))
    assert lines[0].startswith("t: runs at */5 * * * * (Europe/Berlin), next 2027-")
    assert lines[1] == "  trigger-second: waiting, triggered by ann"


def test_what_is_stored_is_read_back() -> None:
    run = Run("r", 1.0, {"A": "b"}, "ann", 2.0, 3.0, Outcome.FAILED)
    made = Runs("* * * * * UTC", 5.0, (run,), replace(run, run_id="q"), "note", 4.0)
    assert Runs.of_record(json.loads(made.record())) == made


@pytest.mark.parametrize("now_s", [-1e12, -1.0, 1e12])
def test_a_clock_that_shows_no_time_there_is_breaks_nothing(now_s: float) -> None:
    rules = PeriodicRules("0 0 29 2 *", overlap=Overlap.SKIP)
    runs = decide(rules, Runs(rules.times, 1.0), Outcome.GOING, now_s).runs
    assert Runs.of_record(json.loads(runs.record())) == runs


def test_what_was_stored_before_the_latest_time_was_kept_apart_is_read() -> None:
    runs = (Run("a", 60.0), Run("trigger-b", 300.0, by="ann"))
    made = Runs("* * * * * UTC", 180.0, runs, Run("c", 120.0))
    old = json.loads(made.record())
    del old["latest_due_s"]
    assert Runs.of_record(old) == replace(made, latest_due_s=120.0)


def test_a_run_that_ends_when_the_next_is_due_makes_way_for_it() -> None:
    rules = PeriodicRules("* * * * *", overlap=Overlap.SKIP)
    begun = decide(rules, Runs(rules.times, 30.0), Outcome.GOING, 60.0).runs
    after = decide(rules, begun, Outcome.FINISHED, 120.0).runs
    assert [run.due_s for run in after.runs] == [60.0, 120.0] and after.note == ""
