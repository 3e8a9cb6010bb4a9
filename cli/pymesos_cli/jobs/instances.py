"""`jobs JOB`: the instances of one job, and where each of them can be reached."""

from __future__ import annotations

from pymesos_cli.cluster import EXIT_USAGE, CliError, Cluster, jobs_at
from pymesos_cli.jobs.hosted import Hosted
from pymesos_cli.jobs.listing import find_held
from pymesos_cli.jobs.periodic import periodic_lines
from pymesos_cli.jobs.progress import name_of, phase_of, ports_of
from pymesos_cli.jobs.waiting import runs_not_ready
from pymesos_cli.output import print_json, print_table, printable
from pymesos_core.jobs_json import instance_json
from pymesos_proto.v1 import jobs_pb2 as pb

HEADERS = ("INSTANCE", "STATE", "VERSION", "HOST", "ADDRESS", "PORTS", "NOTE")


async def list_instances(cluster: Cluster, text: str, *, as_json: bool) -> None:
    """`pymesos-cli jobs JOB`."""
    found = await find_held(cluster, text)
    if isinstance(found, Hosted):
        raise CliError(
            f"the job {found.job_id} is run by {found.where}: `pymesos-cli tasks {found.job_id}`"
            f" lists its tasks",
            EXIT_USAGE,
        )
    address, job = found
    instances: list[pb.InstanceView] = []
    async with jobs_at(cluster, address) as stub:
        request = pb.WatchJobRequest(job_id=job.job_id)
        async for view in stub.WatchJob(request, timeout=cluster.timeout_s):
            instances += view.instances
            if not view.more:
                break
    instances.sort(key=lambda i: (i.task_name, i.instance, name_of(i)))
    if as_json:
        print_json([instance_json(instance) for instance in instances])
        return
    rows = [_row(instance) for instance in instances]
    print_table(HEADERS, rows, f"{job.job_id} has no instances", ("NOTE",))
    for line in periodic_lines(job):
        print(printable(line))


def _row(instance: pb.InstanceView) -> tuple[str, ...]:
    return (
        name_of(instance),
        phase_of(instance) + (", not ready" if runs_not_ready(instance) else ""),
        str(instance.version or ""),
        instance.hostname,
        instance.address,
        ports_of(instance),
        instance.leaving or instance.explanation,
    )
