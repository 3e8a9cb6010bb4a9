"""`alerts list`, `alerts silence`, `alerts test`: what is wrong with jobs, and who is told."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from pymesos_cli.cluster import CliError, Cluster, NotFoundError, jobs_at
from pymesos_cli.jobs.hosted import Hosted
from pymesos_cli.jobs.listing import find_held
from pymesos_cli.output import note, print_json, print_table
from pymesos_cli.services import all_pages, of_each, service, warn
from pymesos_core.clock import utc
from pymesos_core.jobs_json import alert_json
from pymesos_core.text import duration, quoted
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_proto.v1 import operator_pb2

if TYPE_CHECKING:
    from pymesos_proto.v1.jobs_pb2_grpc import JobsAsyncStub

NO_RECEIVERS = (
    "no framework has any: start pymesos-binpack with --receivers FILE (docs/alerts.md says what is"
    " in it)"
)
TEST_TIMEOUT_S = 60.0  # a receiver of several addresses has ten seconds for each answer

Told = tuple[operator_pb2.FrameworkView, list[pb.ListAlertsResponse]]


async def _told(cluster: Cluster, view: operator_pb2.FrameworkView, stub: JobsAsyncStub) -> Told:
    async def ask(token: str) -> pb.ListAlertsResponse:
        request = pb.ListAlertsRequest(page_token=token)
        return await stub.ListAlerts(request, timeout=cluster.timeout_s)

    return view, await all_pages(ask)


async def list_alerts(cluster: Cluster, *, as_json: bool) -> None:
    """`pymesos-cli alerts list`."""
    told, silent = await of_each(cluster, lambda view, stub: _told(cluster, view, stub))
    warn(silent)
    found = [
        (framework.info.framework_id, alert)
        for framework, pages in told
        for page in pages
        for alert in page.alerts
    ]
    if as_json:
        print_json([alert_json(alert, framework_id) for framework_id, alert in found])
        return
    now_s = time.time()
    rows = [
        (
            f"{alert.job_id}/{alert.task_name}",
            alert.when,
            shown_state(alert),
            duration(max(0.0, round(now_s - alert.since_s))) if alert.since_s else "",
            alert.receiver,
            alert.summary,
        )
        for _, alert in found
    ]
    names = ("TASK", "WHEN", "STATE", "FOR", "TO", "SUMMARY")
    print_table(names, rows, "no alerts", ("SUMMARY", "STATE"))


def shown_state(alert: pb.AlertView) -> str:
    """Return the state of an alert, and whether its receiver knows it."""
    if alert.silenced_until_s:
        why = f": {alert.silenced_for}" if alert.silenced_for else ""
        by = f" by {alert.silenced_by}" if alert.silenced_by else ""
        return f"{alert.state}, silenced{by} until {utc(alert.silenced_until_s)}{why}"
    # What is over stays only until its receiver has taken that.
    untold = alert.state == "resolved" or (alert.state == "firing" and not alert.known)
    return f"{alert.state}, not yet told" if untold else alert.state


async def silence(
    cluster: Cluster, text: str, task: str, when: str, for_s: float, why: str
) -> None:
    """`pymesos-cli alerts silence`."""
    found = await find_held(cluster, text)
    if isinstance(found, Hosted):
        raise CliError(f"the job {found.job_id} is {found.where}'s own, which tells nobody")
    address, job = found
    async with jobs_at(cluster, address) as stub:
        request = pb.SilenceAlertsRequest(
            job_id=job.job_id, task_name=task, when=when, for_s=round(for_s), why=why
        )
        await stub.SilenceAlerts(request, timeout=cluster.timeout_s)
    which = f"{when or 'all'} alerts of {job.job_id}{f'/{task}' if task else ''}"
    if not for_s:
        print(f"{which}: somebody is told again")
        return
    print(f"{which}: nobody is told for {duration(for_s)}; what was told before goes on")


async def test_receiver(cluster: Cluster, name: str) -> None:
    """`pymesos-cli alerts test`: of each framework that knows it."""
    told, silent = await of_each(cluster, lambda view, stub: _told(cluster, view, stub))
    warn(silent)
    knowing = [framework for framework, pages in told if name in pages[0].receivers]
    if not knowing:
        names = sorted({each for _, pages in told for each in pages[0].receivers})
        known = f"these are {', '.join(names[:20])}" if names else NO_RECEIVERS
        raise NotFoundError(f"there is no receiver {quoted(name)}: {known}")
    for framework in knowing:
        if sys.stderr.isatty():
            note(f"{framework.info.name} tells {name} …")
        async with service(cluster, framework) as stub:
            request = pb.TestReceiverRequest(receiver=name)
            await stub.TestReceiver(request, timeout=max(TEST_TIMEOUT_S, cluster.timeout_s))
        print(f"{name} has taken a test of {framework.info.name}, and that it is over")
