"""Webhooks, and silences of alerts of the cluster, are given back from a backup."""

from __future__ import annotations

import time
from collections.abc import Iterable

from pymesos_cli.backup.steps import Found, Kind, Step
from pymesos_cli.backup.telling import setting_of, silences_of, webhooks_of
from pymesos_cli.cluster import Cluster
from pymesos_core.clock import utc
from pymesos_proto.v1 import operator_pb2 as pb

NEAR_S = 60.0  # a silence that was restored ends at about the same time


async def steps_of_webhooks(
    cluster: Cluster, webhooks: Iterable[pb.SetWebhookRequest]
) -> list[Step]:
    """Return the steps that set webhooks. Raises CliError."""
    wanted = list(webhooks)
    there = {view.name: setting_of(view) for view in await webhooks_of(cluster)} if wanted else {}
    steps: list[Step] = []
    for setting in wanted:

        async def do(request: pb.SetWebhookRequest = setting) -> None:
            await cluster.call(lambda s, t: s.SetWebhook(request, timeout=t))

        what, known = f"the webhook {setting.name}", there.get(setting.name)
        if known is None:
            steps.append(Step(Kind.WEBHOOKS, what, Found.MISSING, do=do))
        elif known == setting:
            steps.append(Step(Kind.WEBHOOKS, what, Found.SAME))
        else:
            why = "it sends elsewhere, or something else, here"
            steps.append(Step(Kind.WEBHOOKS, what, Found.DIFFERS, why, do))
    return steps


async def steps_of_silences(
    cluster: Cluster, silences: Iterable[pb.ClusterSilenceView]
) -> list[Step]:
    """Return the steps that silence alerts for the time that is left. Raises CliError."""
    wanted, now_s = list(silences), time.time()
    views = await silences_of(cluster) if wanted else []
    there = {(view.when, view.subject): view for view in views}
    steps: list[Step] = []
    for silence in wanted:
        which = f"{silence.when or 'all'} alerts of {silence.subject or 'the cluster'}"
        what = f"the silence of {which} until {utc(silence.until_s)}"
        if silence.until_s - now_s < 1:
            steps.append(Step(Kind.SILENCES, what, Found.LEFT_OUT, "it is over"))
            continue

        async def do(one: pb.ClusterSilenceView = silence) -> None:
            request = pb.SilenceClusterAlertsRequest(
                when=one.when,
                subject=one.subject,
                for_s=max(1, round(one.until_s - time.time())),
                why=one.why,
            )
            await cluster.call(lambda s, t: s.SilenceClusterAlerts(request, timeout=t))

        known = there.get((silence.when, silence.subject))
        if known is None:
            steps.append(Step(Kind.SILENCES, what, Found.MISSING, do=do))
        elif abs(known.until_s - silence.until_s) < NEAR_S and known.why == silence.why:
            steps.append(Step(Kind.SILENCES, what, Found.SAME))
        else:
            why = f"there is one until {utc(known.until_s)} here"
            steps.append(Step(Kind.SILENCES, what, Found.DIFFERS, why, do))
    return steps
