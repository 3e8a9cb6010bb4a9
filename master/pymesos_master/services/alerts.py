"""The part of the Operator service that is about alerts of the cluster."""

from __future__ import annotations

from typing import Any

from pymesos_core.outgoing.alert import silence_told
from pymesos_core.outgoing.lanes import UnsentError
from pymesos_core.outgoing.views import receiver_views
from pymesos_core.text import quoted
from pymesos_core.transport import CallError, Code, ServerCall
from pymesos_master.core.alerts.state import ClusterAlert, Silence, silence_of
from pymesos_master.services.leading import Leadership, caller_of
from pymesos_master.shell import Leader
from pymesos_proto.v1 import operator_pb2 as pb

Call = ServerCall[Any, Any]
NO_RECEIVERS = "masters have none: pymesos-master --receivers FILE names them (see docs/alerts.md)"


class ClusterAlertCalls:
    """List and silence alerts of the cluster; test a receiver."""

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership

    async def ListClusterAlerts(  # noqa: N802
        self, request: pb.ListClusterAlertsRequest, call: Call
    ) -> pb.ListClusterAlertsResponse:
        """What is wrong, who is told, and what is silenced."""
        with self._leadership.asked() as leader:
            leader.queries.permits.check(caller_of(call), "Operator.ListClusterAlerts")
            return alerts_view(leader)

    async def SilenceClusterAlerts(  # noqa: N802
        self, request: pb.SilenceClusterAlertsRequest, call: Call
    ) -> pb.SilenceClusterAlertsResponse:
        """Have nobody told for a while; answered once that is durable."""
        with self._leadership.asked() as leader:
            before = leader.core.state.silences.get(f"{request.when}/{request.subject}")
            await leader.commands.silence_alerts(caller_of(call), request)
        told = silence_told(before.until_s, before.by, before.why) if before is not None else ""
        return pb.SilenceClusterAlertsResponse(replaced=told)

    async def TestClusterReceiver(  # noqa: N802
        self, request: pb.TestClusterReceiverRequest, call: Call
    ) -> pb.TestClusterReceiverResponse:
        """Tell a receiver that nothing is wrong, as an alert that fires and is over."""
        with self._leadership.asked() as leader:
            leader.queries.permits.check(caller_of(call), "Operator.TestClusterReceiver")
            tells = leader.tells
        if request.receiver not in tells.names:
            known = f"masters have {', '.join(sorted(tells.names)[:20])}"
            raise CallError(
                Code.NOT_FOUND,
                f"there is no receiver {quoted(request.receiver)}:"
                f" {known if tells.names else NO_RECEIVERS}",
            )
        try:
            await tells.test(request.receiver)
        except UnsentError as error:
            text = f"{request.receiver} has not taken a test: {error}"
            raise CallError(Code.FAILED_PRECONDITION, text) from None
        return pb.TestClusterReceiverResponse()


def alerts_view(leader: Leader) -> pb.ListClusterAlertsResponse:
    """All that is known of alerts of the cluster."""
    state, tells = leader.core.state, leader.tells
    silences = sorted(state.silences.values(), key=lambda silence: silence.key)
    return pb.ListClusterAlertsResponse(
        alerts=[
            _alert_view(alert, silence_of(silences, alert.when, alert.subject))
            for _, alert in sorted(state.alerts.items())
        ],
        receivers=receiver_views(tells),
        silences=[
            pb.ClusterSilenceView(
                when=one.when, subject=one.subject, until_s=one.until_s, by=one.by, why=one.why
            )
            for one in silences
        ],
    )


def _alert_view(alert: ClusterAlert, silence: Silence | None) -> pb.ClusterAlertView:
    return pb.ClusterAlertView(
        key=alert.key,
        when=alert.when,
        subject=alert.subject,
        receiver=alert.receiver,
        state=alert.state,
        since_s=alert.since_s,
        fired_at_s=alert.fired_s,
        summary=alert.summary,
        known=alert.known,
        silenced_until_s=silence.until_s if silence is not None else 0.0,
        silenced_by=silence.by if silence is not None else "",
        silenced_for=silence.why if silence is not None else "",
    )
