"""Jobs change: versions are stored, and only what differs is replaced."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pymesos_binpack import core as c
from pymesos_binpack.core import versions
from pymesos_binpack.core.hearing import ANSWERED_WITHIN_S
from pymesos_binpack.jobfiles.parsing import Job, parse_job
from pymesos_binpack.jobs.aligning import align
from pymesos_binpack.loading import load_version
from pymesos_binpack.services.views import instance_view
from pymesos_binpack.specs import JobError
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.binpack_harness import BinpackHarness
from pymesos_testing.changing_jobs import (
    BIG,
    fail_two,
    instances_are_settled,
    killed,
    propose,
    roll,
    run_all,
    shop,
    state_of,
    tasks,
)


@pytest.fixture
def h() -> BinpackHarness:
    """Three instances of a service run."""
    harness = BinpackHarness()
    harness.feed(c.Subscribed("f"))
    harness.submit(shop())
    run_all(harness)
    assert tasks(harness) == ["j-r.web.0.1", "j-r.web.1.1", "j-r.web.2.1"]
    return harness


FREE = [
    {"instances": 3, "retries": 5},
    {"kill_grace_s": 10},
    {"unreachable_replace_s": 90},
    {"image": None},
    {"network": "host"},
    {"env": {}},
]


@pytest.mark.parametrize("change", FREE, ids=str)
def test_what_runs_stays_when_nothing_of_it_changes(
    h: BinpackHarness, change: dict[str, Any]
) -> None:
    propose(h, shop(**change))
    assert state_of(h).version == 2
    assert killed(h) == set()
    assert not state_of(h).unsettled
    assert all(i.spec is state_of(h).job.tasks[0] for i in state_of(h).instances)
    h.core.check()


def test_priority_ends_nothing(h: BinpackHarness) -> None:
    document = {**json.loads(shop().document), "priority": 7}
    propose(h, parse_job(document))
    assert (state_of(h).job.priority, killed(h)) == (7, set())


def test_scaled_down_the_highest_end_and_scaled_up_others_begin(h: BinpackHarness) -> None:
    propose(h, shop(instances=1), what="scale")
    assert killed(h) == {"j-r.web.1.1", "j-r.web.2.1"}
    for task_id in killed(h):
        h.update(task_id, pb.TASK_KILLED)
    assert tasks(h) == ["j-r.web.0.1"]
    assert len(state_of(h).instances) == 1
    h.core.check()
    propose(h, shop(instances=2), what="scale")
    run_all(h)
    assert tasks(h) == ["j-r.web.0.1", "j-r.web.1.v3.1"], "no id is given twice"
    assert killed(h) == {"j-r.web.1.1", "j-r.web.2.1"}
    assert [v.what for v in state_of(h).history.versions] == ["submit", "scale", "scale"]


def test_a_changed_service_is_replaced_and_never_too_few_run(h: BinpackHarness) -> None:
    propose(h, shop(command="y"))
    state = state_of(h)
    assert killed(h) == set(), "another starts first"
    fewest = []
    for _ in range(60):
        run_all(h)
        fewest.append(
            sum(i.saved.state == pb.TASK_RUNNING and not i.killing for i in state.instances)
        )
        for instance in [i for i in state.instances if i.killing]:
            h.update(instance.saved.task_id, pb.TASK_KILLED)
        assert state.state == "running"
        h.core.check()
        h.advance(5)
    assert min(fewest) == 3
    assert tasks(h) == ["j-r.web.0.v2.1", "j-r.web.1.v2.1", "j-r.web.2.v2.1"]
    assert state.rollouts["web"].state == "done"
    assert instances_are_settled(h)
    assert not any(key.endswith("/0") for kind, key in h.records if kind == "instance")


def crash_new(h: BinpackHarness) -> None:
    """What is of the second version ends soon after its start."""
    for instance in list(state_of(h).instances):
        if instance.live and instance.version == 2 and instance.saved.state == pb.TASK_RUNNING:
            h.update(instance.saved.task_id, pb.TASK_FAILED, 1)


def test_a_bad_version_is_rolled_back_and_the_others_stay(h: BinpackHarness) -> None:
    propose(h, shop(command="y"))
    for _ in range(4):
        run_all(h)
        crash_new(h)
        h.advance(1)
    roll(h)
    state = state_of(h)
    assert tasks(h) == ["j-r.web.0.1", "j-r.web.1.1", "j-r.web.2.1"]
    assert state.rollouts["web"].state == "rolled_back"
    assert "3 instances of version 2 ended in a row" in state.rollouts["web"].why
    latest = state.history.latest
    assert (latest.number, latest.what) == (3, "rollback of web to 1")
    assert json.loads(latest.document)["tasks"][0]["command"] == "x"
    assert killed(h) & {"j-r.web.0.1", "j-r.web.1.1", "j-r.web.2.1"} == set()
    propose(h, shop(command="z"))
    roll(h)
    assert tasks(h) == ["j-r.web.0.v4.1", "j-r.web.1.v4.1", "j-r.web.2.v4.1"]


def test_how_often_a_version_crashed_is_told_once_it_is_stored(h: BinpackHarness) -> None:
    propose(h, shop(command="y"))
    h.offer(BIG)
    new = next(i for i in state_of(h).instances if i.version == 2 and i.live)
    h.update(new.saved.task_id, pb.TASK_RUNNING)
    h.hold_writes = True
    h.update(new.saved.task_id, pb.TASK_FAILED, 1)
    assert state_of(h).durable_rollouts["web"].exits == 0
    h.hold_writes = False
    h.write()
    assert state_of(h).durable_rollouts["web"].exits == 1


def test_a_large_job_is_looked_at_once_for_all_that_happens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    h, room = BinpackHarness(), "cpus:400;mem:400000"
    h.feed(c.Subscribed("f"))
    h.submit(shop(instances=200))
    h.offer(room)
    for instance in state_of(h).instances:
        h.update(instance.saved.task_id, pb.TASK_RUNNING)
    propose(h, shop(command="y", instances=200))
    h.offer(room)
    h.advance(1.0)
    looks: list[float] = []

    def looked(*arguments: Any) -> Any:
        looks.append(h.now_s)
        return align(*arguments)

    monkeypatch.setattr(versions, "align", looked)
    new = [i for i in state_of(h).instances if i.version == 2 and i.live]
    for instance in new:
        h.update(instance.saved.task_id, pb.TASK_RUNNING)
    assert len(new) == 50 and not looks
    h.advance(0.1)
    assert len(looks) == 1
    monkeypatch.undo()
    h.advance(30.0)
    assert sum(i.version == 2 for i in state_of(h).instances) > 50, "it goes on"


@pytest.mark.parametrize("steps", range(12))
def test_a_framework_that_dies_within_a_rollout_goes_on(h: BinpackHarness, steps: int) -> None:
    propose(h, shop(command="y"))
    for number in range(steps):
        run_all(h)
        for instance in [i for i in state_of(h).instances if i.killing][: number % 2]:
            h.update(instance.saved.task_id, pb.TASK_KILLED)
        h.advance(3)
    before = {i.saved.task_id for i in state_of(h).instances if i.live and not i.saved.leaving}
    again = BinpackHarness(dict(h.records))
    again.now_s = h.now_s
    assert again.core.quarantined == {}
    again.feed(c.Subscribed("f"))
    for instance in list(state_of(again).instances):
        if instance.live:
            again.update(instance.saved.task_id, pb.TASK_RUNNING)
    assert before <= set(tasks(again)) | killed(again)
    roll(again)
    assert tasks(again) == ["j-r.web.0.v2.1", "j-r.web.1.v2.1", "j-r.web.2.v2.1"]
    assert state_of(again).rollouts["web"].state == "done"


@pytest.mark.parametrize("skew_s", [-1e6, 1e6])
@pytest.mark.parametrize("dies", [False, True])
def test_a_rollout_goes_on_whatever_a_clock_is_set_to(
    h: BinpackHarness, skew_s: float, dies: bool
) -> None:
    """A clock that is set back holds nothing up; one that is set ahead lets no deadline pass."""
    propose(h, shop(command="y"))
    run_all(h)
    h.advance(3)
    if dies:
        now_s, h = h.now_s, BinpackHarness(dict(h.records))
        h.now_s, h.skew_s = now_s, skew_s
        h.feed(c.Subscribed("f"))
        for instance in list(state_of(h).instances):
            h.update(instance.saved.task_id, pb.TASK_RUNNING)
    else:
        h.skew_s = skew_s
    roll(h)
    assert state_of(h).rollouts["web"].state == "done"
    assert h.now_s < 200


def test_a_task_that_is_gone_from_the_file_ends(h: BinpackHarness) -> None:
    document = json.loads(shop().document)
    document["tasks"][0]["name"] = "api"
    propose(h, parse_job(document))
    assert killed(h) == {"j-r.web.0.1", "j-r.web.1.1", "j-r.web.2.1"}
    run_all(h)
    assert [t for t in tasks(h) if ".api." in t] == [f"j-r.api.{n}.v2.1" for n in range(3)]


class TestBatch:
    @pytest.fixture
    def h(self) -> BinpackHarness:
        """The first has finished, the second runs, the third waits for room."""
        harness = BinpackHarness()
        harness.feed(c.Subscribed("f"))
        harness.submit(shop("batch", resources={"cpus": 1}))
        harness.offer("cpus:2;mem:400")
        harness.update("j-r.web.0.1", pb.TASK_FINISHED, 0)
        harness.update("j-r.web.1.1", pb.TASK_RUNNING)
        return harness

    def test_what_runs_finishes_and_what_waits_is_new(self, h: BinpackHarness) -> None:
        propose(h, shop("batch", resources={"cpus": 1}, command="y"))
        assert killed(h) == set()
        h.offer("cpus:2;mem:400")
        assert tasks(h) == ["j-r.web.1.1", "j-r.web.2.v2.1"]
        for task_id in tasks(h):
            h.update(task_id, pb.TASK_FINISHED, 0)
        assert state_of(h).state == "finished"
        h.core.check()

    def test_what_has_ended_runs_again_on_demand(self, h: BinpackHarness) -> None:
        propose(h, shop("batch", resources={"cpus": 1}, command="y"), rerun={"web"})
        h.offer("cpus:4;mem:400")
        assert tasks(h) == ["j-r.web.0.v2.1", "j-r.web.1.1", "j-r.web.2.v2.1"]

    def test_only_what_is_named_runs_again(self) -> None:
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        migrate = {"name": "migrate", "kind": "batch", "command": "x"}
        web = {"name": "web", "kind": "service", "command": "x"}
        h.submit(parse_job({"name": "j", "tasks": [migrate, web]}))
        run_all(h)
        h.update("j-r.migrate.0.1", pb.TASK_FINISHED, 0)
        changed = parse_job({"name": "j", "tasks": [{**migrate, "command": "y"}, web]})
        propose(h, changed)
        propose(h, changed, what="restart", restarts=("web",), rerun={"web"})
        roll(h)
        assert tasks(h) == ["j-r.web.0.v3.1"]
        again = BinpackHarness(dict(h.records))
        again.feed(c.Subscribed("f"))
        assert state_of(again).history.latest.rerun == {"web"}
        again.advance(ANSWERED_WITHIN_S)
        propose(again, changed, what="restart", restarts=("migrate",), rerun={"migrate"})
        again.offer(BIG)
        assert tasks(again) == ["j-r.migrate.0.v4.1", "j-r.web.0.v3.1"]

    def test_a_version_of_before_they_were_named_has_all_run_again(self, h: BinpackHarness) -> None:
        version = state_of(h).history.latest
        record = {**version.record(), "document": version.document}
        assert load_version({**record, "rerun": True}).rerun == {"web"}
        assert load_version({**record, "rerun": False}).rerun == set()
        wrongs: list[Any] = [1, "web", [1], [[]]]
        for wrong in wrongs:
            with pytest.raises(ValueError, match="version has no"):
                load_version({**record, "rerun": wrong})

    def test_a_retry_is_of_the_new_version(self, h: BinpackHarness) -> None:
        propose(h, shop("batch", resources={"cpus": 1}, command="y", retries=1))
        h.update("j-r.web.1.1", pb.TASK_FAILED, 1)
        h.offer("cpus:4;mem:400")
        assert "j-r.web.1.1" not in tasks(h)
        assert state_of(h).state == "running"


def test_a_restart_replaces_what_is_the_same(h: BinpackHarness) -> None:
    propose(h, shop(), what="restart", restarts=("web",))
    roll(h)
    assert tasks(h) == ["j-r.web.0.v2.1", "j-r.web.1.v2.1", "j-r.web.2.v2.1"]
    again = BinpackHarness(dict(h.records))
    again.feed(c.Subscribed("f"))
    assert not state_of(again).unsettled


def test_a_rollback_on_the_way_keeps_what_had_not_changed(h: BinpackHarness) -> None:
    propose(h, shop(command="y"))
    run_all(h)
    new = "j-r.web.0.v2.1"
    assert tasks(h) == ["j-r.web.0.1", new, "j-r.web.1.1", "j-r.web.2.1"]
    propose(h, shop(), what="rollback to 1", as_of=1)
    roll(h)
    assert tasks(h) == ["j-r.web.0.1", "j-r.web.1.1", "j-r.web.2.1"]
    assert killed(h) == {"j-r.web.0.v2.1"}


def test_data_go_on_with_the_next_version() -> None:
    h = BinpackHarness()
    h.feed(c.Subscribed("f"))
    volumes = [{"name": "data", "path": "data", "size": 10}]

    def store(**task: Any) -> Job:
        made = {"name": "db", "kind": "service", "command": "x", "volumes": volumes, **task}
        return parse_job({"name": "j", "role": "r", "tasks": [made]})

    h.submit(store())
    h.offer("cpus:4;mem:400;disk:500")
    h.update("j-r.db.0.1", pb.TASK_RUNNING)
    propose(h, store(command="y"))
    h.offer("cpus:4;mem:400;disk:500", "b")
    assert tasks(h) == ["j-r.db.0.1"], "the next waits until its data are free"
    assert killed(h) == {"j-r.db.0.1"}
    h.update("j-r.db.0.1", pb.TASK_KILLED)
    (instance,) = state_of(h).instances
    assert (instance.name, instance.saved.data_on) == ("db.0.v2", "a")
    assert instance.saved.volume_ids == {"data": "j.db.0.data"}
    again = BinpackHarness(dict(h.records))
    (instance,) = state_of(again).instances
    assert instance.saved.volume_ids == {"data": "j.db.0.data"}


def test_an_agent_that_is_away_holds_nothing_up_for_ever(h: BinpackHarness) -> None:
    h.update("j-r.web.0.1", pb.TASK_UNREACHABLE)
    propose(h, shop(command="y"))
    roll(h)
    assert tasks(h) == ["j-r.web.0.v2.1", "j-r.web.1.v2.1", "j-r.web.2.v2.1"]
    h.update("j-r.web.0.1", pb.TASK_RUNNING)
    assert "j-r.web.0.1" in killed(h)


def test_ready_is_who_runs_and_passes_its_checks(h: BinpackHarness) -> None:
    assert [instance_view(i).ready for i in h.core.instances()] == [True] * 3
    other = BinpackHarness()
    other.feed(c.Subscribed("f"))
    other.submit(shop(instances=1, health_check={"command": "true"}))
    other.offer(BIG)
    (instance,) = other.core.instances()
    for healthy, ready in ((None, False), (False, False), (True, True)):
        status = pb.TaskStatus(
            task_id=instance.saved.task_id, state=pb.TASK_RUNNING, uuid=b"u", agent_id="a",
            healthy=healthy,
        )  # fmt: skip
        other.feed(c.TaskUpdated(status))
        assert instance_view(instance).ready is ready


def test_what_does_not_go_together_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Any] = []

    def refuse(document: Any) -> Job:
        tried.append(document)
        raise JobError("they do not go together")

    monkeypatch.setattr(versions, "parse_job", refuse)
    h = BinpackHarness()
    state = fail_two(h)
    assert (len(tried), state.version) == (1, 2)
    propose(h, parse_job(json.loads(state.job.document)), what="scale")
    h.advance(60)
    assert len(tried) == 2, "another version may go with them"
