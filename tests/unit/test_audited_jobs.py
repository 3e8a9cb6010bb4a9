"""What operators change in jobs is in the framework's audit before they are answered."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pymesos_binpack import core as c
from pymesos_binpack.roles import JobRoles
from pymesos_binpack.services import asked
from pymesos_binpack.services.audited import AuditedJobs
from pymesos_binpack.services.jobs import JobsService
from pymesos_cli.access.audit import in_words
from pymesos_core.addresses import HostPort
from pymesos_core.caller import NOBODY, Caller, Method
from pymesos_core.outside import OUTSIDE
from pymesos_core.security.audit_files import AuditFiles
from pymesos_core.security.auditing import Audit
from pymesos_core.security.policy import Policy
from pymesos_core.security.policy_file import read_policy
from pymesos_core.tasks import running
from pymesos_core.transport import CallError, Code
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_proto.v1.operator_pb2 import ReadAuditRequest
from pymesos_testing.binpack_harness import BinpackHarness

ALICE, EVE = (Caller(f"operator/{name}", Method.CERT, "7", "ipv4:h") for name in ("alice", "eve"))
POLICY = """\
allow:
- {who: operator/alice, do: [submit, stop, read, audit], role: '**'}
- {who: operator/eve, do: [read], role: '**'}
"""
PASSWORD = "hunter2"
TASK = {"name": "t", "command": "x", "env": {"PASSWORD": PASSWORD}}
JOB = json.dumps({"name": "j", "role": "prod", "tasks": [TASK]})


class Framework:
    """The Jobs service of the role prod, and its audit."""

    def __init__(self, folder: Path) -> None:
        h = BinpackHarness()
        h.feed(c.PolicyTold(read_policy(POLICY, 4)))

        async def submit(job: Any, request_id: str, *, same_name: bool, made_by: str) -> str:
            return f"{job.name}-1"

        self.binpack: Any = SimpleNamespace(
            core=h.core,
            driver=SimpleNamespace(framework_id="f"),
            submit=submit,
            receivers_problem=lambda job: None,
            why_refused=lambda event: None,
        )
        self._harness = h
        self.files = AuditFiles(folder, 1 << 20)
        self.audit = Audit(self.files)
        service = JobsService(cast(Any, self.binpack), JobRoles(("prod",)))
        self.service = AuditedJobs(service, self.audit, self.files, OUTSIDE)

    def tell(self, policy: Policy) -> None:
        """The master tells of another policy."""
        self._harness.feed(c.PolicyTold(policy))

    async def ask(self, method: str, request: Any, caller: Caller = ALICE) -> Any:
        call: Any = SimpleNamespace(caller=caller)
        return await getattr(self.service, method)(request, call)

    async def lines(self) -> list[dict[str, Any]]:
        answer = await self.ask("ReadAudit", ReadAuditRequest())
        return [json.loads(line) for line in answer.lines]


@pytest.fixture
def framework(tmp_path: Path) -> Framework:
    return Framework(tmp_path)


async def test_a_change_is_written_with_who_what_and_by_which_rule(framework: Framework) -> None:
    async with running(framework.audit.run()):
        await framework.ask("SubmitJob", pb.SubmitJobRequest(job_json=JOB, request_id="r"))
        with pytest.raises(CallError):
            request = pb.ScaleJobRequest(job_id="none", counts={"t": 2}, request_id="s")
            await framework.ask("ScaleJob", request)
        submitted, scaled = await framework.lines()
    assert submitted["principal"] == "operator/alice" and submitted["method"] == "Jobs.SubmitJob"
    assert submitted["object"] == {"job_id": "j-1"} and submitted["result"] == "done"
    assert (submitted["verb"], submitted["decision"]) == ("submit", "allowed")
    assert "operator/alice" in submitted["rule"] and submitted["serial"] == "7"
    assert scaled["object"] == {"job_id": "none", "counts": ["t=2"]}
    assert scaled["result"].startswith("there is no job 'none'")
    assert [line["outcome"] for line in (submitted, scaled)] == ["done", "refused"]
    (file,) = framework.files.folder.iterdir()
    assert PASSWORD not in file.read_text()


async def test_what_changed_nothing_is_written_as_that(
    framework: Framework, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scale(*_: object) -> pb.ChangeJobResponse:
        return pb.ChangeJobResponse(job_id="j-1", version=3)

    monkeypatch.setattr(JobsService, "ScaleJob", scale)
    async with running(framework.audit.run()):
        await framework.ask("ScaleJob", pb.ScaleJobRequest(job_id="j", counts={"t": 2}))
        (line,) = await framework.lines()
    assert line["outcome"] == "unchanged"
    assert line["result"] == "nothing changed: it was so already"
    said = in_words({**line, "source": "the framework binpack"})
    assert "operator/alice unchanged Jobs.ScaleJob job_id=j-1" in said
    del line["outcome"]  # as earlier versions wrote it
    assert "operator/alice allowed Jobs.ScaleJob" in in_words({**line, "source": "m"})


async def test_a_denial_is_written_and_what_only_looks_is_not(framework: Framework) -> None:
    async with running(framework.audit.run()):
        for method, request in (
            ("StopJob", pb.StopJobRequest(job_id="j")),
            ("ReadAudit", ReadAuditRequest()),
        ):
            with pytest.raises(CallError) as refused:
                await framework.ask(method, request, EVE)
            assert refused.value.code == Code.PERMISSION_DENIED
        await framework.ask("ListJobs", pb.ListJobsRequest(), EVE)
        await framework.ask(
            "ApplyJob", pb.ApplyJobRequest(job_json=JOB, request_id="r", dry_run=True)
        )
        found = await framework.lines()
    assert [(line["method"], line["decision"], line["object"]) for line in found] == [
        ("Jobs.StopJob", "denied", {"job_id": "j"}),
        ("Jobs.ReadAudit", "denied", {}),
    ]
    assert "operator/eve may not stop in the role prod" in found[0]["result"]


async def test_nothing_is_changed_that_could_not_be_written(
    framework: Framework, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pymesos_core.security.audit_files.ROOM_BYTES", 1 << 62)
    async with running(framework.audit.run()):
        with pytest.raises(CallError, match="nothing is done, since the audit cannot be") as full:
            await framework.ask("SubmitJob", pb.SubmitJobRequest(job_json=JOB, request_id="r"))
        assert full.value.code == Code.RESOURCE_EXHAUSTED
        await framework.ask("ListJobs", pb.ListJobsRequest())
        assert await framework.lines() == []


async def test_who_asks_a_framework_for_what_a_master_has_written_is_told(
    framework: Framework,
) -> None:
    with pytest.raises(CallError, match="master: a framework has written no audit") as refused:
        await framework.ask("ReadAudit", ReadAuditRequest(master="h:1"))
    assert refused.value.code == Code.INVALID_ARGUMENT


async def test_who_reads_it_hears_of_the_instances_that_stand_by(framework: Framework) -> None:
    """Each instance has an audit of its own of when it led, and answers nobody meanwhile."""

    async def others() -> list[HostPort]:
        return [HostPort("10.0.0.7", 5060)]

    inner = framework.service._service
    service = AuditedJobs(inner, framework.audit, framework.files, OUTSIDE, others)
    call: Any = SimpleNamespace(caller=ALICE)
    answer = await service.ReadAudit(ReadAuditRequest(), call)
    assert [*answer.others] == ["10.0.0.7:5060"]
    assert not (await framework.ask("ReadAudit", ReadAuditRequest())).others


async def test_without_one_calls_are_answered_all_the_same(framework: Framework) -> None:
    service = AuditedJobs(framework.service._service, Audit())
    call: Any = SimpleNamespace(caller=ALICE)
    await service.SubmitJob(pb.SubmitJobRequest(job_json=JOB, request_id="r"), call)
    with pytest.raises(CallError, match="pymesos-binpack writes no audit here"):
        await service.ReadAudit(ReadAuditRequest(), call)


def test_it_answers_the_contract_and_nothing_else(framework: Framework) -> None:
    for method in framework.service.contract.methods:
        assert asyncio.iscoroutinefunction(getattr(framework.service, method.name))
    with pytest.raises(AttributeError):
        framework.service.Nothing  # noqa: B018


async def test_who_hangs_up_is_written_all_the_same(framework: Framework) -> None:
    """A short deadline would be a way around the audit: the job is submitted."""
    begun = asyncio.Event()

    async def submit(job: Any, request_id: str, *, same_name: bool, made_by: str) -> str:
        begun.set()
        await asyncio.Event().wait()
        return ""

    framework.binpack.submit = submit
    async with running(framework.audit.run()):
        asking = asyncio.create_task(
            framework.ask("SubmitJob", pb.SubmitJobRequest(job_json=JOB, request_id="r"))
        )
        await begun.wait()
        asking.cancel()
        await asyncio.wait({asking})
        assert asking.cancelled()
        written = asyncio.Event()
        framework.audit.then(lambda _: written.set())
        await written.wait()
        (line,) = await framework.lines()
    assert (line["method"], line["decision"]) == ("Jobs.SubmitJob", "allowed")
    assert line["result"] == "not answered (CancelledError): it may be done"
    assert line["outcome"] == "unknown"


async def test_the_policy_of_the_decision_is_the_one_that_is_written(framework: Framework) -> None:
    async def submit(job: Any, request_id: str, *, same_name: bool, made_by: str) -> str:
        document = "allow: [{who: operator/alice, do: [audit], role: '**'}]"
        framework.tell(read_policy(document, 5))
        return "j-1"

    framework.binpack.submit = submit
    async with running(framework.audit.run()):
        await framework.ask("SubmitJob", pb.SubmitJobRequest(job_json=JOB, request_id="r"))
        (line,) = await framework.lines()
    assert (line["decision"], line["result"]) == ("allowed", "done")
    assert "operator/alice" in line["rule"]


@pytest.mark.parametrize("caller", [ALICE, EVE, NOBODY])
async def test_one_that_stands_by_decides_nothing_and_writes_nothing(
    framework: Framework, caller: Caller
) -> None:
    """Whoever may nothing could fill the files with lines of calls that were none."""
    elsewhere = CallError(Code.FAILED_PRECONDITION, "another leads")
    service = JobsService(None, JobRoles(("prod",)), lambda: elsewhere)
    standing_by = AuditedJobs(service, framework.audit, framework.files, OUTSIDE)
    call: Any = SimpleNamespace(caller=caller)
    async with running(framework.audit.run()):
        for method, request in (
            ("StopJob", pb.StopJobRequest(job_id="j")),
            ("ReadAudit", ReadAuditRequest()),
        ):
            with pytest.raises(CallError, match="another leads"):
                await getattr(standing_by, method)(request, call)
        assert await framework.lines() == []


def test_that_it_stands_by_is_asked_where_assertions_are_off() -> None:
    source = Path(asked.__file__)
    optimized: dict[str, Any] = {"__name__": asked.__name__}
    exec(compile(source.read_text(), source, "exec", optimize=1), optimized)
    elsewhere = CallError(Code.FAILED_PRECONDITION, "another leads")
    standing_by = optimized["Asked"](None, JobRoles(("prod",)), lambda: elsewhere)
    call: Any = SimpleNamespace(caller=NOBODY)
    with pytest.raises(CallError, match="another leads"):
        asyncio.run(standing_by.decided(call, "Jobs.StopJob", pb.StopJobRequest()))
