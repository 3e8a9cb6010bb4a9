"""The part of the Jobs service that makes a job what a document says."""

from __future__ import annotations

from collections.abc import Sequence

from pymesos_binpack.answers import StaleError
from pymesos_binpack.core import JobSubmitted, VersionProposed
from pymesos_binpack.jobfiles.scaling import scale_warnings
from pymesos_binpack.jobfiles.variables import reference_warnings
from pymesos_binpack.jobs.foreseeing import TaskChange, foresee
from pymesos_binpack.jobs.history import SUBMIT, Version
from pymesos_binpack.jobs.rollouts.lifecycle import State
from pymesos_binpack.jobs.scaling import scaled
from pymesos_binpack.jobs.secrets import secret_warnings
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.jobs.updating import update_warnings
from pymesos_binpack.placement.packing import text_of
from pymesos_binpack.services.asked import Call, answering, runs, short, who
from pymesos_binpack.services.changing import (
    APPLY,
    TRIES,
    ChangeCalls,
    Made,
    busy,
    check_runs,
    check_version,
    counts_of,
    next_version,
    proposal,
)
from pymesos_binpack.services.versions import MAX_CHANGES
from pymesos_binpack.services.views import field_change, task_change
from pymesos_binpack.specs import Job
from pymesos_core.security.policy import Verb
from pymesos_core.text import quoted
from pymesos_core.transport import CallError, Code
from pymesos_proto.v1 import jobs_pb2 as pb


class ApplyCalls(ChangeCalls):
    """Apply documents."""

    async def ApplyJob(  # noqa: N802
        self, request: pb.ApplyJobRequest, call: Call
    ) -> pb.ApplyJobResponse:
        """Make the job of a role and a name what the document says."""
        self._check(call, "Jobs.ApplyJob")
        self._check_request_id(request.request_id)
        job = await self._job_in(request)
        self._check(call, "Jobs.ApplyJob", job.role)
        self._check_role(job.role)
        self._check_receivers(job)
        response = await self._apply(request, call, job)
        if request.dry_run and request.agents and response.changed:
            shown = self._may(call, Verb.READ, job.role)
            await self._places.add(self.binpack.core, job, request, response, shown=shown)
        return response

    async def _apply(
        self, request: pb.ApplyJobRequest, call: Call, job: Job
    ) -> pb.ApplyJobResponse:
        for _ in range(TRIES):
            job = await self._resolved(job)
            target = self._target(call, request, job)
            if target is None:
                try:
                    return await self._begin(request, call, job)
                except StaleError:
                    await self._have_stored()  # the job of that name that was quicker
                    continue
            made = await self._applied(request, target, job)
            if (asked := target.history.asked_by(request.request_id)) is None:
                check_version(target, request.if_version)
            response = self._foreseen(call, request, target, made)
            response.created = asked is not None and asked.what == SUBMIT
            if request.dry_run:
                if response.changed:
                    self._check_taken(proposal(request.request_id, target, made, who(call)))
                response.policy = text_of(self.binpack.core.packing_policy)
                return response
            if not response.changed:
                await self._have_version_stored(target, response.version)
                return response
            try:
                response.version = await self._propose(call, request.request_id, target, made)
            except StaleError:
                continue
            return response
        raise busy()

    def _target(self, call: Call, request: pb.ApplyJobRequest, job: Job) -> JobState | None:
        """The job that is meant; None where a new one is to begin. Raises CallError."""
        if request.job_id:
            named = self._job(call, "Jobs.ApplyJob", request.job_id)
            for what in ("name", "role"):
                if (said := getattr(job, what)) != getattr(named.job, what):
                    raise CallError(
                        Code.INVALID_ARGUMENT,
                        f"the document is of a job of the {what} {quoted(said)}, and"
                        f" {named.job_id} has another {what}: name one that has the same, or none",
                    )
            check_runs(named)
            return named
        running = [j for j in self.binpack.core.named(job.role, job.name) if runs(j)]
        if len(running) > 1:
            ids = ", ".join(j.job_id for j in running[:10])
            raise CallError(
                Code.FAILED_PRECONDITION,
                f"{len(running)} jobs of the name {quoted(job.name)} run: {ids}. Which one is to"
                f" be changed? Say so with --job, or end the others with `pymesos-cli stop`",
            )
        return running[0] if running else None

    async def _begin(
        self, request: pb.ApplyJobRequest, call: Call, job: Job
    ) -> pb.ApplyJobResponse:
        if request.if_version:
            raise CallError(
                Code.FAILED_PRECONDITION,
                f"no job of the name {quoted(job.name)} runs, so that none is at version"
                f" {request.if_version}: leave --if-version out to start it",
            )
        earlier = self.binpack.core.named(job.role, job.name)
        last = earlier[-1] if earlier else None
        done = last is not None and last.state == "finished" and not request.rerun
        if last is not None and done and last.job.document == job.document:
            return pb.ApplyJobResponse(job_id=last.job_id, version=last.version)
        first = Version(1, job.document, 0.0, "", SUBMIT)
        response = pb.ApplyJobResponse(
            version=1,
            created=True,
            changed=True,
            warnings=self._warnings(job),
            tasks=[
                task_change(change)
                for change in foresee(None, job, first, self.binpack.core.agents)
            ],
        )
        if request.dry_run:
            self._check_taken(JobSubmitted(request.request_id, "", job, True))
            response.policy = text_of(self.binpack.core.packing_policy)
        else:
            with answering(tries_again=True):
                response.job_id = await self.binpack.submit(
                    job, request.request_id, made_by=who(call)
                )
            self._check_begun(request.request_id, response.job_id, job)
        return response

    def _check_taken(self, event: JobSubmitted | VersionProposed) -> None:
        """Raises CallError for what would be refused: a plan of it would be of no use."""
        if problem := self.binpack.why_refused(event):
            raise CallError(Code.FAILED_PRECONDITION, short(problem))

    async def _applied(self, request: pb.ApplyJobRequest, target: JobState, job: Job) -> Made:
        if request.keep_counts:
            job = await self._with_counts(job.document, counts_of(target.job))
        rerun = [task.name for task in job.tasks if request.rerun and not task.is_service]
        again = tuple(rerun) if target.job.document == job.document else ()
        return Made(job, APPLY, again, frozenset(rerun))

    def _foreseen(
        self, call: Call, request: pb.ApplyJobRequest, target: JobState, made: Made
    ) -> pb.ApplyJobResponse:
        before, after = target.history.latest, next_version(target, made)
        found = self._differences(call, target, before.document, after.document)
        asked_before = target.history.asked_by(request.request_id) is not None
        tasks = foresee(target, scaled(made.job, target.scalings), after, self.binpack.core.agents)
        return pb.ApplyJobResponse(
            job_id=target.job_id,
            version=target.version,
            changed=bool(found or made.restarts or asked_before or _is_left_midway(target, tasks)),
            changes=[field_change(each) for each in found[:MAX_CHANGES]],
            more_changes=max(0, len(found) - MAX_CHANGES),
            tasks=[task_change(each) for each in tasks],
            warnings=self._warnings(made.job),
        )

    def _warnings(self, job: Job) -> list[str]:
        """What of a job has no effect, or will not do as things are."""
        there = self.binpack.core.secret_names(job.role)
        told = (*scale_warnings(job), *update_warnings(job), *reference_warnings(job))
        return [*told, *secret_warnings(job, there)]


def _is_left_midway(target: JobState, tasks: Sequence[TaskChange]) -> bool:
    """Whether a rollout ended where not every instance is of the version in force."""
    ended = {t for t, r in target.rollouts.items() if not r.going and r.state is not State.DONE}
    return any(change.task in ended and (change.replace or change.start) for change in tasks)
