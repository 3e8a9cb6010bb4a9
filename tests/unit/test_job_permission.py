"""Who may submit, stop and read jobs: the framework goes by the policy that the master tells."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from pymesos_binpack import core as c
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
    "WatchJob": pb.WatchJobRequest(job_id="none"),
    "ExplainPlacement": pb.ExplainPlacementRequest(task_id="j.t.0.1"),
    "StopJob": pb.StopJobRequest(job_id="none"),
    "ListQuarantined": pb.ListQuarantinedRequest(),
    "ReleaseQuarantined": pb.ReleaseQuarantinedRequest(job_id="none"),
    "ListVolumes": pb.ListVolumesRequest(),
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

    binpack: Any = SimpleNamespace(
        core=h.core, driver=SimpleNamespace(framework_id="f"), submit=submit, release=release
    )
    return JobsService(binpack, "prod")


def ask(of: JobsService, method: str, caller: Caller) -> Code | None:
    """What a call is refused with, or None."""
    call: Any = SimpleNamespace(caller=caller)
    try:
        asyncio.run(getattr(of, method)(REQUESTS[method], call))
    except CallError as error:
        if error.code == Code.PERMISSION_DENIED:
            verb = NEEDS[f"Jobs.{method}"].verb
            verbs = {verb, Verb.SUBMIT} if method == "RestoreJob" else {verb}
            said = ["operator/ci may not policy: no rule"]  # it is of the whole cluster
            said += [f"operator/ci may not {each} in the role prod: no rule" for each in verbs]
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
