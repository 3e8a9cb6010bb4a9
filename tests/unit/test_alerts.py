"""Alerts of jobs: pending, firing, resolved; stored before they are told, over restarts, too."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pymesos_binpack import core as c
from pymesos_binpack.alerts.state import ALERT, read_alert
from pymesos_binpack.jobfiles.parsing import Job, JobError, parse_job
from pymesos_binpack.jobs.rollouts.asking import Asked
from pymesos_core.outgoing.alert_life import State
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.alert_harness import CHECK, Harness, alert, service
from pymesos_testing.binpack_harness import WALL_S


@pytest.fixture
def h() -> Harness:
    return Harness().start()


def test_a_page_after_a_while_and_when_it_is_over(h: Harness) -> None:
    h.run(service(alert("unhealthy")), healthy=True)
    h.say("db-r.t.0.1", healthy=False, message="Unhealthy: connection refused")
    h.advance(29.9)
    assert (h.told, h.states) == ([], ["pending"])
    h.advance(0.2)
    assert (h.told, h.states) == ([("unhealthy", "firing")], ["firing"])
    (tell,) = h.of(c.Tell)
    assert isinstance(tell, c.Tell)
    notice = tell.notice
    assert notice.summary == (
        "db/t: 1 of 1 instance is unhealthy: t.0: Unhealthy: connection refused"
    )
    assert notice.began_s == pytest.approx(WALL_S + 30)
    assert (notice.key, notice.receiver) == ("db-r/t/unhealthy/oncall", "oncall")
    assert notice.labels["alertname"] == "PymesosUnhealthy" and notice.labels["job_id"] == "db-r"
    h.advance(100)
    h.say("db-r.t.0.1", healthy=True)
    assert h.told == [("unhealthy", "firing"), ("unhealthy", "resolved")]
    assert h.states == [] and not any(kind == ALERT for kind, _ in h.records)


def test_what_does_not_last_is_told_to_nobody(h: Harness) -> None:
    h.run(service(alert("unhealthy")), healthy=True)
    for _ in range(10):  # flapping: it never lasts
        h.say("db-r.t.0.1", healthy=False)
        h.advance(20)
        h.say("db-r.t.0.1", healthy=True)
        h.advance(1)
    assert h.told == [] and h.states == []


def test_stored_before_told(h: Harness) -> None:
    h.run(service(alert("unhealthy", for_s=0)), healthy=True)
    h.hold_writes = True
    h.say("db-r.t.0.1", healthy=False)
    token, _ = h.held.pop(0)  # what the update means
    h.feed(c.Stored(token))
    assert h.states == ["firing"] and h.told == []
    h.write()
    assert h.told == [("unhealthy", "firing")]


def test_ill_until_a_check_passes_also_while_it_is_started_again(h: Harness) -> None:
    h.run(service(alert("unhealthy")), healthy=True)
    h.say("db-r.t.0.1", healthy=False)
    h.advance(10)
    h.say("db-r.t.0.1", pb.TASK_FAILED, reason=pb.REASON_TASK_HEALTH_CHECK_STATUS_UPDATED)
    h.offer()
    h.say("db-r.t.0.2")  # no check has been answered
    h.advance(21)
    assert h.told == [("unhealthy", "firing")]
    h.say("db-r.t.0.2", healthy=True)
    assert h.told[-1] == ("unhealthy", "resolved")


@pytest.mark.parametrize(
    ("below", "missing", "fires"),
    [
        (None, 1, True),
        (None, 0, False),
        ("50%", 2, False),
        ("50%", 3, True),
        (1, 3, False),
        (1, 4, True),
        (1.0, 4, True),  # a whole number, too
    ],
)
def test_below(h: Harness, below: Any, missing: int, fires: bool) -> None:
    h.run(service(alert("below", **({"below": below} if below else {})), instances=4), healthy=True)
    h.advance(60)
    for task_id in h.launched()[:missing]:
        h.say(task_id, healthy=False)
    h.advance(31)
    assert (h.told == [("below", "firing")]) is fires, h.told


def test_below_from_the_beginning(h: Harness) -> None:
    h.submit(service(alert("below"), alert("unplaced", 40)))
    h.advance(41)
    assert h.told == [("below", "firing"), ("unplaced", "firing")]
    h.offer()
    assert h.told[2:] == [("unplaced", "resolved")]
    h.say("db-r.t.0.1", healthy=True)
    assert h.told[3:] == [("below", "resolved")]


def test_what_is_kept_back_has_its_place(h: Harness) -> None:
    h.run(service(alert("unplaced", 5)), healthy=True)
    for attempt in range(1, 8):
        h.say(f"db-r.t.0.{attempt}", pb.TASK_FAILED)
        h.advance(70)
        assert ("unplaced", "firing") in h.told  # there were no offers
        h.offer()
        h.say(f"db-r.t.0.{attempt + 1}", healthy=True)
    assert h.told == [("unplaced", "firing"), ("unplaced", "resolved")] * 7


def test_a_crash_loop_until_it_runs_well(h: Harness) -> None:
    h.run(service(alert("crash_loop", 0)))
    for attempt in range(1, 4):
        assert h.told == []
        h.say(f"db-r.t.0.{attempt}", pb.TASK_FAILED, exit_status=1)
        h.advance(2)
        h.offer()
        h.say(f"db-r.t.0.{attempt + 1}")
    assert h.told == [("crash_loop", "firing")]
    h.advance(9)
    assert h.states == ["firing"]
    h.advance(2)
    assert h.told[1:] == [("crash_loop", "resolved")]


def test_a_crash_loop_goes_on_over_a_restart(h: Harness) -> None:
    h.run(service(alert("crash_loop", 0)))
    for attempt in range(1, 4):
        h.say(f"db-r.t.0.{attempt}", pb.TASK_FAILED, exit_status=1)
        h.advance(2)
        h.offer()
        h.say(f"db-r.t.0.{attempt + 1}")
    again = h.restarted().start()
    again.say("db-r.t.0.4")
    again.advance(9)
    assert again.states == ["firing"]
    again.advance(11)
    assert again.told == [("crash_loop", "firing"), ("crash_loop", "resolved")]


def propose(h: Harness, job: Job) -> None:
    number = h.core.jobs["db-r"].version
    h.feed(c.VersionProposed(f"v{number}", "db-r", number, job, "apply"))


def test_a_rollout_that_failed_until_the_next_one(h: Harness) -> None:
    rule = alert("rollout_failed", 1)
    h.run(service(rule), healthy=True)
    h.advance(30)
    propose(h, service(rule, command="worse"))
    for attempt in range(1, 6):
        h.offer()
        h.say(f"db-r.t.0.v2.{attempt}", pb.TASK_FAILED, exit_status=1)
        h.advance(60)
    assert h.told == [("rollout_failed", "firing")]
    (tell,) = h.of(c.Tell)
    assert isinstance(tell, c.Tell) and "the rollout to version 2 failed" in tell.notice.summary
    h.advance(1000)
    assert h.states == ["firing"]
    propose(h, service(rule, command="better"))
    assert h.told[1:] == [("rollout_failed", "resolved")]


def test_a_rollout_that_is_held_for_a_failure_until_it_is_resumed(h: Harness) -> None:
    rule, held = alert("rollout_failed", 1), {"on_failure": "pause"}
    h.run(service(rule, update=held), healthy=True)
    h.advance(30)
    propose(h, service(rule, update=held, command="worse"))
    for attempt in range(1, 6):
        h.offer()
        h.say(f"db-r.t.0.v2.{attempt}", pb.TASK_FAILED, exit_status=1)
        h.advance(60)
    assert h.told == [("rollout_failed", "firing")]
    h.feed(c.RolloutAsked("x", "db-r", "t", Asked.RESUME))
    assert h.told[1:] == [("rollout_failed", "resolved")]


def test_drains_silence_what_is_below_only_within_the_budget(h: Harness) -> None:
    update = {"max_surge": 0, "max_unavailable": 1}
    h.run(service(alert("below", 5), instances=3, update=update), healthy=True)
    h.advance(60)
    h.feed(c.AgentDraining("a", WALL_S + 9999))
    h.say("db-r.t.0.1", pb.TASK_FAILED)
    h.advance(60)
    assert h.told == []  # one may be missing
    h.say("db-r.t.1.1", pb.TASK_FAILED)
    h.advance(6)
    assert h.told == [("below", "firing")]


def test_what_does_not_leave_a_drained_agent(h: Harness) -> None:
    h.run(service(alert("drain_blocked", 60)), healthy=True)
    h.feed(c.AgentDraining("a", WALL_S + 9999))
    h.advance(59)
    assert h.told == []
    h.advance(2)
    assert h.told == [("drain_blocked", "firing")]
    h.feed(c.AgentDraining("a", 0, cancelled=True))
    assert h.told[1:] == [("drain_blocked", "resolved")]


def test_a_standby_goes_on_with_what_is_pending(h: Harness) -> None:
    h.run(service(alert("unhealthy")), healthy=True)
    h.say("db-r.t.0.1", healthy=False)
    h.advance(20)
    again = h.restarted(after_s=4)
    assert again.states == ["pending"]
    again.start()
    again.say("db-r.t.0.1", healthy=False)  # as the master answers
    again.advance(6.5)  # nothing is heard before they have answered
    assert again.told == [("unhealthy", "firing")]


def test_what_fires_is_told_again_by_another_under_the_same_key(h: Harness) -> None:
    h.away = True
    h.run(service(alert("unhealthy", 0)), healthy=True)
    h.say("db-r.t.0.1", healthy=False)
    again = h.restarted()
    (before,), (after,) = h.of(c.Tell), again.of(c.Tell)
    assert before == after
    assert isinstance(after, c.Tell) and not after.notice.known
    third = again.restarted()  # the receiver has taken it by now
    (tell,) = third.of(c.Tell)
    assert isinstance(tell, c.Tell) and tell.notice.known


def test_that_it_is_over_is_told_by_another_where_it_was_not_taken(h: Harness) -> None:
    h.run(service(alert("unhealthy", 0)), healthy=True)
    h.say("db-r.t.0.1", healthy=False)
    h.away = True
    h.say("db-r.t.0.1", healthy=True)
    assert h.states == ["resolved"]
    again = h.restarted()
    assert again.told == [("unhealthy", "resolved")] and again.states == []


def test_what_comes_back_before_that_it_was_over_is_told(h: Harness) -> None:
    h.run(service(alert("unhealthy", 10)), healthy=True)
    h.say("db-r.t.0.1", healthy=False)
    h.advance(11)
    h.away = True
    h.say("db-r.t.0.1", healthy=True)
    over = h.of(c.Tell)[-1]
    assert isinstance(over, c.Tell)
    h.say("db-r.t.0.1", healthy=False)
    h.advance(5)
    h.take(over.notice)
    assert h.states == ["pending"]  # since it came back
    h.away = False
    h.advance(6)
    assert h.told == [("unhealthy", "firing"), ("unhealthy", "resolved"), ("unhealthy", "firing")]
    h.take(over.notice)  # late
    assert h.states == ["firing"]
    h.away = True
    h.say("db-r.t.0.1", healthy=True)
    h.say("db-r.t.0.1", healthy=False)
    h.advance(11)
    assert h.states == ["firing"] and h.told[-1] == ("unhealthy", "firing")


def test_nothing_changes_while_no_master_is_heard(h: Harness) -> None:
    h.run(service(alert("unhealthy"), alert("below")), healthy=True)
    h.say("db-r.t.0.1", healthy=False)
    h.feed(c.Disconnected())
    h.advance(300)
    assert h.told == []
    h.start()
    h.say("db-r.t.0.1", healthy=True)
    h.advance(6)
    assert h.told == [] and h.states == []


def test_what_is_stopped_is_no_trouble(h: Harness) -> None:
    h.run(service(alert("below", 0)), healthy=True)
    h.say("db-r.t.0.1", pb.TASK_FAILED)
    assert h.told == [("below", "firing"), ("below", "resolved"), ("below", "firing")]
    h.feed(c.JobStopped("db-r"))
    assert h.told[-1] == ("below", "resolved") and h.states == []


def test_a_job_that_has_failed_is_trouble_until_another_takes_its_name(h: Harness) -> None:
    restart = {"max": 0, "on_max": "fail"}
    h.run(service(alert("below", 5), restart=restart), healthy=True)
    h.say("db-r.t.0.1", pb.TASK_FAILED, exit_status=1)
    assert h.core.jobs["db-r"].state == "failed"
    h.advance(6)
    assert h.told == [("below", "firing")]
    h.submit(service(alert("below", 5), restart=restart), "s")
    assert h.told[1:] == [("below", "resolved")]
    h.advance(6)
    assert h.told[2:] == [("below", "firing")]  # of the other one, which has no place


def test_a_rule_that_is_gone_is_over(h: Harness) -> None:
    h.run(service(alert("below", 0), alert("unhealthy", 0)), healthy=True)
    h.say("db-r.t.0.1", healthy=False)
    told = len(h.told)
    propose(h, service(alert("unhealthy", 0)))
    assert h.told[told:] == [("below", "resolved")]
    propose(h, service())
    assert h.told[-1] == ("unhealthy", "resolved") and h.states == []
    assert h.launched() == ["db-r.t.0.1"]  # nothing is replaced for it


def test_a_job_in_quarantine_keeps_its_alerts_until_it_is_forgotten(h: Harness) -> None:
    h.run(service(alert("unhealthy", 0)), healthy=True)
    h.say("db-r.t.0.1", healthy=False)
    h.records["quarantine", "db-r"] = b"for a test"
    again = h.restarted().start()
    assert again.told == [("unhealthy", "firing")] and again.states == ["firing"]
    again.feed(c.QuarantineReleased("db-r", discard=True))
    assert again.told[-1] == ("unhealthy", "resolved") and again.states == []


def test_a_large_job_is_looked_at_now_and_then(h: Harness) -> None:
    h.run(service(alert("below", 0), instances=300), healthy=True)
    h.advance(1)
    told = len(h.told)
    for task_id in h.launched()[:50]:
        h.say(task_id, healthy=False)
    assert len(h.told) == told
    h.advance(0.6)
    assert h.told[told:] == [("below", "firing")]


def test_a_record_that_is_no_alert() -> None:
    good = {
        "state": "firing", "role": "*", "job": "j", "since_s": 1.0, "fired_s": 2.0, "ended_s": 0.0,
        "known": False, "told": True, "summary": "s",
    }  # fmt: skip
    key = "j-1/t/below/oncall"
    assert read_alert(key, json.dumps(good).encode()).state is State.FIRING
    for change in (
        {"state": "on fire"}, {"since_s": -1}, {"since_s": "x"}, {"known": 1}, {"more": 1},
        {"summary": None}, {"fired_s": float("inf")},
    ):  # fmt: skip
        with pytest.raises(ValueError, match="alert"):
            read_alert(key, json.dumps({**good, **change}).encode())
    for other in ("j-1/t/below", "j-1/t/on fire/x", "j-1//below/x"):
        with pytest.raises(ValueError, match="no key"):
            read_alert(other, json.dumps(good).encode())
    h = Harness({(ALERT, key): b"[]", ("framework", ""): b"f"}).start()
    assert h.states == []


@pytest.mark.parametrize(
    ("rules", "task", "said"),
    [
        ([alert("below")], {"kind": "batch", "health_check": None}, "below is of services"),
        ([alert("unhealthy")], {"health_check": None}, "has no health_check"),
        ([alert("unplaced", below=3)], {}, "it is of the alert below"),
        ([alert("below", below="0%")], {}, "never fewer than none"),
        ([alert("below", below=2)], {}, "the task has 1 instances"),
        ([alert("below"), alert("below", 60)], {}, "oncall is told of below already"),
        ([alert("on fire")], {}, "is not one of unhealthy, below"),
        ([alert("below", to="-")], {}, "cannot be used"),
        ([alert("below", -1)], {}, "out of range"),
    ],
)
def test_alerts_that_cannot_be(
    rules: list[dict[str, Any]], task: dict[str, Any], said: str
) -> None:
    made = {"name": "t", "kind": "service", "command": "x", "health_check": CHECK, **task}
    made = {key: value for key, value in made.items() if value is not None}
    made["alerts"] = [{"to": "oncall", **rule} for rule in rules]
    with pytest.raises(JobError) as error:
        parse_job({"name": "j", "tasks": [made]})
    assert said in str(error.value), error.value


def test_a_batch_task_may_wait_too_long(h: Harness) -> None:
    rule = {"when": "unplaced", "for_s": 60, "to": "oncall"}
    task = {"name": "t", "command": "x", "alerts": [rule]}
    h.submit(parse_job({"name": "b", "tasks": [task]}))
    h.advance(61)
    assert h.told == [("unplaced", "firing")]
