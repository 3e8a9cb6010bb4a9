"""The part of the Jobs service that begins runs of periodic tasks."""

from __future__ import annotations

from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.periodic.runs import Run
from pymesos_binpack.services.asked import Asked, Call, answering, who
from pymesos_binpack.services.views import run_view
from pymesos_core.transport import CallError, Code
from pymesos_proto.v1 import jobs_pb2 as pb

MAX_ARGS = 32


class TriggerCalls(Asked):
    """Trigger."""

    async def TriggerJob(  # noqa: N802
        self, request: pb.TriggerJobRequest, call: Call
    ) -> pb.TriggerJobResponse:
        """Have a run begin now."""
        job = self._job(call, "Jobs.TriggerJob", request.job_id)
        self._check_request_id(request.request_id)
        if len(request.args) > MAX_ARGS:
            raise CallError(
                Code.INVALID_ARGUMENT,
                f"{len(request.args)} values are given, and a task has at most {MAX_ARGS}"
                f" parameters: leave out what it does not have",
            )
        args, request_id = dict(request.args), request.request_id
        with answering():
            await self.binpack.trigger(job.job_id, request.task_name, args, request_id, who(call))
        task, run = _found(job, f"trigger-{request_id}")
        return pb.TriggerJobResponse(task_name=task, run=run_view(job, run))


def _found(job: JobState, run_id: str) -> tuple[str, Run]:
    """The task of a run that was stored, and the run."""
    for task, runs in job.durable_runs.items():
        for run in (*runs.runs, runs.queued):
            if run is not None and run.run_id == run_id:
                return task, run
    raise CallError(Code.ABORTED, "the run is over, and kept no longer")
