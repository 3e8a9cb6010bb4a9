"""Calls of Jobs that a master passes on: the framework goes by what their callers may."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pymesos_binpack import core as c
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_binpack.roles import JobRoles
from pymesos_binpack.services.audited import AuditedJobs
from pymesos_binpack.services.jobs import JobsService
from pymesos_binpack.services.relayed import RelayedJobs
from pymesos_core.addresses import HostPort
from pymesos_core.caller import Caller, Method
from pymesos_core.following import CALLER_KEY, LEADER_KEY
from pymesos_core.outside import Outside
from pymesos_core.relaying import relay_request
from pymesos_core.security.audit_files import AuditFiles
from pymesos_core.security.auditing import Audit
from pymesos_core.tasks import running
from pymesos_core.transport import CallError, Code
from pymesos_master.core import Config
from pymesos_master.core import events as ev
from pymesos_master.services import jobs_relay
from pymesos_master.services.jobs_relay import JobsRelay, Listing, SilentError
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_testing.http_cluster import leadership_of, operators_of
from pymesos_testing.jobs_frameworks import JobsFramework, Reached
from pymesos_testing.master_harness import MasterHarness

ALICE = Caller("operator/alice", Method.CERT, "7", "ipv4:10.0.0.9", "http", 2e9, ("2",))
EVE = replace(ALICE, principal="operator/eve")
MASTER = Caller("master/m2", Method.CERT, "9", "ipv4:10.0.0.2", "grpc")
POLICY = """\
allow:
- {who: operator/alice, do: [submit, stop, read, audit], role: '**'}
- {who: operator/eve, do: [read], role: dev}
"""
FIRST, SECOND = HostPort("10.0.1.1", 5060), HostPort("10.0.1.2", 5060)
OPEN = Caller(peer="ipv4:10.0.0.2", via="grpc")
LISTED = Listing(
    "ListJobs",
    lambda size, token: pb.ListJobsRequest(page_size=size, page_token=token, include_ended=True),
    lambda answer: answer.jobs,
)


def a_job(name: str, role: str = "prod", instances: int = 1) -> Any:
    task = {"name": "t", "kind": "service", "command": "x", "instances": instances}
    return parse_job({"name": name, "role": role, "tasks": [task]})


async def relayed(
    of: JobsFramework, method: str, request: Any, caller: Caller = ALICE, by: Caller = MASTER
) -> Any:
    answer = await of.relay(relay_request(f"Jobs.{method}", request, caller), by)
    return answer.response


@pytest.fixture
def framework() -> JobsFramework:
    made = JobsFramework(policy=POLICY)
    made.harness.submit(a_job("web"))
    return made


class TestFramework:
    async def test_what_a_caller_sees_is_what_its_policy_lets_it_see(
        self, framework: JobsFramework
    ) -> None:
        said = await relayed(framework, "ListJobs", pb.ListJobsRequest())
        assert [job.name for job in pb.ListJobsResponse.FromString(said).jobs] == ["web"]
        with pytest.raises(CallError, match="operator/eve may not read in the role prod") as no:
            await relayed(framework, "ListJobs", pb.ListJobsRequest(), EVE)
        assert no.value.code is Code.PERMISSION_DENIED and CALLER_KEY in no.value.trailing

    @pytest.mark.parametrize("principal", ["operator/alice", "framework/f", "agent/a", "x"])
    async def test_who_is_no_master_cannot_speak_for_another(
        self, framework: JobsFramework, principal: str
    ) -> None:
        """The gate lets none of them in; if it did, their word would be worth nothing."""
        by = replace(MASTER, principal=principal)
        with pytest.raises(CallError, match="is no master") as refused:
            await relayed(framework, "ListJobs", pb.ListJobsRequest(), by=by)
        assert refused.value.code is Code.PERMISSION_DENIED

    async def test_a_master_speaks_for_operators_only(self, framework: JobsFramework) -> None:
        for who in ("master/m2", "framework/f", "", "operator/"):
            with pytest.raises(CallError, match="is no operator"):
                caller = replace(ALICE, principal=who)
                await relayed(framework, "ListJobs", pb.ListJobsRequest(), caller)
        with pytest.raises(CallError, match="no credential of the kind"):
            await relayed(framework, "ListJobs", pb.ListJobsRequest(), replace(ALICE, method=None))

    async def test_without_certificates_whatever_is_said_of_a_caller_proves_nothing(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        heard: list[Caller] = []

        async def listed(_: Any, request: Any, call: Any) -> pb.ListJobsResponse:
            heard.append(call.caller)
            return pb.ListJobsResponse()

        monkeypatch.setattr(JobsService, "ListJobs", listed)
        framework = JobsFramework(policy=POLICY)
        await relayed(framework, "ListJobs", pb.ListJobsRequest(), by=OPEN)
        await relayed(framework, "ListJobs", pb.ListJobsRequest())
        assert heard == [
            Caller(peer=ALICE.peer, via="http", relayed_by=OPEN.peer),
            replace(ALICE, relayed_by="master/m2"),
        ]

    async def test_who_is_revoked_is_refused(self, framework: JobsFramework) -> None:
        for name in ("operator/alice", "7", "2"):
            framework.revocations.set([name])
            with pytest.raises(CallError, match="revoked") as refused:
                await relayed(framework, "ListJobs", pb.ListJobsRequest())
            assert refused.value.code is Code.UNAUTHENTICATED
            assert CALLER_KEY in refused.value.trailing

    @pytest.mark.parametrize("method", ["WatchJob", "Relay", "nothing", ""])
    async def test_only_calls_with_one_answer_are_relayed(
        self, framework: JobsFramework, method: str
    ) -> None:
        with pytest.raises(CallError, match="to relay") as refused:
            await relayed(framework, method, pb.ListJobsRequest())
        assert refused.value.code is Code.UNIMPLEMENTED

    async def test_one_that_stands_by_names_who_leads(self) -> None:
        elsewhere = CallError(Code.FAILED_PRECONDITION, "h:1 does", {LEADER_KEY: "h:1"})
        standing_by = JobsService(None, JobRoles(("prod",)), lambda: elsewhere)
        service = RelayedJobs(AuditedJobs(standing_by, Audit()), Outside())
        call: Any = SimpleNamespace(caller=MASTER)
        with pytest.raises(CallError) as refused:
            await service.Relay(relay_request("Jobs.ListJobs", pb.ListJobsRequest(), ALICE), call)
        assert dict(refused.value.trailing) == {LEADER_KEY: "h:1"}, "it is for the master"

    async def test_the_audit_says_for_whom_it_was(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def stop(*_: Any) -> pb.StopJobResponse:
            return pb.StopJobResponse()

        monkeypatch.setattr(JobsService, "StopJob", stop)
        files = AuditFiles(tmp_path, 1 << 20)
        audit = Audit(files)
        framework = JobsFramework(policy=POLICY, audit=audit)
        async with running(audit.run()):
            await relayed(framework, "StopJob", pb.StopJobRequest(job_id="j"))
            with pytest.raises(CallError):
                await relayed(framework, "StopJob", pb.StopJobRequest(job_id="j"), EVE)
        (file,) = tmp_path.iterdir()
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        assert [(n["principal"], n["relayed_by"], n["decision"]) for n in lines] == [
            ("operator/alice", "master/m2", "allowed"),
            ("operator/eve", "master/m2", "denied"),
        ]


class TestListings:
    def listed(self, framework: JobsFramework, **asked: Any) -> list[str]:
        call: Any = SimpleNamespace(caller=ALICE)
        request = pb.ListJobsRequest(**asked)
        return [j.job_id for j in asyncio.run(framework.service.ListJobs(request, call)).jobs]

    def test_jobs_by_what_they_are_called_and_their_role(self, framework: JobsFramework) -> None:
        framework.harness.submit(a_job("web", "dev"), "s")
        framework.harness.submit(a_job("db"), "t")
        assert self.listed(framework) == ["db-t", "web-r", "web-s"]
        assert self.listed(framework, called="web") == ["web-r", "web-s"]
        assert self.listed(framework, called="web-s") == ["web-s"]
        assert self.listed(framework, called="web", role="dev") == ["web-s"]
        assert self.listed(framework, called="we") == []

    def test_instances_in_pages_by_task_and_number(self, framework: JobsFramework) -> None:
        framework.harness.submit(a_job("many", instances=12), "m")
        call: Any = SimpleNamespace(caller=ALICE)
        seen: list[tuple[str, int]] = []
        token = ""
        for _ in range(3):
            request = pb.ListInstancesRequest(job_id="many-m", page_size=5, page_token=token)
            page = asyncio.run(framework.service.ListInstances(request, call))
            seen += [(view.task_name, view.instance) for view in page.instances]
            token = page.next_page_token
        assert seen == [("t", number) for number in range(12)] and not token
        for bad in ("t", "t/x/t.1", "t/1"):
            request = pb.ListInstancesRequest(job_id="many-m", page_token=bad)
            with pytest.raises(CallError, match=r"page_token: .+ is none"):
                asyncio.run(framework.service.ListInstances(request, call))


class TestMaster:
    """JobsRelay: whom it asks, and what it says of those that do not answer."""

    @pytest.fixture
    def reached(self) -> Reached:
        return Reached(OPEN)

    @pytest.fixture
    def relay(self, reached: Reached) -> JobsRelay:
        h = MasterHarness()
        self.ids: list[str] = []
        self.connections = []
        for name, at, role in (("one", FIRST, "prod"), ("two", SECOND, "dev")):
            connection = h.subscribe(name=name, roles=[role], jobs_address=str(at))
            self.connections.append(connection)
            self.ids.append(h.framework_id(connection))
            reached.at[at] = JobsFramework(self.ids[-1], role)
        h.subscribe(name="other")
        self.h = h
        return JobsRelay(operators_of(leadership_of(h)), reached.dial)

    def framework(self, reached: Reached, at: HostPort) -> JobsFramework:
        found = reached.at[at]
        assert isinstance(found, JobsFramework)
        return found

    async def test_the_jobs_of_all_in_pages(self, relay: JobsRelay, reached: Reached) -> None:
        for at, role in ((FIRST, "prod"), (SECOND, "dev")):
            for number in range(3):
                job = a_job(f"j{number}", role)
                self.framework(reached, at).harness.submit(job, f"{role}{number}")
        seen: list[str] = []
        token, pages = "", 0
        while token or not pages:
            page = await relay.list(LISTED, OPEN, limit=2, token=token)
            assert not page.silent
            seen += [job.job_id for _, answer in page.answers for job in answer.jobs]
            token, pages = page.next_token, pages + 1
        assert seen == [
            *(f"j{n}-prod{n}" for n in range(3)), *(f"j{n}-dev{n}" for n in range(3))
        ]  # fmt: skip
        whole = await relay.list(LISTED, OPEN)
        assert [len(answer.jobs) for _, answer in whole.answers] == [3, 3]
        assert not whole.next_token
        one = await relay.list(LISTED, OPEN, "two")
        assert [view.info.name for view, _ in one.answers] == ["two"]
        with pytest.raises(CallError, match="no framework 'other' serves jobs"):
            await relay.list(LISTED, OPEN, "other")

    async def test_what_does_not_answer_is_told_of(
        self, relay: JobsRelay, reached: Reached
    ) -> None:
        del reached.at[FIRST]
        page = await relay.list(LISTED, OPEN)
        assert [(one.view.info.name, one.why) for one in page.silent] == [("one", "not reachable")]
        assert page.next_token == f"{self.ids[1]}/", "the rest comes on the next page"
        page = await relay.list(LISTED, OPEN, token=page.next_token)
        assert len(page.answers) == 1 and not page.silent

    async def test_a_page_ends_where_frameworks_take_their_time(
        self, relay: JobsRelay, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Else as many of them as there are would be waited for, each for as long as one may be."""
        monkeypatch.setattr(jobs_relay, "PAGE_S", -1.0)
        page = await relay.list(LISTED, OPEN)
        assert len(page.answers) == 1 and page.next_token == f"{self.ids[1]}/"
        page = await relay.list(LISTED, OPEN, token=page.next_token)
        assert len(page.answers) == 1 and not page.next_token

    async def test_a_job_by_its_name(self, relay: JobsRelay, reached: Reached) -> None:
        prod, dev = (self.framework(reached, at).harness for at in (FIRST, SECOND))
        prod.submit(a_job("web"))
        view, job = await relay.find(OPEN, "web")
        assert (view.info.name, job.job_id) == ("one", "web-r")
        with pytest.raises(CallError, match="there is no job 'we'") as missing:
            await relay.find(OPEN, "we")
        assert missing.value.code is Code.NOT_FOUND
        dev.submit(a_job("web", "dev"), "s")
        with pytest.raises(CallError, match=r"fits 2 jobs.*web-r, web-s") as two:
            await relay.find(OPEN, "web")
        assert two.value.code is Code.FAILED_PRECONDITION
        assert (await relay.find(OPEN, "web-s"))[1].role == "dev"
        assert (await relay.find(OPEN, "web", "two"))[1].role == "dev"
        reached.at.clear()
        with pytest.raises(CallError, match=r"framework one .* not reachable") as away:
            await relay.find(OPEN, "web")
        assert away.value.code is Code.UNAVAILABLE and "start it again" in away.value.message

    async def test_a_job_among_many_of_its_name_that_have_ended(
        self, relay: JobsRelay, reached: Reached, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(jobs_relay, "MAX_PAGE_SIZE", 50)
        prod = self.framework(reached, FIRST).harness
        for number in range(101):
            prod.feed(c.JobStopped(prod.submit(a_job("web"), f"r{number}")))
        prod.submit(a_job("web"), "the-last")
        assert (await relay.find(OPEN, "web"))[1].job_id == "web-the-last"

    @pytest.mark.parametrize(
        ("tokens", "takes_s", "limits", "why", "asked"),
        [
            ("abab", 0.0, {}, "has no end", 3),
            ("abcdefgh", 0.0, {"MOST_PAGES": 4}, "has no end", 4),
            ("abcdefgh", 0.0, {"MOST_PAGES_BYTES": 10}, "has no end", 1),
            ("abcdefgh", 30.0, {"TIMEOUT_S": 0.01}, "within 0.01 s", 1),
        ],
    )
    async def test_one_that_lists_without_end_is_silent(
        self, relay: JobsRelay, reached: Reached, monkeypatch: pytest.MonkeyPatch,
        tokens: str, takes_s: float, limits: dict[str, float], why: str, asked: int,
    ) -> None:  # fmt: skip
        """Every page comes in time."""
        for name, value in limits.items():
            monkeypatch.setattr(jobs_relay, name, value)
        left = list(tokens)

        async def listed(self: Any, *_: Any) -> pb.ListJobsResponse:
            answer = pb.ListJobsResponse(next_page_token=left.pop(0))
            answer.jobs.add(job_id="x" * 20)
            await asyncio.sleep(takes_s)
            return answer

        monkeypatch.setattr(relay, "ask_one", listed)
        with pytest.raises(CallError, match=why) as refused:
            await relay.find(OPEN, "web", "one")
        assert refused.value.code is Code.UNAVAILABLE
        assert len(tokens) - len(left) == asked

    async def test_who_takes_a_role(self, relay: JobsRelay, reached: Reached) -> None:
        assert (await relay.taking(OPEN, "dev")).info.name == "two"
        with pytest.raises(CallError, match="nobody takes jobs of the role qa"):
            await relay.taking(OPEN, "qa")
        self.h.feed(ev.FrameworkDisconnected(self.connections[1]))
        with pytest.raises(SilentError, match=r"framework two .* it is disconnected"):
            await relay.taking(OPEN, "dev")

    async def test_the_instance_that_leads_is_found(
        self, relay: JobsRelay, reached: Reached, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(jobs_relay, "RETRY_S", 0)
        here = self.framework(reached, FIRST)
        reached.at[FIRST] = CallError(
            Code.FAILED_PRECONDITION, "another does", {LEADER_KEY: "10.0.1.9:1"}
        )
        reached.at[HostPort("10.0.1.9", 1)] = here
        here.harness.submit(a_job("web"))
        assert (await relay.find(OPEN, "web"))[1].job_id == "web-r"
        reached.at[FIRST] = CallError(Code.UNAVAILABLE, "none does yet", {LEADER_KEY: ""})
        (view,) = await relay.serving(OPEN, "one")
        with pytest.raises(SilentError, match="none of its instances leads"):
            await relay.ask_one(view, "ListJobs", pb.ListJobsRequest(), OPEN)

    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (CallError(Code.UNIMPLEMENTED, "Method not found!"), "upgrade it"),
            (CallError(Code.PERMISSION_DENIED, "master/m2 may not"), "master/m2 may not"),
            (CallError(Code.UNAVAILABLE, "Socket closed"), "not reachable"),
        ],
    )
    async def test_what_it_refuses_to_the_master_is_no_refusal_of_who_asked(
        self, relay: JobsRelay, reached: Reached, error: CallError, words: str
    ) -> None:
        reached.at[FIRST] = error
        (view,) = await relay.serving(OPEN, "one")
        with pytest.raises(SilentError, match=words) as refused:
            await relay.ask_one(view, "ListJobs", pb.ListJobsRequest(), OPEN)
        assert refused.value.code is Code.UNAVAILABLE
        assert "serves the jobs of prod at 10.0.1.1:5060" in refused.value.message

    async def test_what_it_refuses_to_who_asked_keeps_its_words(
        self, relay: JobsRelay, reached: Reached
    ) -> None:
        (view,) = await relay.serving(OPEN, "one")
        with pytest.raises(CallError, match=r"^there is no job 'x'") as refused:
            await relay.ask_one(view, "DescribeJob", pb.DescribeJobRequest(job_id="x"), OPEN)
        assert refused.value.code is Code.NOT_FOUND

    async def test_one_that_is_silent_is_not_waited_for(
        self, relay: JobsRelay, reached: Reached, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def never(*_: Any) -> Any:
            await asyncio.Event().wait()

        monkeypatch.setattr(JobsFramework, "relay", never)
        (view,) = await relay.serving(OPEN, "one")
        with pytest.raises(SilentError, match="no answer within"):
            await relay.ask_one(view, "ListJobs", pb.ListJobsRequest(), OPEN, 0.01)

    async def test_only_frameworks_that_the_caller_may_see_are_asked(
        self, reached: Reached
    ) -> None:
        policy = """\
allow:
- {who: operator/alice, do: [read], role: dev}
- {who: framework/*, do: [subscribe, serve], role: '**'}
"""
        h = MasterHarness(Config(seed_policy=policy))
        for name, at, role in (("one", FIRST, "prod"), ("two", SECOND, "dev")):
            who = Caller(f"framework/{name}", Method.CERT)
            h.subscribe(name=name, roles=[role], jobs_address=str(at), caller=who)
            reached.at[at] = JobsFramework(name, role, policy)
        reached.by = MASTER
        relay = JobsRelay(operators_of(leadership_of(h)), reached.dial)
        page = await relay.list(LISTED, ALICE)
        assert [view.info.name for view, _ in page.answers] == ["two"]
        assert reached.asked == [(SECOND, "two", "Jobs.ListJobs")], "by the name in its certificate"
