"""Jobs change: versions are stored, and only what differs is replaced."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pymesos_agent.core.tasks.outcomes import grace_s
from pymesos_binpack import core as c
from pymesos_binpack.calls import make_call
from pymesos_binpack.core import versions
from pymesos_binpack.core.hearing import ANSWERED_WITHIN_S
from pymesos_binpack.jobfiles.differences import (
    differences,
    is_of_environment,
    without_environments,
)
from pymesos_binpack.jobfiles.parsing import Job, parse_job, schema
from pymesos_binpack.jobs.aligning import align, is_shown
from pymesos_binpack.jobs.history import MAX_VERSIONS
from pymesos_binpack.jobs.rollouts.asking import Asked
from pymesos_binpack.jobs.rollouts.rules import Amount
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.jobs.updating import rules_of
from pymesos_binpack.loading import load_version
from pymesos_binpack.services.views import instance_view, job_view
from pymesos_binpack.specs import JobError
from pymesos_cli.jobs.progress import ports_of
from pymesos_core.jobs_json import instance_json
from pymesos_core.names import parse_task_id
from pymesos_core.stop_signals import STOP_SIGNALS
from pymesos_proto.v1 import jobs_pb2 as pb_jobs
from pymesos_proto.v1 import scheduler_pb2 as pb_scheduler
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk.calls import Calls
from pymesos_testing.binpack_harness import BinpackHarness

BIG = "cpus:40;mem:40000;ports:[1-9]"


def shop(kind: str = "service", instances: int = 3, **task: Any) -> Job:
    made = {"name": "web", "kind": kind, "instances": instances, "command": "x", **task}
    return parse_job({"name": "j", "tasks": [made]})


def propose(h: BinpackHarness, job: Job, **more: Any) -> str:
    """Change the job; the request id."""
    (state,) = h.core.jobs.values()
    base, what = more.pop("base", state.version), more.pop("what", "apply")
    request_id: str = more.pop("request_id", f"change-{base}-{what}")
    h.feed(c.VersionProposed(request_id, state.job_id, base, job, what, **more))
    return request_id


def run_all(h: BinpackHarness) -> None:
    """Offer room, and have everything run that is launched."""
    h.offer(BIG)
    for instance in state_of(h).instances:
        if instance.live and instance.saved.state == pb.TASK_STAGING:
            h.update(instance.saved.task_id, pb.TASK_RUNNING)


def roll(h: BinpackHarness) -> None:
    """Have a rollout go on until nothing is left to do: what is killed ends, what begins runs."""
    for _ in range(60):
        run_all(h)
        for instance in [i for i in state_of(h).instances if i.killing]:
            h.update(instance.saved.task_id, pb.TASK_KILLED)
        h.core.check()
        if not state_of(h).unsettled:
            return
        h.advance(5)
    raise AssertionError([r.why for r in state_of(h).rollouts.values()])


def state_of(h: BinpackHarness) -> JobState:
    (state,) = h.core.jobs.values()
    return state


def instances_are_settled(h: BinpackHarness) -> bool:
    return not state_of(h).unsettled


def tasks(h: BinpackHarness) -> list[str]:
    return sorted(i.saved.task_id for i in state_of(h).instances if i.live)


def said_by_the_kill(h: BinpackHarness) -> pb.KillPolicy:
    """Stop the job, of which one instance runs; the policy in the call that kills it."""
    h.feed(c.JobStopped("j-r"))
    (kill,) = h.of(c.Kill)
    called: list[pb_scheduler.Call] = []
    calls = Calls()
    calls.call = called.append  # type: ignore[method-assign, assignment]
    make_call(calls, kill)  # type: ignore[arg-type]
    return called[0].kill.kill_policy


def killed(h: BinpackHarness) -> set[str]:
    return {effect.task_id for effect in h.effects if isinstance(effect, c.Kill)}


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


def test_a_version_is_told_once_it_is_stored(h: BinpackHarness) -> None:
    h.hold_writes = True
    request_id = propose(h, shop(instances=4))
    assert c.JobAccepted(request_id, "j-r", 2) not in h.effects
    assert len(state_of(h).told_instances()) == 3
    h.write()
    assert c.JobAccepted(request_id, "j-r", 2) in h.effects
    assert len(state_of(h).told_instances()) == 4


def test_a_request_sent_twice_is_one_change(h: BinpackHarness) -> None:
    for _ in range(2):
        propose(h, shop(instances=4), base=1, request_id="once")
    assert state_of(h).version == 2
    assert h.of(c.JobAccepted)[-2:] == [c.JobAccepted("once", "j-r", 2)] * 2


def test_a_change_of_another_version_is_refused(h: BinpackHarness) -> None:
    propose(h, shop(instances=4))
    propose(h, shop(instances=5), base=1, request_id="late")
    (refused,) = h.of(c.JobRefused)
    assert isinstance(refused, c.JobRefused)
    assert refused.stale
    assert state_of(h).version == 2


def test_a_job_of_before_there_were_versions_is_the_first(h: BinpackHarness) -> None:
    record = json.loads(h.records["job", "j-r"])
    del record["version"]
    h.records["job", "j-r"] = json.dumps(record).encode()
    again = BinpackHarness(dict(h.records))
    again.feed(c.Subscribed("f"))
    assert state_of(again).version == 1
    propose(again, shop(instances=3))
    assert killed(again) == set()


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


def test_the_history_is_bounded_and_keeps_what_runs(h: BinpackHarness) -> None:
    for number in range(2, MAX_VERSIONS + 12):
        propose(h, shop(instances=3 + number % 2), what="scale", request_id=f"s{number}")
    kept = [v.number for v in state_of(h).history.versions]
    assert len(kept) == MAX_VERSIONS
    assert {i.version for i in state_of(h).instances} <= set(kept)
    assert kept[-1] == MAX_VERSIONS + 11
    stored = {int(key.partition("/")[2]) for kind, key in h.records if kind == "version"}
    assert stored == set(kept[:-1])
    again = BinpackHarness(dict(h.records))
    assert again.core.quarantined == {}


def test_what_runs_on_unchanged_keeps_no_version(h: BinpackHarness) -> None:
    for count in range(4, MAX_VERSIONS + 12):
        propose(h, shop(instances=count), what="scale")
        h.offer("cpus:400;mem:400000")
    assert len(state_of(h).history.versions) == MAX_VERSIONS
    again = BinpackHarness(dict(h.records))
    assert again.core.quarantined == {}
    versions = {i.key: i.version for i in state_of(h).instances}
    assert {i.key: i.version for i in state_of(again).instances} == versions
    # One that is changed is kept for as long as what it was runs.
    latest = state_of(h).version
    propose(h, shop(command="y", instances=31))
    for count in range(32, 32 + MAX_VERSIONS + 2):
        propose(h, shop(command="y", instances=count), what="scale")
    assert state_of(h).history.get(latest) is not None
    assert instances_are_kept(h)


def instances_are_kept(h: BinpackHarness) -> bool:
    kept = {v.number for v in state_of(h).history.versions}
    return all(i.version in kept for i in state_of(h).instances)


def test_of_which_version_something_is_is_told_once_it_is_stored(h: BinpackHarness) -> None:
    for number in range(2, MAX_VERSIONS + 1):
        propose(h, shop(instances=3 + number % 2), what="scale")
    (first, *_) = state_of(h).instances
    assert first.version == 1
    h.hold_writes = True
    propose(h, shop(instances=5), what="scale")
    assert first.version == MAX_VERSIONS + 1 and instance_view(first).version == 1
    h.hold_writes = False
    h.write()
    assert instance_view(first).version == MAX_VERSIONS + 1


def test_a_stopped_job_leaves_no_record_of_what_was_removed(h: BinpackHarness) -> None:
    propose(h, shop(instances=1), what="scale")
    h.feed(c.JobStopped("j-r"))
    for task_id in sorted(killed(h)):
        h.update(task_id, pb.TASK_KILLED)
    assert state_of(h).state == "stopped"
    assert [key for kind, key in h.records if kind == "instance"] == ["j-r/web/0"]
    h.core.check()


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


def test_ids_of_later_versions_are_read() -> None:
    parts = parse_task_id("shop-0a1b2c3d.web.4.v12.3+log")
    assert parts is not None
    assert (parts.instance, parts.version, parts.attempt, parts.sidecar) == (4, 12, 3, "log")
    assert parts.of_instance == "shop-0a1b2c3d.web.4+log"


def test_differences_are_told_by_key() -> None:
    before = {"name": "j", "tasks": [{"name": "web", "env": {"A": "1"}, "image": "x:1"}]}
    after = {
        "name": "j",
        "tasks": [{"name": "web", "env": {"A": "2"}, "image": "x:2"}, {"name": "b"}],
    }
    assert list(differences(before, after)) == [
        ("tasks.web.env.A", '"1"', '"2"'),
        ("tasks.web.image", '"x:1"', '"x:2"'),
        ("tasks.b", "", '{"name": "b"}'),
    ]
    assert without_environments(before)["tasks"][0]["env"] == {"A": ""}


def test_options_of_packages_are_as_hidden_as_environments() -> None:
    """Environments are made from them."""
    package = {"name": "redis", "version": "1.0.0", "options": {"password": "x"}}
    before, after = {"package": package}, {"package": package | {"version": "1.1.0", "options": {}}}
    shown = without_environments(before)["package"]
    assert shown == {"name": "redis", "version": "1.0.0", "options": {"password": ""}}
    hidden = {each.path: is_of_environment(each) for each in differences(before, after)}
    assert hidden == {"package.version": False, "package.options.password": True}


class TestSteering:
    def ask(self, h: BinpackHarness, what: str, task: str = "") -> str:
        """Ask something of the rollout; why it is refused, or empty."""
        before = len(h.of(c.JobRefused))
        h.feed(c.RolloutAsked(f"ask-{what}", "j-r", task, Asked(what), "operator/ci"))
        refused = [e for e in h.of(c.JobRefused)[before:] if isinstance(e, c.JobRefused)]
        return refused[0].message if refused else ""

    def test_while_it_is_paused_nothing_is_replaced(self, h: BinpackHarness) -> None:
        propose(h, shop(command="y"))
        assert self.ask(h, "pause") == ""
        for _ in range(10):
            run_all(h)
            h.advance(400)
        assert killed(h) == set()
        again = BinpackHarness(dict(h.records))
        assert state_of(again).rollouts["web"].state == "paused"
        assert self.ask(h, "resume") == ""
        roll(h)
        assert len([t for t in tasks(h) if ".v2." in t]) == 3

    def test_canaries_wait_to_be_promoted(self, h: BinpackHarness) -> None:
        propose(h, shop(command="y", update={"canary": 1, "canary_serve": False}))
        run_all(h)
        h.advance(15)
        assert len(tasks(h)) == 4
        assert state_of(h).rollouts["web"].state == "waiting_promotion"
        shown = {i.name: is_shown(state_of(h), i) for i in state_of(h).instances}
        assert shown == {"web.0": True, "web.1": True, "web.2": True, "web.0.v2": False}
        h.advance(1000)
        assert killed(h) == set(), "it waits for as long as that takes"
        assert self.ask(h, "promote", "web") == ""
        roll(h)
        assert tasks(h) == ["j-r.web.0.v2.1", "j-r.web.1.v2.1", "j-r.web.2.v2.1"]

    def test_after_an_abort_as_many_run_as_were_wanted(self, h: BinpackHarness) -> None:
        propose(h, shop(command="y"))
        run_all(h)
        assert self.ask(h, "abort") == ""
        for _ in range(5):
            run_all(h)
            for instance in [i for i in state_of(h).instances if i.killing]:
                h.update(instance.saved.task_id, pb.TASK_KILLED)
            h.advance(5)
        assert state_of(h).rollouts["web"].state == "aborted"
        assert len(tasks(h)) == 3
        assert instances_are_settled(h)
        again = BinpackHarness(dict(h.records))
        again.feed(c.Subscribed("f"))
        assert tasks(again) == tasks(h)
        propose(h, shop(command="y", env={"A": "1"}))
        roll(h)
        assert tasks(h) == ["j-r.web.0.v3.1", "j-r.web.1.v3.1", "j-r.web.2.v3.1"]

    def test_what_is_applied_after_an_abort_is_what_begins(self) -> None:
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        h.submit(shop(instances=1))
        run_all(h)
        propose(h, shop(command="y", instances=1))
        run_all(h)
        h.update("j-r.web.0.1", pb.TASK_FAILED, 1)
        assert self.ask(h, "abort") == ""
        roll(h)
        assert [i.spec.command for i in state_of(h).instances] == ["y"], "what is ready stays"
        propose(h, shop(command="y", instances=2))
        roll(h)
        assert state_of(h).rollouts["web"].state == "done"
        assert [i.spec.command for i in state_of(h).instances] == ["y", "y"]

    def test_what_is_as_it_was_before_is_not_abandoned(self, h: BinpackHarness) -> None:
        """An instance was stopped as one of the aborted version, and begun again, without end."""
        propose(h, shop(command="y"))
        run_all(h)
        h.update("j-r.web.1.1", pb.TASK_FAILED, 1)
        propose(h, shop())
        assert self.ask(h, "abort") == ""
        waiting = {i.key for i in state_of(h).instances if not i.live}
        assert waiting
        h.advance(0.1)
        assert waiting <= {i.key for i in state_of(h).instances}
        roll(h)
        assert [i.spec.command for i in state_of(h).instances] == ["x", "x", "x"]

    def test_what_is_as_it_was_before_is_no_canary(self, h: BinpackHarness) -> None:
        canary = {"canary": 1}
        propose(h, shop(command="y", update=canary))
        run_all(h)
        propose(h, shop(update=canary))
        roll(h)
        assert state_of(h).rollouts["web"].state == "done"
        assert tasks(h) == ["j-r.web.0.1", "j-r.web.1.1", "j-r.web.2.1"], "they stay"

    def test_a_restart_of_another_task_brings_nothing_forward(self) -> None:
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        web, api = ({"name": n, "kind": "service", "command": "x"} for n in ("web", "api"))
        h.submit(parse_job({"name": "j", "tasks": [web, api]}))
        run_all(h)
        changed = parse_job({"name": "j", "tasks": [{**web, "command": "y"}, api]})
        propose(h, changed)
        assert self.ask(h, "abort") == ""
        propose(h, changed, what="restart", restarts=("api",))
        assert state_of(h).rollouts["web"].state == "aborted"
        propose(h, changed)
        assert state_of(h).rollouts["web"].state == "rolling"

    def test_what_cannot_be_is_refused_with_what_can(self, h: BinpackHarness) -> None:
        assert "no rollout goes on" in self.ask(h, "pause")
        assert "no task 'api': it has web" in self.ask(h, "pause", "api")
        propose(h, shop(command="y"))
        assert "it is rolling" in self.ask(h, "promote")

    def test_what_was_asked_is_told_once_it_is_stored(self, h: BinpackHarness) -> None:
        propose(h, shop(command="y"))
        h.hold_writes = True
        self.ask(h, "pause")
        view = job_view(state_of(h), "f")
        assert [r.state for r in view.rollouts] == ["rolling"]
        h.write()
        view = job_view(state_of(h), "f")
        assert [(r.state, r.by) for r in view.rollouts] == [("paused", "")]
        assert not view.settled


def test_a_version_that_the_master_refuses_fails_at_once(h: BinpackHarness) -> None:
    propose(h, shop(command="y"))
    h.offer(BIG)
    h.update("j-r.web.0.v2.1", pb.TASK_ERROR)
    assert state_of(h).rollouts["web"].state in ("rolling_back", "rolled_back")
    roll(h)
    assert tasks(h) == ["j-r.web.0.1", "j-r.web.1.1", "j-r.web.2.1"]


def test_an_image_that_cannot_be_had_now_is_waited_for(h: BinpackHarness) -> None:
    said = "cannot fetch the image x:2: received unexpected HTTP status: 503 Service Unavailable"
    propose(h, shop(command="y", image="x:2"))
    for attempt in range(1, 6):
        h.offer(BIG)
        status = pb.TaskStatus(
            task_id=f"j-r.web.0.v2.{attempt}", state=pb.TASK_FAILED, uuid=b"u", agent_id="a",
            reason=pb.REASON_CONTAINER_LAUNCH_FAILED, message=said,
            image_trouble=pb.IMAGE_UNAVAILABLE,
        )  # fmt: skip
        h.feed(c.TaskUpdated(status))
        h.advance(70)
    rollout = state_of(h).rollouts["web"]
    assert (rollout.state, rollout.exits) == ("waiting_image", 0)
    assert "503" in rollout.why


def test_ids_are_not_given_again_within_a_version(h: BinpackHarness) -> None:
    """Back and forth under one version, as when a rollout fails twice."""
    propose(h, shop(instances=2, command="y"))
    state = state_of(h)
    first = next(i for i in state.instances if i.version == 2)
    state.retire([first])
    state.remove(frozenset([first]))
    assert state.add(first.spec, first.index).name == f"{first.name}r1"


@pytest.mark.parametrize(
    ("update", "problem"),
    [
        ({"max_surge": 0}, "both 0"),
        ({"max_surge": "x"}, "a share like 25%"),
        ({"max_surge": "101%"}, "a share like 25%"),
        ({"min_healthy_s": 400}, "healthy_deadline_s must be more"),
        ({"surge": 1}, "unknown key"),
    ],
)
def test_rules_that_cannot_be_are_refused(update: dict[str, Any], problem: str) -> None:
    with pytest.raises(JobError, match=problem):
        shop(update=update)


def test_a_whole_number_may_be_written_with_a_point() -> None:
    (task,) = shop(update={"canary": 1.0, "max_surge": "50%"}).tasks
    rules = rules_of(task)
    assert (rules.canary, rules.max_surge) == (Amount(1), Amount(50, percent=True))


def test_a_batch_task_has_no_update() -> None:
    with pytest.raises(JobError, match="a batch task is not replaced"):
        shop("batch", update={"max_surge": 1})


def crash(h: BinpackHarness, after_s: float = 0.0) -> None:
    """The one instance runs for a while, and crashes."""
    (instance,) = state_of(h).instances
    h.update(instance.saved.task_id, pb.TASK_RUNNING)
    h.advance(after_s)
    h.update(instance.saved.task_id, pb.TASK_FAILED, 1)


class TestRestarts:
    def begun(self, **restart: Any) -> BinpackHarness:
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        h.submit(shop(instances=1, restart=restart))
        return h

    def test_it_is_kept_back_as_its_job_says(self) -> None:
        h = self.begun(backoff_min_s=2, backoff_max_s=5)
        waits = []
        for _ in range(5):
            h.offer(BIG)
            crash(h)
            (instance,) = state_of(h).instances
            waits.append(instance.not_before_s - h.now_s if instance.not_before_s > h.now_s else 0)
            h.advance(5)
        assert waits == [0, 2, 4, 5, 5]

    @pytest.mark.parametrize("restarted", [False, True])
    def test_it_fails_after_so_many_crashes(self, restarted: bool) -> None:
        h = self.begun(max=2, within_s=100, on_max="fail")
        for number in range(3):
            assert not state_of(h).ended, number
            h.offer(BIG)
            crash(h)
            h.advance(1)
            if restarted:
                h = BinpackHarness(dict(h.records))
                h.now_s = number + 1.0
                h.feed(c.Subscribed("f"))
        assert state_of(h).state == "failed"
        if not restarted:
            (instance,) = state_of(h).instances
            assert "it crashed 3 times within 100 s" in instance.explanation

    def test_crashes_of_long_ago_do_not_count(self) -> None:
        h = self.begun(max=2, within_s=100, on_max="fail")
        for _ in range(6):
            h.offer(BIG)
            crash(h, after_s=60)
        assert not state_of(h).ended


class TestShutdown:
    def test_clients_are_told_before_an_instance_is_killed(self) -> None:
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        h.submit(shop(instances=2, shutdown={"drain_s": 5, "grace_s": 7}))
        run_all(h)
        propose(h, shop(instances=1, shutdown={"drain_s": 5, "grace_s": 7}), what="scale")
        leaving = next(i for i in state_of(h).instances if i.durable.leaving)
        view = instance_view(leaving)
        assert (view.ready, view.serving) == (True, False)
        assert killed(h) == set()
        h.update("j-r.web.1.1", pb.TASK_RUNNING)
        h.advance(4.9)
        assert killed(h) == set()
        again = BinpackHarness(dict(h.records))
        again.feed(c.Subscribed("f"))
        again.update("j-r.web.1.1", pb.TASK_RUNNING)
        assert killed(again) == set()
        for one in (h, again):
            one.advance(5)
            assert killed(one) == {"j-r.web.1.1"}

    def test_a_job_that_is_stopped_leaves_first(self) -> None:
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        h.submit(shop(instances=1, shutdown={"drain_s": 5}))
        run_all(h)
        h.feed(c.JobStopped("j-r"))
        (leaving,) = state_of(h).instances
        view = instance_view(leaving, leaves=state_of(h).durably_stopping)
        assert (view.ready, view.serving, view.leaving) == (True, False, "the job is to end")
        h.advance(4.9)
        assert killed(h) == set() and state_of(h).state == "stopping"
        again = BinpackHarness(dict(h.records))
        again.feed(c.Subscribed("f"))
        again.update("j-r.web.0.1", pb.TASK_RUNNING)
        assert killed(again) == set()
        for one in (h, again):
            one.advance(5)
            assert killed(one) == {"j-r.web.0.1"}
            one.update("j-r.web.0.1", pb.TASK_KILLED)
            assert state_of(one).state == "stopped"
            view = instance_view(state_of(one).instances[0], leaves=True)
            assert not view.leaving

    def test_one_that_is_stopped_now_does_not(self) -> None:
        for before in ([], [c.JobStopped("j-r")]):
            h = BinpackHarness()
            h.feed(c.Subscribed("f"))
            h.submit(shop(instances=1, shutdown={"drain_s": 5}))
            run_all(h)
            for event in before:
                h.feed(event)
            assert killed(h) == set()
            h.hold_writes = True
            h.feed(c.JobStopped("j-r", 7, now=True))
            assert killed(h) == set() and c.Done(7) not in h.effects
            h.write()
            assert killed(h) == {"j-r.web.0.1"} and c.Done(7) in h.effects
            again = BinpackHarness(dict(h.records))
            again.feed(c.Subscribed("f"))
            assert killed(again) == {"j-r.web.0.1"}
            again.feed(c.JobStopped("j-r", 8))  # which takes nothing back
            assert state_of(again).hurried

    def test_what_is_told_before_that_is_durable_takes_no_time_from_them(self) -> None:
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        h.submit(shop(instances=1, shutdown={"drain_s": 5}))
        run_all(h)
        h.feed(c.JobStopped("j-r"))
        h.hold_writes = True
        h.feed(c.JobStopped("j-r", 7, now=True))
        h.update("j-r.web.0.1", pb.TASK_RUNNING)
        assert killed(h) == set()
        h.write()
        assert killed(h) == {"j-r.web.0.1"}

    def test_their_time_begins_once_it_is_durable(self) -> None:
        """A write that takes longer than that loses no kill."""
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        h.submit(shop(instances=2, shutdown={"drain_s": 0.2}))
        run_all(h)
        h.hold_writes = True
        propose(h, shop(instances=1, shutdown={"drain_s": 0.2}), what="scale")
        h.advance(3)
        assert killed(h) == set()
        h.hold_writes = False
        h.write()
        h.advance(0.1)
        assert killed(h) == set()
        h.advance(0.2)
        assert killed(h) == {"j-r.web.1.1"}

    def test_what_serves_nobody_is_killed_at_once(self) -> None:
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        h.submit(shop(instances=2, shutdown={"drain_s": 5}))
        h.offer(BIG)
        propose(h, shop(instances=1, shutdown={"drain_s": 5}), what="scale")
        assert killed(h) == {"j-r.web.1.1"}

    def test_its_grace_is_that_of_a_kill(self) -> None:
        assert shop(shutdown={"grace_s": 7}).tasks[0].kill_grace_s == 7
        with pytest.raises(JobError, match="give one of them"):
            shop(shutdown={"grace_s": 7}, kill_grace_s=7)


@pytest.mark.parametrize(
    ("task", "problem"),
    [
        ({"kind": "batch", "restart": {"max": 1}}, "use `retries`"),
        ({"restart": {"backoff_min_s": 90}}, "at most backoff_max_s, 60, is expected"),
        ({"restart": {"on_max": "stop"}}, "not one of wait, fail"),
        ({"shutdown": {"drain": 5}}, "did you mean 'drain_s'"),
    ],
)
def test_keys_that_cannot_be_are_refused(task: dict[str, Any], problem: str) -> None:
    with pytest.raises(JobError, match=problem):
        shop(**task)


class TestScalingAfterwards:
    """A number of instances is no reason to try again what was given up."""

    def test_while_a_rollout_goes_back_it_goes_on_back(self, h: BinpackHarness) -> None:
        propose(h, shop(command="y"))
        h.offer(BIG)
        h.update("j-r.web.0.v2.1", pb.TASK_RUNNING)
        for attempt in range(1, 4):
            h.update(f"j-r.web.0.v2.{attempt}", pb.TASK_FAILED, 1)
            h.advance(1)
            h.offer(BIG)
        state = state_of(h)
        while state.rollouts["web"].going and not state.rollouts["web"].backward:
            h.advance(1)
        propose(h, shop(command=state.job.tasks[0].command or "", instances=4), what="scale")
        roll(h)
        assert {i.version for i in state.instances} <= {1, 4}
        assert all(i.spec.command == "x" for i in state.instances)
        assert len(tasks(h)) == 4

    def test_after_an_abort_it_stays_where_it_is(self, h: BinpackHarness) -> None:
        propose(h, shop(command="y"))
        run_all(h)
        TestSteering().ask(h, "abort")
        roll(h)
        commands = sorted(i.spec.command or "" for i in state_of(h).instances)
        propose(h, shop(command="y", instances=4), what="scale")
        roll(h)
        after = sorted(i.spec.command or "" for i in state_of(h).instances)
        assert after == sorted([*commands, "x"]), "the one that is new is known to work"


def test_a_restart_needs_no_canaries(h: BinpackHarness) -> None:
    canary = {"canary": 1}
    propose(h, shop(update=canary))
    propose(h, shop(update=canary), what="restart", restarts=("web",))
    roll(h)
    assert tasks(h) == ["j-r.web.0.v3.1", "j-r.web.1.v3.1", "j-r.web.2.v3.1"]


@pytest.mark.parametrize("stable", [False, True])
def test_canaries_that_are_wanted_no_longer_wait_for_nobody(
    h: BinpackHarness, stable: bool
) -> None:
    propose(h, shop(command="y", update={"canary": 1}))
    run_all(h)
    h.advance(20 if stable else 3)
    assert state_of(h).rollouts["web"].state == ("waiting_promotion" if stable else "rolling")
    propose(h, shop(command="y"))
    roll(h)
    assert state_of(h).rollouts["web"].state == "done"
    assert tasks(h) == ["j-r.web.0.v2.1", "j-r.web.1.v3.1", "j-r.web.2.v3.1"]


class TestFirstSignal:
    def test_a_task_and_its_sidecars_have_its_signal(self) -> None:
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        beside = [{"name": "proxy", "command": "x"}]
        h.submit(shop(instances=1, shutdown={"signal": "SIGQUIT", "grace_s": 7}, sidecars=beside))
        h.offer(capabilities=[])
        assert h.of(c.Accept) == []
        h.offer(agent="b", capabilities=[pb.KILL_SIGNAL])
        (accept,) = h.of(c.Accept)
        assert isinstance(accept, c.Accept)
        policies = [info.kill_policy for info in accept.groups[0]]
        assert [(p.signal, p.grace_period_s) for p in policies] == [("SIGQUIT", 7.0)] * 2

    def test_sigterm_asks_nothing_of_agents(self) -> None:
        (task,) = shop(shutdown={"signal": "SIGTERM"}).tasks
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        h.submit(shop(instances=1, shutdown={"signal": "SIGTERM"}))
        h.offer(capabilities=[])
        (accept,) = h.of(c.Accept)
        assert isinstance(accept, c.Accept)
        assert task.kill_signal == "SIGTERM" and not accept.tasks[0].kill_policy.signal

    def test_what_runs_ends_as_its_job_says_by_then(self) -> None:
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        h.submit(shop(instances=1, shutdown={"signal": "SIGQUIT", "grace_s": 7}))
        run_all(h)
        propose(h, shop(instances=1, shutdown={"grace_s": 9}))
        assert killed(h) == set()
        policy = said_by_the_kill(h)
        assert (policy.grace_period_s, policy.signal) == (9.0, "SIGTERM")

    @pytest.mark.parametrize("signal", ["SIGTERM", "SIGQUIT"])
    def test_no_grace_is_none_for_what_was_launched_with_some(self, signal: str) -> None:
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        h.submit(shop(instances=1, shutdown={"signal": signal, "grace_s": 600}))
        h.offer(BIG, capabilities=[pb.KILL_SIGNAL])
        (accept,) = h.of(c.Accept)
        assert isinstance(accept, c.Accept)
        (own,) = accept.tasks
        assert grace_s(None, own, 3) == 600
        propose(h, shop(instances=1, shutdown={"grace_s": 0}))
        assert grace_s(said_by_the_kill(h), own, 3) < 0.01

    def test_those_of_the_schema_are_those_of_the_contract(self) -> None:
        said = schema()["$defs"]["task"]["properties"]["shutdown"]["properties"]["signal"]
        assert tuple(said["enum"]) == STOP_SIGNALS

    @pytest.mark.parametrize(
        ("shutdown", "problem"),
        [
            ({"signal": "SIGKILL"}, "SIGKILL"),
            ({"signal": "SIGQUIT", "grace_s": 0}, "grace_s be more than 0"),
        ],
    )
    def test_those_that_cannot_be_are_refused(self, shutdown: dict[str, Any], problem: str) -> None:
        with pytest.raises(JobError, match=problem):
            shop(shutdown=shutdown)


class TestNamedPorts:
    def test_each_is_in_a_variable_of_its_own(self) -> None:
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        ports = [{"name": "http"}, {"name": "rest-api"}]
        h.submit(shop(instances=1, ports=ports, resources={"ports": 3}))
        h.offer("cpus:4;mem:400;ports:[7-9]")
        (accept,) = h.of(c.Accept)
        assert isinstance(accept, c.Accept)
        env = {v.name: v.value for v in accept.tasks[0].command.environment}
        (instance,) = h.core.instances()
        assert [env["PORT_HTTP"], env["PORT_REST_API"]] == [str(p) for p in instance.saved.ports][
            :2
        ]
        assert len(instance.saved.ports) == 3
        view = instance_view(instance)
        assert (list(view.port_names), len(view.ports)) == (["http", "rest-api"], 3)

    def test_they_are_counted_and_mapped(self) -> None:
        (task,) = shop(ports=[{"name": "http", "to": 8080}], network="bridge").tasks
        assert task.ports == 1
        assert task.container.keys["port_mappings"] == [{"port_index": 0, "container_port": 8080}]
        assert shop(ports=[{"name": "a"}]).tasks[0].digest != shop().tasks[0].digest

    def test_host_ports_keep_their_names_whatever_else_it_is_given(self) -> None:
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        ports = [{"name": "http", "host": 31080, "to": 8080}, {"name": "admin", "to": 81}]
        check = {"http": {"port_index": 0}}
        job = shop(instances=1, ports=ports, network="bridge", health_check=check)
        h.submit(job)
        h.offer("cpus:4;mem:400;ports:[7-7]")
        assert h.of(c.Accept) == []
        h.offer("cpus:4;mem:400;ports:[7-7,31080-31080]")
        (accept,) = h.of(c.Accept)
        assert isinstance(accept, c.Accept)
        (info,) = accept.tasks
        env = {v.name: v.value for v in info.command.environment}
        assert (env["PORT_HTTP"], env["PORT_ADMIN"]) == ("31080", "7")
        (instance,) = h.core.instances()
        assert instance.saved.ports == [31080, 7]
        view = instance_view(instance)
        assert view.address == "10.0.0.97" and list(view.ports) == [31080, 7]
        shown = instance_json(view)
        assert shown["named_ports"] == {"http": 31080, "admin": 7}
        assert shown["address"] == "10.0.0.97"
        assert ports_of(view) == "31080 (http), 7 (admin)"
        assert ports_of(pb_jobs.InstanceView(ports=[1, 2], port_names=["a"])) == "1 (a), 2"
        again = BinpackHarness(dict(h.records))
        assert instance_view(*again.core.instances()).address == "10.0.0.97"
        # For the agent the lowest port is the first.
        mapped = {m.container_port: m.port_index for m in info.container.port_mappings}
        assert mapped == {8080: 1, 81: 0}
        assert info.health_check.http.port_index == 1 and not info.health_check.HasField("tcp")

    def test_a_task_that_is_to_run_beside_one_with_its_host_port_is_refused(self) -> None:
        ports = [{"name": "http", "host": 31080}]
        one = {"name": "one", "command": "x", "ports": ports}
        two = {**one, "name": "two", "constraints": ["hostname:WITH:one"]}
        with pytest.raises(JobError, match=r"hostname:WITH:one: both need the host port 31080"):
            parse_job({"name": "j", "tasks": [one, two]})
        parse_job({"name": "j", "tasks": [one, {**two, "constraints": ["hostname:AWAY:one"]}]})

    @pytest.mark.parametrize(
        ("task", "problem"),
        [
            ({"ports": [{"name": "a"}, {"name": "a"}]}, "the same variable PORT_A"),
            ({"ports": [{"name": "a"}], "env": {"PORT_A": "1"}}, "leave it out"),
            (
                {"ports": [{"name": "a"}, {"name": "b"}], "resources": {"ports": 1}},
                "as many at least",
            ),
            ({"ports": [{"name": "a", "to": 80}]}, "ports of its own"),
            ({"ports": [{"name": "A"}]}, "letters a-z"),
            ({"ports": [{"name": "a", "host": 0}]}, "0 is out of range; at least 1"),
            ({"ports": [{"name": "a", "host": 65536}]}, "65536 is out of range; at most 65535"),
            (
                {"ports": [{"name": "a", "host": 80}, {"name": "b", "host": 80}]},
                "'a' has 80 already",
            ),
            (
                {"ports": [{"name": "a", "host": 80}], "update": {"max_surge": 1}},
                "max_surge and canary must be 0",
            ),
        ],
    )
    def test_those_that_cannot_be_are_refused(self, task: dict[str, Any], problem: str) -> None:
        with pytest.raises(JobError, match=problem):
            shop(**task)


def fail_two(h: BinpackHarness) -> JobState:
    """Two tasks of a job that go back from its second version, and are back."""
    h.feed(c.Subscribed("f"))
    update = {"healthy_deadline_s": 60, "progress_deadline_s": 60}
    made = [
        {"name": name, "kind": "service", "instances": n, "command": "x", "update": update}
        for n, name in ((1, "web"), (2, "api"), (1, "other"))
    ]
    h.submit(parse_job({"name": "j", "tasks": made}))
    run_all(h)
    h.advance(20)
    changed = [{**made[0], "command": "y"}, {**made[1], "command": "y", "instances": 3}, made[2]]
    propose(h, parse_job({"name": "j", "tasks": changed}))
    h.offer(BIG)
    h.advance(70)
    for _ in range(10):
        run_all(h)
        for instance in [i for i in state_of(h).instances if i.killing]:
            h.update(instance.saved.task_id, pb.TASK_KILLED)
        h.advance(10)
    return state_of(h)


def test_one_version_says_what_is_back() -> None:
    state = fail_two(BinpackHarness())
    assert {t: r.state.value for t, r in state.rollouts.items()} == {
        "web": "rolled_back", "api": "rolled_back",
    }  # fmt: skip
    assert [v.what for v in state.history.versions] == ["submit", "apply", "rollback of 2 tasks"]
    assert [(t.name, t.command, t.instances) for t in state.job.tasks] == [
        ("web", "x", 1), ("api", "x", 3), ("other", "x", 1),
    ]  # fmt: skip
    assert not state.unsettled


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
