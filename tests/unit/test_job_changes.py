"""The calls that change jobs: what they answer, and what they refuse, with what to do instead."""

from __future__ import annotations

import json

import pytest

from pymesos_binpack import core as c
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_binpack.placement.packing import read_policy as read_packing_policy
from pymesos_core.transport import CallError, Code
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_proto.v1 import types_pb2
from pymesos_testing.job_desk import WEB, Desk, document, version


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


def changes(answer: pb.ApplyJobResponse) -> list[tuple[str, str, str]]:
    return [(each.path, each.before, each.after) for each in answer.changes]


def test_a_silence_that_takes_the_place_of_another_says_so(desk: Desk, shop: str) -> None:
    request = pb.SilenceAlertsRequest(job_id=shop, for_s=60, why="a new disk")
    assert desk.call("SilenceAlerts", request, "operator/lead").replaced == ""
    other = pb.SilenceAlertsRequest(job_id=shop, task_name="web", for_s=60)
    assert desk.call("SilenceAlerts", other, "operator/lead").replaced == ""
    for for_s in (90, 0):
        request.for_s = for_s
        said = desk.call("SilenceAlerts", request, "operator/lead").replaced
        assert said.startswith("they were silenced by operator/lead until 20")
        assert said.endswith(": a new disk")
    assert desk.call("SilenceAlerts", request, "operator/lead").replaced == ""


class TestApply:
    def test_instances_beyond_the_bounds_of_a_scale_are_warned_of(self, desk: Desk) -> None:
        scale = {"min": 2, "max": 4, "target": {"cpu": "70%"}}
        for dry_run in (True, False):
            for given, begins in ((9, 4), (1, 2)):
                text = document({**WEB, "instances": given, "scale": scale})
                (warning,) = desk.apply(text, dry_run=dry_run).warnings
                assert warning == (
                    f"web: instances is {given}, and its scale goes from 2 to 4: it begins with"
                    f" {begins}"
                )
        assert not desk.apply(document({**WEB, "instances": 3, "scale": scale})).warnings
        assert not desk.apply(document(WEB)).warnings

    @pytest.mark.parametrize(
        ("delay", "deadline_s", "warned"),
        [({}, 25, True), ({}, 26, False), ({"delay_s": 1}, 25, False), ({"delay_s": 20}, 29, True)],
    )
    def test_a_deadline_that_no_instance_could_meet_is_warned_of(
        self, desk: Desk, delay: dict[str, float], deadline_s: float, warned: bool
    ) -> None:
        check = {"command": "true", **delay}
        update = {"healthy_deadline_s": deadline_s}  # and min_healthy_s is 10
        for kind in ("health_check", "readiness_check"):
            text = document({**WEB, kind: check, "update": update})
            for dry_run in (True, False):
                warnings = desk.apply(text, dry_run=dry_run).warnings
                assert [w.partition(" s after")[0] for w in warnings] == (
                    [f"web: a changed instance is stable {10 + delay.get('delay_s', 15):g}"]
                    if warned
                    else []
                )
        batch = {"name": "web", "command": "x", "readiness_check": check}
        assert not desk.apply(document(batch, name="b"), dry_run=True).warnings

    def test_a_secret_that_its_role_does_not_have_is_warned_of(self, desk: Desk) -> None:
        template = {"path": "a", "template": "{{ secrets.key }}"}
        text = document({**WEB, "secrets": [{"name": "db"}], "config": [template]})
        assert not desk.apply(text, dry_run=True).warnings, "no master has told of them yet"
        desk.h.feed(c.SecretsTold("*", (("key", 1, 1.0),)))
        assert not desk.apply(text, dry_run=True).warnings, "nor whether there are others"
        desk.h.feed(c.SecretsTold("*", (("key", 1, 1.0),), complete=True))
        for dry_run in (True, False):
            (warning,) = desk.apply(text, dry_run=dry_run).warnings
            assert warning == (
                "web: the role '*' has no secret db yet, and until it has none of its tasks starts:"
                " `pymesos-cli secret set '*' db` sets it"
            )
        desk.h.feed(c.SecretsTold("*", (("db", 1, 2.0),)))
        assert not desk.apply(text, dry_run=True).warnings
        desk.h.feed(c.SecretsTold("*", (), removed="key"))
        (warning,) = desk.apply(text, dry_run=True).warnings
        assert "no secret key yet" in warning

    def test_a_template_of_what_the_environment_does_not_have_is_refused(self, desk: Desk) -> None:
        file = {"path": "a", "template": "{{ env.PORT_HTTP }}"}
        with pytest.raises(
            CallError, match=r"\(web\)\.config\[0\]\.template: there is no env\.PORT_"
        ):
            desk.apply(document({**WEB, "config": [file]}))
        assert not desk.h.core.jobs
        desk.apply(document({**WEB, "config": [file], "ports": [{"name": "http"}]}))

    def test_a_job_is_started_and_then_left_alone(self, desk: Desk) -> None:
        planned = desk.apply(document(WEB), dry_run=True)
        assert (planned.created, planned.changed, planned.tasks[0].start) == (True, True, 2)
        assert not desk.h.core.jobs
        made = desk.apply(document(WEB))
        assert (made.created, made.version) == (True, 1)
        again = desk.apply(document(WEB))
        assert (again.job_id, again.changed, again.created) == (made.job_id, False, False)

    @pytest.mark.parametrize("dry_run", [True, False])
    def test_an_alert_for_nobody_that_is_known_is_refused(self, desk: Desk, dry_run: bool) -> None:
        told = {"alerts": [{"when": "below", "to": "oncal"}]}
        with pytest.raises(CallError, match="the receivers here are oncall") as refused:
            desk.apply(document({**WEB, **told}), dry_run=dry_run)
        assert refused.value.code == Code.INVALID_ARGUMENT and not desk.h.core.jobs
        told["alerts"][0]["to"] = "oncall"
        assert desk.apply(document({**WEB, **told}), dry_run=dry_run).created

    def test_a_plan_says_what_changes_and_changes_nothing(self, desk: Desk, shop: str) -> None:
        text = document({**WEB, "instances": 3, "command": "y"}, {"name": "b", "command": "z"})
        planned = desk.apply(text, dry_run=True)
        assert changes(planned) == [
            ("tasks.web.instances", "2", "3"),
            ("tasks.web.command", '"x"', '"y"'),
            ("tasks.b", "", '{"name": "b", "command": "z"}'),
        ]
        web, b = planned.tasks
        assert (web.stay, web.start, web.stop, web.replace) == (0, 1, 0, 2)
        assert (b.task_name, b.start) == ("b", 1)
        assert desk.h.core.jobs[shop].version == 1
        assert desk.apply(text).version == 2

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            (document({"name": "web", "kind": "daemon", "command": "x"}), "web is no daemon, and"),
            (document(WEB, {**WEB, "name": "Web"}), "'web' and 'Web' would have one name in DNS"),
            (document(WEB, name="Shop"), "has its name in DNS already"),
            (document({**WEB, "env": {"A": "{{ variables.no }}"}}), "refers to the variable 'no'"),
        ],
    )
    def test_a_plan_of_what_would_be_refused_is_refused(
        self, desk: Desk, shop: str, text: str, problem: str
    ) -> None:
        for dry_run in (True, False):
            with pytest.raises(CallError, match=problem) as refused:
                desk.apply(text, dry_run=dry_run)
            assert refused.value.code == Code.FAILED_PRECONDITION
        assert list(desk.h.core.jobs) == [shop] and desk.h.core.jobs[shop].version == 1

    def test_a_plan_says_the_packing_policy(self, desk: Desk, shop: str) -> None:
        desk.h.core._ctx.placements.policy = read_packing_policy("best-fit+0.5*spread")
        for text in (document({**WEB, "command": "y"}), document(WEB, name="other")):
            assert desk.apply(text, dry_run=True).policy == "best-fit+0.5*spread"
            assert not desk.apply(text).policy

    def test_counts_are_kept_on_demand(self, desk: Desk, shop: str) -> None:
        text = document({**WEB, "instances": 9, "retries": 1})
        answer = desk.apply(text, keep_counts=True)
        assert changes(answer) == [("tasks.web.retries", "", "1")]
        assert desk.h.core.jobs[shop].job.tasks[0].instances == 2

    def test_of_several_of_a_name_one_is_to_be_named(self, desk: Desk, shop: str) -> None:
        submit = pb.SubmitJobRequest(job_json=document(WEB), request_id="two", same_name=True)
        other = desk.call("SubmitJob", submit).job_id
        request = pb.ApplyJobRequest(job_json=document(WEB), request_id="x")
        error = desk.refused("ApplyJob", request)
        assert error.code == Code.FAILED_PRECONDITION
        assert shop in error.message and other in error.message and "--job" in error.message
        answer = desk.apply(document({**WEB, "retries": 1}), job_id=other)
        assert (answer.job_id, answer.version) == (other, 2)

    def test_who_names_a_job_of_another_name_is_told(self, desk: Desk, shop: str) -> None:
        text = json.dumps({"name": "store", "tasks": [WEB]})
        request = pb.ApplyJobRequest(job_json=text, request_id="x", job_id=shop)
        assert "another name" in desk.refused("ApplyJob", request).message

    def test_who_would_restart_for_ever_is_told(self, desk: Desk, shop: str) -> None:
        file = {"path": "peers", "template": "{{ addresses.web }}", "on_change": "restart"}
        text = document({**WEB, "config": [file]})
        for name, request in (
            ("ApplyJob", pb.ApplyJobRequest(job_json=text, request_id="x")),
            ("SubmitJob", pb.SubmitJobRequest(job_json=text, request_id="x")),
        ):
            error = desk.refused(name, request)
            assert error.code == Code.INVALID_ARGUMENT
            assert "config[0].on_change" in error.message
            assert "use signal or none" in error.message
        file["on_change"] = "signal"
        assert desk.apply(document({**WEB, "config": [file]})).version == 2

    def test_a_version_that_is_expected(self, desk: Desk, shop: str) -> None:
        text = document({**WEB, "retries": 1})
        request = pb.ApplyJobRequest(job_json=text, request_id="x", if_version=2)
        assert "is at version 1, not 2" in desk.refused("ApplyJob", request).message
        assert desk.apply(text, if_version=1).version == 2
        new = pb.ApplyJobRequest(
            job_json=document(WEB).replace("shop", "new"), request_id="y", if_version=1
        )
        assert "leave --if-version out" in desk.refused("ApplyJob", new).message

    def test_a_request_that_comes_twice_is_one_change(self, desk: Desk, shop: str) -> None:
        text = document({**WEB, "retries": 1})
        for _ in range(2):
            answer = desk.apply(text, request_id="once", if_version=1)
            assert (answer.version, answer.changed) == (2, True)
        assert desk.h.core.jobs[shop].version == 2

    def test_somebody_who_is_quicker_costs_nothing(self, desk: Desk, shop: str) -> None:
        job = desk.h.core.jobs[shop].job
        desk.before_propose.append(
            c.VersionProposed("quick", shop, 1, job, "restart", "", ("web",))
        )
        assert desk.apply(document({**WEB, "retries": 1})).version == 3

    def test_of_two_that_begin_a_job_at_once_the_later_changes_it(self, desk: Desk) -> None:
        job = parse_job(json.loads(document(WEB)))
        desk.before_submit.append(c.JobSubmitted("other", "shop-other", job, True, ""))
        desk.h.hold_writes = True  # so it is known, and not stored
        answer = desk.apply(document({**WEB, "command": "y"}))
        assert (answer.job_id, answer.version, answer.created) == ("shop-other", 2, False)

    def test_of_two_that_begin_the_same_job_at_once_the_later_is_told_of_it(
        self, desk: Desk
    ) -> None:
        job = parse_job(json.loads(document(WEB)))
        desk.before_submit.append(c.JobSubmitted("other", "shop-other", job, True, ""))
        desk.h.hold_writes = True
        answer = desk.apply(document(WEB))
        assert (answer.job_id, answer.version, answer.changed) == ("shop-other", 1, False)

    def test_who_repeats_what_began_a_job_is_told_the_same(self, desk: Desk, shop: str) -> None:
        desk.apply(document({**WEB, "command": "y"}))
        again = desk.apply(document(WEB), request_id="r1")
        assert (again.job_id, again.version, again.created) == (shop, 1, True)
        assert desk.h.core.jobs[shop].version == 2

    def test_an_id_is_of_one_request(self, desk: Desk, shop: str) -> None:
        scale = pb.ScaleJobRequest(request_id="s", job_id=shop, counts={"web": 3})
        assert desk.call("ScaleJob", scale).version == 2
        other = document(WEB).replace("shop", "other")
        versions = [version(1, document(WEB))]
        for method, request, what in (
            ("ScaleJob", pb.ScaleJobRequest(request_id="r1", job_id=shop, counts={"web": 4}), 1),
            ("RestartJob", pb.RestartJobRequest(request_id="s", job_id=shop), 2),
            ("RollbackJob", pb.RollbackJobRequest(request_id="s", job_id=shop, version=1), 2),
            ("ApplyJob", pb.ApplyJobRequest(request_id="s", job_json=document(WEB)), 2),
            ("ApplyJob", pb.ApplyJobRequest(request_id="r1", job_json=other), 0),
            ("SubmitJob", pb.SubmitJobRequest(request_id="r1", job_json=other), 0),
            ("RestoreJob", pb.RestoreJobRequest(request_id="r1", versions=versions), 0),
        ):
            error = desk.refused(method, request, "operator/root")
            did = f"made version {what} of the job {shop}" if what else f"began the job {shop}"
            assert error.code is Code.INVALID_ARGUMENT, method
            assert did in error.message and "send a new id" in error.message, method
        assert desk.h.core.jobs.keys() == {shop} and desk.h.core.jobs[shop].version == 2

    def test_what_is_so_already_is_told_once_it_is_stored(self, desk: Desk, shop: str) -> None:
        desk.h.hold_writes = True
        job = parse_job(json.loads(document({**WEB, "command": "y"})))
        desk.h.feed(c.VersionProposed("quick", shop, 1, job, "apply"))
        answer = desk.apply(job.document)
        assert (answer.version, answer.changed) == (2, False)
        assert desk.h.core.jobs[shop].durable_version == 2
        desk.h.hold_writes = True
        scaled = parse_job(json.loads(document({**WEB, "command": "y", "instances": 4})))
        desk.h.feed(c.VersionProposed("quick2", shop, 2, scaled, "scale"))
        request = pb.ScaleJobRequest(job_id=shop, counts={"web": 4}, request_id="s")
        assert not desk.call("ScaleJob", request).changed
        assert desk.h.core.jobs[shop].durable_version == 3

    def test_what_was_aborted_is_brought_forward(self, desk: Desk, shop: str) -> None:
        text = document({**WEB, "command": "y"})
        desk.apply(text)
        assert not desk.apply(text).changed, "it is on its way"
        desk.call("AbortRollout", pb.RolloutRequest(job_id=shop))
        planned = desk.apply(text, dry_run=True)
        assert (planned.changed, planned.tasks[0].replace) == (True, 2)
        assert desk.apply(text).version == 3
        assert desk.h.core.jobs[shop].rollouts["web"].state == "rolling"
        assert not desk.apply(text).changed

    def test_what_has_finished_is_left_alone_or_run_again(self, desk: Desk) -> None:
        text = document({"name": "b", "command": "x"})
        first = desk.apply(text).job_id
        desk.h.offer()
        desk.h.update(f"{first}.b.0.1", types_pb2.TASK_FINISHED, 0)
        assert desk.apply(text).job_id == first
        again = desk.apply(text, rerun=True)
        assert again.created and again.job_id != first

    def test_environments_are_for_those_who_may_read_them(self, desk: Desk) -> None:
        desk.apply(document({**WEB, "env": {"KEY": "old"}}))
        text = document(
            {**WEB, "env": {"KEY": "new"}}, {"name": "b", "env": {"K": "v"}, "command": "z"}
        )
        hidden = desk.apply(text, "operator/ci", dry_run=True)
        assert changes(hidden) == [
            ("tasks.web.env.KEY", "(hidden)", "(hidden)"),
            ("tasks.b", "", '{"name": "b", "env": {"K": ""}, "command": "z"}'),
        ]
        shown = desk.apply(text, dry_run=True)
        assert changes(shown)[0] == ("tasks.web.env.KEY", '"old"', '"new"')
