"""A volume belongs to the name of its job: the next run of that name finds its data."""

from __future__ import annotations

import json

import pytest

from pymesos_binpack import core as c
from pymesos_binpack.core import updates
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.binpack_harness import BinpackHarness
from pymesos_testing.volume_jobs import (
    ROOM,
    accepts,
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


def test_volumes_on_several_agents_are_explained_until_one_is_removed(h: BinpackHarness) -> None:
    """An older version took such a job: it waited, or went on without a part of its data."""
    left = run(h, database(100, 1, "db", "log"))
    h.submit(database(100, 1, "db", "log"), "2")
    for old in [key for key in h.records if "db-1" in key[1]]:
        del h.records[old]
    key = next(key for key in h.records if key[0] == "volume" and key[1].endswith("/log"))
    record = json.loads(h.records[key])
    h.records[key] = json.dumps({**record, "agent_id": "b", "hostname": "b"}).encode()
    again = BinpackHarness(h.records)
    again.feed(c.Subscribed("f"))
    assert "db.t.0.log" in explanation(again, "db-2") and "on b" in explanation(again, "db-2")
    offer_with(again, left)
    assert not again.launched()
    again.core.check()
    again.feed(c.VolumeRemoved("ops", "db.t.0.log"))
    offer_with(again, left[:1])
    assert again.launched() == ["db-2.t.0.1"]
    assert not explanation(again, "db-2")
    again.core.check()


@pytest.mark.parametrize(
    "state",
    [pb.TASK_LOST, pb.TASK_DROPPED, pb.TASK_GONE, pb.TASK_UNKNOWN, pb.TASK_FAILED, pb.TASK_KILLED],
)
def test_a_task_that_is_lost_keeps_its_data(h: BinpackHarness, state: pb.TaskState) -> None:
    """marathon#4603: with TASK_LOST the volume was deleted, and its data with it."""
    job_id = h.submit(database(), "1")
    h.offer(ROOM, "a")
    h.update(f"{job_id}.t.0.1", pb.TASK_RUNNING)
    left = volume_tags(h)
    h.update(f"{job_id}.t.0.1", pb.TASK_UNREACHABLE, uuid=b"v")
    h.advance(3600)
    h.offer(ROOM, "b")
    assert h.launched() == [f"{job_id}.t.0.1"], "its agent may come back, with its data"
    h.update(f"{job_id}.t.0.1", state, uuid=b"w")
    h.advance(1)
    h.offer(ROOM, "b")
    assert h.launched() == [f"{job_id}.t.0.1"], "its data are elsewhere"
    assert [(v.volume_id, v.agent_id) for v in h.core.volumes] == [("db.t.0.data", "a")]
    offer_with(h, left)
    assert h.launched()[1:] == [f"{job_id}.t.0.2"]
    assert (made(h), volume_tags(h)) == (["db.t.0.data"], left)
    before = [operation for accept in accepts(h) for operation in accept.before]
    assert {operation.WhichOneof("operation") for operation in before} == {"reserve", "create"}


@pytest.mark.parametrize("kind", ["service", "batch"])
def test_what_begins_without_its_data_is_not_ended_by_those_that_come_back(
    h: BinpackHarness, kind: str
) -> None:
    """Found by the simulator: the master refuses to make a volume of which the old one is used."""
    volumes = [{"name": "data", "path": "data", "size": 100, "migrate": "lose_data"}]
    task: dict[str, object] = {"name": "t", "kind": kind, "command": "x", "volumes": volumes}
    task["unreachable_replace_s"] = 5
    job_id = h.submit(parse_job({"name": "db", "role": "ops", "tasks": [task]}), "1")
    h.offer(ROOM, "a")
    h.update(f"{job_id}.t.0.1", pb.TASK_RUNNING)
    left = volume_tags(h)
    h.update(f"{job_id}.t.0.1", pb.TASK_UNREACHABLE, uuid=b"v")
    h.advance(6)
    h.offer(ROOM, "a")
    assert h.launched() == [f"{job_id}.t.0.1", f"{job_id}.t.0.2"]
    h.update(f"{job_id}.t.0.2", pb.TASK_ERROR, uuid=b"w")
    h.advance(600)
    offer_with(h, left)
    assert h.launched()[2:] == [f"{job_id}.t.0.3"]
    assert volume_tags(h) == left


def test_the_first_try_of_a_new_version_is_not_ended_by_them_either(h: BinpackHarness) -> None:
    """Found by the simulator, too: the task before it has given its data up."""
    h.submit(losable(unreachable_replace_s=5), "1")
    h.offer(ROOM, "a")
    h.update("db-1.t.0.1", pb.TASK_RUNNING)
    left = volume_tags(h)
    h.update("db-1.t.0.1", pb.TASK_UNREACHABLE, uuid=b"v")
    h.advance(6)
    changed = losable(unreachable_replace_s=5, command="y")
    h.feed(c.VersionProposed("2", "db-1", h.core.jobs["db-1"].version, changed, "apply"))
    h.offer(ROOM, "a")
    assert h.launched()[1:] == ["db-1.t.0.v2.1"]
    h.update("db-1.t.0.v2.1", pb.TASK_ERROR, uuid=b"w")
    h.advance(600)
    offer_with(h, left)
    assert h.launched()[2:] == ["db-1.t.0.v2.2"]
    assert volume_tags(h) == left


def test_nor_is_what_was_launched_before_a_restart(h: BinpackHarness) -> None:
    h.submit(losable(unreachable_replace_s=5), "1")
    h.offer(ROOM, "a")
    h.update("db-1.t.0.1", pb.TASK_RUNNING)
    h.update("db-1.t.0.1", pb.TASK_UNREACHABLE, uuid=b"v")
    h.advance(6)
    h.offer(ROOM, "a")
    assert h.launched() == ["db-1.t.0.1", "db-1.t.0.2"]
    again = BinpackHarness(h.records)
    again.feed(c.Subscribed("f"))
    again.update("db-1.t.0.2", pb.TASK_ERROR, uuid=b"w")
    again.advance(600)
    again.offer(ROOM, "b")
    assert again.launched() == ["db-1.t.0.3"]


def test_a_later_run_of_the_name_is_not_ended_by_them_either(h: BinpackHarness) -> None:
    job = losable(unreachable_replace_s=5)
    h.submit(job, "1")
    h.offer(ROOM, "a")
    h.update("db-1.t.0.1", pb.TASK_RUNNING)
    left = volume_tags(h)
    h.update("db-1.t.0.1", pb.TASK_UNREACHABLE, uuid=b"v")
    h.advance(6)
    h.feed(c.JobStopped("db-1"))
    h.submit(job, "2")
    h.offer(ROOM, "a")
    assert h.launched()[1:] == ["db-2.t.0.1"]
    h.update("db-2.t.0.1", pb.TASK_ERROR, uuid=b"w")
    h.advance(600)
    offer_with(h, left)
    assert h.launched()[2:] == ["db-2.t.0.2"]
    assert volume_tags(h) == left


def refused_beside_its_data(h: BinpackHarness, times: int) -> None:
    """A new version whose tries are refused, while the task that had its data is killed."""
    h.submit(losable(unreachable_replace_s=5), "1")
    h.offer(ROOM, "a")
    h.update("db-1.t.0.1", pb.TASK_RUNNING)
    h.update("db-1.t.0.1", pb.TASK_UNREACHABLE, uuid=b"v")
    h.advance(6)
    changed = losable(unreachable_replace_s=5, command="y")
    h.feed(c.VersionProposed("2", "db-1", h.core.jobs["db-1"].version, changed, "apply"))
    for number in range(times):
        h.offer(ROOM, "a")
        h.update(f"db-1.t.0.v2.{number + 1}", pb.TASK_ERROR, uuid=b"w%d" % number)
        h.advance(60)


def test_nor_does_a_rollout_fail_by_them(h: BinpackHarness) -> None:
    """The master refuses it as often as it is tried, until the old task has ended."""
    refused_beside_its_data(h, 4)
    rollout = h.core.jobs["db-1"].rollouts["t"]
    assert (rollout.going, rollout.exits, rollout.backward) == (True, 0, False)


def test_a_version_that_is_refused_for_good_fails_at_once(h: BinpackHarness) -> None:
    refused_beside_its_data(h, 1)
    h.update("db-1.t.0.1", pb.TASK_KILLED, uuid=b"k")  # it was given up, and is over
    h.offer(ROOM, "a")
    h.update("db-1.t.0.v2.2", pb.TASK_ERROR, uuid=b"x")
    rollout = h.core.jobs["db-1"].rollouts["t"]
    assert rollout.backward and "instance 0 of version 2" in rollout.failure


@pytest.mark.parametrize("kind", ["service", "batch"])
def test_what_is_refused_where_its_data_cannot_be_has_ended(h: BinpackHarness, kind: str) -> None:
    h.submit(losable(unreachable_replace_s=5, kind=kind), "1")
    h.offer(ROOM, "a")
    h.update("db-1.t.0.1", pb.TASK_RUNNING)
    h.update("db-1.t.0.1", pb.TASK_UNREACHABLE, uuid=b"v")
    h.advance(6)
    h.offer(ROOM, "b")
    h.update("db-1.t.0.2", pb.TASK_ERROR, uuid=b"w", agent="b")
    assert h.core.jobs["db-1"].ended


def test_what_is_refused_at_first_is_not_tried_again(h: BinpackHarness) -> None:
    job_id = h.submit(database(), "1")
    h.offer(ROOM, "a")
    h.update(f"{job_id}.t.0.1", pb.TASK_ERROR)
    h.advance(600)
    h.offer(ROOM, "a")
    assert h.launched() == [f"{job_id}.t.0.1"]


class TestTheNextRun:
    def test_finds_its_data(self, h: BinpackHarness) -> None:
        left = run(h)
        assert made(h) == ["db.t.0.data"]
        h.submit(database(), "2")
        h.offer(ROOM, "b")
        assert len(h.launched()) == 1, "its data are elsewhere"
        assert "its data (db.t.0.data) are on a, which is not offered now" in explanation(h, "db-2")
        offer_with(h, left)
        assert h.launched()[1:] == ["db-2.t.0.1"] and made(h) == ["db.t.0.data"]
        assert volume_tags(h) == left

    def test_over_restarts_and_when_the_first_is_forgotten(self, h: BinpackHarness) -> None:
        left = run(h)
        for number in range(updates.MAX_ENDED_JOBS + 1):
            job_id = h.submit(database(name="other"), f"o{number}")
            h.feed(c.JobStopped(job_id))
            h.offer(ROOM, "a")
        again = BinpackHarness({k: v for k, v in h.records.items() if not k[1].startswith("db-1")})
        again.feed(c.Subscribed("f"))
        again.submit(database(), "2")
        third = BinpackHarness(again.records)
        third.feed(c.Subscribed("f"))
        third.offer(ROOM, "b")
        assert not third.launched()
        offer_with(third, left)
        assert third.launched() == ["db-2.t.0.1"] and not made(third)

    def test_waits_for_the_end_of_one_that_is_stopping(self, h: BinpackHarness) -> None:
        h.submit(database(), "1")
        h.offer(ROOM, "a")
        h.update("db-1.t.0.1", pb.TASK_RUNNING)
        left = volume_tags(h)
        h.feed(c.JobStopped("db-1"))
        h.feed(c.JobSubmitted("2", "db-2", database(), unique_name=True))
        h.offer(ROOM, "a")
        assert len(h.launched()) == 1
        assert "offered without them: another task has them still" in explanation(h, "db-2")
        h.update("db-1.t.0.1", pb.TASK_KILLED)
        offer_with(h, left)
        assert h.launched()[1:] == ["db-2.t.0.1"]

    def test_is_told_that_the_agent_is_unreachable(self, h: BinpackHarness) -> None:
        left = run(h)
        h.submit(database(), "2")
        h.feed(c.AgentLost("a"))
        h.offer(ROOM, "b")
        assert "are on a, which is unreachable" in explanation(h, "db-2")
        offer_with(h, left)
        assert h.launched()[1:] == ["db-2.t.0.1"]

    def test_also_when_a_framework_learns_it_at_its_start(self, h: BinpackHarness) -> None:
        run(h)
        h.submit(database(), "2")
        again = BinpackHarness(h.records)
        again.feed(c.Subscribed("f"))
        assert again.of(c.Reconcile) == [c.Reconcile((("db-2.t.0.0", "a"),))]
        again.update("db-2.t.0.0", pb.TASK_UNREACHABLE, uuid=b"")
        assert "which is unreachable" in explanation(again, "db-2")
        assert not again.of(c.Acknowledge) and not again.of(c.Kill)

    def test_begins_anew_when_the_agent_is_given_up(self, h: BinpackHarness) -> None:
        run(h)
        h.submit(database(), "2")
        h.feed(c.AgentLost("a"))
        *_, asked = [e for e in h.of(c.Reconcile) if isinstance(e, c.Reconcile)]
        h.update(asked.tasks[0][0], pb.TASK_GONE_BY_OPERATOR, uuid=b"")
        h.offer(ROOM, "b")
        assert h.launched()[1:] == ["db-2.t.0.1"] and made(h) == ["db.t.0.data"] * 2
        assert not [key for kind, key in h.records if kind == "volume"]

    def test_asks_for_the_agent_when_it_is_submitted(self, h: BinpackHarness) -> None:
        """The volume may have been given up when nothing of the name ran."""
        run(h)
        h.submit(database(), "2")
        assert h.of(c.Reconcile) == [c.Reconcile((("db-2.t.0.0", "a"),))]
        h.update("db-2.t.0.0", pb.TASK_GONE_BY_OPERATOR, uuid=b"")
        h.offer(ROOM, "b")
        assert h.launched()[1:] == ["db-2.t.0.1"]

    def test_an_agent_that_is_there_and_does_not_know_a_task_has_its_data(
        self, h: BinpackHarness
    ) -> None:
        h.submit(database(), "1")
        h.offer(ROOM, "a")
        h.update("db-1.t.0.1", pb.TASK_RUNNING)
        h.update("db-1.t.0.1", pb.TASK_GONE)
        h.offer(ROOM, "b")
        assert len(h.launched()) == 1

    def test_of_which_a_volume_was_made_by_a_launch_that_failed(self, h: BinpackHarness) -> None:
        h.submit(database(), "1")
        h.offer(ROOM, "a")
        left = volume_tags(h)
        h.update("db-1.t.0.1", pb.TASK_FAILED)
        h.offer(ROOM, "b")
        assert len(h.launched()) == 1
        offer_with(h, left)
        assert h.launched()[1:] == ["db-1.t.0.2"] and made(h) == ["db.t.0.data"]

    def test_or_was_forgotten_is_found_in_an_offer(self, h: BinpackHarness) -> None:
        left = run(h)
        fresh = BinpackHarness()
        fresh.feed(c.Subscribed("f"))
        fresh.submit(database(), "2")
        offer_with(fresh, left)
        assert fresh.launched() == ["db-2.t.0.1"] and not made(fresh)

    def test_may_want_one_more(self, h: BinpackHarness) -> None:
        left = run(h)
        h.submit(database(100, 1, "db", "logs"), "2")
        h.offer(ROOM, "b")
        assert len(h.launched()) == 1
        offer_with(h, left)
        assert h.launched()[1:] == ["db-2.t.0.1"]
        assert made(h) == ["db.t.0.data", "db.t.0.logs"]

    def test_may_not_want_a_larger_one(self, h: BinpackHarness) -> None:
        run(h)
        h.feed(c.JobSubmitted("2", "db-2", database(200), unique_name=True))
        (refused,) = [e for e in h.of(c.JobRefused) if isinstance(e, c.JobRefused)]
        assert "has 100 MiB, and the job wants 200" in refused.message
        assert "volumes remove db.t.0.data" in refused.message
        h.feed(c.JobSubmitted("3", "db-3", database(50), unique_name=True))
        assert "db-3" in h.core.jobs

    def test_may_not_want_those_of_two_agents(self, h: BinpackHarness) -> None:
        run(h)
        volumes = [{"name": "logs", "path": "logs", "size": 100}]
        task = {"name": "t", "kind": "service", "command": "x", "volumes": volumes}
        h.submit(parse_job({"name": "db", "role": "ops", "tasks": [task]}), "2")
        h.offer(ROOM, "b")
        h.feed(
            c.TaskUpdated(
                pb.TaskStatus(task_id="db-2.t.0.1", state=pb.TASK_RUNNING, uuid=b"u", agent_id="b")
            )
        )
        h.feed(c.JobStopped("db-2"))
        h.submit(database(100, 1, "db", "logs"), "3")
        (refused,) = [e for e in h.of(c.JobRefused) if isinstance(e, c.JobRefused)]
        assert "on a (db.t.0.data) and on b (db.t.0.logs)" in refused.message
        assert len(list(h.core.volumes)) == 2


class TestOfAJobInQuarantine:
    @pytest.mark.parametrize("kind", ["job", "instance"])
    def test_they_are_not_left_over(self, h: BinpackHarness, kind: str) -> None:
        h.submit(database(), "1")
        h.offer(ROOM, "a")
        h.update("db-1.t.0.1", pb.TASK_RUNNING)
        (key,) = [key for of, key in h.records if of == kind]
        h.records[kind, key] = b"[]"
        again = BinpackHarness(h.records)
        assert list(again.core.quarantined) == ["db-1"]
        (volume,) = again.core.volumes
        assert again.core.job_with(volume) == "db-1"

    def test_unless_it_had_ended(self, h: BinpackHarness) -> None:
        run(h)
        h.records["job", "db-1"] = b"{}"
        again = BinpackHarness(h.records)
        (volume,) = again.core.volumes
        assert list(again.core.quarantined) == ["db-1"]
        assert again.core.job_with(volume) == ""


class TestRemoved:
    def test_the_next_run_makes_another(self, h: BinpackHarness) -> None:
        run(h)
        h.feed(c.VolumeRemoved("ops", "db.t.0.data"))
        assert not list(h.core.volumes)
        h.submit(database(), "2")
        h.offer(ROOM, "b")
        assert h.launched()[1:] == ["db-2.t.0.1"] and made(h) == ["db.t.0.data"] * 2

    def test_one_that_waits_does_not_wait_for_it(self, h: BinpackHarness) -> None:
        run(h)
        h.submit(database(), "2")
        h.offer(ROOM, "b")
        h.effects.clear()
        h.feed(c.VolumeRemoved("ops", "db.t.0.data"))
        assert h.of(c.Revive)
        h.offer(ROOM, "b")
        assert h.launched() == ["db-2.t.0.1"]
        h.core.check()

    def test_one_may_be_that_is_missing(self, h: BinpackHarness) -> None:
        """An operator destroyed it, and the framework was not asked."""
        left = run(h)
        h.submit(database(), "2")
        (volume,) = h.core.volumes
        assert h.core.job_that_needs(volume) == "db-2", "its agent may have it"
        h.offer(ROOM, "a")
        assert "db.t.0.data" in explanation(h, "db-2") and "remove" in explanation(h, "db-2")
        assert (h.core.job_with(volume), h.core.job_that_needs(volume)) == ("db-2", "")
        offer_with(h, left)
        assert len(h.launched()) == 2 and h.core.job_that_needs(volume) == "db-2", "it is there"

    def test_another_of_the_same_id_is_another(self, h: BinpackHarness) -> None:
        run(h)
        h.feed(c.VolumeRemoved("other", "db.t.0.data"))
        h.feed(c.VolumeRemoved("ops", "db.t.0"))
        assert len(list(h.core.volumes)) == 1
