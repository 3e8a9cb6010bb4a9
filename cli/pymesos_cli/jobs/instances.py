"""`jobs JOB`: the instances of one job, and where each of them can be reached."""

from __future__ import annotations

from collections.abc import Iterator

from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import EXIT_USAGE, CliError
from pymesos_cli.jobs.hosted import Hosted
from pymesos_cli.jobs.listing import find_held
from pymesos_cli.jobs.periodic import periodic_lines
from pymesos_cli.jobs.progress import name_of, phase_of, ports_of
from pymesos_cli.jobs.scaling import scaling_lines
from pymesos_cli.jobs.waiting import may_be_held_back, runs_not_ready
from pymesos_cli.jobs_stub import jobs_at
from pymesos_cli.output import print_json, print_table, printable
from pymesos_cli.tasks.last_words import in_a_line, last_words_of
from pymesos_core.jobs_json import instance_json
from pymesos_core.text import count_of
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_proto.v1 import types_pb2

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
    view, instances = await instances_of(cluster, address, job.job_id)
    instances.sort(key=lambda i: (i.task_name, i.instance, name_of(i)))
    if as_json:
        print_json([instance_json(instance) for instance in instances])
        return
    failed = [i.task_id for i in instances if has_failed(i)]
    said = await last_words_of(cluster, view.framework_id, failed)
    rows = [_row(i, in_a_line(said.get(i.task_id, ()))) for i in instances]
    print_table(HEADERS, rows, f"{job.job_id} has no instances", ("NOTE",))
    lines = (*daemon_lines(view), *periodic_lines(job), *scaling_lines(job))
    for line in (*lines, *_held_back_lines(job.job_id, instances)):
        print(printable(line))


async def instances_of(
    cluster: Cluster, address: str, job_id: str
) -> tuple[pb.JobView, list[pb.InstanceView]]:
    """Return what is told of a job, and all its instances."""
    instances: list[pb.InstanceView] = []
    view = pb.JobView()
    async with jobs_at(cluster, address) as stub:
        request = pb.WatchJobRequest(job_id=job_id)
        async for view in stub.WatchJob(request, timeout=cluster.timeout_s):
            instances += view.instances
            if not view.more:
                break
    return view, instances


def daemon_lines(job: pb.JobView) -> Iterator[str]:
    """Say on how many agents the daemons of a job are, and which of the others they are not for."""
    for daemon in job.daemons:
        known = (
            f"not eligible: {daemon.not_eligible} of {count_of(daemon.agents, 'known agent')}"
            if daemon.agents
            else "no agent is known yet"
        )
        run = f"{daemon.running} of {daemon.wanted} run, one on each agent"
        yield f"{daemon.task_name}: {run}; {known}"
        for agent in daemon.examples:
            yield f"  {agent.hostname or agent.agent_id}: {agent.why or 'not looked at yet'}"
        if (more := daemon.not_eligible - len(daemon.examples)) > 0:
            yield f"  and {more} more"


def _held_back_lines(job_id: str, instances: list[pb.InstanceView]) -> Iterator[str]:
    """Name the command that asks the master, too: a quota, say, is nothing a framework sees."""
    if held := next((i for i in instances if may_be_held_back(i)), None):
        yield f"`pymesos-cli explain task {job_id}.{name_of(held)}` says what the master withholds"


def has_failed(instance: pb.InstanceView) -> bool:
    """Return whether the latest task of an instance has ended, and not well."""
    ended = instance.state in (types_pb2.TASK_STATE_UNSPECIFIED, types_pb2.TASK_FAILED)
    return bool(ended and instance.task_id and instance.HasField("exit_status"))


def _row(instance: pb.InstanceView, said: str) -> tuple[str, ...]:
    return (
        name_of(instance),
        phase_of(instance) + (", not ready" if runs_not_ready(instance) else ""),
        str(instance.version or ""),
        instance.hostname,
        instance.address,
        ports_of(instance),
        "; ".join(filter(None, (instance.leaving or instance.explanation, said))),
    )
