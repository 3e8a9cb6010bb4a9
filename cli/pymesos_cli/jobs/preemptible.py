"""The tasks of a framework that may be killed for more urgent ones, as the cluster knows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from pymesos_binpack.placement.ports import ranges_of
from pymesos_binpack.placement.preemption import RunningTask
from pymesos_cli.cluster import Cluster
from pymesos_cli.services import all_jobs, service
from pymesos_core.names import parse_task_id
from pymesos_core.resources import Resources, devices, from_proto
from pymesos_proto.v1 import operator_pb2, types_pb2

UNKNOWN = (
    "what would be preempted is not known: its framework is of an earlier version, which does not"
    " tell the priorities of jobs"
)


@dataclass(frozen=True)
class Victim:
    """A task that would be killed."""

    job_id: str
    name: str
    hostname: str
    priority: int


@dataclass
class Running:
    """The tasks that may be killed, by id, and what of them people are told."""

    tasks: Mapping[str, RunningTask] = field(default_factory=dict)
    hosts: Mapping[str, str] = field(default_factory=dict)  # by task id
    unknown: str = ""  # why what may be killed is not known; empty: it is

    def once_applied(self, job_id: str, priority: int) -> Running:
        """The same when a job has another priority: its tasks have it at once."""
        tasks = {
            task_id: replace(task, priority=priority) if _job_of(task_id) == job_id else task
            for task_id, task in self.tasks.items()
        }
        return replace(self, tasks=tasks)

    def victim(self, task_id: str) -> Victim:
        """One of them, for people."""
        parts = parse_task_id(task_id)
        assert parts is not None
        name = f"{parts.task}.{parts.instance}"
        return Victim(parts.job_id, name, self.hosts[task_id], self.tasks[task_id].priority)


async def running_tasks(
    cluster: Cluster, framework: operator_pb2.FrameworkView, role: str
) -> Running:
    """The tasks of a framework that serves jobs, in a role. Raises CliError."""
    async with service(cluster, framework) as stub:
        jobs = await all_jobs(stub, cluster.timeout_s, ended=False)
    if not all(job.HasField("priority") or job.state == "quarantined" for job in jobs):
        return Running(unknown=UNKNOWN)
    priorities = {job.job_id: job.priority for job in jobs if job.HasField("priority")}
    views = await cluster.tasks(framework_id=framework.info.framework_id)
    return of_views((view for view in views if view.role == role), priorities)


def of_views(views: Iterable[operator_pb2.TaskView], priorities: Mapping[str, int]) -> Running:
    """Return the tasks that run, of jobs of known priorities, each with what its sidecars have."""
    given: dict[str, Resources] = {}
    main: dict[str, operator_pb2.TaskView] = {}
    for view in views:
        task_id, _, sidecar = view.task_info.task_id.partition("+")
        has = from_proto(view.task_info.resources)
        given[task_id] = given.get(task_id, Resources()) + has.where(lambda tag: tag.volume is None)
        parts = parse_task_id(task_id)
        runs = view.state == types_pb2.TASK_RUNNING and not sidecar
        if runs and parts is not None and parts.job_id in priorities:
            main[task_id] = view
    tasks = {
        task_id: _running_task(view, given[task_id], priorities) for task_id, view in main.items()
    }
    return Running(tasks, {task_id: view.hostname for task_id, view in main.items()})


def _running_task(
    view: operator_pb2.TaskView, has: Resources, priorities: Mapping[str, int]
) -> RunningTask:
    parts = parse_task_id(view.task_info.task_id)
    assert parts is not None
    ports = frozenset(p for begin, end in ranges_of(has) for p in range(begin, end + 1))
    return RunningTask(
        view.task_info.task_id,
        view.task_info.agent_id,
        priorities[parts.job_id],
        has.quantities,
        ports,
        devices(has),
    )


def _job_of(task_id: str) -> str:
    parts = parse_task_id(task_id)
    assert parts is not None
    return parts.job_id
