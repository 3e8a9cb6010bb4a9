"""The part of the Jobs service that is about alerts and who is told of them."""

from __future__ import annotations

from pymesos_binpack.alerts.silences import MAX_SILENCE_S, Silence
from pymesos_binpack.alerts.state import Alert
from pymesos_binpack.services.asked import Asked, Call, answering, who
from pymesos_binpack.specs import When
from pymesos_core.ids import name_problem, size_of
from pymesos_core.outgoing.alert import silence_told
from pymesos_core.outgoing.lanes import UnsentError
from pymesos_core.outgoing.views import receiver_views
from pymesos_core.security.roles import Roles
from pymesos_core.text import cut, quoted
from pymesos_core.transport import CallError, Code
from pymesos_proto.v1 import jobs_pb2 as pb

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 500
MAX_WHY_BYTES = 255
MAX_RECEIVERS = 1000
MAX_SILENCES = 1000
NO_RECEIVERS = "there are none: pymesos-binpack --receivers FILE names them (see docs/alerts.md)"


class AlertCalls(Asked):
    """List and silence alerts; test a receiver."""

    async def ListAlerts(  # noqa: N802
        self, request: pb.ListAlertsRequest, call: Call
    ) -> pb.ListAlertsResponse:
        """Alerts that are not quiet, by key."""
        self._check(call, "Jobs.ListAlerts")
        core, seen = self.binpack.core, self._readable(call)
        size = min(request.page_size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
        after = (a for a in core.alerts if a.key > request.page_token and a.role in seen)
        found = sorted(after, key=lambda alert: alert.key)
        silences = [] if request.page_token else self._silences(seen)
        return pb.ListAlertsResponse(
            alerts=[alert_view(alert, core.silences.of(alert)) for alert in found[:size]],
            next_page_token=found[size - 1].key if len(found) > size else "",
            receivers=sorted(self.binpack.receivers)[:MAX_RECEIVERS],
            unreached=[view for view in receiver_views(self.binpack.tells) if view.problem],
            silences=silences[:MAX_SILENCES],
            more_silences=max(0, len(silences) - MAX_SILENCES),
        )

    def _silences(self, seen: Roles) -> list[pb.JobSilenceView]:
        """The silences in force, by job: those of jobs whose role the caller may read."""
        core = self.binpack.core
        out: list[pb.JobSilenceView] = []
        for silence in sorted(core.silences, key=lambda silence: silence.key):
            job = core.jobs.get(silence.job_id)
            if job is not None and job.job.role in seen:
                out.append(_silence_view(silence, job.job.name, job.job.role))
        return out

    async def SilenceAlerts(  # noqa: N802
        self, request: pb.SilenceAlertsRequest, call: Call
    ) -> pb.SilenceAlertsResponse:
        """Have nobody told for a while; answered once that is durable."""
        job = self._job(call, "Jobs.SilenceAlerts", request.job_id)
        names = [task.name for task in job.job.tasks]
        if request.task_name and request.task_name not in names:
            raise CallError(
                Code.NOT_FOUND,
                f"the job {job.job_id} has no task {quoted(request.task_name)}: it has"
                f" {', '.join(names[:10])}",
            )
        if request.when and request.when not in tuple(When):
            known = ", ".join(When)
            raise CallError(
                Code.INVALID_ARGUMENT, f"when: {quoted(request.when)} is not one of {known}"
            )
        if request.for_s > MAX_SILENCE_S:
            raise CallError(
                Code.INVALID_ARGUMENT,
                f"for_s: {request.for_s} is out of range; at most {MAX_SILENCE_S}, 30 days",
            )
        if size_of(request.why) > MAX_WHY_BYTES or (request.why and name_problem(request.why)):
            raise CallError(
                Code.INVALID_ARGUMENT,
                f"why: one line of at most {MAX_WHY_BYTES} bytes, without blanks around it and"
                f" characters that nobody sees, is expected",
            )
        before = self.binpack.core.silences.get(job.job_id, request.task_name, request.when)
        with answering():
            await self.binpack.silence_alerts(
                job.job_id, request.task_name, request.when, request.for_s, who(call), request.why
            )
        told = silence_told(before.until_s, before.by, before.why) if before is not None else ""
        return pb.SilenceAlertsResponse(replaced=told)

    async def TestReceiver(  # noqa: N802
        self, request: pb.TestReceiverRequest, call: Call
    ) -> pb.TestReceiverResponse:
        """Tell a receiver that nothing is wrong, as an alert that fires and is over."""
        self._check(call, "Jobs.TestReceiver")
        names = self.binpack.receivers
        if request.receiver not in names:
            known = f"these are {', '.join(sorted(names)[:20])}" if names else NO_RECEIVERS
            raise CallError(
                Code.NOT_FOUND, f"there is no receiver {quoted(request.receiver)}: {known}"
            )
        try:
            await self.binpack.test_receiver(request.receiver)
        except UnsentError as error:
            text = f"{request.receiver} has not taken a test: {error}"
            raise CallError(Code.FAILED_PRECONDITION, text) from None
        return pb.TestReceiverResponse()


def _silence_view(silence: Silence, job: str, role: str) -> pb.JobSilenceView:
    return pb.JobSilenceView(
        job_id=silence.job_id,
        job_name=job,
        role=role,
        task_name=silence.task,
        when=silence.when,
        until_s=silence.until_s,
        by=silence.by,
        why=silence.why,
    )


def alert_view(alert: Alert, silence: Silence | None) -> pb.AlertView:
    """An alert, with the silence that covers it."""
    task, when, receiver = alert.parts
    return pb.AlertView(
        key=alert.key,
        job_id=alert.job_id,
        job_name=alert.job,
        role=alert.role,
        task_name=task,
        when=when,
        receiver=receiver,
        state=alert.state,
        since_s=alert.since_s,
        fired_at_s=alert.fired_s,
        summary=cut(alert.summary, 1000),
        known=alert.known,
        silenced_until_s=silence.until_s if silence is not None else 0.0,
        silenced_by=silence.by if silence is not None else "",
        silenced_for=silence.why if silence is not None else "",
    )
