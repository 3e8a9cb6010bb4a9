"""The jobs of a backup, held against those that frameworks have, and begun by them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import grpc
import grpc.aio
import pytest

from pymesos_cli.backup import restored_jobs
from pymesos_cli.backup.records import Backup, SavedJob
from pymesos_cli.backup.restored_silences import steps_of_job_silences
from pymesos_cli.backup.steps import Found, Step
from pymesos_cli.errors import EXIT_NO_MASTER, CliError
from pymesos_proto.v1 import backup_pb2
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_proto.v1.operator_pb2 import FrameworkView
from pymesos_proto.v1.types_pb2 import FrameworkInfo

NOTHING = grpc.aio.Metadata()


def refusal(code: grpc.StatusCode, said: str = "no") -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, NOTHING, NOTHING, said)


class Jobs:
    """A Jobs service that answers what it was given, and remembers what it was asked to do."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.planned = pb.ApplyJobResponse()
        self.serves: FrameworkView | CliError | None = FrameworkView()
        self.refusals: list[grpc.aio.AioRpcError] = []  # of the calls that change something
        self.plan_refusal: grpc.aio.AioRpcError | None = None
        self.views: list[pb.JobView] = []
        self.silences: list[pb.JobSilenceView] = []
        self.asked: list[Any] = []
        self.times_looked_for = self.times_dialled = 0
        self.is_open = False
        self.history: list[tuple[int, str]] = [(7, "secret of old"), (6, "apply")]
        monkeypatch.setattr(restored_jobs, "serving_of", self._serving_of)
        monkeypatch.setattr(restored_jobs, "dialled", self._dialled)
        monkeypatch.setattr(restored_jobs, "STORED_S", 0.0)

    async def _serving_of(self, *_: Any) -> FrameworkView | None:
        self.times_looked_for += 1
        if isinstance(self.serves, CliError):
            raise self.serves
        return self.serves

    @asynccontextmanager
    async def _dialled(self, *_: Any) -> AsyncIterator[Any]:
        self.times_dialled += 1
        self.is_open = True
        yield self
        self.is_open = False

    def _do(self, request: Any) -> None:
        assert self.is_open
        self.asked.append(request)
        if self.refusals:
            raise self.refusals.pop(0)

    async def ApplyJob(self, request: pb.ApplyJobRequest, timeout: float) -> pb.ApplyJobResponse:
        if not request.dry_run:
            self._do(request)
        elif self.plan_refusal is not None:
            raise self.plan_refusal
        return self.planned

    async def RestoreJob(
        self, request: pb.RestoreJobRequest, timeout: float
    ) -> pb.RestoreJobResponse:
        self._do(request)
        return pb.RestoreJobResponse()

    async def ListVersions(
        self, request: pb.ListVersionsRequest, timeout: float
    ) -> pb.ListVersionsResponse:
        assert request.job_id == self.planned.job_id
        return pb.ListVersionsResponse(
            versions=[pb.VersionView(version=n, what=what) for n, what in self.history]
        )

    async def ListJobs(self, request: pb.ListJobsRequest, timeout: float) -> pb.ListJobsResponse:
        return pb.ListJobsResponse(jobs=self.views)

    async def ListAlerts(
        self, request: pb.ListAlertsRequest, timeout: float
    ) -> pb.ListAlertsResponse:
        return pb.ListAlertsResponse(silences=self.silences)

    async def SilenceAlerts(
        self, request: pb.SilenceAlertsRequest, timeout: float
    ) -> pb.SilenceAlertsResponse:
        self._do(request)
        return pb.SilenceAlertsResponse()


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Jobs:
    return Jobs(monkeypatch)


def saved(name: str, *numbers: int, job_id: str = "", role: str = "*") -> SavedJob:
    versions = tuple(pb.JobVersion(version=n, job_json=f'{{"n": {n}}}') for n in numbers)
    return SavedJob(job_id or f"{name}-0", role, name, versions)


def restored(*jobs: SavedJob, does: bool = False) -> list[Step]:
    """The steps, which are carried out if so said."""
    cluster: Any = SimpleNamespace(timeout_s=1.0)

    async def run() -> list[Step]:
        async with AsyncExitStack() as stack:
            found = await restored_jobs.steps_of_jobs(cluster, jobs, stack)
            for step in found:
                if does and step.do is not None:
                    await step.do()
        return found

    return asyncio.run(run())


def test_a_job_is_replaced_only_at_the_version_that_was_looked_at(service: Jobs) -> None:
    service.planned = pb.ApplyJobResponse(job_id="shop-1", version=7, changed=True)
    (step,) = restored(saved("shop", 3))
    assert step.found is Found.DIFFERS and not service.asked
    restored(saved("shop", 3), does=True)
    (did,) = service.asked
    assert not did.dry_run
    assert (did.job_json, did.job_id, did.if_version) == ('{"n": 3}', "shop-1", 7)


@pytest.mark.parametrize(
    ("newer", "expected"),
    [
        ([(8, "secret db")], 8),
        ([(9, "variable level"), (8, "secret db")], 9),
        ([(8, "scale")], 7),
        ([(9, "secret db"), (8, "apply")], 7),
    ],
)
def test_what_restored_secrets_and_variables_made_of_it_counts_as_looked_at(
    service: Jobs, newer: list[tuple[int, str]], expected: int
) -> None:
    service.planned = pb.ApplyJobResponse(job_id="shop-1", version=7, changed=True)
    service.history[:0] = newer
    restored(saved("shop", 3), does=True)
    assert service.asked[0].if_version == expected


def test_a_version_that_a_secret_makes_meanwhile_is_looked_at_again(service: Jobs) -> None:
    service.planned = pb.ApplyJobResponse(job_id="shop-1", version=7, changed=True)

    refused = service._do

    def do(request: Any) -> None:
        refused(request)
        if len(service.asked) == 1:
            service.history.insert(0, (8, "secret db"))
            raise refusal(grpc.StatusCode.FAILED_PRECONDITION)

    service._do = do  # type: ignore[method-assign]
    restored(saved("shop", 3), does=True)
    assert [request.if_version for request in service.asked] == [7, 8]


def test_a_version_that_counts_already_is_awaited_until_it_is_listed(service: Jobs) -> None:
    service.planned = pb.ApplyJobResponse(job_id="shop-1", version=7, changed=True)
    refused = service._do

    def do(request: Any) -> None:
        refused(request)
        if len(service.asked) == 2:
            service.history.insert(0, (8, "secret db"))
        if len(service.asked) < 3:
            raise refusal(grpc.StatusCode.FAILED_PRECONDITION)

    service._do = do  # type: ignore[method-assign]
    restored(saved("shop", 3), does=True)
    assert [request.if_version for request in service.asked] == [7, 7, 8]


def test_one_that_may_not_be_replaced_is_asked_for_once(service: Jobs) -> None:
    service.planned = pb.ApplyJobResponse(job_id="shop-1", version=7, changed=True)
    service.refusals = [refusal(grpc.StatusCode.PERMISSION_DENIED)]
    with pytest.raises(CliError, match="no"):
        restored(saved("shop", 3), does=True)
    assert len(service.asked) == 1


def test_one_that_is_the_same_stays(service: Jobs) -> None:
    (step,) = restored(saved("shop", 3))
    assert step.found is Found.SAME


def test_one_that_is_missing_begins_with_its_versions(service: Jobs) -> None:
    service.planned = pb.ApplyJobResponse(created=True)
    (step,) = restored(saved("shop", 1, 3), does=True)
    assert step.found is Found.MISSING
    (request,) = service.asked
    assert [version.version for version in request.versions] == [1, 3] and request.request_id


def test_one_that_was_scaled_begins_with_as_many_and_that_is_shown(service: Jobs) -> None:
    service.planned = pb.ApplyJobResponse(created=True)
    service.refusals = [refusal(grpc.StatusCode.INVALID_ARGUMENT, "version 1: no such key")]
    counts = {"web": 7, **dict.fromkeys("abc", 2)}
    (step,) = restored(replace(saved("shop", 1, 3), scaled_counts=counts), does=True)
    assert step.what.endswith("with 1 earlier one, scaled to a=2, b=2, c=2, and 1 other"), step.what
    assert [dict(each.scaled_counts) for each in service.asked] == [counts, counts]
    service.planned = pb.ApplyJobResponse(job_id="shop-1", version=3)
    (step,) = restored(replace(saved("shop", 1, 3), scaled_counts=counts))
    assert step.found is Found.SAME and "scaled" not in step.what, "what is measured now counts"


def test_earlier_versions_that_the_framework_refuses_are_left_out(
    service: Jobs, capsys: pytest.CaptureFixture[str]
) -> None:
    service.planned = pb.ApplyJobResponse(created=True)
    service.refusals = [refusal(grpc.StatusCode.INVALID_ARGUMENT, "version 1: no such key")]
    restored(saved("shop", 1, 3), does=True)
    first, second = service.asked
    assert [[v.version for v in each.versions] for each in (first, second)] == [[1, 3], [3]]
    assert first.request_id != second.request_id, "it is another request"
    said = capsys.readouterr().err
    assert "the earlier versions of shop are left out: version 1: no such key" in said


@pytest.mark.parametrize(
    ("code", "numbers"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, (3,)),
        (grpc.StatusCode.FAILED_PRECONDITION, (1, 3)),
        (grpc.StatusCode.PERMISSION_DENIED, (1, 3)),
    ],
)
def test_what_is_refused_for_another_reason_is_not_asked_again(
    service: Jobs, code: grpc.StatusCode, numbers: tuple[int, ...]
) -> None:
    service.planned = pb.ApplyJobResponse(created=True)
    service.refusals = [refusal(code)]
    with pytest.raises(CliError, match="no"):
        restored(saved("shop", *numbers), does=True)
    assert len(service.asked) == 1


def test_where_nobody_serves_the_role_a_job_cannot_be_restored(service: Jobs) -> None:
    service.serves = None
    shop, store = restored(saved("shop", 1, role="prod"), saved("store", 1, role="prod"))
    assert shop.found is store.found is Found.STUCK and shop.do is None
    assert shop.why == (
        "nobody takes jobs of the role prod: start pymesos-binpack --listen --role prod"
    )
    assert service.times_looked_for == 1, "a role is looked for once"


def test_where_who_serves_the_role_does_not_answer_it_is_said_why(service: Jobs) -> None:
    service.serves = CliError("framework f is not reachable")
    (step,) = restored(saved("shop", 1))
    assert (step.found, step.why) == (Found.STUCK, "framework f is not reachable")


def test_what_a_framework_refuses_to_plan_cannot_be_and_no_master_ends_it(service: Jobs) -> None:
    service.plan_refusal = refusal(grpc.StatusCode.INVALID_ARGUMENT, "tasks: no such key")
    (step,) = restored(saved("shop", 1))
    assert (step.found, step.why) == (Found.STUCK, "tasks: no such key")

    async def away(*_: Any, **__: Any) -> Any:
        raise CliError("no master", EXIT_NO_MASTER)

    service.ApplyJob = away  # type: ignore[method-assign]
    with pytest.raises(CliError, match="no master"):
        restored(saved("shop", 1))


def test_one_of_a_name_that_is_in_the_backup_already_is_left_out(service: Jobs) -> None:
    first, other, again = restored(
        saved("train", 1, job_id="train-1"),
        saved("train", 1, job_id="train-2", role="prod"),
        saved("train", 1, job_id="train-3"),
    )
    assert (first.found, other.found, again.found) == (Found.SAME, Found.SAME, Found.LEFT_OUT)
    assert again.why == "train-1 has the same name, and one job of a name runs at a time"


@pytest.mark.parametrize(
    ("code", "states", "found"),
    [
        (grpc.StatusCode.FAILED_PRECONDITION, ("running", "running"), Found.LEFT_OUT),
        (grpc.StatusCode.FAILED_PRECONDITION, ("running", "stopping"), Found.STUCK),
        (grpc.StatusCode.PERMISSION_DENIED, ("running", "running"), Found.STUCK),
    ],
)
def test_two_of_a_name_that_run_keep_nothing_else_from_being_restored(
    service: Jobs, code: grpc.StatusCode, states: tuple[str, ...], found: Found
) -> None:
    service.plan_refusal = refusal(code)
    service.views = [pb.JobView(job_id="other-1", name="other", state="running")]
    service.views += [pb.JobView(name="train", state=state) for state in states]
    (step,) = restored(saved("train", 1))
    assert step.found is found, step.why


def test_a_service_is_dialled_once_for_all_jobs_of_its_role(service: Jobs) -> None:
    service.planned = pb.ApplyJobResponse(created=True)
    service.refusals = [refusal(grpc.StatusCode.INVALID_ARGUMENT)]
    restored(saved("shop", 1, 2), saved("store", 1), does=True)
    assert len(service.asked) == 3 and service.times_dialled == 1 and not service.is_open


def test_a_framework_that_falls_silent_is_named(service: Jobs) -> None:
    service.plan_refusal = refusal(grpc.StatusCode.UNAVAILABLE, "connection refused")
    service.serves = FrameworkView(
        info=FrameworkInfo(framework_id="F1", name="binpack", jobs_address="h:1")
    )
    (step,) = restored(saved("shop", 1))
    assert step.found is Found.STUCK
    assert "framework binpack (F1)" in step.why and "is not reachable" in step.why


def silence(job_id: str = "shop-0", task: str = "", left_s: float = 3600.0) -> pb.JobSilenceView:
    return pb.JobSilenceView(
        job_id=job_id, job_name=job_id.rpartition("-")[0], role="*", task_name=task,
        when="below", until_s=time.time() + left_s, by="operator/eve", why="known",
    )  # fmt: skip


def silenced(*silences: pb.JobSilenceView, does: bool = False) -> list[Step]:
    """The steps for silences of the job `shop`, of which there is another later in the file."""
    document = '{"name": "shop", "tasks": [{"name": "web"}]}'
    versions = (pb.JobVersion(version=1, job_json=document),)
    jobs = tuple(SavedJob(job_id, "*", "shop", versions) for job_id in ("shop-0", "shop-1"))
    backup = Backup(backup_pb2.BackupBegin(), jobs=jobs, job_silences=silences)
    cluster: Any = SimpleNamespace(timeout_s=1.0)

    async def run() -> list[Step]:
        async with AsyncExitStack() as stack:
            steps = await steps_of_job_silences(cluster, backup, stack)
            for step in steps:
                if does and step.do is not None:
                    await step.do()
        return steps

    return asyncio.run(run())


def test_alerts_of_a_restored_job_are_silenced_for_as_long_as_is_left(service: Jobs) -> None:
    service.views = [
        pb.JobView(job_id="shop-5", name="shop", role="*", state="running"),
        pb.JobView(job_id="shop-4", name="shop", role="*", state="ended"),
        pb.JobView(job_id="shop-3", name="shop", role="ops", state="running"),
    ]
    (step,) = silenced(silence(task="web"), does=True)
    assert step.found is Found.MISSING and "below alerts of the job shop.web" in step.what
    (asked,) = service.asked
    assert (asked.job_id, asked.task_name, asked.when) == ("shop-5", "web", "below")
    assert asked.why == "known" and 3590 <= asked.for_s <= 3600


def test_silences_that_are_there_and_those_without_a_place(service: Jobs) -> None:
    service.silences = [silence(), silence(task="web", left_s=60)]
    same, differs, over, gone, later, nobody = silenced(
        silence(), silence(task="web"), silence(left_s=-5), silence(task="db"),
        silence("shop-1"), silence("other-1"),
    )  # fmt: skip
    assert (same.found, differs.found) == (Found.SAME, Found.DIFFERS)
    assert "there is one until" in differs.why
    for step, why in (
        (over, "it is over"),
        (gone, "no such task"),
        (later, "its job is left out"),
        (nobody, "its job is left out"),
    ):
        assert step.found is Found.LEFT_OUT and why in step.why
    service.serves = None
    (step,) = silenced(silence())
    assert step.found is Found.LEFT_OUT and "nobody takes jobs of the role *" in step.why


def test_alerts_of_a_job_that_was_not_restored_are_not_silenced(service: Jobs) -> None:
    with pytest.raises(CliError, match="0 jobs of the name shop run"):
        silenced(silence(), does=True)
    assert not service.asked
