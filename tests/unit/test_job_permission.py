"""Who may submit, stop and read jobs: the framework goes by the policy that the master tells."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from pymesos_binpack import core as c
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_binpack.roles import JobRoles, read_job_roles
from pymesos_binpack.services.jobs import JobsService
from pymesos_core.caller import NOBODY, Caller, Method
from pymesos_core.security.needs import NEEDS
from pymesos_core.security.policy import Verb
from pymesos_core.security.policy_file import read_policy
from pymesos_core.transport import CallError, Code
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_testing.binpack_harness import BinpackHarness

CI = Caller("operator/ci", Method.CERT)
JOB = json.dumps(
    {"name": "j", "role": "prod", "tasks": [{"name": "t", "command": "x", "resources": {}}]}
)
REQUESTS = {
    "SubmitJob": pb.SubmitJobRequest(job_json=JOB, request_id="r"),
    "ApplyJob": pb.ApplyJobRequest(job_json=JOB, request_id="r"),
    "ScaleJob": pb.ScaleJobRequest(job_id="none", counts={"t": 2}, request_id="r"),
    "RestartJob": pb.RestartJobRequest(job_id="none", request_id="r"),
    "TriggerJob": pb.TriggerJobRequest(job_id="none", request_id="r"),
    "RollbackJob": pb.RollbackJobRequest(job_id="none", request_id="r"),
    **dict.fromkeys(
        ("PauseRollout", "ResumeRollout", "PromoteRollout", "AbortRollout"),
        pb.RolloutRequest(job_id="none"),
    ),
    "RestoreJob": pb.RestoreJobRequest(
        request_id="r", versions=[pb.JobVersion(version=1, job_json=JOB)]
    ),
    "ListVersions": pb.ListVersionsRequest(job_id="none"),
    "DescribeJob": pb.DescribeJobRequest(job_id="none"),
    "ListJobs": pb.ListJobsRequest(),
    "ListInstances": pb.ListInstancesRequest(job_id="none"),
    "WatchJob": pb.WatchJobRequest(job_id="none"),
    "ExplainPlacement": pb.ExplainPlacementRequest(task_id="j.t.0.1"),
    "StopJob": pb.StopJobRequest(job_id="none"),
    "ListQuarantined": pb.ListQuarantinedRequest(),
    "ReleaseQuarantined": pb.ReleaseQuarantinedRequest(job_id="none"),
    "ListVolumes": pb.ListVolumesRequest(),
    "ListAlerts": pb.ListAlertsRequest(),
    "SilenceAlerts": pb.SilenceAlertsRequest(job_id="none", for_s=1),
    "ListVariables": pb.ListVariablesRequest(),
    "GetVariable": pb.GetVariableRequest(role="prod", name="none"),
    "SetVariable": pb.SetVariableRequest(role="prod", name="a", value="b", request_id="v"),
    "RemoveVariable": pb.RemoveVariableRequest(role="prod", name="none"),
    "TestReceiver": pb.TestReceiverRequest(receiver="nobody"),
    "ForgetVolume": pb.ForgetVolumeRequest(role="prod", volume_id="v", check_only=True),
}


def service(*rules: str, told: bool = True) -> JobsService:
    """The Jobs service of a framework of the role prod."""
    h = BinpackHarness()
    if told:
        document = "\n".join(["allow:", *(f"- {rule}" for rule in rules)])
        h.feed(c.PolicyTold(read_policy(document, 4)))

    async def submit(job: Any, request_id: str, **more: Any) -> str:
        return f"{job.name}-1"

    async def release(job_id: str, *, discard: bool) -> str:
        return ""

    async def set_variable(event: c.VariableSet) -> int:
        return 1

    binpack: Any = SimpleNamespace(
        core=h.core,
        driver=SimpleNamespace(framework_id="f"),
        submit=submit,
        release=release,
        set_variable=set_variable,
        receivers_problem=lambda job: None,
        receivers=(),
        tells=SimpleNamespace(names=(), unreached={}),
    )
    return JobsService(binpack, JobRoles(("prod",)))


def ask(of: JobsService, method: str, caller: Caller) -> Code | None:
    """What a call is refused with, or None."""
    call: Any = SimpleNamespace(caller=caller)
    try:
        asyncio.run(getattr(of, method)(REQUESTS[method], call))
    except CallError as error:
        if error.code == Code.PERMISSION_DENIED:
            verb = NEEDS[f"Jobs.{method}"].verb
            verbs = {verb, Verb.SUBMIT} if method == "RestoreJob" else {verb}
            said = ["operator/ci may not manage the policy: no rule"]  # it is of the whole cluster
            said += [
                f"operator/ci may not {each.words} in the role prod: no rule"
                for each in verbs
                if each is not None
            ]
            assert any(text in error.message for text in said), error.message
            assert "(version 4)" in error.message
        return error.code
    return None


IN_VAIN = (None, Code.NOT_FOUND)  # of what is allowed


def test_each_call_is_asked_for() -> None:
    of_roles = {c for c in NEEDS if c.startswith("Jobs.")} - {"Jobs.ReadAudit"}
    assert {f"Jobs.{m}" for m in REQUESTS} == of_roles


def test_to_restore_a_job_needs_all_that_the_cluster_has() -> None:
    for verbs, where, allowed in (
        ("policy, submit", "**", True),
        ("policy", "**", False),
        ("submit", "**", False),
        ("submit", "prod", False),
    ):
        of = service(f"{{who: operator/ci, do: [{verbs}], role: '{where}'}}")
        assert ask(of, "RestoreJob", CI) == (None if allowed else Code.PERMISSION_DENIED)
    assert ask(service(told=False), "RestoreJob", NOBODY) is None, "without certificates"


@pytest.mark.parametrize("method", [name for name in REQUESTS if name != "RestoreJob"])
def test_a_call_needs_exactly_its_rule(method: str) -> None:
    verb = NEEDS[f"Jobs.{method}"].verb
    others = ", ".join(set(Verb) - {verb, Verb.AGENTS, Verb.POLICY})
    for rule, allowed in (
        ("{who: operator/other, do: ['*'], role: '**'}", False),
        (f"{{who: operator/ci, do: [{others}], role: '**'}}", False),
        (f"{{who: operator/ci, do: [{verb}], role: 'prod2/**'}}", False),
        (f"{{who: operator/ci, do: [{verb}], role: prod}}", True),
    ):
        said = ask(service(rule), method, CI)
        assert (said in IN_VAIN) if allowed else (said == Code.PERMISSION_DENIED)
    assert ask(service(told=False), method, CI) == Code.UNAVAILABLE
    assert ask(service(told=False), method, NOBODY) in IN_VAIN, "without certificates"


class TestOfSeveralRoles:
    """What somebody may with a job is decided by the job's own role."""

    @staticmethod
    def of_jobs(*rules: str, roles: str = "**", me: str = "") -> JobsService:
        h = BinpackHarness()
        h.feed(c.PolicyTold(read_policy("\n".join(["allow:", *(f"- {r}" for r in rules)]), 4)))
        for role in ("prod", "test", "*"):
            task = {"name": "t", "command": "x"}
            h.submit(parse_job({"name": "j", "role": role, "tasks": [task]}), role.strip("*"))

        async def submit(job: Any, request_id: str, **more: Any) -> str:
            return f"{job.name}-1"

        driver = SimpleNamespace(framework_id="f")
        binpack: Any = SimpleNamespace(
            core=h.core, driver=driver, submit=submit, receivers_problem=lambda job: None
        )
        return JobsService(binpack, read_job_roles(roles), principal=me)

    @staticmethod
    def ask(of: JobsService, method: str, request: Any) -> Any:
        call: Any = SimpleNamespace(caller=CI)
        return asyncio.run(getattr(of, method)(request, call))

    def denied(self, of: JobsService, method: str, request: Any) -> str:
        with pytest.raises(CallError) as denied:
            self.ask(of, method, request)
        assert denied.value.code == Code.PERMISSION_DENIED
        return denied.value.message

    def test_a_list_has_what_its_caller_may_read(self) -> None:
        of = self.of_jobs("{who: operator/ci, do: [read], role: prod}")
        listed = self.ask(of, "ListJobs", pb.ListJobsRequest())
        assert [(job.job_id, job.role) for job in listed.jobs] == [("j-prod", "prod")]
        nothing = self.of_jobs("{who: operator/ci, do: [read], role: unused}")
        assert not self.ask(nothing, "ListJobs", pb.ListJobsRequest()).jobs
        elsewhere = self.of_jobs("{who: operator/ci, do: [read], role: unused}", roles="prod,test")
        assert "may not read in the role prod" in self.denied(
            elsewhere, "ListJobs", pb.ListJobsRequest()
        )

    @pytest.mark.parametrize(
        ("method", "request_", "verb"),
        [
            ("DescribeJob", pb.DescribeJobRequest(job_id="j-test"), "read"),
            ("WatchJob", pb.WatchJobRequest(job_id="j-test"), "read"),
            ("ListVersions", pb.ListVersionsRequest(job_id="j-test"), "read"),
            ("StopJob", pb.StopJobRequest(job_id="j-test"), "stop"),
            ("PauseRollout", pb.RolloutRequest(job_id="j-test"), "submit"),
            ("RestartJob", pb.RestartJobRequest(job_id="j-test", request_id="r"), "submit"),
            ("RollbackJob", pb.RollbackJobRequest(job_id="j-test", request_id="r"), "submit"),
            (
                "ScaleJob",
                pb.ScaleJobRequest(job_id="j-test", counts={"t": 2}, request_id="r"),
                "submit",
            ),
            ("ForgetVolume", pb.ForgetVolumeRequest(role="test", volume_id="v"), "stop"),
            ("SilenceAlerts", pb.SilenceAlertsRequest(job_id="j-test", for_s=1), "submit"),
        ],
    )
    def test_a_rule_of_another_role_is_not_enough(
        self, method: str, request_: Any, verb: str
    ) -> None:
        of = self.of_jobs(f"{{who: operator/ci, do: [{verb}], role: prod}}")
        assert f"may not {Verb(verb).words} in the role test" in self.denied(of, method, request_)
        call: Any = SimpleNamespace(caller=CI)
        decided = asyncio.run(of.decided(call, f"Jobs.{method}", request_))
        assert f"may not {Verb(verb).words} in the role test" in (decided.problem or "")

    @pytest.mark.parametrize(
        ("job_id", "role"), [("j-prod", "prod"), ("j-test", "*"), ("none", "*")]
    )
    def test_a_denial_names_the_role_of_a_job_that_one_may_read(
        self, job_id: str, role: str
    ) -> None:
        of = self.of_jobs("{who: operator/ci, do: [read], role: prod}")
        call: Any = SimpleNamespace(caller=CI)
        decided = asyncio.run(of.decided(call, "Jobs.StopJob", pb.StopJobRequest(job_id=job_id)))
        assert f"may not stop in the role {role}: no rule" in (decided.problem or "")

    def test_a_new_job_is_of_the_role_that_its_document_says(self) -> None:
        of = self.of_jobs("{who: operator/ci, do: [submit], role: new}")
        task = {"name": "t", "command": "x"}
        for method, kind in (("SubmitJob", pb.SubmitJobRequest), ("ApplyJob", pb.ApplyJobRequest)):
            for role, allowed in (("new", True), ("newer", False), ("prod", False)):
                text = json.dumps({"name": "n", "role": role, "tasks": [task]})
                request = kind(job_json=text, request_id="r")
                call: Any = SimpleNamespace(caller=CI)
                decided = asyncio.run(of.decided(call, f"Jobs.{method}", request))
                assert decided.allowed is allowed
                if allowed:
                    assert decided.rule is not None and decided.rule.role == "new"
                    self.ask(of, method, request)
                else:
                    assert f"in the role {role}" in self.denied(of, method, request)

    def test_a_document_of_another_role_changes_no_job(self) -> None:
        of = self.of_jobs("{who: operator/ci, do: [submit], role: '**'}")
        text = json.dumps({"name": "j", "role": "prod", "tasks": [{"name": "t", "command": "x"}]})
        request = pb.ApplyJobRequest(job_json=text, request_id="r", job_id="j-test")
        with pytest.raises(CallError, match="another role"):
            self.ask(of, "ApplyJob", request)

    def test_the_framework_itself_has_to_be_let_into_the_role(self) -> None:
        submits = "{who: operator/ci, do: [submit], role: '**'}"
        text = json.dumps({"name": "n", "role": "new", "tasks": [{"name": "t", "command": "x"}]})
        request = pb.SubmitJobRequest(job_json=text, request_id="r")
        for verbs, allowed in (("subscribe, serve", True), ("subscribe", False), ("serve", False)):
            may = f"{{who: framework/binpack, do: [{verbs}], role: new}}"
            of = self.of_jobs(submits, may, me="framework/binpack")
            if allowed:
                self.ask(of, "SubmitJob", request)
                continue
            with pytest.raises(CallError, match="framework/binpack may not") as refused:
                self.ask(of, "SubmitJob", request)
            assert refused.value.code == Code.FAILED_PRECONDITION

    def test_a_role_that_is_not_taken_is_refused(self) -> None:
        of = self.of_jobs("{who: operator/ci, do: [submit], role: '**'}", roles="prod,prod/**")
        text = json.dumps({"name": "n", "role": "new", "tasks": [{"name": "t", "command": "x"}]})
        with pytest.raises(CallError, match="takes jobs of prod and prod/") as refused:
            self.ask(of, "SubmitJob", pb.SubmitJobRequest(job_json=text, request_id="r"))
        assert refused.value.code == Code.FAILED_PRECONDITION

    def test_a_job_is_not_released_into_a_role_that_is_not_taken(self) -> None:
        may = "{who: framework/binpack, do: [subscribe, serve], role: prod}"
        stops = "{who: operator/ci, do: [stop], role: '**'}"
        release = pb.ReleaseQuarantinedRequest(job_id="j-test")
        for roles, why in (("prod", "takes jobs of prod"), ("**", "framework/binpack may not")):
            h = BinpackHarness()
            task = {"name": "t", "command": "x"}
            h.submit(parse_job({"name": "j", "role": "test", "tasks": [task]}), "test")
            h.records["quarantine", "j-test"] = b"planted"
            again = BinpackHarness(h.records)
            again.feed(c.PolicyTold(read_policy(f"allow:\n- {may}\n- {stops}", 4)))
            asked: list[bool] = []

            async def released(job_id: str, *, discard: bool, asked: Any = asked) -> str:
                asked.append(discard)
                return ""

            binpack: Any = SimpleNamespace(core=again.core, release=released)
            of = JobsService(binpack, read_job_roles(roles), principal="framework/binpack")
            with pytest.raises(CallError, match=why) as refused:
                self.ask(of, "ReleaseQuarantined", release)
            assert refused.value.code == Code.FAILED_PRECONDITION and not asked
            discard = pb.ReleaseQuarantinedRequest(job_id="j-test", discard=True)
            self.ask(of, "ReleaseQuarantined", discard)
            assert asked == [True]
