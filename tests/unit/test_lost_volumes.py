"""The data of an agent that stays unreachable are given up only when somebody says so."""

from __future__ import annotations

import json

import pytest

from pymesos_binpack import core as c
from pymesos_binpack.jobfiles.parsing import Job, JobError, parse_job
from pymesos_core.resource_tags import Tag
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.binpack_harness import BinpackHarness
from pymesos_testing.volume_jobs import (
    ROOM,
    database,
    explanation,
    losable,
    made,
    offer_with,
    run,
    volume_tags,
)


@pytest.fixture
def h() -> BinpackHarness:
    harness = BinpackHarness()
    harness.feed(c.Subscribed("f"))
    return harness


def with_constraints(job: Job, *constraints: str) -> Job:
    document = json.loads(job.document)
    for task in document["tasks"]:
        task["constraints"] = list(constraints)
    return parse_job(document)


class TestAnAgentThatStaysUnreachable:
    """The instance begins elsewhere with an empty volume only where somebody said so."""

    def unreachable(self, h: BinpackHarness, job: Job) -> list[Tag]:
        h.submit(job, "1")
        h.offer(ROOM, "a")
        h.update("db-1.t.0.1", pb.TASK_RUNNING)
        h.update("db-1.t.0.1", pb.TASK_UNREACHABLE, uuid=b"")
        h.feed(c.AgentLost("a"))
        return volume_tags(h)

    def test_is_given_up_with_its_data_after_a_while(self, h: BinpackHarness) -> None:
        left = self.unreachable(h, losable(unreachable_replace_s=30))
        assert "another takes its place, with empty volumes" in explanation(h, "db-1")
        h.advance(29)
        h.offer(ROOM, "b")
        assert h.launched() == ["db-1.t.0.1"]
        h.advance(2)
        h.offer(ROOM, "b")
        assert h.launched()[1:] == ["db-1.t.0.2"] and made(h) == ["db.t.0.data"] * 2
        h.update("db-1.t.0.2", pb.TASK_RUNNING, agent="b")
        assert [v.agent_id for v in h.core.volumes] == ["b"]
        h.update("db-1.t.0.2", pb.TASK_FAILED, agent="b")
        h.advance(60)
        offer_with(h, left, "a")
        assert len(h.launched()) == 2, "what it wrote since is on b"
        offer_with(h, left, "b")
        assert h.launched()[2:] == ["db-1.t.0.3"]
        h.core.check()

    def test_or_has_it_again_if_the_agent_is_back_first(self, h: BinpackHarness) -> None:
        left = self.unreachable(h, losable(unreachable_replace_s=30))
        h.advance(31)
        offer_with(h, left, "a")
        assert h.launched()[1:] == ["db-1.t.0.2"] and made(h) == ["db.t.0.data"]

    def probed(self, h: BinpackHarness, state: pb.TaskState) -> None:
        *_, asked = [e for e in h.of(c.Reconcile) if isinstance(e, c.Reconcile)]
        h.feed(c.TaskUpdated(pb.TaskStatus(task_id=asked.tasks[0][0], state=state, agent_id="a")))

    def test_so_is_what_one_that_waits_has_there(self, h: BinpackHarness) -> None:
        run(h, losable(unreachable_replace_s=30))
        h.submit(losable(unreachable_replace_s=30), "2")
        h.feed(c.AgentLost("a"))
        self.probed(h, pb.TASK_UNREACHABLE)
        h.advance(29)
        h.offer(ROOM, "b")
        assert len(h.launched()) == 1
        h.advance(2)
        self.probed(h, pb.TASK_UNREACHABLE)
        h.offer(ROOM, "b")
        assert h.launched()[1:] == ["db-2.t.0.1"] and made(h) == ["db.t.0.data"] * 2
        h.core.check()

    def test_an_agent_that_was_back_meanwhile_is_waited_for_anew(self, h: BinpackHarness) -> None:
        run(h, losable(unreachable_replace_s=30))
        h.submit(losable(unreachable_replace_s=30), "2")
        for _ in range(3):
            h.feed(c.AgentLost("a"))
            self.probed(h, pb.TASK_UNREACHABLE)
            h.advance(20)
        h.offer(ROOM, "b")
        h.advance(11)
        self.probed(h, pb.TASK_UNKNOWN)
        h.advance(60)
        h.offer(ROOM, "b")
        assert len(h.launched()) == 1

    @pytest.mark.parametrize("task", ["t", ""])
    def test_is_given_up_when_somebody_says_so(self, h: BinpackHarness, task: str) -> None:
        self.unreachable(h, database())
        assert "restart db.t --lose-volumes" in explanation(h, "db-1")
        job = h.core.jobs["db-1"]
        named = (task,) if task else ()
        assert [i.index for i in h.core.without_data(job, named)] == [0]
        h.feed(c.VolumesGivenUp("db-1", ("other",)))
        h.offer(ROOM, "b")
        assert len(h.launched()) == 1
        h.feed(c.VolumesGivenUp("db-1", named))
        assert not h.core.without_data(job, named)
        h.offer(ROOM, "b")
        assert h.launched()[1:] == ["db-1.t.0.2"] and made(h) == ["db.t.0.data"] * 2
        h.core.check()

    def test_also_of_one_that_waits_but_not_of_an_agent_that_is_there(
        self, h: BinpackHarness
    ) -> None:
        run(h)
        h.submit(database(), "2")
        h.feed(c.VolumesGivenUp("db-2"))
        h.offer(ROOM, "b")
        assert len(h.launched()) == 1, "its agent can be reached"
        h.feed(c.AgentLost("a"))
        h.offer(ROOM, "b")
        assert "--lose-volumes" in explanation(h, "db-2")
        h.feed(c.VolumesGivenUp("db-2"))
        h.offer(ROOM, "b")
        assert h.launched()[1:] == ["db-2.t.0.1"]
        again = BinpackHarness(h.records)
        assert not again.core.jobs["db-2"].instances[0].saved.data_on
        h.core.check()


class TestAnAgentWhereItMayNotRun:
    """Found by hand: ZooKeeper's server was to move, and waited for an agent "not offered now"."""

    def moved(self, h: BinpackHarness) -> list[Tag]:
        """A first run on a, and a second that its constraints keep from there."""
        left = run(h)
        h.submit(with_constraints(database(), "hostname:IS:b"), "2")
        offer_with(h, left)
        return left

    def test_it_says_so_and_waits(self, h: BinpackHarness) -> None:
        self.moved(h)
        h.offer(ROOM, "b")
        assert len(h.launched()) == 1
        said = explanation(h, "db-2")
        assert "on a, where it may not run (hostname:IS:b: hostname is a)" in said
        assert "restart JOB --lose-volumes" in said

    def test_it_begins_without_its_data_when_somebody_says_so(self, h: BinpackHarness) -> None:
        left = self.moved(h)
        h.feed(c.VolumesGivenUp("db-2"))
        offer_with(h, left)
        h.offer(ROOM, "b")
        assert h.launched()[1:] == ["db-2.t.0.1"] and made(h) == ["db.t.0.data"] * 2
        assert not h.core.without_data(h.core.jobs["db-2"], ())
        h.core.check()


def test_what_may_be_lost_is_said_of_all_volumes_of_a_task() -> None:
    volume = {"name": "data", "path": "data", "size": 100, "migrate": "lose_data"}
    other = {"name": "log", "path": "log", "size": 100}
    task = {"name": "t", "kind": "service", "command": "x", "volumes": [volume, other]}
    with pytest.raises(JobError, match="say `migrate: lose_data` of log"):
        parse_job({"name": "db", "role": "ops", "tasks": [task]})


def test_to_say_it_replaces_nothing() -> None:
    assert losable().tasks[0].digest == database().tasks[0].digest
