"""The bin-packing core: stored before said, services kept up, batch run once."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from pymesos_binpack import core as c
from pymesos_binpack.core import launches, submissions, updates
from pymesos_binpack.jobfiles.parsing import Job, parse_job
from pymesos_binpack.jobs.instance import Instance
from pymesos_binpack.placement import placing
from pymesos_binpack.services.views import instance_view
from pymesos_core import limits
from pymesos_core.resources import Resources, devices, from_proto, parse, to_proto
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


def gang() -> Job:
    return job(instances=3, gang=True, resources={"cpus": 2, "mem": 10})


class TestGangs:
    def test_all_or_nothing(self, h: BinpackHarness) -> None:
        h.submit(gang())
        h.offer("cpus:4;mem:400", "a")
        assert not h.launched() and not h.of(c.Decline), "kept for a while"
        h.advance(1.0)
        h.offer("cpus:2;mem:400", "b")
        assert len(h.launched()) == 3

    def test_what_is_held_back_is_given_back_and_asked_for_again_soon(
        self, h: BinpackHarness
    ) -> None:
        h.submit(gang())
        offer_id = h.offer("cpus:4;mem:400", "a")
        h.advance(placing.HOLD_S + 0.1)
        (declined,) = [e for e in h.of(c.Decline) if isinstance(e, c.Decline)]
        assert (declined.offer_ids, declined.refuse_s) == ((offer_id,), placing.GANG_REFUSE_S)
        for _ in range(9):
            h.offer("cpus:4;mem:400", "a")
            h.advance(placing.HOLD_S + 0.1)
        last = [e for e in h.of(c.Decline) if isinstance(e, c.Decline)][-1]
        assert last.refuse_s == placing.GANG_REFUSE_MAX_S, "a gang in vain does not hoard"

    def test_a_rescinded_offer_is_not_planned_with(self, h: BinpackHarness) -> None:
        h.submit(gang())
        offer_id = h.offer("cpus:4;mem:400", "a")
        h.feed(c.OfferRescinded(offer_id))
        h.offer("cpus:2;mem:400", "b")
        assert not h.launched()


def prioritized(name: str, priority: int, *, preempt: bool = False, **task: object) -> Job:
    made = {"name": "t", "command": "x", "resources": {"cpus": 4, "mem": 10}, **task}
    document = {"name": name, "priority": priority, "preempt": preempt, "tasks": [made]}
    return parse_job(document)


class TestPriorities:
    def test_the_higher_goes_first(self, h: BinpackHarness) -> None:
        h.submit(prioritized("low", 0), "1")
        h.submit(prioritized("high", 9), "2")
        h.offer("cpus:4;mem:400")
        assert h.launched() == ["high-2.t.0.1"]

    def fill(self, h: BinpackHarness) -> None:
        h.submit(prioritized("low", 1, instances=2, resources={"cpus": 2, "mem": 10}), "1")
        h.offer("cpus:4;mem:400")
        for task_id in h.launched():
            h.update(task_id, pb.TASK_RUNNING)

    def test_lower_ones_make_room_and_are_run_again(self, h: BinpackHarness) -> None:
        self.fill(h)
        h.submit(prioritized("high", 9, preempt=True), "2")
        h.advance(2.0)
        killed = [e.task_id for e in h.of(c.Kill) if isinstance(e, c.Kill)]
        assert sorted(killed) == ["low-1.t.0.1", "low-1.t.1.1"]
        for task_id in killed:
            h.update(task_id, pb.TASK_KILLED)
        assert h.core.jobs["low-1"].state == "running", "they are to be run again"
        h.offer("cpus:4;mem:400")
        assert h.launched()[2:] == ["high-2.t.0.1"]

    def test_a_restart_between_the_kill_and_the_end_loses_nothing(self, h: BinpackHarness) -> None:
        self.fill(h)
        h.submit(prioritized("high", 9, preempt=True), "2")
        h.advance(2.0)
        again = BinpackHarness(h.records)
        again.feed(c.Subscribed("f"))
        again.update("low-1.t.0.1", pb.TASK_KILLED)
        again.update("low-1.t.1.1", pb.TASK_FINISHED, 0)
        kinds = [instance.saved.done for instance in again.core.jobs["low-1"].instances]
        assert kinds == [False, True], "what finished all the same is not run again"

    def test_only_as_many_as_must(self, h: BinpackHarness) -> None:
        self.fill(h)
        high = prioritized("high", 9, preempt=True, resources={"cpus": 2, "mem": 10})
        h.submit(high, "2")
        h.advance(2.0)
        assert len(h.of(c.Kill)) == 1
        h.advance(5.0)
        assert len(h.of(c.Kill)) == 1, "once is enough"

    def test_room_is_made_for_a_whole_gang_and_kept_until_it_is_all_there(
        self, h: BinpackHarness
    ) -> None:
        h.submit(prioritized("low", 1, instances=2, resources={"cpus": 4, "mem": 10}), "1")
        for agent in "ab":
            h.offer("cpus:4;mem:400", agent)
        for task_id in h.launched():
            h.update(task_id, pb.TASK_RUNNING)
        high = prioritized("high", 9, preempt=True, instances=2, gang=True)
        h.submit(high, "2")
        h.advance(2.0)
        killed = [e.task_id for e in h.of(c.Kill) if isinstance(e, c.Kill)]
        assert sorted(killed) == ["low-1.t.0.1", "low-1.t.1.1"]
        h.update(killed[0], pb.TASK_KILLED)
        h.offer("cpus:4;mem:400", "a")
        h.advance(1.0)
        waiting = h.core.jobs["low-1"].instances[int(killed[0].split(".")[2])]
        assert "kept for tasks of higher priority" in waiting.explanation
        assert len(h.launched()) == 2, "not even what was killed goes back there"
        h.update(killed[1], pb.TASK_KILLED)
        h.offer("cpus:4;mem:400", "b")
        assert h.launched()[2:] == ["high-2.t.0.1", "high-2.t.1.1"]
        h.offer("cpus:8;mem:400", "c")
        assert sorted(h.launched()[4:]) == ["low-1.t.0.2", "low-1.t.1.2"]

    def test_a_gang_that_cannot_be_whole_kills_nobody(self, h: BinpackHarness) -> None:
        self.fill(h)
        h.submit(prioritized("high", 9, preempt=True, instances=3, gang=True), "2")
        h.advance(2.0)
        assert not h.of(c.Kill)

    def test_room_is_not_kept_for_ever(self, h: BinpackHarness) -> None:
        self.fill(h)
        h.submit(prioritized("high", 9, preempt=True, kill_grace_s=1), "2")
        h.advance(2.0)
        h.update("low-1.t.0.1", pb.TASK_KILLED)
        h.offer("cpus:2;mem:400")
        assert len(h.launched()) == 2
        h.advance(launches.PREEMPT_AGAIN_S + 10)
        h.offer("cpus:2;mem:400")
        assert h.launched()[2:] == ["low-1.t.0.2"]

    @pytest.mark.parametrize(("priority", "preempt"), [(9, False), (1, True), (0, True)])
    def test_not_unless_it_may(self, h: BinpackHarness, priority: int, preempt: bool) -> None:
        self.fill(h)
        h.submit(prioritized("high", priority, preempt=preempt), "2")
        h.advance(2.0)
        assert not h.of(c.Kill)


class TestVolumes:
    JOB = parse_job(
        {
            "name": "j",
            "role": "db",
            "tasks": [
                {
                    "name": "t",
                    "kind": "service",
                    "command": "x",
                    "resources": {"cpus": 1, "mem": 10},
                    "volumes": [{"name": "data", "path": "data", "size": 100}],
                }
            ],
        }
    )

    def test_it_is_made_at_the_first_launch_and_found_again(self, h: BinpackHarness) -> None:
        h.submit(self.JOB)
        h.offer("cpus:4;mem:400;disk:50", "small")
        assert not h.launched()
        h.offer("cpus:4;mem:400;disk:500", "a")
        (accept,) = [e for e in h.of(c.Accept) if isinstance(e, c.Accept)]
        kinds = [operation.WhichOneof("operation") for operation in accept.before]
        assert kinds == ["reserve", "create"]
        given = from_proto(accept.tasks[0].resources)
        (tag,) = given.tagged
        assert tag.volume is not None and tag.role == "db"
        assert given.scalar("disk") == 0
        h.update("j-r.t.0.1", pb.TASK_RUNNING)
        h.update("j-r.t.0.1", pb.TASK_FAILED, 1)
        again = BinpackHarness(h.records)  # a restart in between
        again.feed(c.Subscribed("f"))
        again.offer("cpus:4;mem:400;disk:500", "b")
        assert not again.launched(), "its data are elsewhere"
        there = parse("cpus:4;mem:400;disk:400") + Resources(tagged={tag: parse("disk:100")})
        offer = pb.Offer(
            offer_id="o", agent_id="a", hostname="a", role="db", resources=to_proto(there)
        )
        again.feed(c.OffersReceived((offer,)))
        assert again.launched() == ["j-r.t.0.2"]
        (accept,) = [e for e in again.of(c.Accept) if isinstance(e, c.Accept)]
        assert not accept.before
        assert from_proto(accept.tasks[0].resources).contains(
            Resources(tagged={tag: parse("disk:100")})
        )

    def test_they_are_lost_with_their_agent(self, h: BinpackHarness) -> None:
        h.submit(self.JOB)
        h.offer("cpus:4;mem:400;disk:500", "a")
        h.update("j-r.t.0.1", pb.TASK_RUNNING)
        h.update("j-r.t.0.1", pb.TASK_GONE_BY_OPERATOR)
        h.offer("cpus:4;mem:400;disk:500", "b")
        assert h.launched() == ["j-r.t.0.1", "j-r.t.0.2"]


def test_parts_of_a_gpu_share_a_device_and_whole_ones_do_not(h: BinpackHarness) -> None:
    h.submit(job(instances=2, resources={"cpus": 1, "mem": 10, "gpus": 0.5}), "1")
    h.submit(job(instances=1, resources={"cpus": 1, "mem": 10, "gpus": 1}), "2")
    h.offer("cpus:8;mem:400;gpus#0:1;gpus#1:1")
    used: dict[str, int] = {}
    for accept in h.of(c.Accept):
        assert isinstance(accept, c.Accept)
        for info in accept.tasks:
            for name, milli in devices(from_proto(info.resources)).items():
                used[name] = used.get(name, 0) + milli
    assert used == {"0": 1000, "1": 1000} and len(h.launched()) == 3


def test_affinity_and_its_opposite(h: BinpackHarness) -> None:
    tasks = [
        {"name": "db", "command": "x", "kind": "service"},
        {"name": "near", "command": "x", "constraints": ["hostname:WITH:db"]},
        {"name": "far", "command": "x", "constraints": ["hostname:AWAY:db"]},
    ]
    h.submit(parse_job({"name": "j", "tasks": tasks}))
    h.offer("cpus:4;mem:400", "a")
    h.offer("cpus:4;mem:400", "b")
    where = {
        info.name: info.agent_id
        for effect in h.of(c.Accept)
        if isinstance(effect, c.Accept)
        for info in effect.tasks
    }
    if "near" not in where:  # it was planned before the db ran
        h.offer("cpus:4;mem:400", where["db"])
        where["near"] = next(
            info.agent_id
            for effect in h.of(c.Accept)
            if isinstance(effect, c.Accept)
            for info in effect.tasks
            if info.name == "near"
        )
    assert where["near"] == where["db"]
    assert where.get("far") != where["db"]


def pair(kind: str = "service", **keys: object) -> Job:
    sidecar = {"name": "proxy", "command": "p", "resources": {"cpus": 0.5, "mem": 8}}
    task = {"name": "t", "command": "x", "kind": kind, "sidecars": [sidecar], **keys}
    return parse_job({"name": "j", "tasks": [task]})


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


class TestSidecars:
    """A task and its sidecars are one to the planner, and a group to the master."""

    MAIN = "j-r.t.0.1"
    BESIDE = "j-r.t.0.1+proxy"

    def running(self, job: Job) -> BinpackHarness:
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        h.submit(job)
        h.offer()
        h.update(self.MAIN, pb.TASK_RUNNING)
        h.update(self.BESIDE, pb.TASK_RUNNING)
        h.effects.clear()
        return h

    def test_they_are_launched_as_a_group(self) -> None:
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        h.submit(pair())
        h.offer("cpus:0.5;mem:400")
        assert h.of(c.Accept) == [], "there is room for one of them only"
        h.offer("cpus:4;mem:400", "b")
        (accept,) = h.of(c.Accept)
        assert isinstance(accept, c.Accept)
        assert accept.tasks == ()
        ((main, beside),) = accept.groups
        assert (main.task_id, beside.task_id) == (self.MAIN, self.BESIDE)
        assert from_proto(main.resources) == parse("cpus:0.1;mem:32")
        assert from_proto(beside.resources) == parse("cpus:0.5;mem:8")

    def test_a_task_that_ends_well_ends_its_sidecars(self) -> None:
        h = self.running(pair("batch"))
        h.hold_writes = True
        h.update(self.MAIN, pb.TASK_FINISHED)
        assert h.of(c.Kill) == [], "stored before said"
        h.hold_writes = False
        h.write()
        assert h.of(c.Kill) == [c.Kill(self.BESIDE, "a")]
        again = BinpackHarness(h.records)
        again.feed(c.Subscribed("f"))
        (asked,) = again.of(c.Reconcile)
        assert isinstance(asked, c.Reconcile) and asked.tasks == ((self.BESIDE, "a"),)
        again.update(self.BESIDE, pb.TASK_RUNNING)
        assert again.of(c.Kill) == [c.Kill(self.BESIDE, "a")]
        again.update(self.BESIDE, pb.TASK_KILLED)
        assert not [key for kind, key in h.records if kind == "replaced"]

    def test_a_sidecar_that_has_ended_is_not_asked_for(self) -> None:
        h = self.running(pair("batch"))
        h.update(self.BESIDE, pb.TASK_FINISHED)
        h.update(self.MAIN, pb.TASK_FINISHED)
        assert h.of(c.Kill) == [] and len(h.of(c.Acknowledge)) == 2

    def test_a_sidecar_that_fails_costs_a_retry(self) -> None:
        h = self.running(pair("batch", retries=1))
        h.update(self.BESIDE, pb.TASK_FAILED)
        h.update(self.MAIN, pb.TASK_KILLED)
        h.offer()
        assert len(h.of(c.Accept)) == 1, "once more"
        h.update("j-r.t.0.2", pb.TASK_KILLED)
        h.offer()
        assert len(h.of(c.Accept)) == 1, "and no more"


class TestGangsAndTheLimitsOfAnAccept:
    ROOM = "cpus:2000;mem:200000"

    def of_gangs(self, h: BinpackHarness) -> Counter[str]:
        return Counter(i.partition(".")[0] for i in h.launched())

    def test_a_gang_is_not_split(self, h: BinpackHarness) -> None:
        for name in "ab":
            h.submit(job(instances=800, gang=True), name)
        h.offer(self.ROOM)
        assert list(self.of_gangs(h).values()) == [800]
        h.offer(self.ROOM, "b")
        assert self.of_gangs(h) == {"j-a": 800, "j-b": 800}

    def test_nor_over_agents(self, h: BinpackHarness) -> None:
        """One of them has room for the whole of the first, and a part of the second."""
        h.submit(job(instances=900, gang=True), "a")
        h.submit(job(instances=900, gang=True), "b")
        room = [("cpus:140;mem:200000", "a"), ("cpus:90;mem:200000", "b")]
        offers = []
        for text, agent in room:
            resources = to_proto(parse(text))
            offers.append(
                pb.Offer(offer_id=agent, agent_id=agent, hostname=agent, resources=resources)
            )
        h.feed(c.OffersReceived(tuple(offers)))
        assert set(self.of_gangs(h).values()) == {900}
        assert all(len(e.tasks) <= 1000 for e in h.of(c.Accept) if isinstance(e, c.Accept))

    def test_one_that_is_too_large_is_refused(self, h: BinpackHarness) -> None:
        h.submit(job(instances=limits.CALL_TASKS.most + 1, gang=True))
        (refused,) = [e for e in h.of(c.JobRefused) if isinstance(e, c.JobRefused)]
        assert "the gang t has 1001 tasks" in refused.message
        h.submit(job(instances=1000, gang=True, command="x" * 10_000), "2")
        assert len(h.of(c.JobRefused)) == 2

    def test_one_that_an_older_version_took_is_explained(
        self, h: BinpackHarness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as older:
            older.setattr(submissions, "gang_problem", lambda _: None)
            h.submit(job(instances=limits.CALL_TASKS.most + 1, gang=True))
        again = BinpackHarness(h.records)
        again.feed(c.Subscribed("f"))
        before = len(again.of(c.JobChanged))
        again.offer("cpus:2000;mem:2000000")
        assert not again.launched()
        view = instance_view(again.core.jobs["j-r"].instances[-1])
        assert view.cause == "GANG" and "the gang t has 1001 tasks" in view.explanation
        assert len(again.of(c.JobChanged)) > before
