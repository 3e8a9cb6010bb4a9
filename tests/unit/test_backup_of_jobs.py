"""What of the jobs that frameworks serve is in a backup, whatever they answer."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import grpc.aio
import pytest

from pymesos_cli import services
from pymesos_cli.backup import gathering
from pymesos_cli.backup.gathering import Gathered
from pymesos_cli.backup.records import Backup, SavedJob, lines_of, read_backup
from pymesos_cli.errors import CliError
from pymesos_proto.v1 import backup_pb2 as backup_pb
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_proto.v1 import operator_pb2, types_pb2

NOT_FOUND = grpc.aio.AioRpcError(
    grpc.StatusCode.NOT_FOUND, grpc.aio.Metadata(), grpc.aio.Metadata()
)


def file_of(name: str, **more: Any) -> str:
    return json.dumps({"name": name, "tasks": [], **more})


class Framework:
    """A framework whose jobs have versions: job id → number → its file."""

    def __init__(self, framework_id: str, jobs: dict[str, dict[int, str]]) -> None:
        self.jobs = jobs
        info = types_pb2.FrameworkInfo(framework_id=framework_id, name="f", jobs_address="h:1")
        self.view = operator_pb2.FrameworkView(info=info, state="active")
        self.what = "apply"
        self.others: list[pb.JobView] = []
        self.scaling: list[pb.ScalingView] = []
        self.scaled_counts: dict[str, int] = {}
        self.env_hidden = False
        self.silences: list[pb.JobSilenceView] = []
        self.more_silences = 0
        self.next_page_token = ""
        self.forgets: Callable[[], object] = lambda: None  # after it told of the versions

    async def ListJobs(self, request: pb.ListJobsRequest, timeout: float) -> pb.ListJobsResponse:
        views = [
            pb.JobView(job_id=job_id, state="running", scaling=self.scaling) for job_id in self.jobs
        ]
        views += self.others
        return pb.ListJobsResponse(jobs=views, next_page_token=self.next_page_token)

    async def ListVersions(
        self, request: pb.ListVersionsRequest, timeout: float
    ) -> pb.ListVersionsResponse:
        if request.job_id not in self.jobs:
            raise NOT_FOUND
        numbers = [*self.jobs[request.job_id]]
        self.forgets()
        return pb.ListVersionsResponse(versions=[pb.VersionView(version=n) for n in numbers])

    async def ListVariables(
        self, request: pb.ListVariablesRequest, timeout: float
    ) -> pb.ListVariablesResponse:
        return pb.ListVariablesResponse()

    async def ListAlerts(
        self, request: pb.ListAlertsRequest, timeout: float
    ) -> pb.ListAlertsResponse:
        return pb.ListAlertsResponse(silences=self.silences, more_silences=self.more_silences)

    async def DescribeJob(
        self, request: pb.DescribeJobRequest, timeout: float
    ) -> pb.DescribeJobResponse:
        document = self.jobs.get(request.job_id, {}).get(request.version)
        if document is None:
            raise NOT_FOUND
        version = pb.VersionView(version=request.version, what=self.what)
        return pb.DescribeJobResponse(
            job_json=document,
            version=version,
            env_hidden=self.env_hidden,
            scaled_counts=self.scaled_counts,
        )


def gathered(
    monkeypatch: pytest.MonkeyPatch,
    frameworks: Iterable[Framework],
    silences: dict[str, list[pb.JobSilenceView]] | None = None,
) -> tuple[list[SavedJob], list[str]]:
    by_id = {each.view.info.framework_id: each for each in frameworks}

    @asynccontextmanager
    async def service(_: Any, view: operator_pb2.FrameworkView) -> AsyncIterator[Any]:
        yield by_id[view.info.framework_id]

    async def serving(_: Any) -> list[operator_pb2.FrameworkView]:
        return [each.view for each in by_id.values()]

    monkeypatch.setattr(services, "service", service)
    monkeypatch.setattr(services, "serving", serving)
    cluster: Any = SimpleNamespace(timeout_s=1.0)
    return asyncio.run(gathering._jobs(cluster, {}, {} if silences is None else silences))


GOOD = {1: file_of("shop"), 2: file_of("shop", about="new")}


@pytest.mark.parametrize(
    ("versions", "says"),
    [
        ({}, "it has no version"),
        ({1: "{"}, "has no job file of it"),
        ({1: "[]"}, "its name and its number was expected"),
        ({1: "{}"}, "its name and its number was expected"),
        ({0: file_of("bad")}, "its name and its number was expected"),
        ({1: file_of("other"), 2: file_of("bad")}, "a document of another role or name"),
        ({1: file_of("bad", role=5)}, "of another role or name"),
        ({1: file_of("bad", about="x" * 600_000)}, "at most 524288"),
    ],
)
def test_a_job_that_no_restore_takes_is_left_out_alone(
    monkeypatch: pytest.MonkeyPatch, versions: dict[int, str], says: str
) -> None:
    mine = Framework("F1", {"bad-1": versions, "shop-1": GOOD})
    jobs, left_out = gathered(monkeypatch, [mine])
    assert [(job.job_id, len(job.versions)) for job in jobs] == [("shop-1", 2)]
    (said,) = left_out
    assert said.startswith("the job bad-1: ") and says in said, said


def test_how_many_instances_run_by_what_is_measured_is_in_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine = Framework("F1", {"shop-1": GOOD})
    mine.scaling = [
        pb.ScalingView(task_name="web", count=7),
        pb.ScalingView(task_name="b", count=1),
    ]
    jobs, _ = gathered(monkeypatch, [mine])
    assert [job.scaled_counts for job in jobs] == [{"web": 7, "b": 1}], "of an earlier version"
    mine.scaled_counts = {f"t{n}": n for n in range(1, 300)}
    jobs, _ = gathered(monkeypatch, [mine])
    assert [job.scaled_counts for job in jobs] == [mine.scaled_counts], "more than are listed"


def test_what_breaks_the_contract_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = Framework("F1", {"shop-1": GOOD})
    mine.what = "two\nlines"
    jobs, (said,) = gathered(monkeypatch, [mine])
    assert not jobs and "job_version.version.what: " in said


def test_nobody_backs_up_jobs_whose_environments_are_hidden_from_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine, other = Framework("F1", {"shop-1": GOOD}), Framework("F2", {"store-1": GOOD})
    mine.env_hidden = True
    with pytest.raises(CliError, match="you may not read the environments of the job shop-1"):
        gathered(monkeypatch, [other, mine])


def test_a_job_that_is_quarantined_is_missing_and_one_that_ends_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine = Framework("F1", {"shop-1": GOOD})
    mine.others = [
        pb.JobView(job_id="bad-1", state="quarantined", explanation="a version is damaged"),
        pb.JobView(job_id="old-1", state="stopping"),
    ]
    jobs, left_out = gathered(monkeypatch, [mine])
    assert [job.job_id for job in jobs] == ["shop-1"]
    assert left_out == ["the job bad-1, which is quarantined: a version is damaged"]


def test_a_job_id_of_two_frameworks_is_in_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    both = [Framework("F1", {"shop-1": GOOD}), Framework("F2", {"shop-1": GOOD})]
    for each in both:
        each.silences = [pb.JobSilenceView(job_id="shop-1", by=each.view.info.framework_id)]
    found: dict[str, list[pb.JobSilenceView]] = {}
    jobs, left_out = gathered(monkeypatch, both, found)
    assert left_out == ["the job shop-1 of framework f (F2): another has one of that id"]
    assert found == {"shop-1": both[0].silences}, "those of the job that is in it"
    backup = Backup(backup_pb.BackupBegin(format=1), jobs=tuple(jobs))
    assert len([*lines_of(backup)]) == 4, "it can be restored"


def test_a_listing_without_an_end_is_of_its_framework_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endless, fine = Framework("F1", {"a-1": GOOD}), Framework("F2", {"shop-1": GOOD})
    endless.next_page_token = "again"
    jobs, (said,) = gathered(monkeypatch, [endless, fine])
    assert [job.job_id for job in jobs] == ["shop-1"]
    assert "f (F1)" in said and "its listing has no end: after 2 pages" in said


def test_a_listing_of_ever_new_pages_is_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MAX_PAGES", 3)
    asked: list[str] = []

    async def ask(token: str) -> pb.ListJobsResponse:
        asked.append(token)
        return pb.ListJobsResponse(next_page_token=f"{len(asked)}")

    with pytest.raises(CliError, match="has no end: after 3 pages"):
        asyncio.run(services.all_pages(ask))
    assert asked == ["", "1", "2"]


def test_a_version_that_is_forgotten_meanwhile_is_no_job_that_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    busy = Framework("F1", {"shop-1": dict(GOOD)})

    def forget() -> None:
        versions = busy.jobs["shop-1"]
        versions[max(versions) + 1] = file_of("shop")
        del versions[min(versions)]

    busy.forgets = forget
    jobs, left_out = gathered(monkeypatch, [busy])
    assert not jobs
    assert left_out == [
        "the job shop-1: it was changed each time that it was read: make the backup once more"
    ]
    busy.forgets = lambda: busy.jobs.pop("shop-1")
    assert gathered(monkeypatch, [busy]) == ([], []), "it has ended, and is missing nowhere"
    once = iter([forget])
    busy.jobs["shop-1"] = dict(GOOD)
    busy.forgets = lambda: next(once, lambda: None)()
    jobs, left_out = gathered(monkeypatch, [busy])
    assert [v.version for v in jobs[0].versions] == [2, 3] and not left_out


class Told:
    """A cluster of which this is gathered; `other` is a framework that serves no jobs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, left_out: str, complete: bool) -> None:
        backup = Backup(backup_pb.BackupBegin(format=1), left_out=(left_out,) if left_out else ())

        async def gather(_: Any) -> Gathered:
            return Gathered(backup, complete)

        monkeypatch.setattr(gathering, "gather", gather)

    async def frameworks(self) -> list[operator_pb2.FrameworkView]:
        info = types_pb2.FrameworkInfo(framework_id="F3", name="other")
        return [operator_pb2.FrameworkView(info=info)]

    def backed_up(self, file: Path | str, *, force: bool = False) -> int:
        cluster: Any = self
        return asyncio.run(gathering.back_up(cluster, str(file), force=force))


def test_no_master_is_asked_once_the_file_is_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = Told(monkeypatch, left_out="", complete=True)
    frameworks = told.frameworks
    written: list[Backup] = []

    def write(backup: Backup, *_: Any, **__: Any) -> int:
        written.append(backup)
        return 7

    async def asked() -> list[operator_pb2.FrameworkView]:
        if written:
            raise CliError("no master")
        return await frameworks()

    monkeypatch.setattr(gathering, "write_file", write)
    monkeypatch.setattr(told, "frameworks", asked)
    assert told.backed_up("b") == 0
    said = capsys.readouterr()
    assert "7 bytes in b\n" in said.out and "other (F3) serves no jobs" in said.err


@pytest.mark.parametrize("force", [False, True])
def test_a_backup_in_which_something_is_missing_replaces_none(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    force: bool,
) -> None:
    told = Told(monkeypatch, left_out="framework f is away", complete=False)
    file, rest = tmp_path / "b", tmp_path / "b.incomplete"
    if force:
        file.write_text("good")
    assert told.backed_up(file, force=force) == 1
    assert [path.read_text() for path in (file,) if path.exists()] == (["good"] if force else [])
    with rest.open("rb") as stream:
        assert read_backup(stream).left_out == ("framework f is away",)
    said = capsys.readouterr()
    assert f"bytes in {rest}\n" in said.out
    assert "not in the backup: framework f is away" in said.err and "is not written" in said.err


def test_only_the_latest_incomplete_backup_stays_and_a_complete_one_removes_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file, rest = tmp_path / "b", tmp_path / "b.incomplete"
    for left_out in ("framework f is away", "framework g is away"):
        told = Told(monkeypatch, left_out=left_out, complete=False)
        assert told.backed_up(file) == 1
        with rest.open("rb") as stream:
            assert read_backup(stream).left_out == (left_out,)
    assert Told(monkeypatch, left_out="", complete=True).backed_up(file) == 0
    assert [*tmp_path.iterdir()] == [file]


def test_what_no_restore_brings_back_makes_no_backup_incomplete(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = Told(monkeypatch, left_out="the labels a=b", complete=True)
    assert told.backed_up(tmp_path / "b") == 1
    assert [*tmp_path.iterdir()] == [tmp_path / "b"]


def test_standard_output_has_what_there_is(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    told = Told(monkeypatch, left_out="framework f is away", complete=False)
    assert told.backed_up("-") == 1
    said = capsysbinary.readouterr()
    assert read_backup(io.BytesIO(said.out)).left_out == ("framework f is away",)
    assert b"is not written" not in said.err


def test_an_unfit_name_is_refused_before_anything_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = Told(monkeypatch, left_out="", complete=True)
    monkeypatch.setattr(gathering, "gather", None)
    with pytest.raises(CliError, match="is a folder"):
        told.backed_up(tmp_path, force=True)
    (tmp_path / "b.incomplete").mkdir()
    with pytest.raises(CliError, match=r"with \.incomplete at its end"):
        told.backed_up(tmp_path / "b")


def test_silences_of_jobs_are_gathered_and_those_beyond_are_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine = Framework("F1", {"shop-1": GOOD})
    mine.silences = [pb.JobSilenceView(job_id="shop-1", when=when) for when in ("", "below")]
    mine.more_silences = 3
    found: dict[str, list[pb.JobSilenceView]] = {}
    _, left_out = gathered(monkeypatch, [mine], found)
    assert found == {"shop-1": mine.silences}
    assert left_out == ["3 silences of alerts of jobs"]
