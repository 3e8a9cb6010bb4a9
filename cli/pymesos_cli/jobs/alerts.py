"""`alerts`: what is wrong with jobs and the cluster itself, and who is told."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import CliError, NotFoundError
from pymesos_cli.jobs.hosted import Hosted
from pymesos_cli.jobs.listing import find_held
from pymesos_cli.jobs_stub import jobs_at
from pymesos_cli.output import note, print_json, print_table
from pymesos_cli.services import all_pages, of_each, service, warn
from pymesos_core.clock import utc
from pymesos_core.jobs_json import alert_json
from pymesos_core.json_access import cluster_alert_json, receiver_json
from pymesos_core.text import duration, quoted
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_proto.v1 import operator_pb2

if TYPE_CHECKING:
    from pymesos_proto.v1.jobs_pb2_grpc import JobsAsyncStub

NO_RECEIVERS = (
    "nobody has receivers: start pymesos-binpack, or pymesos-master, with --receivers FILE"
    " (docs/alerts.md says what is in it)"
)
MASTERS = "the masters"
LONGEST_S = 1e11  # that is shown: what a framework tells may be no time at all
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
    masters = await _of_cluster(cluster)
    if as_json:
        of_jobs = [alert_json(alert, framework_id) for framework_id, alert in found]
        print_json([*map(cluster_alert_json, masters.alerts), *of_jobs])
        return
    rows = [(alert.subject, alert.when, *_shown(alert)) for alert in masters.alerts]
    rows += [
        (f"{alert.job_id}/{alert.task_name}", alert.when, *_shown(alert)) for _, alert in found
    ]
    names = ("OF", "WHEN", "STATE", "FOR", "TO", "SUMMARY")
    print_table(names, rows, "no alerts", ("SUMMARY", "STATE"))
    for silence in masters.silences:
        note(_silenced(silence, silence.subject or "the cluster"))
    for _, pages in told:
        for one in (silence for page in pages for silence in page.silences):
            note(_silenced(one, f"{one.job_id}/{one.task_name}".removesuffix("/")))
    for name, of, view in _receivers(told, masters):
        if view.problem:
            since = utc(view.problem_since_s)
            note(f"{name}, which {of} tell, is not reached since {since}: {view.problem}")


def _shown(alert: pb.AlertView | operator_pb2.ClusterAlertView) -> tuple[str, str, str, str]:
    held_s = round(min(LONGEST_S, max(0.0, time.time() - alert.since_s)))
    for_ = duration(held_s) if alert.since_s else ""
    return shown_state(alert), for_, alert.receiver, alert.summary


def _silenced(view: operator_pb2.ClusterSilenceView | pb.JobSilenceView, of: str) -> str:
    which = f"{view.when or 'all'} alerts of {of}"
    by = f" by {view.by}" if view.by else ""
    why = f": {view.why}" if view.why else ""
    return f"{which} are silenced{by} until {utc(view.until_s)}{why}"


async def _of_cluster(cluster: Cluster) -> operator_pb2.ListClusterAlertsResponse:
    """Alerts of the cluster; none, and a note, for who may not see them."""
    request = operator_pb2.ListClusterAlertsRequest()
    try:
        return await cluster.call(
            lambda stub, timeout_s: stub.ListClusterAlerts(request, timeout=timeout_s)
        )
    except CliError as error:
        note(f"alerts of the cluster are left out: {error.format_message()}")
        return operator_pb2.ListClusterAlertsResponse()


def _receivers(
    told: list[Told], masters: operator_pb2.ListClusterAlertsResponse
) -> Iterator[tuple[str, str, operator_pb2.ReceiverView]]:
    """Yield the name of each receiver, who tells it, and whether it is reached."""
    for view in masters.receivers:
        yield view.name, MASTERS, view
    for framework, pages in told:
        unreached = {view.name: view for view in pages[0].unreached}
        for name in pages[0].receivers:
            yield (
                name,
                f"jobs of {framework.info.name}",
                unreached.get(name) or operator_pb2.ReceiverView(name=name),
            )


async def list_receivers(cluster: Cluster, *, as_json: bool) -> None:
    """`pymesos-cli alerts receivers`."""
    told, silent = await of_each(cluster, lambda view, stub: _told(cluster, view, stub))
    warn(silent)
    found = [*_receivers(told, await _of_cluster(cluster))]
    if as_json:
        print_json([{**receiver_json(view), "told_by": of} for _, of, view in found])
        return
    rows = [
        (name, of, utc(view.problem_since_s) if view.problem else "", view.problem)
        for name, of, view in found
    ]
    names = ("NAME", "TOLD BY", "NOT REACHED SINCE", "PROBLEM")
    print_table(names, rows, NO_RECEIVERS, ("PROBLEM",))


def shown_state(alert: pb.AlertView | operator_pb2.ClusterAlertView) -> str:
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
    found = await find_held(cluster, text, exact=True)
    if isinstance(found, Hosted):
        raise CliError(f"the job {found.job_id} is {found.where}'s own, which tells nobody")
    address, job = found
    async with jobs_at(cluster, address) as stub:
        request = pb.SilenceAlertsRequest(
            job_id=job.job_id, task_name=task, when=when, for_s=round(for_s), why=why
        )
        answer = await stub.SilenceAlerts(request, timeout=cluster.timeout_s)
    if answer.replaced:
        note(f"{answer.replaced}; that is no more")
    which = f"{when or 'all'} alerts of {job.job_id}{f'/{task}' if task else ''}"
    if not for_s:
        print(f"{which}: somebody is told again")
        return
    print(f"{which}: nobody is told for {duration(for_s)}; what was told before goes on")


async def silence_cluster(
    cluster: Cluster, subject: str, when: str, for_s: float, why: str
) -> None:
    """`pymesos-cli alerts silence --cluster`."""
    request = operator_pb2.SilenceClusterAlertsRequest(
        when=when, subject=subject, for_s=round(for_s), why=why
    )
    answer = await cluster.call(
        lambda stub, timeout_s: stub.SilenceClusterAlerts(request, timeout=timeout_s)
    )
    if answer.replaced:
        note(f"{answer.replaced}; that is no more")
    which = f"{when or 'all'} alerts of {subject or 'the cluster'}"
    if not for_s:
        print(f"{which}: somebody is told again")
        return
    print(f"{which}: nobody is told for {duration(for_s)}; what was told before goes on")


async def test_receiver(cluster: Cluster, name: str) -> None:
    """`pymesos-cli alerts test`: by each framework that knows it, and by the masters."""
    told, silent = await of_each(cluster, lambda view, stub: _told(cluster, view, stub))
    warn(silent)
    masters = await _of_cluster(cluster)
    knowing = [framework for framework, pages in told if name in pages[0].receivers]
    of_masters = name in [view.name for view in masters.receivers]
    if not knowing and not of_masters:
        names = sorted({each for each, _, _ in _receivers(told, masters)})
        known = f"these are {', '.join(names[:20])}" if names else NO_RECEIVERS
        raise NotFoundError(f"there is no receiver {quoted(name)}: {known}")
    for framework in knowing:
        if sys.stderr.isatty():
            note(f"{framework.info.name} tells {name} …")
        async with service(cluster, framework) as stub:
            request = pb.TestReceiverRequest(receiver=name)
            await stub.TestReceiver(request, timeout=max(TEST_TIMEOUT_S, cluster.timeout_s))
        print(f"{name} has taken a test of {framework.info.name}, and that it is over")
    if of_masters:
        if sys.stderr.isatty():
            note(f"{MASTERS} tell {name} …")
        asked = operator_pb2.TestClusterReceiverRequest(receiver=name)
        await cluster.call(
            lambda stub, timeout_s: stub.TestClusterReceiver(
                asked, timeout=max(TEST_TIMEOUT_S, timeout_s)
            )
        )
        print(f"{name} has taken a test of {MASTERS}, and that it is over")
