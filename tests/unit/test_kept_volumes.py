"""A volume belongs to the name of its job: the next run of that name finds its data."""

from __future__ import annotations

import json

import pytest

from pymesos_binpack import core as c
from pymesos_binpack.core import updates
from pymesos_binpack.jobfiles.parsing import Job, JobError, parse_job
from pymesos_core.resource_tags import Tag
from pymesos_core.resources import Resources, from_proto, parse, to_proto
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.binpack_harness import BinpackHarness

ROOM = "cpus:4;mem:400;disk:500"


@pytest.fixture
def h() -> BinpackHarness:
    harness = BinpackHarness()
    harness.feed(c.Subscribed("f"))
    return harness


def database(size: int = 100, instances: int = 1, name: str = "db", *more: str) -> Job:
    volumes = [{"name": v, "path": v, "size": size} for v in ("data", *more)]
    task = {"name": "t", "kind": "service", "command": "x", "volumes": volumes}
    return parse_job({"name": name, "role": "ops", "tasks": [{**task, "instances": instances}]})


def with_constraints(job: Job, *constraints: str) -> Job:
    document = json.loads(job.document)
    for task in document["tasks"]:
        task["constraints"] = list(constraints)
    return parse_job(document)


def accepts(h: BinpackHarness) -> list[c.Accept]:
    return [effect for effect in h.effects if isinstance(effect, c.Accept)]


def volume_tags(h: BinpackHarness) -> list[Tag]:
    """The tags of the volumes of the latest launch."""
    return [tag for tag in from_proto(accepts(h)[-1].tasks[0].resources).tagged if tag.volume]


def made(h: BinpackHarness) -> list[str]:
    """The volumes that launches made."""
    return [
        resource.disk.persistence_id
        for accept in accepts(h)
        for operation in accept.before
        for resource in operation.create.volumes
    ]


def offer_with(h: BinpackHarness, tags: list[Tag], agent: str = "a", room: str = ROOM) -> None:
    there = parse(room)
    for tag in tags:
        there = there + Resources(tagged={tag: parse("disk:100")})
    offer = pb.Offer(offer_id=f"v{h.now_s}{agent}{len(h.effects)}", agent_id=agent, hostname=agent)
    offer.role = h.role
    offer.resources.extend(to_proto(there))
    h.feed(c.OffersReceived((offer,)))


def run(h: BinpackHarness, job: Job | None = None) -> list[Tag]:
    """A first run, which has ended; the volumes that it leaves."""
    h.submit(job or database(), "1")
    h.offer(ROOM, "a")
    task_id = h.launched()[-1]
    h.update(task_id, pb.TASK_RUNNING)
    left = volume_tags(h)
    h.feed(c.JobStopped("db-1"))
    h.update(task_id, pb.TASK_KILLED)
    return left


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


def explanation(h: BinpackHarness, job_id: str) -> str:
    return h.core.jobs[job_id].instances[0].explanation


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


class TestWhatAnOlderVersionStored:
    """Ids had the id of the job, and no record but the instance's said where it is."""

    def old(self, *, live: bool) -> dict[tuple[str, str], bytes]:
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        h.submit(database(), "1")
        h.offer(ROOM, "a")
        h.update("db-1.t.0.1", pb.TASK_RUNNING)
        if not live:
            h.feed(c.JobStopped("db-1"))
            h.update("db-1.t.0.1", pb.TASK_KILLED)
        for key, value in list(h.records.items()):
            if key[0] == "volume":
                del h.records[key]
            elif key[0] == "instance":
                record = json.loads(value)
                del record["volume_ids"], record["unreachable_since_s"]
                h.records[key] = json.dumps(record).encode()
        return h.records

    def tags(self) -> list[Tag]:
        """As if the id were of the older kind."""
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        (tag,) = run(h)
        renamed = json.loads(json.dumps("db-1.t.0.data"))
        from dataclasses import replace

        assert tag.volume is not None
        return [replace(tag, volume=replace(tag.volume, id=renamed))]

    def test_goes_on(self) -> None:
        again = BinpackHarness(self.old(live=True))
        again.feed(c.Subscribed("f"))
        again.update("db-1.t.0.1", pb.TASK_FAILED)
        again.offer(ROOM, "b")
        assert not again.launched()
        offer_with(again, self.tags())
        assert again.launched() == ["db-1.t.0.2"] and not made(again)

    def test_is_found_by_the_next_run(self) -> None:
        again = BinpackHarness(self.old(live=False))
        again.feed(c.Subscribed("f"))
        assert [v.volume_id for v in again.core.volumes] == ["db-1.t.0.data"]
        assert [key for kind, key in again.records if kind == "volume"] == ["ops/db/t/0/data"]
        again.submit(database(), "2")
        offer_with(again, self.tags())
        assert again.launched() == ["db-2.t.0.1"] and not made(again)


class TestOneJobOfAName:
    """`run svc.yaml` twice."""

    def submit(self, h: BinpackHarness, request_id: str, kind: str = "service") -> None:
        task = {"name": "t", "kind": kind, "command": "x"}
        job = parse_job({"name": "svc", "tasks": [task]})
        h.feed(c.JobSubmitted(request_id, f"svc-{request_id}", job, unique_name=True))

    def refusals(self, h: BinpackHarness) -> list[str]:
        return [e.message for e in h.of(c.JobRefused) if isinstance(e, c.JobRefused)]

    @pytest.mark.parametrize("kind", ["service", "batch"])
    @pytest.mark.parametrize("stored", [True, False])
    def test_while_it_has_not_ended(self, h: BinpackHarness, kind: str, stored: bool) -> None:
        h.hold_writes = not stored
        self.submit(h, "1", kind)
        self.submit(h, "2", kind)
        (message,) = self.refusals(h)
        assert "the job svc-1 of that name" in message and "pymesos-cli stop svc-1" in message

    def test_the_same_request_is_the_same_job(self, h: BinpackHarness) -> None:
        self.submit(h, "1")
        self.submit(h, "1")
        assert h.of(c.JobAccepted) == [c.JobAccepted("1", "svc-1")] * 2

    def test_again_when_it_has_ended(self, h: BinpackHarness) -> None:
        self.submit(h, "1", "batch")
        h.offer()
        h.update("svc-1.t.0.1", pb.TASK_FINISHED, 0)
        self.submit(h, "2", "batch")
        assert not self.refusals(h)

    def test_over_a_restart(self, h: BinpackHarness) -> None:
        self.submit(h, "1")
        again = BinpackHarness(h.records)
        self.submit(again, "2")
        assert self.refusals(again)


def losable(**more: object) -> Job:
    volume = {"name": "data", "path": "data", "size": 100, "migrate": "lose_data"}
    task = {"name": "t", "kind": "service", "command": "x", "volumes": [volume], **more}
    return parse_job({"name": "db", "role": "ops", "tasks": [task]})


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
