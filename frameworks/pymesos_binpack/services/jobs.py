"""The Jobs service."""

from __future__ import annotations

import asyncio

from pymesos_binpack.jobs.aligning import is_shown
from pymesos_binpack.jobs.groups import main_task_id
from pymesos_binpack.jobs.instance import Instance
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.restoring import Quarantined
from pymesos_binpack.services.alerts import AlertCalls
from pymesos_binpack.services.applying import ApplyCalls
from pymesos_binpack.services.asked import Call, answering, short, who
from pymesos_binpack.services.daemon_views import daemon_views
from pymesos_binpack.services.job_lists import Listed, in_order, is_asked_for
from pymesos_binpack.services.restores import JobRestores
from pymesos_binpack.services.rollouts import RolloutCalls
from pymesos_binpack.services.triggers import TriggerCalls
from pymesos_binpack.services.views import (
    instance_view,
    job_view,
    placement_view,
    quarantined_job,
    quarantined_view,
    removed_view,
    volume_view,
)
from pymesos_core.security.policy import Roles, Verb
from pymesos_core.text import quoted
from pymesos_core.transport import CallError, Code
from pymesos_proto.v1 import jobs_pb2 as pb

DEBOUNCE_S = 0.05  # a job that changes all the time is shown this often
DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000
PART_BYTES = 256 * 1024  # a view in several messages: the last one is the one without `more`
PAGE_BYTES = 512 * 1024  # of jobs, unless one alone is larger
SLICE = 500
QUARANTINED_PER_PAGE = 10


class JobsService(ApplyCalls, RolloutCalls, TriggerCalls, JobRestores, AlertCalls):
    """Submit, change, list, watch, stop; and what is in quarantine."""

    contract = pb.DESCRIPTOR.services_by_name["Jobs"]

    async def SubmitJob(  # noqa: N802
        self, request: pb.SubmitJobRequest, call: Call
    ) -> pb.SubmitJobResponse:
        """Check and store a job; it is acknowledged when it is durable."""
        self._check(call, "Jobs.SubmitJob")
        self._check_request_id(request.request_id)
        job = await self._job_in(request)
        self._check(call, "Jobs.SubmitJob", job.role)
        self._check_role(job.role)
        self._check_receivers(job)
        job = await self._resolved(job)
        with answering():
            job_id = await self.binpack.submit(
                job, request.request_id, same_name=request.same_name, made_by=who(call)
            )
        self._check_begun(request.request_id, job_id, job)
        return pb.SubmitJobResponse(job_id=job_id)

    async def ListJobs(  # noqa: N802
        self, request: pb.ListJobsRequest, call: Call
    ) -> pb.ListJobsResponse:
        """Jobs by id, or sorted, without their instances."""
        self._check(call, "Jobs.ListJobs")
        size = min(request.page_size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
        core, framework_id = self.binpack.core, self.binpack.driver.framework_id
        seen = self._readable(call)
        aside = self._aside(seen)
        kept = (
            _of_job(job)
            for job in core.jobs.values()
            if job.job.role in seen and (request.include_ended or not job.is_over)
        )
        asked = [
            one
            for one in (*kept, *map(self._of_aside, aside.values()))
            if is_asked_for(request, one)
        ]

        def find(job_id: str) -> Listed | None:
            if job_id in aside:
                return self._of_aside(aside[job_id])
            job = core.jobs.get(job_id)
            return _of_job(job) if job is not None and job.job.role in seen else None

        next_ones = in_order(request, asked, find, size + 1)  # with one of the next page
        views: list[pb.JobView] = []
        used_bytes = 0
        for job_id in next_ones[:size]:
            if job_id in aside:
                view = quarantined_view(aside[job_id], framework_id)
            else:
                view = job_view(core.jobs[job_id], framework_id)
                if request.called:  # few are called so: not all daemons look at all agents
                    view.daemons.extend(daemon_views(core.jobs[job_id], core.agents))
            used_bytes += view.ByteSize()
            if views and used_bytes > PAGE_BYTES:
                break
            views.append(view)
        more = len(next_ones) > len(views)
        return pb.ListJobsResponse(jobs=views, next_page_token=views[-1].job_id if more else "")

    async def ListInstances(  # noqa: N802
        self, request: pb.ListInstancesRequest, call: Call
    ) -> pb.ListInstancesResponse:
        """The instances of a job, by task and number."""
        job = self._job(call, "Jobs.ListInstances", request.job_id)
        size = min(request.page_size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
        after = _read_place(request.page_token)
        found = sorted((i for i in job.told_instances() if _place(i) > after), key=_place)
        views: list[pb.InstanceView] = []
        used_bytes = 0
        for instance in found[:size]:
            view = self._told_view(job, instance)
            used_bytes += view.ByteSize()
            if views and used_bytes > PAGE_BYTES:
                break
            views.append(view)
        more = len(found) > len(views)
        token = "/".join(map(str, _place(found[len(views) - 1]))) if more else ""
        return pb.ListInstancesResponse(instances=views, next_page_token=token)

    def _told_view(self, job: JobState, instance: Instance) -> pb.InstanceView:
        return instance_view(
            instance,
            connected=self.binpack.core.connected,
            is_shown=is_shown(job, instance),
            leaves=job.durably_stopping,
        )

    async def WatchJob(  # noqa: N802
        self, request: pb.WatchJobRequest, call: Call
    ) -> None:
        """The job now, then what changes, until it has ended."""
        job = self._job(call, "Jobs.WatchJob", request.job_id)
        binpack = self.binpack
        shown: dict[str, pb.InstanceView] = {}
        with binpack.watch(job.job_id) as watch:
            while True:
                await watch.changed.wait()
                watch.changed.clear()
                # Which may be another policy's answer by now.
                self._check(call, "Jobs.WatchJob", job.job.role)
                if binpack.over:
                    raise CallError(Code.UNAVAILABLE, "the framework starts again")
                ended = job.is_over
                parts = _Parts(call, job.job_id)
                for key in sorted(shown.keys() - {i.key for i in job.told_instances()}):
                    await parts.add(removed_view(shown.pop(key)))
                for number, instance in enumerate(job.told_instances(), 1):
                    view = self._told_view(job, instance)
                    if shown.get(instance.key) != view:
                        shown[instance.key] = view
                        await parts.add(view)
                    if number % SLICE == 0:
                        await asyncio.sleep(0)  # a large job lets others come between
                overall = job_view(job, binpack.driver.framework_id)
                overall.daemons.extend(daemon_views(job, binpack.core.agents))
                overall.instances.extend(parts.rest)
                await call.write(overall)
                if ended:
                    return
                await asyncio.sleep(DEBOUNCE_S)

    async def ExplainPlacement(  # noqa: N802
        self, request: pb.ExplainPlacementRequest, call: Call
    ) -> pb.ExplainPlacementResponse:
        """Why a task is where it is."""
        instance = self.binpack.core.instance_of(main_task_id(request.task_id))
        job = self.binpack.core.jobs.get(instance.job_id) if instance is not None else None
        self._check(call, "Jobs.ExplainPlacement", job.job.role if job is not None else None)
        if instance is None or instance.durable.task_id != instance.saved.task_id:
            raise CallError(
                Code.NOT_FOUND,
                f"no task {quoted(request.task_id)} of this framework runs: `pymesos-cli tasks`"
                f" lists those that do",
            )
        return placement_view(instance)

    async def StopJob(  # noqa: N802
        self, request: pb.StopJobRequest, call: Call
    ) -> pb.StopJobResponse:
        """End a job and its tasks: for good, once that is answered; WatchJob tells how it goes."""
        job = self._job(call, "Jobs.StopJob", request.job_id)
        with answering():
            await self.binpack.stop_job(job.job_id, now=request.now)
        return pb.StopJobResponse()

    async def ListQuarantined(  # noqa: N802
        self, request: pb.ListQuarantinedRequest, call: Call
    ) -> pb.ListQuarantinedResponse:
        """What is stored and cannot be handled, and why."""
        self._check(call, "Jobs.ListQuarantined")
        framework_id = self.binpack.driver.framework_id
        if (one := self.binpack.core.quarantined.get(request.job_id)) is not None:
            self._check(call, "Jobs.ListQuarantined", self._role_aside(one))
            whole = self._may(call, Verb.READ_ENV, self._role_aside(one))  # of its document
            return pb.ListQuarantinedResponse(
                jobs=[quarantined_job(one, framework_id, whole=whole)]
            )
        if request.job_id:
            return pb.ListQuarantinedResponse()
        aside = self._aside(self._readable(call))
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
        one = self.binpack.core.quarantined.get(request.job_id)
        role = self._role_aside(one) if one is not None else None
        self._check(call, "Jobs.ReleaseQuarantined", role)
        if role and not request.discard:
            self._check_role(role)
        with answering():
            problem = await self.binpack.release(request.job_id, discard=request.discard)
        if problem:
            raise CallError(Code.FAILED_PRECONDITION, short(problem))
        return pb.ReleaseQuarantinedResponse()

    async def ListVolumes(  # noqa: N802
        self, request: pb.ListVolumesRequest, call: Call
    ) -> pb.ListVolumesResponse:
        """Volumes by the names they belong to."""
        self._check(call, "Jobs.ListVolumes")
        core = self.binpack.core
        size = min(request.page_size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
        seen = self._readable(call)
        after = (v for v in core.volumes if v.key > request.page_token and v.role in seen)
        found = sorted(after, key=lambda v: v.key)
        return pb.ListVolumesResponse(
            volumes=[volume_view(v, core.job_with(v)) for v in found[:size]],
            next_page_token=found[size - 1].key if len(found) > size else "",
        )

    async def ForgetVolume(  # noqa: N802
        self, request: pb.ForgetVolumeRequest, call: Call
    ) -> pb.ForgetVolumeResponse:
        """The next run of its name makes a new one."""
        self._check(call, "Jobs.ForgetVolume", request.role or None)
        core, asked = self.binpack.core, (request.role, request.volume_id)
        for volume in core.volumes:
            if (volume.role, volume.volume_id) == asked and (job_id := core.job_that_needs(volume)):
                has = f"the job {job_id} has the volume {volume.volume_id}"
                todo = f"end it first with `pymesos-cli stop {job_id}`"
                if job_id in core.quarantined:
                    has += " and is in quarantine"
                    todo = f"see `pymesos-cli quarantine show {job_id}`, and release it first"
                raise CallError(Code.FAILED_PRECONDITION, f"{has}: {todo}")
        if not request.check_only:
            with answering():
                await self.binpack.forget_volume(*asked)
        return pb.ForgetVolumeResponse()

    def _of_aside(self, one: Quarantined) -> Listed:
        role = self._role_aside(one)
        return Listed(one.job_id, one.name, role, lambda: "quarantined", one.submitted_at_s)

    def _aside(self, seen: Roles) -> dict[str, Quarantined]:
        """The jobs in quarantine that who may see what is of these roles may see, by id."""
        aside = self.binpack.core.quarantined.items()
        return {job_id: one for job_id, one in aside if self._role_aside(one) in seen}


def _of_job(job: JobState) -> Listed:
    package = job.job.package
    return Listed(
        job.job_id,
        job.job.name,
        job.job.role,
        lambda: job.state,
        job.submitted_at_s,
        job.durable_version,
        f"{package.name} {package.version}" if package is not None else "",
    )


def _place(instance: Instance) -> tuple[str, int, str]:
    """Where an instance is among those of its job: no other is at the same place."""
    return instance.spec.name, instance.index, instance.name


def _read_place(token: str) -> tuple[str, int, str]:
    """Raises CallError for what is no token of a page."""
    if not token:
        return "", -1, ""
    task, slash, rest = token.partition("/")
    number, slash_too, name = rest.partition("/")
    if not (slash and slash_too and number.isascii() and number.isdigit() and len(number) < 10):
        raise CallError(
            Code.INVALID_ARGUMENT,
            f"page_token: {quoted(token)} is none; give the next_page_token of the page before",
        )
    return task, int(number), name


class _Parts:
    """Views of instances, sent ahead of their job's when they are too large for one message."""

    def __init__(self, call: Call, job_id: str) -> None:
        self.rest: list[pb.InstanceView] = []  # not sent yet
        self._call = call
        self._job_id = job_id
        self._size_bytes = 0

    async def add(self, view: pb.InstanceView) -> None:
        """Take one more. Raises CallError."""
        self.rest.append(view)
        self._size_bytes += view.ByteSize()
        if self._size_bytes > PART_BYTES:
            part = pb.JobView(job_id=self._job_id, instances=self.rest, more=True)
            await self._call.write(part)
            self.rest, self._size_bytes = [], 0
