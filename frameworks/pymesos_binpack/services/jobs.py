"""The Jobs service."""

from __future__ import annotations

import asyncio
from typing import Any

from pymesos_binpack.jobfiles.parsing import load_document, parse_job
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.services.views import (
    instance_view,
    job_view,
    quarantined_job,
    quarantined_view,
    volume_view,
)
from pymesos_binpack.shell import Binpack, StartsAgainError, SubmitError
from pymesos_binpack.specs import Job, JobError
from pymesos_core.ids import id_problem
from pymesos_core.security.needs import NEEDS
from pymesos_core.security.policy import Verb, decide
from pymesos_core.text import quoted
from pymesos_core.transport import CallError, Code, ServerCall
from pymesos_proto.v1 import jobs_pb2 as pb

Call = ServerCall[Any, Any]
DEBOUNCE_S = 0.05  # a job that changes all the time is shown this often
DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000
PART_BYTES = 256 * 1024  # a view in several messages: the last one is the one without `more`
SLICE = 500
QUARANTINED_PER_PAGE = 10
MAX_DETAILS = 2000  # bytes


class JobsService:
    """Submit, list, watch, stop; and what is in quarantine."""

    contract = pb.DESCRIPTOR.services_by_name["Jobs"]

    def __init__(self, binpack: Binpack, role: str) -> None:
        self.binpack = binpack  # another one, after a job could not be handled
        self._role = role
        self._reading = asyncio.Lock()

    def _check(self, call: Call, name: str) -> None:
        """Raises CallError for a caller who may not make this call of the framework's role."""
        need = NEEDS[name]
        assert need.verb is not None
        if problem := self._problem(call, need.verb):
            raise CallError(Code.PERMISSION_DENIED, problem)

    def _problem(self, call: Call, verb: Verb) -> str | None:
        """Why its caller may not do that in the framework's role; or None. Raises CallError."""
        if not call.caller.is_proved:
            return None
        policy = self.binpack.core.policy
        if policy is None:
            raise CallError(
                Code.UNAVAILABLE,
                "this framework has not heard yet what the cluster's policy is; try again",
            )
        return decide(policy, call.caller, verb, self._role).problem

    async def SubmitJob(  # noqa: N802
        self, request: pb.SubmitJobRequest, call: Call
    ) -> pb.SubmitJobResponse:
        """Check and store a job; it is acknowledged when it is durable."""
        self._check(call, "Jobs.SubmitJob")
        if problem := id_problem(request.request_id):
            raise CallError(Code.INVALID_ARGUMENT, f"request_id: {problem}")
        try:
            async with self._reading:  # one at a time, and beside the loop
                job = await asyncio.to_thread(_read, request.job_json)
        except JobError as error:
            raise CallError(Code.INVALID_ARGUMENT, _short(error)) from None
        if job.role != self._role:
            raise CallError(
                Code.FAILED_PRECONDITION,
                f"the job is for the role {quoted(job.role)}; this framework has {self._role!r}",
            )
        try:
            job_id = await self.binpack.submit(job, request.request_id, same_name=request.same_name)
        except StartsAgainError as error:
            raise CallError(Code.UNAVAILABLE, str(error)) from None
        except SubmitError as error:
            raise CallError(Code.FAILED_PRECONDITION, str(error)) from None
        return pb.SubmitJobResponse(job_id=job_id)

    async def ListJobs(  # noqa: N802
        self, request: pb.ListJobsRequest, call: Call
    ) -> pb.ListJobsResponse:
        """Jobs by id, without their instances."""
        self._check(call, "Jobs.ListJobs")
        size = min(request.page_size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
        core, framework_id = self.binpack.core, self.binpack.driver.framework_id
        kept = (
            job_id for job_id, job in core.jobs.items() if request.include_ended or not job.is_over
        )
        every = sorted(j for j in (*kept, *core.quarantined) if j > request.page_token)
        return pb.ListJobsResponse(
            jobs=[
                quarantined_view(core.quarantined[job_id], framework_id)
                if job_id in core.quarantined
                else job_view(core.jobs[job_id], framework_id)
                for job_id in every[:size]
            ],
            next_page_token=every[size - 1] if len(every) > size else "",
        )

    def _job(self, job_id: str) -> JobState:
        job = self.binpack.core.jobs.get(job_id)
        if job_id in self.binpack.core.quarantined:
            reason = _short(self.binpack.core.quarantined[job_id].reason)
            raise CallError(
                Code.FAILED_PRECONDITION,
                f"the job {job_id} is quarantined: {reason}. Its tasks are left alone;"
                f" `pymesos-cli quarantine show {job_id}` shows it, and `quarantine release` tries"
                f" it again, or with --discard ends it",
            )
        if job is None:
            raise CallError(Code.NOT_FOUND, f"there is no job {job_id[:255]}")
        return job

    async def WatchJob(  # noqa: N802
        self, request: pb.WatchJobRequest, call: Call
    ) -> None:
        """The job now, then what changes, until it has ended."""
        self._check(call, "Jobs.WatchJob")
        job = self._job(request.job_id)
        binpack = self.binpack
        shown: dict[str, pb.InstanceView] = {}
        with binpack.watch(job.job_id) as watch:
            while True:
                await watch.changed.wait()
                watch.changed.clear()
                self._check(call, "Jobs.WatchJob")  # which may be another policy's answer by now
                if binpack.over:
                    raise CallError(Code.UNAVAILABLE, "the framework starts again")
                ended = job.is_over
                changed: list[pb.InstanceView] = []
                size = 0
                for number, instance in enumerate(job.instances, 1):
                    view = instance_view(instance, connected=self.binpack.core.connected)
                    if shown.get(instance.key) != view:
                        shown[instance.key] = view
                        changed.append(view)
                        size += view.ByteSize()
                    if size > PART_BYTES:
                        await call.write(_part(job, changed))
                        changed, size = [], 0
                    if number % SLICE == 0:
                        await asyncio.sleep(0)  # a large job lets others come between
                overall = job_view(job, binpack.driver.framework_id)
                overall.instances.extend(changed)
                await call.write(overall)
                if ended:
                    return
                await asyncio.sleep(DEBOUNCE_S)

    async def StopJob(  # noqa: N802
        self, request: pb.StopJobRequest, call: Call
    ) -> pb.StopJobResponse:
        """End a job and its tasks; watch it to see when that is done."""
        self._check(call, "Jobs.StopJob")
        job = self._job(request.job_id)
        self.binpack.stop_job(job.job_id)
        return pb.StopJobResponse()

    async def ListQuarantined(  # noqa: N802
        self, request: pb.ListQuarantinedRequest, call: Call
    ) -> pb.ListQuarantinedResponse:
        """What is stored and cannot be handled, and why."""
        self._check(call, "Jobs.ListQuarantined")
        aside, framework_id = self.binpack.core.quarantined, self.binpack.driver.framework_id
        if request.job_id:
            found = [job for job in (aside.get(request.job_id),) if job is not None]
            whole = self._problem(call, Verb.READ_ENV) is None  # the document has environments
            return pb.ListQuarantinedResponse(
                jobs=[quarantined_job(job, framework_id, whole=whole) for job in found]
            )
        ids = sorted(job_id for job_id in aside if job_id > request.page_token)
        page = ids[:QUARANTINED_PER_PAGE]
        return pb.ListQuarantinedResponse(
            jobs=[quarantined_job(aside[job_id], framework_id, whole=False) for job_id in page],
            next_page_token=page[-1] if len(ids) > len(page) else "",
        )

    async def ReleaseQuarantined(  # noqa: N802
        self, request: pb.ReleaseQuarantinedRequest, call: Call
    ) -> pb.ReleaseQuarantinedResponse:
        """Try a job again, or forget it; answered when that is durable."""
        self._check(call, "Jobs.ReleaseQuarantined")
        try:
            problem = await self.binpack.release(request.job_id, discard=request.discard)
        except StartsAgainError as error:
            raise CallError(Code.UNAVAILABLE, str(error)) from None
        if problem:
            raise CallError(Code.FAILED_PRECONDITION, _short(problem))
        return pb.ReleaseQuarantinedResponse()

    async def ListVolumes(  # noqa: N802
        self, request: pb.ListVolumesRequest, call: Call
    ) -> pb.ListVolumesResponse:
        """Volumes by the names they belong to."""
        self._check(call, "Jobs.ListVolumes")
        core = self.binpack.core
        size = min(request.page_size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
        found = sorted((v for v in core.volumes if v.key > request.page_token), key=lambda v: v.key)
        return pb.ListVolumesResponse(
            volumes=[volume_view(v, core.job_with(v)) for v in found[:size]],
            next_page_token=found[size - 1].key if len(found) > size else "",
        )

    async def ForgetVolume(  # noqa: N802
        self, request: pb.ForgetVolumeRequest, call: Call
    ) -> pb.ForgetVolumeResponse:
        """The next run of its name makes a new one."""
        self._check(call, "Jobs.ForgetVolume")
        core, asked = self.binpack.core, (request.role, request.volume_id)
        for volume in core.volumes:
            if (volume.role, volume.volume_id) == asked and (job_id := core.job_with(volume)):
                has = f"the job {job_id} has the volume {volume.volume_id}"
                todo = f"end it first with `pymesos-cli stop {job_id}`"
                if job_id in core.quarantined:
                    has += " and is in quarantine"
                    todo = f"see `pymesos-cli quarantine show {job_id}`, and release it first"
                raise CallError(Code.FAILED_PRECONDITION, f"{has}: {todo}")
        if not request.check_only:
            self.binpack.forget_volume(*asked)
        return pb.ForgetVolumeResponse()


def _short(problem: object) -> str:
    """What a trailer of HTTP/2 holds, where each byte that is not ASCII takes three."""
    return str(problem).encode("utf-8", "backslashreplace")[:MAX_DETAILS].decode("utf-8", "ignore")


def _read(text: str) -> Job:
    """Raises JobError."""
    return parse_job(load_document(text, only_json=True))


def _part(job: JobState, instances: list[pb.InstanceView]) -> pb.JobView:
    return pb.JobView(job_id=job.job_id, instances=instances, more=True)
