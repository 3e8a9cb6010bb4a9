"""The bin-packing core: stored before said, services kept up, batch run once."""

from __future__ import annotations

import json

import pytest

from pymesos_binpack import core as c
from pymesos_binpack.core import launches, updates
from pymesos_binpack.jobfiles.parsing import Job
from pymesos_binpack.jobs.instance import Instance
from pymesos_binpack.placement import placing
from pymesos_binpack.services.views import instance_view
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.binpack_harness import BinpackHarness, job


@pytest.fixture
def h() -> BinpackHarness:
    harness = BinpackHarness()
    harness.feed(c.Subscribed("f"))
    return harness


def test_a_batch_job(h: BinpackHarness) -> None:
    job_id = h.submit(job(instances=2))
    h.offer()
    assert h.launched() == ["j-r.t.0.1", "j-r.t.1.1"]
    for task_id in h.launched():
        h.update(task_id, pb.TASK_RUNNING)
        h.update(task_id, pb.TASK_FINISHED, 0)
    assert h.core.jobs[job_id].state == "finished"
    assert len(h.of(c.Acknowledge)) == 4
    h.offer()
    assert isinstance(h.effects[-1], c.Suppress | c.Decline)


def test_stored_before_said(h: BinpackHarness) -> None:
    h.hold_writes = True
    h.submit(job())
    assert not h.of(c.JobAccepted)
    h.write()
    assert h.of(c.JobAccepted)
    h.offer()
    assert not h.of(c.Accept)
    h.write()
    assert h.of(c.Accept)
    h.update("j-r.t.0.1", pb.TASK_RUNNING)
    assert not h.of(c.Acknowledge)
    h.write()
    assert h.of(c.Acknowledge)


def test_an_end_that_comes_twice_is_not_acknowledged_before_it_is_stored(h: BinpackHarness) -> None:
    """Found by the simulator."""
    h.submit(job())
    h.offer()
    h.hold_writes = True
    h.update("j-r.t.0.1", pb.TASK_FINISHED, 0)
    h.update("j-r.t.0.1", pb.TASK_FINISHED, 0)
    assert not h.of(c.Acknowledge)
    h.write()
    assert len(h.of(c.Acknowledge)) == 2


def test_a_job_submitted_twice_is_one_job(h: BinpackHarness) -> None:
    h.submit(job())
    h.feed(c.JobSubmitted("r", "another-id", job()))
    assert h.of(c.JobAccepted) == [c.JobAccepted("r", "j-r")] * 2
    assert len(h.core.jobs) == 1


def test_a_restart_takes_over_and_runs_nothing_twice(h: BinpackHarness) -> None:
    h.submit(job(instances=2))
    h.offer()
    h.update("j-r.t.0.1", pb.TASK_FINISHED, 0)
    again = BinpackHarness(h.records)
    assert again.core.framework_id == "f"
    again.feed(c.Subscribed("f"))
    assert again.of(c.Reconcile) == [c.Reconcile((("j-r.t.1.1", "a"),))]
    again.offer()
    assert again.launched() == []
    again.update("j-r.t.1.1", pb.TASK_FINISHED, 0)
    assert again.core.jobs["j-r"].state == "finished"


def test_a_launch_that_was_stored_and_not_sent_is_planned_again(h: BinpackHarness) -> None:
    h.submit(job())
    h.offer()
    again = BinpackHarness(h.records)
    again.feed(c.Subscribed("f"))
    again.update("j-r.t.0.1", pb.TASK_UNKNOWN, uuid=b"")
    again.offer()
    assert again.launched() == ["j-r.t.0.2"]


def test_services_are_replaced_at_once_and_then_ever_later(h: BinpackHarness) -> None:
    h.submit(job("service"))
    waits = []
    for attempt in range(1, 8):
        h.offer()
        begin = h.now_s
        while f"j-r.t.0.{attempt}" not in h.launched():
            h.advance(0.25)
            h.offer()
        waits.append(h.now_s - begin)
        h.update(f"j-r.t.0.{attempt}", pb.TASK_RUNNING)
        h.update(f"j-r.t.0.{attempt}", pb.TASK_FAILED, -9)
    assert waits[:2] == [0, 0]
    assert waits[2:] == sorted(waits[2:]) and waits[-1] >= 4


def test_a_service_that_ends_asks_for_offers_again(h: BinpackHarness) -> None:
    h.submit(job("service"))
    h.offer()
    h.update("j-r.t.0.1", pb.TASK_RUNNING)
    h.offer()
    assert isinstance(h.of(c.Suppress)[-1], c.Suppress)
    revived = len(h.of(c.Revive))
    h.update("j-r.t.0.1", pb.TASK_FAILED, 1)
    assert len(h.of(c.Revive)) == revived + 1


def test_a_batch_task_is_tried_again_as_often_as_asked(h: BinpackHarness) -> None:
    job_id = h.submit(job(retries=2))
    for attempt in (1, 2, 3):
        h.offer()
        h.update(f"j-r.t.0.{attempt}", pb.TASK_FAILED, 1)
    assert h.core.jobs[job_id].state == "failed"
    assert "TASK_FAILED" in h.core.jobs[job_id].instances[0].explanation


@pytest.mark.parametrize("state", [pb.TASK_LOST, pb.TASK_DROPPED, pb.TASK_GONE])
def test_a_lost_task_is_no_failure(h: BinpackHarness, state: pb.TaskState) -> None:
    h.submit(job())
    h.offer()
    h.update("j-r.t.0.1", state)
    h.offer()
    assert h.launched() == ["j-r.t.0.1", "j-r.t.0.2"]


def test_a_task_that_the_master_refuses_is_not_tried_for_ever(h: BinpackHarness) -> None:
    job_id = h.submit(job("service"))
    h.offer()
    h.update("j-r.t.0.1", pb.TASK_ERROR, uuid=b"")
    assert h.core.jobs[job_id].state == "failed"


def test_an_unreachable_service_is_replaced_after_a_while_and_killed_when_it_returns(
    h: BinpackHarness,
) -> None:
    h.submit(job("service"))
    h.offer()
    h.update("j-r.t.0.1", pb.TASK_RUNNING)
    h.update("j-r.t.0.1", pb.TASK_UNREACHABLE, uuid=b"")
    h.advance(30)
    h.offer()
    assert h.launched() == ["j-r.t.0.1"]
    h.advance(31)
    h.offer()
    assert h.launched() == ["j-r.t.0.1", "j-r.t.0.2"]
    h.update("j-r.t.0.1", pb.TASK_RUNNING, uuid=b"")
    assert h.of(c.Kill) == [c.Kill("j-r.t.0.1", "a")]


def test_a_replaced_task_is_not_forgotten_over_a_restart(h: BinpackHarness) -> None:
    """Found by the simulator: nobody else would ever end it."""
    h.submit(job("service"))
    h.offer()
    h.update("j-r.t.0.1", pb.TASK_RUNNING)
    h.update("j-r.t.0.1", pb.TASK_UNREACHABLE, uuid=b"")
    h.advance(61)
    again = BinpackHarness(h.records)
    again.feed(c.Subscribed("f"))
    assert ("j-r.t.0.1", "a") in again.of(c.Reconcile)[0].tasks  # type: ignore[union-attr]
    again.update("j-r.t.0.1", pb.TASK_RUNNING, uuid=b"")
    assert again.of(c.Kill) == [c.Kill("j-r.t.0.1", "a")]
    again.update("j-r.t.0.1", pb.TASK_KILLED, -15)
    assert not any(kind == "replaced" for kind, _ in again.records)


def test_a_replaced_task_is_acknowledged_once_that_is_stored(h: BinpackHarness) -> None:
    """Found by the simulator: who took over never heard of what this one had acknowledged."""
    h.submit(job("service"))
    h.offer()
    h.update("j-r.t.0.1", pb.TASK_RUNNING)
    h.update("j-r.t.0.1", pb.TASK_UNREACHABLE, uuid=b"")
    h.hold_writes = True
    h.advance(61)
    before = len(h.of(c.Acknowledge))
    h.update("j-r.t.0.1", pb.TASK_RUNNING, uuid=b"later")
    assert len(h.of(c.Acknowledge)) == before
    h.write()
    assert [a.status.uuid for a in h.of(c.Acknowledge)[before:]] == [b"later"]  # type: ignore[union-attr]


def test_an_unreachable_batch_task_is_waited_for(h: BinpackHarness) -> None:
    h.submit(job())
    h.offer()
    h.update("j-r.t.0.1", pb.TASK_UNREACHABLE, uuid=b"")
    h.advance(3600)
    h.offer()
    assert h.launched() == ["j-r.t.0.1"]


def test_kills_that_say_other_things_are_not_the_same() -> None:
    kill = c.Kill("t", "a", 3.0, "SIGTERM")
    assert kill not in (c.Kill("t", "a"), c.Kill("t", "a", 9.0, "SIGTERM"))
    assert kill != c.Kill("t", "a", 3.0, "SIGINT")


def test_stopping_a_job(h: BinpackHarness) -> None:
    job_id = h.submit(job("service", 2, resources={"cpus": 3}))
    h.offer()
    h.update("j-r.t.0.1", pb.TASK_RUNNING)
    h.feed(c.JobStopped(job_id))
    assert h.of(c.Kill) == [c.Kill("j-r.t.0.1", "a", 3.0, "SIGTERM")]
    h.update("j-r.t.0.1", pb.TASK_KILLED, -15)
    assert h.core.jobs[job_id].state == "stopped"
    h.offer()
    assert len(h.launched()) == 1


def test_what_is_stopped_while_it_waits_says_so(h: BinpackHarness) -> None:
    """How the task before ended is no reason any more, nor after a restart of the framework."""
    job_id = h.submit(job("service", 2, resources={"cpus": 3}))
    h.offer()
    h.update("j-r.t.0.1", pb.TASK_FAILED, 1)
    h.feed(c.JobStopped(job_id))
    for core in (h.core, BinpackHarness(h.records).core):
        crashed, never = (instance_view(i) for i in core.jobs[job_id].instances)
        assert crashed.explanation == "not started again: its job was stopped"
        assert never.explanation == "never started: its job was stopped"
        assert (crashed.cause, crashed.reason, crashed.next_start_at_s) == ("", 0, 0)


def test_a_rescinded_offer_is_not_used(h: BinpackHarness) -> None:
    h.hold_writes = True
    h.submit(job())
    offer_id = h.offer()
    h.feed(c.OfferRescinded(offer_id))
    h.write()
    assert h.launched() == []


def test_what_does_not_fit_is_declined_for_long_and_explained(h: BinpackHarness) -> None:
    job_id = h.submit(job(resources={"cpus": 8}))
    offer_id = h.offer()
    assert c.Decline((offer_id,), placing.REFUSE_S) in h.effects
    instance = h.core.jobs[job_id].instances[0]
    assert instance.explanation == "needs 8 cpus, the largest agent has 4 cpus"
    assert instance.refusal is not None
    assert instance.refusal.lasting


def test_without_offers_that_is_explained(h: BinpackHarness) -> None:
    job_id = h.submit(job())
    h.advance(1.1)
    assert "no agent has been offered" in h.core.jobs[job_id].instances[0].explanation


def test_new_work_revives_what_was_suppressed(h: BinpackHarness) -> None:
    h.offer()
    assert h.of(c.Suppress)
    h.submit(job())
    assert h.of(c.Revive)


def test_tasks_that_nobody_knows_are_killed(h: BinpackHarness) -> None:
    h.update("stranger", pb.TASK_RUNNING)
    assert h.of(c.Kill) == [c.Kill("stranger", "a")]
    assert h.of(c.Acknowledge)


def test_a_job_whose_end_is_being_written_is_not_forgotten(h: BinpackHarness) -> None:
    """Else who waits for it waits for ever: nobody hears of its end."""
    first = h.core.jobs[h.submit(job(), "first")]
    h.offer()
    last = h.submit(job(), "last")
    h.offer()
    for number in range(updates.MAX_ENDED_JOBS):
        h.submit(job(), f"r{number}")
        h.offer()
        h.update(f"j-r{number}.t.0.1", pb.TASK_FINISHED, 0)
    h.hold_writes = True
    h.update("j-first.t.0.1", pb.TASK_FINISHED, 0)
    h.update(f"{last}.t.0.1", pb.TASK_FINISHED, 0)
    h.hold_writes = False
    h.write()
    assert first.is_over and first.state == "finished"


def test_ended_jobs_are_forgotten_in_time(h: BinpackHarness) -> None:
    for number in range(updates.MAX_ENDED_JOBS + 5):
        h.submit(job(), f"r{number}")
        h.offer()
        h.update(f"j-r{number}.t.0.1", pb.TASK_FINISHED, 0)
    assert len(h.core.jobs) == updates.MAX_ENDED_JOBS
    assert len([1 for kind, _ in h.records if kind == "job"]) == updates.MAX_ENDED_JOBS


def test_a_plan_looks_at_no_job_that_does_not_wait(
    h: BinpackHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There may be thousands, and each offer is planned over."""
    looked_at: list[str] = []
    right = launches._attributes_of

    def noted(ctx: object, instance: Instance) -> dict[str, str]:
        looked_at.append(instance.job_id)
        return dict(right(ctx, instance))  # type: ignore[arg-type]

    monkeypatch.setattr(launches, "_attributes_of", noted)
    runs = h.submit(job("service", constraints=["hostname:UNIQUE"]), "runs")
    h.offer()
    h.update(f"{runs}.t.0.1", pb.TASK_RUNNING)
    waits = h.submit(job("service", 2, constraints=["hostname:UNIQUE"]), "waits")
    h.offer()
    h.update(f"{waits}.t.0.1", pb.TASK_RUNNING)
    looked_at.clear()
    h.offer()
    assert looked_at == [waits]


def test_what_usually_comes_is_counted_as_jobs_come_and_end(h: BinpackHarness) -> None:
    first, second = h.submit(job(), "first"), h.submit(job(instances=3), "second")
    h.core.check()
    h.offer()
    h.update(f"{first}.t.0.1", pb.TASK_FINISHED, 0)
    h.core.check()
    (count,) = h.core._ctx.roster.shapes.values()
    assert count == 3
    h.feed(c.JobStopped(second))
    for instance in h.core.jobs[second].instances:
        if instance.live:
            h.update(instance.saved.task_id, pb.TASK_KILLED)
    h.core.check()
    assert not h.core._ctx.roster.shapes


class TestAgentsThatAreLost:
    ROOM = "cpus:9;mem:900"
    FULL = "cpus:1;mem:10"  # with one of these

    @staticmethod
    def spread(instances: int, operator: str) -> Job:
        resources = {"cpus": 1, "mem": 10}
        return job("service", instances, constraints=[f"rack:{operator}"], resources=resources)

    def test_a_rack_that_is_gone_holds_nobody_back(self, h: BinpackHarness) -> None:
        h.feed(c.Subscribed("f"))
        h.submit(self.spread(4, "GROUP_BY"))
        h.offer(self.FULL, agent="b", rack="r2")
        h.offer(self.ROOM, agent="c", rack="r1")
        assert len(h.launched()) == 3, "one more than on the other rack"
        h.offer(self.ROOM, agent="c", rack="r1")
        assert len(h.launched()) == 3
        h.feed(c.AgentLost("b"))
        h.offer(self.ROOM, agent="c", rack="r1")
        assert len(h.launched()) == 4

    def test_what_another_leader_tells_nobody(self, h: BinpackHarness) -> None:
        h.feed(c.Subscribed("f"))
        h.submit(self.spread(4, "GROUP_BY"))
        h.offer(self.FULL, agent="b", rack="r2")
        h.offer(self.ROOM, agent="c", rack="r1")
        assert len(h.launched()) == 3
        h.feed(c.Disconnected())
        h.feed(c.Subscribed("f"))
        h.offer(self.ROOM, agent="c", rack="r1")
        assert len(h.launched()) == 4

    def test_where_it_runs_is_not_forgotten_over_a_restart(self, h: BinpackHarness) -> None:
        """The agent is full, so nobody offers it to the next one."""
        h.feed(c.Subscribed("f"))
        h.submit(self.spread(2, "UNIQUE"))
        h.offer(self.FULL, agent="a", rack="r1")
        h.update(h.launched()[0], pb.TASK_RUNNING)
        again = BinpackHarness(h.records)
        again.feed(c.Subscribed("f"))
        again.offer(self.ROOM, agent="b", rack="r1")
        assert again.launched() == []
        again.offer(self.ROOM, agent="c", rack="r2")
        assert len(again.launched()) == 1

    def test_an_instance_of_an_older_version_counts(self, h: BinpackHarness) -> None:
        h.feed(c.Subscribed("f"))
        h.submit(self.spread(2, "UNIQUE"))
        h.offer(self.FULL, agent="a", rack="r1")
        for key, value in h.records.items():
            if b'"attributes"' in value:
                record = json.loads(value)
                del record["attributes"]
                h.records[key] = json.dumps(record).encode()
        again = BinpackHarness(h.records)
        again.feed(c.Subscribed("f"))
        again.offer(self.ROOM, agent="a", rack="r1")
        assert again.launched() == []
