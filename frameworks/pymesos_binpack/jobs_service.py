"""The Jobs service."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio

from pymesos_binpack.jobs import JobError, load_document, parse_job
from pymesos_binpack.shell import Binpack
from pymesos_binpack.state import JobState
from pymesos_binpack.views import instance_view, job_view
from pymesos_core.ids import id_problem
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_proto.v1 import jobs_pb2_grpc as services

Context = grpc.aio.ServicerContext[Any, Any]
DEBOUNCE_S = 0.05  # a job that changes all the time is shown this often
DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000
PART_BYTES = 256 * 1024  # a view in several messages: the last one is the one without `more`
SLICE = 500


class JobsService(services.JobsServicer):
    """Submit, list, watch, stop."""

    def __init__(self, binpack: Binpack, role: str) -> None:
        self._binpack = binpack
        self._role = role

    async def SubmitJob(  # noqa: N802
        self, request: pb.SubmitJobRequest, context: Context
    ) -> pb.SubmitJobResponse:
        """Check and store a job; it is acknowledged when it is durable."""
        if problem := id_problem(request.request_id):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"request_id: {problem}")
        try:
            job = parse_job(load_document(request.job_json))
        except JobError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        if job.role != self._role:
            await context.abort(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"the job is for the role {job.role!r}; this framework has {self._role!r}",
            )
        return pb.SubmitJobResponse(job_id=await self._binpack.submit(job, request.request_id))

    async def ListJobs(  # noqa: N802
        self, request: pb.ListJobsRequest, context: Context
    ) -> pb.ListJobsResponse:
        """Jobs by id, without their instances."""
        size = min(request.page_size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
        found = sorted(
            job.job_id
            for job in self._binpack.core.jobs.values()
            if job.job_id > request.page_token and (request.include_ended or not job.ended)
        )
        jobs = [self._binpack.core.jobs[job_id] for job_id in found[:size]]
        return pb.ListJobsResponse(
            jobs=[job_view(job, self._binpack.driver.framework_id) for job in jobs],
            next_page_token=found[size - 1] if len(found) > size else "",
        )

    async def _job(self, job_id: str, context: Context) -> JobState:
        job = self._binpack.core.jobs.get(job_id)
        if job is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no job {job_id[:255]}")
        return job

    async def WatchJob(  # type: ignore[override]  # noqa: N802
        self, request: pb.WatchJobRequest, context: Context
    ) -> None:
        """The job now, then what changes, until it has ended."""
        job = await self._job(request.job_id, context)
        shown: dict[str, pb.InstanceView] = {}
        # Written by hand, not yielded: a generator whose call was cancelled ends when it is
        # collected, and its watch with it.
        with self._binpack.watch(job.job_id) as watch:
            while True:
                await watch.changed.wait()
                watch.changed.clear()
                ended = job.ended
                changed: list[pb.InstanceView] = []
                size = 0
                for number, instance in enumerate(job.instances, 1):
                    view = instance_view(instance)
                    if shown.get(instance.key) != view:
                        shown[instance.key] = view
                        changed.append(view)
                        size += view.ByteSize()
                    if size > PART_BYTES:
                        await context.write(_part(job, changed))
                        changed, size = [], 0
                    if number % SLICE == 0:
                        await asyncio.sleep(0)  # a large job lets others come between
                overall = job_view(job, self._binpack.driver.framework_id)
                overall.instances.extend(changed)
                await context.write(overall)
                if ended:
                    return
                await asyncio.sleep(DEBOUNCE_S)

    async def StopJob(  # noqa: N802
        self, request: pb.StopJobRequest, context: Context
    ) -> pb.StopJobResponse:
        """End a job and its tasks; watch it to see when that is done."""
        job = await self._job(request.job_id, context)
        self._binpack.stop_job(job.job_id)
        return pb.StopJobResponse()


def _part(job: JobState, instances: list[pb.InstanceView]) -> pb.JobView:
    return pb.JobView(job_id=job.job_id, instances=instances, more=True)
