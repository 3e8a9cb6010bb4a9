"""Jobs are scaled, restarted, rolled back and steered: what is answered, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from pymesos_binpack import core as c
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_core.security.policy_file import read_policy
from pymesos_core.transport import Code
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_proto.v1 import types_pb2
from pymesos_testing.binpack_harness import BinpackHarness
from pymesos_testing.job_desk import ROOT, RULES, WEB, Desk, document, settle


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def shop(desk: Desk) -> str:
    """The id of a job that runs."""
    job_id = desk.apply(document(WEB)).job_id
    desk.h.offer()
    for instance in desk.h.core.instances():
        desk.h.update(instance.saved.task_id, types_pb2.TASK_RUNNING)
    return job_id


class TestOthers:
    def test_scaled(self, desk: Desk, shop: str) -> None:
        request = pb.ScaleJobRequest(job_id=shop, counts={"web": 5}, request_id="s")
        answer = desk.call("ScaleJob", request)
        assert (answer.version, answer.changed, answer.what) == (2, True, "scale")
        same = pb.ScaleJobRequest(job_id=shop, counts={"web": 5}, request_id="s2")
        assert not desk.call("ScaleJob", same).changed

    @pytest.mark.parametrize(
        ("counts", "code", "said"),
        [
            ({}, Code.INVALID_ARGUMENT, "name a task and a number"),
            ({"wob": 1}, Code.NOT_FOUND, "it has web"),
            ({"web": 0}, Code.INVALID_ARGUMENT, "pymesos-cli stop"),
            ({"web": 10_001}, Code.INVALID_ARGUMENT, "from 1 to 10000"),
        ],
    )
    def test_scaled_wrongly(
        self, desk: Desk, shop: str, counts: dict[str, int], code: Code, said: str
    ) -> None:
        error = desk.refused(
            "ScaleJob", pb.ScaleJobRequest(job_id=shop, counts=counts, request_id="s")
        )
        assert (error.code, said in error.message) == (code, True)

    def test_restarted(self, desk: Desk, shop: str) -> None:
        answer = desk.call("RestartJob", pb.RestartJobRequest(job_id=shop, request_id="s"))
        assert answer.version == 2
        assert desk.h.core.jobs[shop].history.latest.restarts == {"web": 1}
        wrong = pb.RestartJobRequest(job_id=shop, tasks=["api"], request_id="t")
        assert "it has web" in desk.refused("RestartJob", wrong).message

    def test_restarted_without_data_that_cannot_be_reached(self, desk: Desk) -> None:
        volume = {"name": "data", "path": "data", "size": 10}
        task = {"name": "t", "kind": "service", "command": "x", "volumes": [volume]}
        job = parse_job({"name": "db", "role": "ops", "tasks": [task]})
        job_id = desk.h.submit(job, "1")
        desk.h.offer("cpus:4;mem:400;disk:100", "a")
        desk.h.update(f"{job_id}.t.0.1", types_pb2.TASK_RUNNING)
        lose = pb.RestartJobRequest(job_id=job_id, request_id="s", lose_volumes=True)
        assert desk.refused("RestartJob", lose).code is Code.PERMISSION_DENIED
        assert "cannot be reached" in desk.refused("RestartJob", lose, ROOT).message
        desk.h.update(f"{job_id}.t.0.1", types_pb2.TASK_UNREACHABLE, uuid=b"")
        wrong = pb.RestartJobRequest(job_id=job_id, tasks=["x"], request_id="s", lose_volumes=True)
        assert "it has t" in desk.refused("RestartJob", wrong, ROOT).message
        answer = desk.call("RestartJob", lose, ROOT)
        assert answer.changed and answer.version == 1
        desk.h.offer("cpus:4;mem:400;disk:100", "b")
        assert desk.h.launched()[1:] == [f"{job_id}.t.0.2"]

    def test_restarted_by_names_that_are_repeated(self, desk: Desk, shop: str) -> None:
        twice = pb.RestartJobRequest(job_id=shop, tasks=["web", "web"], request_id="s")
        assert desk.call("RestartJob", twice).version == 2
        assert desk.h.core.jobs[shop].history.latest.restarts == {"web": 1}
        many = pb.RestartJobRequest(job_id=shop, tasks=["web"] * 1001, request_id="t")
        error = desk.refused("RestartJob", many)
        assert error.code is Code.INVALID_ARGUMENT and "name each of them once" in error.message

    def test_rolled_back_to_what_last_ran_otherwise(self, desk: Desk, shop: str) -> None:
        none = pb.RollbackJobRequest(job_id=shop, request_id="n")
        assert "no earlier version" in desk.refused("RollbackJob", none).message
        desk.apply(document({**WEB, "command": "y"}))
        desk.call("ScaleJob", pb.ScaleJobRequest(job_id=shop, counts={"web": 3}, request_id="s"))
        answer = desk.call("RollbackJob", pb.RollbackJobRequest(job_id=shop, request_id="b"))
        assert (answer.version, answer.what) == (4, "rollback to 1")
        task = desk.h.core.jobs[shop].job.tasks[0]
        assert (task.command, task.instances) == ("x", 3), "counts are kept"
        gone = pb.RollbackJobRequest(job_id=shop, request_id="g", version=9)
        assert "there are 1, 2, 3, 4" in desk.refused("RollbackJob", gone).message

    def test_a_run_that_cannot_be_is_asked_for_wrongly(self, desk: Desk, shop: str) -> None:
        request = pb.TriggerJobRequest(job_id=shop, task_name="nope", request_id="t")
        error = desk.refused("TriggerJob", request)
        assert error.code is Code.INVALID_ARGUMENT and "so none can be triggered" in error.message

    def test_rolled_back_to_another_schedule(self, desk: Desk) -> None:
        def at(schedule: str) -> str:
            return document(
                {"name": "fast", "kind": "periodic", "command": "x", "schedule": schedule}
            )

        job_id = desk.apply(at("1 * * * *")).job_id
        desk.apply(at("2 * * * *"))
        answer = desk.call("RollbackJob", pb.RollbackJobRequest(job_id=job_id, request_id="b"))
        assert (answer.version, answer.what) == (3, "rollback to 1")
        rules = desk.h.core.jobs[job_id].job.tasks[0].periodic
        assert rules is not None and rules.schedule == "1 * * * *"

    def test_rolled_back_to_what_is_known_to_work(self, desk: Desk) -> None:
        def web(command: str) -> str:
            update = {"min_healthy_s": 0, "max_surge": 2}
            return document({**WEB, "command": command, "update": update})

        def back(desk: Desk, request_id: str) -> Any:
            return desk.call(
                "RollbackJob", pb.RollbackJobRequest(job_id=job_id, request_id=request_id)
            )

        job_id = desk.apply(web("one")).job_id
        settle(desk.h)
        desk.apply(web("bad"))
        settle(desk.h, bad="bad")
        job = desk.h.core.jobs[job_id]
        assert (job.version, job.history.latest.what) == (3, "rollback of web to 1")
        none = desk.refused("RollbackJob", pb.RollbackJobRequest(job_id=job_id, request_id="n"))
        assert none.code is Code.FAILED_PRECONDITION
        assert "none is known to work" in none.message
        assert "the latest being 2" in none.message
        assert f"`pymesos-cli rollback {job_id} NUMBER`" in none.message, "2 is the bad one"
        desk.apply(web("two"))
        settle(desk.h)
        desk.apply(web("bad"))
        settle(desk.h, bad="bad")
        assert desk.h.core.jobs[job_id].history.latest.what == "rollback of web to 4"
        again = Desk()
        again.h = BinpackHarness(desk.h.records)
        again.service.binpack.core = again.h.core
        again.h.feed(c.Subscribed("f"))
        again.h.feed(c.PolicyTold(read_policy(RULES, 1)))
        for each in (again, desk):
            assert back(each, "b").what == "rollback to 3"

    def test_what_was_replaced_before_it_was_stable_is_not_known_to_work(self, desk: Desk) -> None:
        job_id = desk.apply(document({**WEB, "command": "one"})).job_id
        settle(desk.h)
        for command in ("two", "three"):
            desk.apply(document({**WEB, "command": command}))
        assert [v.works for v in desk.h.core.jobs[job_id].history.versions] == [True, False, False]
        request = pb.RollbackJobRequest(job_id=job_id, request_id="b")
        assert desk.call("RollbackJob", request).what == "rollback to 1"

    def test_a_restart_on_its_way_is_rolled_back(self, desk: Desk, shop: str) -> None:
        desk.call("RestartJob", pb.RestartJobRequest(job_id=shop, request_id="s"))
        request = pb.RollbackJobRequest(job_id=shop, version=1, request_id="b")
        answer = desk.call("RollbackJob", request)
        assert (answer.changed, answer.version) == (True, 3)
        job = desk.h.core.jobs[shop]
        assert {i.saved.task_id for i in job.instances if job.is_current(i)} == {
            f"{shop}.web.0.1", f"{shop}.web.1.1",
        }  # fmt: skip

    def test_a_rollback_leaves_what_was_restarted_before(self, desk: Desk) -> None:
        h, other = desk.h, {**WEB, "name": "api"}
        job_id = desk.apply(document(WEB, other)).job_id
        settle(h)
        restart = pb.RestartJobRequest(job_id=job_id, tasks=["api"], request_id="s")
        desk.call("RestartJob", restart)
        settle(h)
        assert not h.core.jobs[job_id].unsettled
        desk.apply(document({**WEB, "command": "y"}, other))
        request = pb.RollbackJobRequest(job_id=job_id, version=1, request_id="b")
        assert desk.call("RollbackJob", request).version == 4
        job = h.core.jobs[job_id]
        assert not job.rollouts["api"].going
        assert all(job.is_current(i) for i in job.instances if i.saved.task_id)

    def test_the_history_says_who_changed_what(self, desk: Desk, shop: str) -> None:
        desk.apply(document({**WEB, "command": "y"}), "operator/ci")
        answer = desk.call("ListVersions", pb.ListVersionsRequest(job_id=shop))
        assert [(v.version, v.made_by, v.what) for v in answer.versions] == [
            (2, "operator/ci", "apply"), (1, "operator/lead", "submit"),
        ]  # fmt: skip
        (change,) = answer.versions[0].changes
        assert (change.path, change.before, change.after) == ("tasks.web.command", '"x"', '"y"')

    def test_described(self, desk: Desk) -> None:
        job_id = desk.apply(document({**WEB, "env": {"KEY": "secret"}})).job_id
        request = pb.DescribeJobRequest(job_id=job_id)
        answer = desk.call("DescribeJob", request)
        assert "secret" in answer.job_json and not answer.env_hidden
        hidden = desk.call("DescribeJob", request, "operator/ci")
        assert "secret" not in hidden.job_json and hidden.env_hidden
        wrong = pb.DescribeJobRequest(job_id=job_id, version=7)
        assert "no version 7" in desk.refused("DescribeJob", wrong).message

    def test_a_job_that_ends_is_not_changed(self, desk: Desk, shop: str) -> None:
        desk.h.feed(c.JobStopped(shop))
        for method, request in (
            ("ScaleJob", pb.ScaleJobRequest(job_id=shop, counts={"web": 3}, request_id="s")),
            ("RestartJob", pb.RestartJobRequest(job_id=shop, request_id="s")),
            ("RollbackJob", pb.RollbackJobRequest(job_id=shop, request_id="s")),
        ):
            error = desk.refused(method, request)
            assert "only one that runs can be changed" in error.message
        paused = desk.refused("PauseRollout", pb.RolloutRequest(job_id=shop))
        assert "does not run" in paused.message

    def test_rollouts_are_steered(self, desk: Desk, shop: str) -> None:
        desk.apply(document({**WEB, "command": "y"}))
        answer = desk.call("PauseRollout", pb.RolloutRequest(job_id=shop, task_name="web"))
        assert [(r.task_name, r.state, r.going) for r in answer.rollouts] == [
            ("web", "paused", True)
        ]
        wrong = pb.RolloutRequest(job_id=shop, task_name="api")
        assert "it has web" in desk.refused("ResumeRollout", wrong).message
        answer = desk.call("AbortRollout", pb.RolloutRequest(job_id=shop))
        assert [r.state for r in answer.rollouts] == ["aborted"]
        assert answer.rollouts[0].by == "operator/lead"
