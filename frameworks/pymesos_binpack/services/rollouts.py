"""The part of the Jobs service that steers rollouts."""

from __future__ import annotations

from pymesos_binpack.jobs.rollouts.asking import Asked as Ask
from pymesos_binpack.services.asked import Asked, Call, answering, who
from pymesos_binpack.services.views import rollout_views
from pymesos_proto.v1 import jobs_pb2 as pb


class RolloutCalls(Asked):
    """Pause, resume, promote and abort."""

    async def PauseRollout(  # noqa: N802
        self, request: pb.RolloutRequest, call: Call
    ) -> pb.RolloutResponse:
        """Hold rollouts."""
        return await self._ask_rollout(call, "Jobs.PauseRollout", request, Ask.PAUSE)

    async def ResumeRollout(  # noqa: N802
        self, request: pb.RolloutRequest, call: Call
    ) -> pb.RolloutResponse:
        """Have paused rollouts go on."""
        return await self._ask_rollout(call, "Jobs.ResumeRollout", request, Ask.RESUME)

    async def PromoteRollout(  # noqa: N802
        self, request: pb.RolloutRequest, call: Call
    ) -> pb.RolloutResponse:
        """Take the canaries for good."""
        return await self._ask_rollout(call, "Jobs.PromoteRollout", request, Ask.PROMOTE)

    async def AbortRollout(  # noqa: N802
        self, request: pb.RolloutRequest, call: Call
    ) -> pb.RolloutResponse:
        """End rollouts where they are."""
        return await self._ask_rollout(call, "Jobs.AbortRollout", request, Ask.ABORT)

    async def _ask_rollout(
        self, call: Call, name: str, request: pb.RolloutRequest, what: Ask
    ) -> pb.RolloutResponse:
        job = self._job(call, name, request.job_id)
        before = {task for task, rollout in job.rollouts.items() if rollout.going}
        with answering():
            await self.binpack.ask_rollout(job.job_id, request.task_name, what, who(call))
        tasks = sorted(before & job.durable_rollouts.keys())
        named = [t for t in tasks if request.task_name in ("", t)]
        return pb.RolloutResponse(rollouts=rollout_views(job, named))
