"""Alerts of the cluster itself. Those of jobs are beside jobs."""

from __future__ import annotations

from pymesos_core.jobs_json import silenced_json
from pymesos_core.json_access import (
    cluster_alert_json,
    cluster_silence_json,
    receiver_json,
)
from pymesos_master.core.alerts.looking import MAX_SILENCE_S
from pymesos_master.core.alerts.state import When
from pymesos_master.http.asking import one_of, text, whole
from pymesos_master.http.routes.table import Route, deed
from pymesos_master.http.schemas import many, record, ref
from pymesos_proto.v1 import operator_pb2 as pb

ROUTES: tuple[Route, ...] = (
    Route(
        "/v1/cluster-alerts",
        "Alerts of the cluster that are not quiet, who is told of them, and what is silenced.",
        "ListClusterAlerts",
        record(
            "All of them.",
            alerts=many(ref("ClusterAlert")),
            receivers=many(ref("Receiver")),
            silences=many(ref("ClusterSilence")),
        ),
        lambda asked: pb.ListClusterAlertsRequest(),
        lambda answer: {
            "alerts": [*map(cluster_alert_json, answer.alerts)],
            "receivers": [*map(receiver_json, answer.receivers)],
            "silences": [*map(cluster_silence_json, answer.silences)],
        },
    ),
    deed(
        "/v1/cluster-alerts/silence",
        "Have nobody told of alerts of the cluster for a while, or again.",
        "SilenceClusterAlerts",
        lambda asked: pb.SilenceClusterAlertsRequest(
            when=asked.text("when"),
            subject=asked.text("subject"),
            for_s=asked.number("for_s"),
            why=asked.text("why"),
        ),
        (
            one_of("when", "Only of this kind.", [*When]),
            text("subject", "Only of this agent (its id), role, or master (its address)."),
            whole("for_s", "For so many seconds; 0 tells again.", 0, MAX_SILENCE_S, required=True),
            text("why", "For those who wonder later."),
        ),
        schema=ref("Silenced"),
        to_json=silenced_json,
    ),
    deed(
        "/v1/cluster-alerts/test",
        "Tell a receiver that nothing is wrong; what keeps it from taking that is said.",
        "TestClusterReceiver",
        lambda asked: pb.TestClusterReceiverRequest(receiver=asked.text("receiver")),
        (text("receiver", "Its name.", required=True),),
    ),
)
