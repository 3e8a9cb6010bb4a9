"""The part of the Jobs service that tells how jobs were changed."""

from __future__ import annotations

import asyncio
import json
from itertools import islice

from pymesos_binpack.jobfiles.differences import (
    Difference,
    differences,
    is_of_environment,
    without_environments,
)
from pymesos_binpack.jobs.history import Version
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.services.asked import Call
from pymesos_binpack.services.variables import VariableCalls
from pymesos_binpack.services.views import field_change, version_view
from pymesos_core.security.policy import Verb
from pymesos_core.transport import CallError, Code
from pymesos_proto.v1 import jobs_pb2 as pb

MAX_CHANGES, MAX_LISTED_CHANGES = 200, 20
HIDDEN = "(hidden)"


class VersionCalls(VariableCalls):
    """List and describe versions."""

    async def ListVersions(  # noqa: N802
        self, request: pb.ListVersionsRequest, call: Call
    ) -> pb.ListVersionsResponse:
        """List the versions of a job that are kept, the latest first."""
        job = self._job(call, "Jobs.ListVersions", request.job_id)
        kept = [v for v in job.history.versions if v.number <= job.durable_version]
        views: list[pb.VersionView] = []
        before: Version | None = None
        for version in kept:
            view = version_view(version)
            if before is not None:
                found = self._differences(call, job, before.document, version.document)
                view.changes.extend(field_change(each) for each in found[:MAX_LISTED_CHANGES])
                view.more_changes = max(0, len(found) - MAX_LISTED_CHANGES)
            views.insert(0, view)
            before = version
            await asyncio.sleep(0)  # they may be large
        return pb.ListVersionsResponse(versions=views)

    async def DescribeJob(  # noqa: N802
        self, request: pb.DescribeJobRequest, call: Call
    ) -> pb.DescribeJobResponse:
        """Show the document of a version."""
        job = self._job(call, "Jobs.DescribeJob", request.job_id)
        version = version_of(job, request.version or job.durable_version)
        document, hidden = version.document, not self._may_read_env(call, job)
        if hidden:
            document = json.dumps(without_environments(json.loads(document)), ensure_ascii=False)
        return pb.DescribeJobResponse(
            job_id=job.job_id,
            version=version_view(version),
            job_json=document,
            env_hidden=hidden,
            scaled_counts=job.scaled_counts(),
        )

    def _may_read_env(self, call: Call, job: JobState) -> bool:
        return self._may(call, Verb.READ_ENV, job.job.role)

    def _differences(self, call: Call, job: JobState, before: str, after: str) -> list[Difference]:
        """In which keys two documents differ, as far as the caller may read them."""
        if before == after:
            return []
        old, new = json.loads(before), json.loads(after)
        found = list(islice(differences(old, new), 10 * MAX_CHANGES))
        if self._may_read_env(call, job):
            return found
        shown = differences(without_environments(old), without_environments(new))
        by_path = {each.path: each for each in shown}
        return [
            Difference(each.path, each.before and HIDDEN, each.after and HIDDEN)
            if is_of_environment(each)
            else by_path[each.path]
            for each in found
        ]


def version_of(job: JobState, number: int) -> Version:
    """A version by its number. Raises CallError."""
    found = job.history.get(number)
    if found is not None and number <= job.durable_version:
        return found
    kept = [str(v.number) for v in job.history.versions if v.number <= job.durable_version]
    raise CallError(
        Code.NOT_FOUND,
        f"the job {job.job_id} has no version {number} that is kept: there are {', '.join(kept)};"
        f" `pymesos-cli history {job.job_id}` shows them",
    )
