"""The jobs of a backup: each begun by who serves its role, with the versions that it had."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from pymesos_cli.backup.records import SavedJob
from pymesos_cli.backup.steps import Found, Kind, Step, stuck_if_refused
from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import EXIT_USAGE, CliError
from pymesos_cli.jobs.run import serving_of
from pymesos_cli.output import note
from pymesos_cli.services import all_jobs, dialled, refusals_of
from pymesos_core import limits
from pymesos_core.serving_jobs import nobody_takes
from pymesos_core.text import count_of
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_proto.v1.operator_pb2 import FrameworkView

if TYPE_CHECKING:
    from pymesos_proto.v1.jobs_pb2_grpc import JobsAsyncStub

SHOWN_CHANGES = 3
SHOWN_COUNTS = 3
TRIES = 5  # of a job that gets other versions by what was restored before it
STORED_S = 0.2  # between them; a version that counts already is listed once it is stored
OF_VALUES = ("secret ", "variable ")  # how the words begin for what made such a version
_NOT_NOW = grpc.StatusCode.FAILED_PRECONDITION  # several of a name, another version, and more
MAX_REQUEST_BYTES = limits.MESSAGE.most - 64 * limits.KIB


@dataclass(frozen=True)
class Serving:
    """The service that takes jobs of a role."""

    view: FrameworkView
    stub: JobsAsyncStub
    timeout_s: float


async def steps_of_jobs(
    cluster: Cluster, jobs: Iterable[SavedJob], stack: AsyncExitStack
) -> list[Step]:
    """Return the steps that begin jobs, by services that are closed with `stack`.

    Raises CliError when no master is reached.
    """
    serving: dict[str, Serving | CliError] = {}
    named: dict[tuple[str, str], str] = {}
    steps: list[Step] = []
    for job in jobs:
        what = _said(job)
        earlier = named.setdefault((job.role, job.name), job.job_id)
        if earlier != job.job_id:
            why = f"{earlier} has the same name, and one job of a name runs at a time"
            steps.append(Step(Kind.JOBS, what, Found.LEFT_OUT, why))
            continue
        if job.role not in serving:
            serving[job.role] = await serves_of(cluster, job.role, stack)
        serves = serving[job.role]
        if isinstance(serves, CliError):
            steps.append(Step(Kind.JOBS, what, Found.STUCK, serves.format_message()))
        else:
            steps.append(await stuck_if_refused(Kind.JOBS, what, partial(_step, serves, job)))
    return steps


def _said(job: SavedJob) -> str:
    kept = kept_versions(job.versions)
    number = f"version {kept[-1].version}"
    if len(kept) > 1:
        number += f", with {count_of(len(kept) - 1, 'earlier one')}"
    if left := len(job.versions) - len(kept):
        number += f" ({left} older than those do not fit and are left out)"
    role = "" if job.role == "*" else f" of the role {job.role}"
    return f"the job {job.name}{role}, {number}"


def _scaled_said(job: SavedJob) -> str:
    """How many instances it begins with, where that followed what was measured."""
    counts = [f"{task}={count}" for task, count in sorted(job.scaled_counts.items())]
    if (more := len(counts) - SHOWN_COUNTS) > 0:
        counts[SHOWN_COUNTS:] = [f"and {count_of(more, 'other')}"]
    return f", scaled to {', '.join(counts)}" if counts else ""


def kept_versions(versions: Sequence[pb.JobVersion]) -> list[pb.JobVersion]:
    """Return the latest versions, as many as one request may have."""
    kept: list[pb.JobVersion] = []
    left_bytes = MAX_REQUEST_BYTES
    for version in reversed(versions[-limits.JOB_VERSIONS.most :]):
        left_bytes -= version.ByteSize() + 16
        if kept and left_bytes < 0:
            break
        kept.insert(0, version)
    return kept


async def serves_of(cluster: Cluster, role: str, stack: AsyncExitStack) -> Serving | CliError:
    """Return who takes jobs of a role, or why nobody does."""
    try:
        found = await serving_of(cluster, role)
    except CliError as error:
        return error
    if found is None:
        return CliError(nobody_takes(role))
    stub = await stack.enter_async_context(dialled(cluster, found))
    return Serving(found, stub, cluster.timeout_s)


async def _step(serves: Serving, job: SavedJob) -> Step:
    """Hold a job against the one of its name that runs. Raises CliError."""
    latest = job.versions[-1].job_json
    request = pb.ApplyJobRequest(job_json=latest, request_id=str(uuid.uuid4()), dry_run=True)
    what = _said(job)
    try:
        with refusals_of(serves.view):
            planned = await serves.stub.ApplyJob(request, timeout=serves.timeout_s)
    except CliError as error:
        if not _is_for_now(error) or not await _several_run(serves, job.name):
            raise
        why = "several of its name run here, and which is meant is not known: end all but one"
        return Step(Kind.JOBS, what, Found.LEFT_OUT, why)

    async def begin_with(versions: list[pb.JobVersion]) -> None:
        request = pb.RestoreJobRequest(
            request_id=str(uuid.uuid4()), versions=versions, scaled_counts=job.scaled_counts
        )
        with refusals_of(serves.view):
            await serves.stub.RestoreJob(request, timeout=serves.timeout_s)

    async def begin() -> None:
        kept = kept_versions(job.versions)
        try:
            await begin_with(kept)
        except CliError as error:
            if error.exit_code != EXIT_USAGE or len(kept) == 1:
                raise
            await begin_with(kept[-1:])  # the last, which the framework has looked at
            note(f"the earlier versions of {job.name} are left out: {error.format_message()}")

    async def replace() -> None:
        expected = await _expected(serves, planned)
        for left in reversed(range(TRIES)):
            request = pb.ApplyJobRequest(
                job_json=latest,
                request_id=str(uuid.uuid4()),
                job_id=planned.job_id,
                if_version=expected,
            )
            try:
                with refusals_of(serves.view):
                    await serves.stub.ApplyJob(request, timeout=serves.timeout_s)
            except CliError as error:
                if not left or not _is_for_now(error):
                    raise
                await asyncio.sleep(STORED_S)
                expected = await _expected(serves, planned)
            else:
                return

    if planned.created:
        return Step(Kind.JOBS, what + _scaled_said(job), Found.MISSING, do=begin)
    if not planned.changed:
        return Step(Kind.JOBS, what, Found.SAME)
    return Step(Kind.JOBS, what, Found.DIFFERS, _differences(planned), replace)


def _is_for_now(error: CliError) -> bool:
    """Whether it is refused for how things are at the moment."""
    cause = error.__cause__
    return isinstance(cause, grpc.aio.AioRpcError) and cause.code() is _NOT_NOW


async def _expected(serves: Serving, planned: pb.ApplyJobResponse) -> int:
    """The version with which a job was compared, or a newer one that secrets and variables made.

    Those that were restored just before give jobs other versions, which say nothing else.
    """
    request = pb.ListVersionsRequest(job_id=planned.job_id)
    with refusals_of(serves.view):
        listed = await serves.stub.ListVersions(request, timeout=serves.timeout_s)
    newer = [view for view in listed.versions if view.version > planned.version]
    if all(view.what.startswith(OF_VALUES) for view in newer):
        return max((view.version for view in newer), default=planned.version)
    return planned.version


async def _several_run(serves: Serving, name: str) -> bool:
    """Whether several of a name run, as of a command that more than one person runs."""
    with refusals_of(serves.view):
        jobs = await all_jobs(serves.stub, serves.timeout_s, ended=False)
    return sum(job.name == name and job.state == "running" for job in jobs) > 1


def _differences(planned: pb.ApplyJobResponse) -> str:
    shown = [
        f"{each.path}: {each.before or 'not there'} here, {each.after or 'not there'} in the backup"
        for each in planned.changes[:SHOWN_CHANGES]
    ]
    more = len(planned.changes) + planned.more_changes - len(shown)
    said = "; ".join([*shown, *([f"and {count_of(more, 'other key')}"] if more else [])])
    return f"{planned.job_id} runs: {said or 'not all of it is of the version in force'}"
