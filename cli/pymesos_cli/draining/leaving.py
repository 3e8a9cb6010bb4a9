"""What keeps tasks on an agent that is drained: their volumes, or what replaces them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

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

ASK_S = 4.0  # in which the frameworks answer, or less is said: others wait for it
SHOWN = 5  # tasks of an agent
PINNED_SHOWN = 50  # that have volumes there: no other command says that it is these


def shown_of(tasks: Sequence[pb.TaskView]) -> list[pb.TaskView]:
    """The tasks of an agent that are named: first those whose volumes keep them there."""
    pinned = [task for task in tasks if _volumes(task)]
    others = [task for task in tasks if not _volumes(task)]
    return [*pinned[:PINNED_SHOWN], *others[: max(0, SHOWN - len(pinned))]]


@dataclass
class _Known:
    """What the frameworks that serve jobs say of tasks, by the ids of these."""

    own: dict[str, jobs_pb.InstanceView] = field(default_factory=dict)
    replaced_by: dict[str, jobs_pb.InstanceView] = field(default_factory=dict)
    daemons: set[tuple[str, str]] = field(default_factory=set)  # jobs and tasks
    silent: dict[str, str] = field(default_factory=dict)  # frameworks by id: their names
    in_time: bool = True  # whether all was heard


async def reasons(cluster: Cluster, tasks: Sequence[pb.TaskView]) -> list[str]:
    """Each task with what keeps it, as far as the master and the frameworks say."""
    known = _Known()
    try:
        async with asyncio.timeout(ASK_S):
            await _ask(cluster, tasks, known)
    except TimeoutError:
        known.in_time = False
    except (CliError, grpc.aio.AioRpcError):
        pass  # which says less of what is left, and keeps nobody from waiting for it
    return [_reason(task, known) for task in tasks]


def _reason(task: pb.TaskView, known: _Known) -> str:
    task_id = task.task_info.task_id
    out = f"{task_id} {state_name(task.state).removeprefix('TASK_')}"
    own, other = known.own.get(task_id), known.replaced_by.get(task_id)
    if is_terminal(task.state):
        why = "its framework has not acknowledged that it ended"
    elif volumes := _volumes(task):
        why = f"its volume {', '.join(volumes)} is on the agent"
    elif task.framework_id in known.silent:
        why = f"its framework {known.silent[task.framework_id]} does not answer"
    elif other is not None and other.state == types_pb2.TASK_STATE_UNSPECIFIED:
        why = f"what replaces it waits: {other.explanation or 'it is not planned yet'}"
    elif other is not None and not other.ready:
        why = f"what replaces it on {other.hostname} is not ready yet"
    elif own is not None:
        why = _reason_of(own, known)
    elif known.in_time:
        why = "its framework was told, and has it run on"
    else:
        why = f"its framework has not answered in {ASK_S:g} s"
    return f"{out}: {why}"


def _reason_of(own: jobs_pb.InstanceView, known: _Known) -> str:
    """Why an instance that nothing is to replace yet, or that is to end, is there."""
    if own.leaving:
        return f"it is ending: {own.leaving}"
    if (own.task_id.partition(".")[0], own.task_name) in known.daemons:
        return "a daemon, which ends here once all others have left"
    if not own.service:
        return "it is no service, and may finish until then"
    return "what replaces it is not planned yet; drains and rollouts share its task's budget"


def _volumes(task: pb.TaskView) -> list[str]:
    return [volume.id for _, volume in volumes_of(from_proto(task.task_info.resources))]


async def _ask(cluster: Cluster, tasks: Sequence[pb.TaskView], known: _Known) -> None:
    named = {t.task_info.task_id: parse_task_id(t.task_info.task_id) for t in tasks}
    wanted = {name.job_id for name in named.values() if name is not None}
    if not wanted:
        return
    answers = await ask_jobs(cluster, ended=False, patient=False)
    for one in answers.silent:
        known.silent[one.framework.info.framework_id] = one.framework.info.name
    for address, job in answers.items:
        if job.job_id not in wanted:
            continue
        async for view in _views(cluster, address, job.job_id):
            known.daemons.update((job.job_id, daemon.task_name) for daemon in view.daemons)
            for instance in view.instances:
                if instance.task_id in named:
                    known.own[instance.task_id] = instance
                for task_id, name in named.items():
                    if _replaces(instance, job.job_id, task_id, name):
                        known.replaced_by[task_id] = instance


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


async def _views(cluster: Cluster, address: str, job_id: str) -> AsyncIterator[jobs_pb.JobView]:
    async with jobs_at(cluster, address) as stub:
        request = jobs_pb.WatchJobRequest(job_id=job_id)
        async for view in stub.WatchJob(request, timeout=cluster.timeout_s):
            yield view
            if not view.more:
                return
