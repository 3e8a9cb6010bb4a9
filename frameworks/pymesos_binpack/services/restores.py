"""The part of the Jobs service that begins jobs as a backup has them."""

from __future__ import annotations

from itertools import pairwise

from pymesos_binpack.jobs.history import SUBMIT, Version
from pymesos_binpack.services.asked import Asked, Call, answering, used_before, who
from pymesos_binpack.specs import Job
from pymesos_core import contract
from pymesos_core.text import quoted
from pymesos_core.transport import CallError, Code
from pymesos_proto.v1 import jobs_pb2 as pb

_Read = tuple[Job, tuple[Version, ...]]


class JobRestores(Asked):
    """Begin a job with versions that it had elsewhere."""

    async def RestoreJob(  # noqa: N802
        self, request: pb.RestoreJobRequest, call: Call
    ) -> pb.RestoreJobResponse:
        """Store a job with its versions, of which the last is in force."""
        self._check(call, "Jobs.RestoreJob")
        self._check(call, "Jobs.SubmitJob")
        self._check_request_id(request.request_id)
        job, versions = await self._read_versions(request)
        self._check(call, "Jobs.SubmitJob", job.role)
        self._check_role(job.role)
        with answering():
            job_id = await self.binpack.submit(
                job,
                request.request_id,
                made_by=who(call),
                versions=versions,
                scaled_counts=dict(request.scaled_counts),
            )
        self._check_begun(request.request_id, job_id, job)
        begun = self.binpack.core.jobs.get(job_id)
        if begun is not None and begun.history.asked_by(request.request_id) is not None:
            raise used_before(request.request_id, f"began the job {job_id}")
        version = versions[-1].number if begun is None else begun.durable_version
        return pb.RestoreJobResponse(job_id=job_id, version=version)

    async def _read_versions(self, request: pb.RestoreJobRequest) -> _Read:
        """The job of the last version, and all of them. Raises CallError."""
        problem = contract.problem(request)
        numbers = [each.version for each in request.versions]
        if not numbers:
            problem = "versions: none is given, and at least one was expected"
        elif not numbers[0] or any(a >= b for a, b in pairwise(numbers)):
            problem = "versions: they were expected to be counted upwards, from 1"
        if problem:
            raise CallError(Code.INVALID_ARGUMENT, problem)
        jobs = [await self._read_job(each.job_json) for each in request.versions]
        for version, before, job in zip(numbers[1:], jobs, jobs[1:], strict=False):
            if (job.role, job.name) != (before.role, before.name):
                raise CallError(
                    Code.INVALID_ARGUMENT,
                    f"version {version} is of the job {quoted(job.name)} of the role"
                    f" {quoted(job.role)}, and the one before it of {quoted(before.name)} of"
                    f" {quoted(before.role)}: all were expected to be of one job",
                )
        versions = tuple(
            Version(of.version, job.document, of.made_at_s, of.made_by, of.what or SUBMIT)
            for of, job in zip(request.versions, jobs, strict=True)
        )
        return jobs[-1], versions
