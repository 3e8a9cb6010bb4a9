"""What keeps tasks on an agent that is drained: their volumes, or what replaces them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

import grpc.aio

from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import CliError
from pymesos_cli.jobs_stub import jobs_at
from pymesos_cli.services import ask_jobs
from pymesos_core.names import TaskName, parse_task_id
from pymesos_core.reservations import volumes_of
from pymesos_core.resources import from_proto
from pymesos_core.states import is_terminal, state_name
from pymesos_proto.v1 import jobs_pb2 as jobs_pb
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2

SHOWN = 5  # tasks of an agent
PINNED_SHOWN = 50  # that have volumes there: no other command says that it is these


def shown_of(tasks: Sequence[pb.TaskView]) -> list[pb.TaskView]:
    """The tasks of an agent that are named: first those whose volumes keep them there."""
    pinned = [task for task in tasks if _volumes(task)]
    others = [task for task in tasks if not _volumes(task)]
    return [*pinned[:PINNED_SHOWN], *others[: max(0, SHOWN - len(pinned))]]


async def reasons(cluster: Cluster, tasks: Sequence[pb.TaskView]) -> list[str]:
    """Each task with what keeps it, as far as the master and the frameworks say."""
    others = await _others(cluster, tasks)
    return [_reason(task, others.get(task.task_info.task_id)) for task in tasks]


def _reason(task: pb.TaskView, other: jobs_pb.InstanceView | None) -> str:
    out = f"{task.task_info.task_id} {state_name(task.state).removeprefix('TASK_')}"
    if is_terminal(task.state):
        return f"{out}: its framework has not acknowledged that it ended"
    if volumes := _volumes(task):
        return f"{out}: its volume {', '.join(volumes)} is on the agent"
    if other is None:
        return out
    if other.state == types_pb2.TASK_STATE_UNSPECIFIED:
        why = other.explanation or "it is not planned yet"
        return f"{out}: what replaces it waits: {why}"
    return f"{out}: what replaces it on {other.hostname} is not ready yet"


def _volumes(task: pb.TaskView) -> list[str]:
    return [volume.id for _, volume in volumes_of(from_proto(task.task_info.resources))]


async def _others(
    cluster: Cluster, tasks: Iterable[pb.TaskView]
) -> Mapping[str, jobs_pb.InstanceView]:
    """What is to replace tasks of jobs, by the ids of these."""
    named = {t.task_info.task_id: parse_task_id(t.task_info.task_id) for t in tasks}
    wanted = {name.job_id for name in named.values() if name is not None}
    out: dict[str, jobs_pb.InstanceView] = {}
    if not wanted:
        return out
    try:
        answers = await ask_jobs(cluster, ended=False, patient=False)
        for address, job in answers.items:
            if job.job_id in wanted:
                async for instance in _instances(cluster, address, job.job_id):
                    for task_id, name in named.items():
                        if _replaces(instance, job.job_id, task_id, name):
                            out[task_id] = instance
    except (CliError, grpc.aio.AioRpcError):
        pass  # which says less of what is left, and keeps nobody from waiting for it
    return out


def _replaces(
    instance: jobs_pb.InstanceView, job_id: str, task_id: str, name: TaskName | None
) -> bool:
    """Whether an instance of a job is to run in the place of a task."""
    if name is None or (name.job_id, name.task, name.instance) != (
        job_id,
        instance.task_name,
        instance.instance,
    ):
        return False
    return instance.task_id != task_id and not (instance.done or instance.leaving)


async def _instances(
    cluster: Cluster, address: str, job_id: str
) -> AsyncIterator[jobs_pb.InstanceView]:
    async with jobs_at(cluster, address) as stub:
        request = jobs_pb.WatchJobRequest(job_id=job_id)
        async for view in stub.WatchJob(request, timeout=cluster.timeout_s):
            for instance in view.instances:
                yield instance
            if not view.more:
                return
