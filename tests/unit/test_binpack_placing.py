"""The bin-packing core places gangs, what is urgent, volumes, parts of GPUs and sidecars."""

from __future__ import annotations

from collections import Counter

import pytest

from pymesos_binpack import core as c
from pymesos_binpack.core import launches, submissions
from pymesos_binpack.jobfiles.parsing import Job, parse_job
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
