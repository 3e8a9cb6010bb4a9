"""Jobs of a backup are put in force again, with the versions before."""

from __future__ import annotations

from collections import Counter

import pytest

from pymesos_binpack.jobs.rollouts.lifecycle import State
from pymesos_binpack.services.views import job_view
from pymesos_core.transport import Code
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_proto.v1 import types_pb2
from pymesos_testing.binpack_harness import BinpackHarness
from pymesos_testing.job_desk import ROOT, WEB, Desk, document, settle, version


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


TWO = [version(3, document({**WEB, "instances": 3})), version(7, document(WEB), what="scale")]


class TestRestore:
    def restored(self, *versions: pb.JobVersion) -> pb.RestoreJobRequest:
        return pb.RestoreJobRequest(request_id="r", versions=versions)

    def test_a_job_begins_with_the_versions_that_it_had(self, desk: Desk) -> None:
        answer = desk.call("RestoreJob", self.restored(*TWO), "operator/root")
        assert answer.version == 7
        again = desk.call("RestoreJob", self.restored(*TWO), "operator/root")
        assert again == answer, "the same request is the same job"
        for core in (desk.h.core, BinpackHarness(desk.h.records).core):
            job = core.jobs[answer.job_id]
            assert [(v.number, v.made_at_s, v.made_by, v.what) for v in job.history.versions] == [
                (3, 1003.0, "operator/then", "apply"), (7, 1007.0, "operator/then", "scale"),
            ]  # fmt: skip
            assert job.history.versions[0].document == document({**WEB, "instances": 3})
            assert job.version == job.durable_version == 7
            assert len(list(core.instances())) == 2, "the last is in force"

    def test_what_was_scaled_begins_with_as_many_as_it_had(self, desk: Desk) -> None:
        rules = {"min": 1, "max": 6, "target": {"cpu": "50%"}, "up_after_s": 100}
        tasks = [{**WEB, "name": name, "scale": rules} for name in ("most", "same", "new")]
        request = self.restored(version(3, document(*tasks, {**WEB, "name": "fixed"})))
        request.scaled_counts.update({"most": 50, "same": 2, "fixed": 4, "gone": 3})
        job_id = desk.call("RestoreJob", request, ROOT).job_id
        for core in (desk.h.core, BinpackHarness(desk.h.records).core):
            counts = Counter(i.spec.name for i in core.instances())
            assert counts == {"most": 6, "same": 2, "new": 2, "fixed": 2}, "within its bounds"
            views = {view.task_name: view for view in job_view(core.jobs[job_id], "f").scaling}
            (step,) = views["most"].steps
            assert (step.before, step.after) == (2, 6) and "backup" in step.why
            assert not views["same"].steps and not views["new"].steps
        desk.apply(document(*({**task, "command": "y"} for task in tasks)))
        counts = Counter(i.spec.name for i in desk.h.core.instances() if i.spec.command == "y")
        assert counts == {"most": 6, "same": 2, "new": 2}, "a new version has as many"

    def test_it_is_read_back_whatever_the_number_of_its_version(self, desk: Desk) -> None:
        text = document(WEB)
        request = self.restored(version(10**9 - 1, text))
        job_id = desk.call("RestoreJob", request, "operator/root").job_id
        assert desk.apply(text.replace('"x"', '"y"')).version == 10**9
        again = BinpackHarness(desk.h.records).core
        assert job_id in again.jobs, again.quarantined[job_id].reason
        assert again.jobs[job_id].version == 10**9

    def test_versions_are_not_counted_past_what_a_backup_may_have(self, desk: Desk) -> None:
        request = self.restored(version(10**9, document(WEB)))
        job_id = desk.call("RestoreJob", request, "operator/root").job_id
        changed = pb.ApplyJobRequest(request_id="a", job_json=document({**WEB, "command": "y"}))
        restarted = pb.RestartJobRequest(request_id="b", job_id=job_id)
        for method, change in (("ApplyJob", changed), ("RestartJob", restarted)):
            error = desk.refused(method, change)
            assert error.code == Code.FAILED_PRECONDITION
            assert "is at version 1000000000, which is the last" in error.message
            assert f"pymesos-cli stop {job_id}" in error.message
        assert desk.h.core.jobs[job_id].version == 10**9
        stored = desk.h.records["job", job_id].replace(b"1000000000", b"1000000001")
        damaged = BinpackHarness({**desk.h.records, ("job", job_id): stored}).core
        assert "a version has another number" in damaged.quarantined[job_id].reason

    def test_what_goes_back_by_itself_at_the_last_version_is_told_by_its_rollout(
        self, desk: Desk
    ) -> None:
        def web(command: str) -> str:
            update = {"min_healthy_s": 0, "max_surge": 2}
            return document({**WEB, "command": command, "update": update})

        request = self.restored(version(10**9 - 1, web("one")))
        job_id = desk.call("RestoreJob", request, "operator/root").job_id
        settle(desk.h)
        desk.apply(web("bad"))
        settle(desk.h, bad="bad")
        job = desk.h.core.jobs[job_id]
        assert job.version == 10**9
        assert job.rollouts["web"].state is State.ROLLED_BACK
        assert {i.spec.command for i in job.instances} == {"one"}

    def test_it_changes_as_any_other(self, desk: Desk) -> None:
        job_id = desk.call("RestoreJob", self.restored(*TWO), "operator/root").job_id
        desk.h.offer()
        assert desk.apply(document({**WEB, "command": "y"})).version == 8
        back = pb.RollbackJobRequest(job_id=job_id, version=3, request_id="b")
        assert desk.call("RollbackJob", back).what == "rollback to 3"
        assert desk.h.core.jobs[job_id].version == 9

    def test_one_of_its_name_that_runs_is_left_alone(self, desk: Desk, shop: str) -> None:
        error = desk.refused("RestoreJob", self.restored(*TWO), "operator/root")
        assert error.code == Code.FAILED_PRECONDITION and shop in error.message
        assert desk.h.core.jobs.keys() == {shop}

    def test_who_says_what_others_did_may_do_everything(self, desk: Desk) -> None:
        for caller, verb in (("operator/lead", "policy"), ("operator/chief", "submit")):
            error = desk.refused("RestoreJob", self.restored(*TWO), caller)
            assert (error.code, verb in error.message) == (Code.PERMISSION_DENIED, True)

    @pytest.mark.parametrize(
        ("versions", "says"),
        [
            ([], "versions: none is given"),
            ([TWO[1], TWO[0]], "counted upwards, from 1"),
            ([TWO[0], TWO[0]], "counted upwards, from 1"),
            ([version(0, document(WEB))], "counted upwards, from 1"),
            (
                [version(10**9 + 1, document(WEB))],
                "the number of a version, from 1 to 1000000000, is",
            ),
            ([version(1, document(WEB), made_at_s=float("nan"))], "a Unix time"),
            ([version(1, document(WEB), made_by="a\nb")], "made_by"),
            ([version(1, "{}")], "name"),
            ([version(1, document(WEB).replace("shop", "other")), TWO[1]], "to be of one job"),
            ([version(n, document(WEB)) for n in range(1, 22)], "21 versions; at most 20"),
        ],
    )
    def test_what_no_job_had_is_refused(
        self, desk: Desk, versions: list[pb.JobVersion], says: str
    ) -> None:
        error = desk.refused("RestoreJob", self.restored(*versions), "operator/root")
        assert (error.code, says in error.message) == (Code.INVALID_ARGUMENT, True), error.message
        assert not desk.h.core.jobs

    def test_one_of_another_role_is_refused(self, desk: Desk) -> None:
        request = self.restored(version(1, document(WEB, role="prod")))
        assert "is for the role" in desk.refused("RestoreJob", request, "operator/root").message
