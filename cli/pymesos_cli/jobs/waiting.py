"""The instances of jobs that wait to be placed: the master knows nothing of them."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import CliError
from pymesos_cli.jobs_stub import jobs_at
from pymesos_cli.services import Silent, ask_jobs, not_connected, service, serving
from pymesos_core.names import Named, TaskName, parse_task_id
from pymesos_core.states import is_terminal
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_proto.v1 import operator_pb2, types_pb2

# What the framework cannot know: why it is not offered what would do, as by a quota.
FOR_THE_MASTER = ("NO_AGENT", "NOT_OFFERED", "TOO_LITTLE_FREE", "VOLUME_NOT_OFFERED")


@dataclass(frozen=True)
class Waiting:
    """An instance that waits."""

    framework_id: str
    name: str
    instance: pb.InstanceView
    role: str = ""  # of its job; empty: its framework does not say
    home: str = ""  # the only agent that it may be on; empty: any that will do


@dataclass
class Known:
    """What the Jobs services told."""

    waiting: list[Named[Waiting]] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)  # of tasks that are there, by their ids
    not_ready: set[str] = field(default_factory=set)  # the ids of tasks that run
    at: dict[str, str] = field(default_factory=dict)  # jobs by id: the service that has each
    silent: list[Silent] = field(default_factory=list)


def waits(instance: pb.InstanceView) -> bool:
    """Whether an instance is to be started, and no agent has it yet."""
    return instance.state == types_pb2.TASK_STATE_UNSPECIFIED and not instance.done


def may_be_held_back(instance: pb.InstanceView) -> bool:
    """Whether an instance waits for what the master may withhold, of which only that knows why."""
    return waits(instance) and instance.cause in FOR_THE_MASTER


def runs_not_ready(instance: pb.InstanceView) -> bool:
    """Whether an instance runs, and not all of its checks pass."""
    return instance.state == types_pb2.TASK_RUNNING and not instance.ready


async def is_of_service(cluster: Cluster, view: operator_pb2.TaskView) -> bool:
    """Return whether a task is a service's, as far as a Jobs service says so."""
    parts = parse_task_id(view.task_info.task_id)
    serves = [each for each in await serving(cluster) if _has(each, view)]
    if parts is None or not serves:
        return False
    with contextlib.suppress(CliError):  # it only adds to what is said
        async with service(cluster, serves[0]) as stub:
            request = pb.WatchJobRequest(job_id=parts.job_id)
            async for job in stub.WatchJob(request, timeout=cluster.timeout_s):
                if any(i.service and i.task_name == parts.task for i in job.instances):
                    return True
                if not job.more:
                    break
    return False


def was_called_off(instance: pb.InstanceView) -> bool:
    """Whether an instance is done that was to be started, or started again."""
    return instance.state == types_pb2.TASK_STATE_UNSPECIFIED and instance.done


async def ask_services(cluster: Cluster, text: str) -> Known:
    """Return what waits of the jobs that `text` may be of, and what is said of their others."""
    answers = await ask_jobs(cluster, ended=False, patient=False)
    known = Known(silent=answers.silent)
    known.at = {job.job_id: address for address, job in answers.items}
    begins = text.partition(".")[0]  # no name of a job has a dot
    for address, job in answers.items:
        if not job.job_id.startswith(begins) and not job.name.startswith(begins):
            continue
        async with jobs_at(cluster, address) as stub:
            request = pb.WatchJobRequest(job_id=job.job_id)
            daemons: set[str] = set()  # names of tasks
            async for view in stub.WatchJob(request, timeout=cluster.timeout_s):
                daemons.update(daemon.task_name for daemon in view.daemons)
                for i in view.instances:
                    if waits(i):
                        parts = TaskName(job.job_id, job.name, i.task_name, i.instance, i.attempts)
                        home = i.data_on or (i.agent_id if i.task_name in daemons else "")
                        item = Waiting(job.framework_id, parts.of_instance, i, job.role, home)
                        shown = (f"{job.name}.{i.name}", f"{job.job_id}.{i.name}")
                        names = (*parts.names, *(shown if i.name else ()))
                        known.waiting.append(Named(item, parts.of_instance, names))
                    elif i.explanation and not is_terminal(i.state):
                        known.notes[i.task_id] = i.explanation
                    if runs_not_ready(i):
                        known.not_ready.add(i.task_id)
                if not view.more:
                    break
    return known


async def why_it_ended(cluster: Cluster, view: operator_pb2.TaskView) -> str:
    """Return why the instance of a task that has ended is not started again; empty: as it ended.

    How its latest task ended is no reason where it was called off: it was to be started again.
    """
    parts = parse_task_id(view.task_info.task_id)
    serves = [each for each in await serving(cluster) if _has(each, view)]
    if parts is None or not serves:
        return ""
    with contextlib.suppress(CliError):  # its task has ended as it has
        async with service(cluster, serves[0]) as stub:
            request = pb.WatchJobRequest(job_id=parts.job_id)
            async for job in stub.WatchJob(request, timeout=cluster.timeout_s):
                for instance in job.instances:
                    if instance.task_id == view.task_info.task_id:
                        return why_for_good(instance, view.status.message)
                if not job.more:
                    break
    return ""


def why_for_good(instance: pb.InstanceView, message: str) -> str:
    """Return why an instance is not started again, beyond what its latest task ended with."""
    if was_called_off(instance):
        return instance.explanation
    why = instance.explanation.partition(f"{message}; ")[2] if instance.done and message else ""
    return f"it is not started again: {why}" if why else ""


def _has(framework: operator_pb2.FrameworkView, view: operator_pb2.TaskView) -> bool:
    is_its = framework.info.framework_id == view.framework_id
    return is_its and not_connected(framework) is None
