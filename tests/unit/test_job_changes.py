"""The calls that change jobs: what they answer, and what they refuse, with what to do instead."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pymesos_binpack import core as c
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_binpack.jobs.rollouts.lifecycle import State
from pymesos_binpack.jobs.rollouts.state import settled
from pymesos_binpack.placement.packing import read_policy as read_packing_policy
from pymesos_binpack.roles import JobRoles
from pymesos_binpack.services.jobs import JobsService
from pymesos_binpack.services.views import job_view
from pymesos_core.caller import Caller, Method
from pymesos_core.security.policy_file import read_policy
from pymesos_core.transport import CallError, Code
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_proto.v1 import types_pb2
from pymesos_testing.binpack_harness import BinpackHarness
from pymesos_testing.jobs_frameworks import HarnessedBinpack

RULES = """
allow:
- {who: operator/ci, do: [submit, read], role: '*'}
- {who: operator/lead, do: [submit, read, read-env], role: '*'}
- {who: operator/root, do: ['*'], role: '**'}
- {who: operator/chief, do: [policy, read], role: '**'}
"""


def document(*tasks: dict[str, Any], **keys: Any) -> str:
    made = tasks or ({"name": "web", "kind": "service", "instances": 2, "command": "x"},)
    return json.dumps({"name": "shop", "tasks": list(made), **keys})


WEB = {"name": "web", "kind": "service", "instances": 2, "command": "x"}

ROOT = "operator/root"


class Desk(HarnessedBinpack):
    """A Jobs service in front of a core, whose writes are durable at once."""

    def __init__(self) -> None:
        super().__init__(BinpackHarness())
        self.h.feed(c.Subscribed("f"))
        self.h.feed(c.PolicyTold(read_policy(RULES, 1)))
        self.service = JobsService(cast(Any, self), JobRoles(("*",)))

    def call(self, method: str, request: Any, who: str = "operator/lead") -> Any:
        """What is answered. Raises CallError."""
        call: Any = SimpleNamespace(caller=Caller(who, Method.CERT))
        return asyncio.run(getattr(self.service, method)(request, call))

    def apply(self, text: str, who: str = "operator/lead", **more: Any) -> pb.ApplyJobResponse:
        self.requests += 1
        more.setdefault("request_id", f"r{self.requests}")
        answer = self.call("ApplyJob", pb.ApplyJobRequest(job_json=text, **more), who)
        assert isinstance(answer, pb.ApplyJobResponse)
        return answer

    def refused(self, method: str, request: Any, who: str = "operator/lead") -> CallError:
        with pytest.raises(CallError) as caught:
            self.call(method, request, who)
        return caught.value


def settle(h: BinpackHarness, bad: str = "") -> None:
    """Have all that is launched run, but what of a command that ends by itself."""
    for _ in range(20):
        h.offer("cpus:40;mem:40000")
        for i in [i for i in h.core.instances() if i.live]:
            running = types_pb2.TASK_FAILED if i.spec.command == bad else types_pb2.TASK_RUNNING
            h.update(i.saved.task_id, types_pb2.TASK_KILLED if i.killing else running)
        h.advance(5)


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


class TestMessagesStayBelowTheirLimit:
    def test_however_long_agents_say_why_a_task_was_refused(self, desk: Desk) -> None:
        tasks = [{**WEB, "name": f"t{n}", "instances": 1} for n in range(20)]
        job_id = desk.apply(document(*tasks)).job_id
        desk.h.offer("cpus:40;mem:4000")
        for instance in desk.h.core.instances():
            desk.h.update(instance.saved.task_id, types_pb2.TASK_RUNNING)
        desk.apply(document(*({**task, "command": "y"} for task in tasks)))
        desk.h.offer("cpus:40;mem:4000")
        for instance in [i for i in desk.h.core.instances() if i.live and i.version == 2]:
            desk.h.feed(
                c.TaskUpdated(
                    types_pb2.TaskStatus(
                        task_id=instance.saved.task_id, state=types_pb2.TASK_ERROR, uuid=b"u",
                        agent_id="a", message="m" * 60_000,
                    )
                )
            )  # fmt: skip
        state = desk.h.core.jobs[job_id]
        assert any(rollout.failure for rollout in state.rollouts.values())
        assert job_view(state, "f").ByteSize() < 100_000
        of = [v for (kind, _), v in desk.h.records.items() if kind.startswith("rollout")]
        assert sum(map(len, of)) < 100_000

    def test_however_many_rollouts_there_are(self, desk: Desk) -> None:
        for name in ("a", "b", "c"):
            desk.apply(document(WEB, name=name))
        why = 4000 * "\u00fc"
        over = replace(settled(1, 1, 0.0), why=why)
        going = replace(over, state=State.ROLLING)
        for state in desk.h.core.jobs.values():
            state.durable_rollouts = {**dict.fromkeys(map(str, range(999)), over), "last": going}
            rollouts = job_view(state, "f").rollouts
            assert rollouts[0].task_name == "last", "what goes on comes first"
            assert 100 < len(rollouts) < 999
        seen, token = [], ""
        while True:
            page = desk.call("ListJobs", pb.ListJobsRequest(page_token=token))
            assert page.ByteSize() < 2**20
            seen += [view.name for view in page.jobs]
            if not (token := page.next_page_token):
                break
        assert seen == ["a", "b", "c"]


class TestListed:
    NAMES = ("web", "db", "Cache", "api")

    def pages(self, desk: Desk, size: int = 0, **asked: Any) -> list[str]:
        seen, token = list[str](), ""
        while True:
            request = pb.ListJobsRequest(page_size=size, page_token=token, **asked)
            page = desk.call("ListJobs", request)
            seen += [view.name for view in page.jobs]
            if not (token := page.next_page_token):
                return seen

    @pytest.fixture
    def many(self, desk: Desk) -> Desk:
        for name in self.NAMES:
            desk.apply(document(WEB, name=name))
            desk.h.advance(1.0)
        return desk

    @pytest.mark.parametrize("size", [0, 1, 3])
    @pytest.mark.parametrize(
        ("sort", "order"),
        [
            ("name", ["Cache", "api", "db", "web"]),
            ("-name", ["web", "db", "api", "Cache"]),
            ("submitted", [*NAMES]),
            ("-submitted", [*reversed(NAMES)]),
        ],
    )
    def test_jobs_are_sorted_whatever_the_pages(
        self, many: Desk, size: int, sort: str, order: list[str]
    ) -> None:
        assert self.pages(many, size, sort=sort) == order

    def test_those_that_are_alike_are_all_there_once(self, many: Desk) -> None:
        for sort in ("id", "-id", "state", "-role", "version"):
            assert sorted(self.pages(many, 1, sort=sort)) == sorted(self.NAMES)
        assert self.pages(many, 1, sort="-state") == self.pages(many, 0, sort="state")[::-1]

    def test_a_search_looks_at_all_that_people_know_of_a_job(self, many: Desk) -> None:
        assert self.pages(many, search="cache") == ["Cache"]
        assert sorted(self.pages(many, 1, search="RUNNING")) == sorted(self.NAMES)
        assert self.pages(many, search="running web") == ["web"]
        assert self.pages(many, search="db web") == []

    def test_a_page_goes_on_after_a_job_that_has_left_the_listing(self, many: Desk) -> None:
        page = many.call("ListJobs", pb.ListJobsRequest(page_size=2, sort="-submitted"))
        (job,) = (job for job in many.h.core.jobs.values() if job.job.name == "Cache")
        many.call("StopJob", pb.StopJobRequest(job_id=job.job_id), "operator/root")
        token = page.next_page_token
        assert token == job.job_id
        request = pb.ListJobsRequest(page_token=token, sort="-submitted")
        assert [view.name for view in many.call("ListJobs", request).jobs] == ["db", "web"]

    def test_what_it_cannot_be_sorted_by_is_refused(self, desk: Desk) -> None:
        error = desk.refused("ListJobs", pb.ListJobsRequest(sort="size"))
        assert (
            error.code == Code.INVALID_ARGUMENT and "expected is one of id, name" in error.message
        )
        gone = desk.refused("ListJobs", pb.ListJobsRequest(sort="name", page_token="gone"))
        assert gone.code == Code.ABORTED


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


def version(number: int, text: str, **more: Any) -> pb.JobVersion:
    more = {"made_by": "operator/then", "what": "apply", "made_at_s": 1000.0 + number, **more}
    return pb.JobVersion(version=number, job_json=text, **more)


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
