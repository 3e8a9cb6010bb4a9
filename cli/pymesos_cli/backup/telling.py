"""Who is told of what, for a backup: webhooks, and silences of alerts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import EXIT_NO_MASTER, CliError
from pymesos_core.text import count_of
from pymesos_proto.v1 import jobs_pb2
from pymesos_proto.v1 import operator_pb2 as pb

if TYPE_CHECKING:
    from pymesos_proto.v1.jobs_pb2_grpc import JobsAsyncStub

Told = tuple[list[pb.SetWebhookRequest], list[pb.ClusterSilenceView]]


async def told_of(cluster: Cluster, missing: list[str]) -> Told:
    """Return webhooks and silences; what cannot be read is put to what is missing, in words.

    Raises CliError when no master is reached.
    """
    webhooks: list[pb.SetWebhookRequest] = []
    silences: list[pb.ClusterSilenceView] = []
    try:
        webhooks += [setting_of(view) for view in await webhooks_of(cluster)]
    except CliError as error:
        missing.append(_unread("webhooks", error))
    try:
        silences += await silences_of(cluster)
    except CliError as error:
        missing.append(_unread("silences of alerts of the cluster", error))
    return webhooks, silences


def _unread(what: str, error: CliError) -> str:
    """Raises the error if it is that no master is reached."""
    if error.exit_code == EXIT_NO_MASTER:
        raise error
    return f"{what}: {error.format_message()}"


async def webhooks_of(cluster: Cluster) -> list[pb.WebhookView]:
    """Return the webhooks that are set. Raises CliError."""
    answer = await cluster.call(lambda s, t: s.ListWebhooks(pb.ListWebhooksRequest(), timeout=t))
    return list(answer.webhooks)


async def silences_of(cluster: Cluster) -> list[pb.ClusterSilenceView]:
    """Return the silences that are in force. Raises CliError."""
    answer = await cluster.call(
        lambda s, t: s.ListClusterAlerts(pb.ListClusterAlertsRequest(), timeout=t)
    )
    return list(answer.silences)


async def silences_of_jobs(
    stub: JobsAsyncStub, timeout_s: float, left_out: list[str]
) -> list[jobs_pb2.JobSilenceView]:
    """Return the silences of alerts of a framework's jobs that are in force.

    What is not told is put to what is left out, in words. Raises grpc.aio.AioRpcError.
    """
    answer = await stub.ListAlerts(jobs_pb2.ListAlertsRequest(page_size=1), timeout=timeout_s)
    if answer.more_silences:
        left_out.append(f"{count_of(answer.more_silences, 'silence')} of alerts of jobs")
    return list(answer.silences)


def setting_of(view: pb.WebhookView) -> pb.SetWebhookRequest:
    """Return what sets a webhook as it is."""
    return pb.SetWebhookRequest(
        name=view.name,
        url=view.url,
        kinds=view.kinds,
        secret_role=view.secret_role,
        secret_name=view.secret_name,
        link_local=view.link_local,
    )
