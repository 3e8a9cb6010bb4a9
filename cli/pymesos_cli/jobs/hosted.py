"""Jobs that a `pymesos-cli run` runs itself, where nobody serves jobs: where, and how to end them.

Such a command is a framework of one job. It says in the labels of its FrameworkInfo which job, and
where its process is, so that other commands find what no Jobs service lists.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import CliError
from pymesos_cli.finding import JOB, one
from pymesos_cli.output import note
from pymesos_cli.services import jobs_of
from pymesos_core.names import Named, find
from pymesos_proto.v1 import jobs_pb2, types_pb2
from pymesos_proto.v1 import operator_pb2 as pb

JOB_LABEL = "pymesos-cli/run/job"
PROCESS_LABEL = "pymesos-cli/run/process"
NAMESPACE_LABEL = "pymesos-cli/run/pid-namespace"  # without which the number means nothing


def mark(info: types_pb2.FrameworkInfo, job: str) -> None:
    """Say in the info of this process' framework which job it runs, and where."""
    info.hostname = socket.gethostname()
    info.labels.add(key=JOB_LABEL, value=job)
    info.labels.add(key=PROCESS_LABEL, value=str(os.getpid()))
    info.labels.add(key=NAMESPACE_LABEL, value=_namespace())


def _namespace() -> str:
    try:
        return str(os.stat("/proc/self/ns/pid").st_ino)  # noqa: PTH116 - the link's own target
    except OSError:
        return "unknown"


@dataclass(frozen=True)
class Hosted:
    """A job, with its framework and what the master knows of its tasks."""

    framework: pb.FrameworkView
    name: str
    process: str
    namespace: str
    view: jobs_pb2.JobView | None = None  # none before its first task

    @property
    def job_id(self) -> str:
        """The job's id; its name where the id is not known, as before the first task."""
        return self.view.job_id if self.view else self.name

    @property
    def where(self) -> str:
        """What runs it, for people."""
        away = "" if self.framework.state == "active" else f", {self.framework.state}"
        return (
            f"the command `pymesos-cli run` (process {self.process} on"
            f" {self.framework.info.hostname}{away})"
        )


async def hosted_jobs(cluster: Cluster) -> list[Hosted]:
    """All jobs that commands run themselves."""
    out = []
    for framework in await cluster.frameworks():
        labels = {label.key: label.value for label in framework.info.labels}
        if (name := labels.get(JOB_LABEL)) is not None:
            views = await jobs_of(cluster, framework.info.framework_id)
            process = labels.get(PROCESS_LABEL, "?")
            namespace = labels.get(NAMESPACE_LABEL, "?")
            out.append(Hosted(framework, name, process, namespace, views[0] if views else None))
    return out


def find_hosted(text: str, jobs: Sequence[Hosted], *, exact: bool) -> Hosted | None:
    """The job of an id or a name, or None. Raises CliError when it may be several."""
    found = find(text, [Named(job, job.job_id, (job.name,)) for job in jobs], exact=exact)
    if not found.fits:
        return None
    return one(text, found, JOB, lambda job: f"run by {job.where}")


async def end(cluster: Cluster, job: Hosted) -> None:
    """Remove its framework, and so the job with its tasks. Raises CliError."""
    request = pb.TeardownFrameworkRequest(framework_id=job.framework.info.framework_id)
    await cluster.call(lambda stub, timeout_s: stub.TeardownFramework(request, timeout=timeout_s))


async def end_orphans(cluster: Cluster) -> None:
    """End the jobs of commands of this machine that have died: nobody comes back for them."""
    here = (socket.gethostname(), _namespace())
    for job in await hosted_jobs(cluster):
        away = job.framework.state != "active"
        place = (job.framework.info.hostname, job.namespace)
        if away and place == here and _is_gone(job.process):
            with contextlib.suppress(CliError):  # its time may be over just now
                await end(cluster, job)
                note(f"ended the job {job.job_id}: {job.where} has died")


def _is_gone(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except (ValueError, OSError, OverflowError):
        return False
    return False
