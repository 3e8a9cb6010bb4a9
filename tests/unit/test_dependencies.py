"""Tasks that come before others: first starts, rollouts, ends, what fails, and cycles."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from pymesos_binpack import core as c
from pymesos_binpack.jobfiles.parsing import Job, JobError, parse_job
from pymesos_binpack.jobs.foreseeing import foresee
from pymesos_binpack.jobs.instance import Instance
from pymesos_binpack.jobs.rollouts.asking import Asked
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.services.changing import APPLY, Made, next_version
from pymesos_binpack.services.views import instance_view, job_view
from pymesos_binpack.specs import Until
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.binpack_harness import BinpackHarness

ROOM = "cpus:40;mem:40000"
ONE_AFTER_THE_OTHER = {"max_surge": 0, "max_unavailable": 1, "min_healthy_s": 0}


@pytest.fixture
def h() -> BinpackHarness:
    harness = BinpackHarness()
    harness.feed(c.Subscribed("f"))
    return harness


def task(name: str, *after: str, kind: str = "service", **more: Any) -> dict[str, Any]:
    depends = [{"task": each} for each in after]
    rules = {"update": ONE_AFTER_THE_OTHER} if kind == "service" else {}
    made = {"name": name, "kind": kind, "command": "x", "depends_on": depends, **rules}
    return {**made, **more}


def job_of(*tasks: dict[str, Any]) -> Job:
    return parse_job({"name": "j", "tasks": list(tasks)})


def state_of(h: BinpackHarness) -> JobState:
    (state,) = h.core.jobs.values()
    return state


def of(h: BinpackHarness, name: str) -> list[Instance]:
    return [i for i in state_of(h).instances if i.spec.name == name and not i.saved.leaving]


def launched(h: BinpackHarness) -> list[str]:
    """The tasks by their names that are launched when an agent is offered."""
    before = len(h.launched())
    h.offer(ROOM)
    h.core.check()
    return [task_id.split(".")[1] for task_id in h.launched()[before:]]


def have(h: BinpackHarness, name: str, state: pb.TaskState, exit_status: int | None = None) -> None:
    """Every live instance of a task comes to a state."""
    for instance in of(h, name):
        if instance.live:
            uuid = f"{instance.saved.task_id} {state}".encode()
            h.update(instance.saved.task_id, state, exit_status, uuid)


def killed(h: BinpackHarness) -> list[str]:
    """The names of the tasks that were killed since the last time, in order."""
    kills = h.of(c.Kill)
    h.effects = [effect for effect in h.effects if not isinstance(effect, c.Kill)]
    return [kill.task_id.split(".")[1] for kill in kills if isinstance(kill, c.Kill)]


def why(h: BinpackHarness, name: str) -> tuple[str, str]:
    """Why the first instance of a task does not run, and the kind of that reason."""
    view = instance_view(of(h, name)[0])
    return view.explanation, view.cause


def apply(h: BinpackHarness, job: Job, what: str = APPLY, **more: Any) -> None:
    state = state_of(h)
    request_id = f"change-{state.version}"
    h.feed(c.VersionProposed(request_id, state.job_id, state.version, job, what, **more))


class TestJobFiles:
    def test_a_batch_task_is_to_finish_and_others_are_to_be_ready(self) -> None:
        job = job_of(task("web", "db", "init"), task("db"), task("init", kind="batch"))
        assert [(d.task, d.until) for d in job.tasks[0].depends_on] == [
            ("db", Until.READY),
            ("init", Until.FINISHED),
        ]
        assert [spec.name for spec in job.in_order][-1] == "web"

    @pytest.mark.parametrize(
        ("tasks", "said"),
        [
            ([task("a", "c"), task("b", "a"), task("c", "b")], "in a circle"),
            ([task("a", "a")], "cannot come before itself"),
            ([task("a", "x")], "has no task 'x'; it has a"),
            ([task("a", "b", "b"), task("b")], "the task b is given twice"),
            ([task("a", "p"), task("p", kind="periodic")], "p is periodic"),
            (
                [task("a", depends_on=[{"task": "b", "until": "finished"}]), task("b")],
                "b is a service, which never finishes",
            ),
        ],
    )
    def test_what_cannot_be_is_refused(self, tasks: list[dict[str, Any]], said: str) -> None:
        with pytest.raises(JobError, match=said):
            job_of(*tasks)

    def test_a_cycle_is_named(self) -> None:
        with pytest.raises(JobError) as refused:
            job_of(task("a", "c"), task("b", "a"), task("c", "b"), task("d", "a"))
        circle = str(refused.value).partition("begin: ")[2].partition(";")[0].split(" → ")
        assert len(circle) == 4 and circle[0] == circle[-1] and set(circle) == {"a", "b", "c"}
        assert {("a", "c"), ("c", "b"), ("b", "a")} == set(pairwise(circle))

    def test_a_dependency_that_changes_replaces_nothing(self) -> None:
        plain, after = job_of(task("a"), task("b")), job_of(task("a", "b"), task("b"))
        assert [t.digest for t in plain.tasks] == [t.digest for t in after.tasks]


class TestFirstStarts:
    def test_all_of_it_are_ready_first(self, h: BinpackHarness) -> None:
        h.submit(job_of(task("web", "db"), task("db", instances=2)))
        assert launched(h) == ["db", "db"]
        assert why(h, "web") == (
            "waits for task db to be ready: 0 of 2 are",
            "DEPENDENCY",
        )
        h.update("j-r.db.0.1", pb.TASK_RUNNING)
        assert launched(h) == []
        assert "1 of 2" in why(h, "web")[0]
        assert not job_view(state_of(h), "f").settled
        h.update("j-r.db.1.1", pb.TASK_RUNNING, uuid=b"2")
        assert launched(h) == ["web"]
        have(h, "web", pb.TASK_RUNNING)
        assert job_view(state_of(h), "f").settled

    def test_a_readiness_check_counts(self, h: BinpackHarness) -> None:
        check = {"command": "true"}
        h.submit(job_of(task("web", "db"), task("db", readiness_check=check)))
        launched(h)
        have(h, "db", pb.TASK_RUNNING)
        assert launched(h) == []
        status = pb.TaskStatus(
            task_id="j-r.db.0.1", state=pb.TASK_RUNNING, uuid=b"3", agent_id="a", ready=True
        )
        h.feed(c.TaskUpdated(status))
        assert launched(h) == ["web"]

    def test_what_has_begun_is_not_held_any_more(self, h: BinpackHarness) -> None:
        h.submit(job_of(task("web", "db"), task("db")))
        for name in ("db", "web"):
            launched(h)
            have(h, name, pb.TASK_RUNNING)
        have(h, "db", pb.TASK_FAILED, 1)
        have(h, "web", pb.TASK_FAILED, 1)
        assert sorted(launched(h)) == ["db", "web"]

    def test_what_waits_for_room_waits_again(self, h: BinpackHarness) -> None:
        h.submit(job_of(task("web", "db"), task("db")))
        launched(h)
        have(h, "db", pb.TASK_RUNNING)
        have(h, "db", pb.TASK_FAILED, 1)
        assert launched(h) == ["db"]
        assert why(h, "web")[1] == "DEPENDENCY"

    def test_a_restart_of_the_framework_changes_nothing(self, h: BinpackHarness) -> None:
        h.submit(job_of(task("web", "db"), task("db")))
        launched(h)
        again = BinpackHarness(h.records)
        again.feed(c.Subscribed("f"))
        assert launched(again) == []
        assert why(again, "web")[1] == "DEPENDENCY"
        again.update("j-r.db.0.1", pb.TASK_RUNNING)
        assert launched(again) == ["web"]

    def test_a_dependency_that_is_left_out_holds_nothing(self, h: BinpackHarness) -> None:
        h.submit(job_of(task("web", "db"), task("db")))
        launched(h)
        apply(h, job_of(task("web"), task("db")))
        assert launched(h) == ["web"]

    def test_a_daemon_is_ready_on_every_agent(self, h: BinpackHarness) -> None:
        h.submit(job_of(task("web", "log"), task("log", kind="daemon")))
        assert why(h, "web")[0] == "waits for task log to be ready: no agent has one"
        assert launched(h) == ["log"]
        have(h, "log", pb.TASK_RUNNING)
        assert launched(h) == ["web"]


class TestFailures:
    def test_a_service_says_so_and_goes_on_once_it_is_mended(self, h: BinpackHarness) -> None:
        h.submit(job_of(task("web", "init"), task("init", kind="batch")))
        launched(h)
        have(h, "init", pb.TASK_FAILED, 3)
        assert launched(h) == []
        assert why(h, "web") == (
            "task init, which comes before it, has failed: instance 0 with exit status 3",
            "DEPENDENCY_FAILED",
        )
        apply(h, job_of(task("web", "init"), task("init", kind="batch", command="y")))
        assert launched(h) == ["init"]
        assert why(h, "web")[1] == "DEPENDENCY"
        have(h, "init", pb.TASK_FINISHED, 0)
        assert launched(h) == ["web"]

    def test_a_batch_task_ends_with_its_job(self, h: BinpackHarness) -> None:
        job = job_of(task("load", "init", kind="batch"), task("init", kind="batch", retries=1))
        h.submit(job)
        launched(h)
        have(h, "init", pb.TASK_FAILED, 3)
        assert launched(h) == ["init"], "it may be tried again, so that nothing has failed yet"
        have(h, "init", pb.TASK_FAILED, 3)
        (load,) = of(h, "load")
        assert load.saved.done
        assert "init" in load.saved.message and "exit status 3" in load.saved.message
        assert state_of(h).state == "failed"
        h.core.check()

    def test_a_service_that_is_given_up_is_a_failure_too(self, h: BinpackHarness) -> None:
        rules = {"max": 0, "on_max": "fail"}
        h.submit(job_of(task("web", "db"), task("db", restart=rules)))
        launched(h)
        have(h, "db", pb.TASK_FAILED, 7)
        assert why(h, "web")[1] == "DEPENDENCY_FAILED"


def begin(h: BinpackHarness, *tasks: dict[str, Any]) -> None:
    """Submit a job and have all of it run, batch tasks to their end."""
    job = job_of(*tasks)
    h.submit(job)
    settle(h)


def settle(h: BinpackHarness) -> list[str]:
    """Let all go on that can; the names of the tasks that were launched, in order."""
    out: list[str] = []
    for _ in range(20):
        out += launched(h)
        for instance in list(state_of(h).instances):
            if instance.live and instance.killing:
                h.update(instance.saved.task_id, pb.TASK_KILLED, uuid=b"k")
            elif instance.live and not instance.saved.ready_since_s:
                ends = instance.spec.kind == "batch"
                state = pb.TASK_FINISHED if ends else pb.TASK_RUNNING
                h.update(instance.saved.task_id, state, uuid=b"s")
        h.advance(1)
    return out


class TestRollouts:
    def test_what_comes_first_changes_first(self, h: BinpackHarness) -> None:
        begin(h, task("web", "db"), task("db", instances=2))
        apply(h, job_of(task("web", "db", command="y"), task("db", instances=2, command="y")))
        assert killed(h) == ["db"]
        assert state_of(h).rollouts["web"].why == (
            "waits for the rollout of task db, which is rolling"
        )
        assert settle(h) == ["db", "db", "web"]
        assert {r.state for r in state_of(h).rollouts.values()} == {"done"}

    def test_what_does_not_change_holds_nothing_up(self, h: BinpackHarness) -> None:
        begin(h, task("web", "db"), task("db"))
        apply(h, job_of(task("web", "db"), task("db", command="y")))
        assert settle(h) == ["db"], "nothing is restarted for another"

    def test_both_go_back_if_the_first_one_fails(self, h: BinpackHarness) -> None:
        begin(h, task("web", "db"), task("db"))
        apply(h, job_of(task("web", "db", command="y"), task("db", command="y")))
        h.update("j-r.db.0.1", pb.TASK_KILLED)
        for number in range(3):
            assert launched(h) == ["db"]
            have(h, "db", pb.TASK_FAILED, 1)
            h.advance(60)
            assert number == 2 or state_of(h).rollouts["db"].going
        assert "web" not in settle(h)
        assert {r.state for r in state_of(h).rollouts.values()} == {"rolled_back"}
        assert {i.spec.command for i in state_of(h).instances} == {"x"}
        assert {spec.command for spec in state_of(h).job.tasks} == {"x"}
        assert state_of(h).version == 3, "one version says so of both"
        apply(h, job_of(task("web", "db", command="z"), task("db")))
        assert settle(h) == ["web"]

    def test_time_stands_still_meanwhile(self, h: BinpackHarness) -> None:
        begin(h, task("web", "db"), task("db"))
        apply(h, job_of(task("web", "db", command="y"), task("db", command="y")))
        h.feed(c.RolloutAsked("p", state_of(h).job_id, "db", Asked.PAUSE))
        h.advance(100_000)
        assert state_of(h).rollouts["web"].state == "rolling"
        assert "which is paused" in state_of(h).rollouts["web"].why
        assert of(h, "web")[0].spec.command == "x"

    def test_what_has_to_finish_runs_again_before(self, h: BinpackHarness) -> None:
        tasks = (task("web", "init"), task("init", "fetch", kind="batch"))
        begin(h, *tasks, task("fetch", kind="batch"))
        after = job_of(task("web", "init", command="y"), *tasks[1:], task("fetch", kind="batch"))
        made = Made(after, APPLY)
        foreseen = foresee(state_of(h), after, next_version(state_of(h), made), h.core.agents)
        assert {change.task: change.replace for change in foreseen} == {
            "web": 1,
            "init": 1,
            "fetch": 1,
        }
        apply(h, after)
        assert killed(h) == []
        assert settle(h) == ["fetch", "init", "web"]

    def test_what_finished_does_not_run_again_for_itself(self, h: BinpackHarness) -> None:
        begin(h, task("web", "init"), task("init", kind="batch"))
        apply(h, job_of(task("web", "init"), task("init", kind="batch", command="y")))
        assert settle(h) == []

    def test_a_rollout_goes_back_if_what_has_to_finish_fails(self, h: BinpackHarness) -> None:
        begin(h, task("web", "init"), task("init", kind="batch"))
        apply(h, job_of(task("web", "init", command="y"), task("init", kind="batch")))
        assert launched(h) == ["init"]
        have(h, "init", pb.TASK_FAILED, 9)
        rollout = state_of(h).rollouts["web"]
        assert rollout.state == "rolled_back" and "exit status 9" in rollout.why
        assert killed(h) == []
        assert of(h, "web")[0].spec.command == "x"

    def test_a_rollout_that_is_to_stop_stops_if_what_has_to_finish_fails(
        self, h: BinpackHarness
    ) -> None:
        stops: dict[str, Any] = {"update": {"on_failure": "pause"}}
        begin(h, task("web", "init", **stops), task("init", kind="batch"))
        apply(h, job_of(task("web", "init", command="y", **stops), task("init", kind="batch")))
        assert launched(h) == ["init"]
        have(h, "init", pb.TASK_FAILED, 9)
        rollout = state_of(h).rollouts["web"]
        assert rollout.state == "paused" and "exit status 9" in rollout.why
        assert "resume it, or abort it" in rollout.why and state_of(h).version == 2
        h.feed(c.RolloutAsked("a", state_of(h).job_id, "web", Asked.ABORT))
        assert state_of(h).rollouts["web"].state == "aborted" and killed(h) == []


class TestEnds:
    def test_what_begins_last_ends_first(self, h: BinpackHarness) -> None:
        begin(h, task("web", "app"), task("app", "db"), task("db"), task("alone"))
        h.feed(c.JobStopped(state_of(h).job_id, 1))
        assert sorted(killed(h)) == ["alone", "web"]
        assert "once those of task" in why(h, "db")[0]
        for name, then in (("alone", []), ("web", ["app"]), ("app", ["db"])):
            have(h, name, pb.TASK_KILLED)
            assert killed(h) == then
        have(h, "db", pb.TASK_KILLED)
        assert state_of(h).state == "stopped"

    def test_what_is_unreachable_holds_nothing_up(self, h: BinpackHarness) -> None:
        begin(h, task("web", "db"), task("db"))
        h.feed(c.JobStopped(state_of(h).job_id, 1))
        assert killed(h) == ["web"]
        have(h, "web", pb.TASK_UNREACHABLE)
        assert killed(h) == ["db"]

    def test_a_restart_of_the_framework_keeps_the_order(self, h: BinpackHarness) -> None:
        begin(h, task("web", "db"), task("db"))
        h.feed(c.JobStopped(state_of(h).job_id, 1))
        again = BinpackHarness(h.records)
        again.feed(c.Subscribed("f"))
        assert killed(again) == ["web"]
        have(again, "web", pb.TASK_KILLED)
        assert killed(again) == ["db"]

    def test_tasks_that_a_job_has_no_longer_end_in_order(self, h: BinpackHarness) -> None:
        begin(h, task("web", "db"), task("db"), task("other"))
        apply(h, job_of(task("other")))
        assert killed(h) == ["web"]
        for instance in [i for i in state_of(h).instances if i.spec.name == "web"]:
            h.update(instance.saved.task_id, pb.TASK_KILLED)
        assert killed(h) == ["db"]

    def test_a_task_that_goes_alone_ends_at_once(self, h: BinpackHarness) -> None:
        begin(h, task("web", "db"), task("db"))
        apply(h, job_of(task("web")))
        assert killed(h) == ["db"]
