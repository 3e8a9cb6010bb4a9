"""`trigger`, and what `jobs JOB` says of periodic tasks."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence

from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import EXIT_USAGE, CliError
from pymesos_cli.jobs.hosted import Hosted
from pymesos_cli.jobs.listing import find_held
from pymesos_cli.jobs_stub import jobs_at
from pymesos_cli.output import printable
from pymesos_core.clock import utc
from pymesos_core.text import quoted
from pymesos_proto.v1 import jobs_pb2 as pb


async def trigger_job(cluster: Cluster, text: str, given: Sequence[str]) -> None:
    """`pymesos-cli trigger`."""
    name, _, task = text.partition(".")
    args = _args(given)
    found = await find_held(cluster, name, exact=True)
    if isinstance(found, Hosted):
        raise CliError(
            f"the job {found.job_id} is run by {found.where}: have a pymesos-binpack --listen take"
            f" it with `pymesos-cli apply`, which can be told to begin runs",
            EXIT_USAGE,
        )
    address, job = found
    request = pb.TriggerJobRequest(
        job_id=job.job_id, task_name=task, args=args, request_id=str(uuid.uuid4())
    )
    async with jobs_at(cluster, address) as stub:
        answer = await stub.TriggerJob(request, timeout=cluster.timeout_s)
    then = "waits" if answer.run.state == "waiting" else "begins"
    print(printable(f"{job.job_id}: the run {answer.run.run_id} of {answer.task_name} {then}"))


def _args(given: Iterable[str]) -> dict[str, str]:
    """Raises CliError."""
    args: dict[str, str] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not (name and equals) or name in args:
            twice = " is given twice" if name in args else " is not NAME=VALUE"
            raise CliError(f"--arg {quoted(each)}{twice}", EXIT_USAGE)
        args[name] = value
    return args


def periodic_lines(job: pb.JobView) -> Iterator[str]:
    """Say when the periodic tasks of a job run next, and how the latest runs went."""
    for task in job.periodic:
        when = f"at {task.schedule} ({task.time_zone})" if task.schedule else "when triggered"
        next_at = f", next {utc(task.next_at_s)}" if task.next_at_s else ""
        yield f"{task.task_name}: runs {when}{next_at}"
        for run in reversed(task.runs):
            ended = f", ended {utc(run.ended_at_s)}" if run.ended_at_s else ""
            began = f", began {utc(run.began_at_s)}" if run.began_at_s else ""
            by = f", triggered by {run.by}" if run.by else ""
            yield f"  {run.run_id}: {run.state}{began}{ended}{by}"
        if task.note:
            yield f"  {task.note}"
