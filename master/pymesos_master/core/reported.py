"""What an agent says of its tasks as it registers: each is read before any of it is taken in.

It may have thousands, so whoever receives them reads one after the other, and lets others have
their turn between; what depends on nothing that the master knows is done by then.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

from pymesos_core import contract, limits, resources
from pymesos_core.contract_rules import MAX_TIME_S
from pymesos_core.copies import copy_of
from pymesos_core.ids import id_problem, role_problem
from pymesos_core.resource_values import ResourceError
from pymesos_core.resources import EMPTY, Resources
from pymesos_core.states import FROM_AGENTS, is_terminal, state_name
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import types_pb2 as pb


@dataclass(frozen=True, slots=True)
class ReportedTask:
    """A task as its agent says that it is. Nothing keeps it: `info` is a part of what was said."""

    framework_id: str
    task_id: str
    role: str
    state: pb.TaskState
    info: pb.TaskInfo
    held: Resources  # as long as it runs
    launched_at_s: float  # Unix time, as the next; 0: not known
    started_at_s: float
    status: pb.TaskStatus | None
    unacknowledged: tuple[pb.TaskStatus, ...]
    problems: tuple[str, ...]  # why statuses of it are left out

    @property
    def has_ended(self) -> bool:
        """Whether it holds nothing any more."""
        return is_terminal(self.state)


@dataclass(frozen=True, slots=True)
class ReportedExecutor:
    """An executor that holds resources of its own, as its agent says."""

    framework_id: str
    executor_id: str
    role: str
    name: str
    held: Resources
    started_at_s: float  # Unix time; 0: not known


def read_executor(record: agent_pb.HeldExecutor) -> ReportedExecutor:
    """Read what an agent says of one. Raises ResourceError when it is none."""
    if problem := contract.problem(record):
        raise ResourceError(f"an executor cannot be: {problem}")
    if not (record.framework_id and record.executor_id):
        raise ResourceError("an executor is of no framework, or has no id")
    return ReportedExecutor(
        record.framework_id,
        record.executor_id,
        record.role,
        record.name,
        resources.from_proto(record.resources),
        time_of(record.started_at_s),
    )


def read_task(record: agent_pb.TaskRecord) -> ReportedTask:
    """Read what an agent says of one. Raises ResourceError when it is no task."""
    if problem := _record_problem(record):
        raise ResourceError(problem)
    problems: list[str] = []
    said = [record.status] if record.HasField("status") else []
    return ReportedTask(
        record.framework_id,
        record.task_info.task_id,
        record.role,
        record.state,
        record.task_info,
        _resources_of(record),
        time_of(record.launched_at_s),
        time_of(record.started_at_s),
        next(iter(_statuses(record, said, problems)), None),
        tuple(_statuses(record, record.unacknowledged, problems)),
        tuple(problems),
    )


def _record_problem(record: agent_pb.TaskRecord) -> str | None:
    """Why what an agent says it runs is no task that a master has given it; or None."""
    info = record.task_info
    what = f"the task {info.task_id[:255]!r}"
    if problem := id_problem(record.framework_id):
        return f"a task is of no framework: {problem}"
    if problem := id_problem(info.task_id):
        return f"a task has no id that can be: {problem}"
    if record.role and (problem := role_problem(record.role)):
        return f"{what} is of no role: {problem}"
    if record.state not in FROM_AGENTS:
        return f"{what} is in the state {state_name(record.state)}"
    return limits.TASK_INFO.problem(info.ByteSize(), what)


def _resources_of(record: agent_pb.TaskRecord) -> Resources:
    """The resources of a task; none if an ended one has unreadable ones. Raises ResourceError."""
    try:
        return resources.from_proto(record.task_info.resources)
    except ResourceError:
        if not is_terminal(record.state):
            raise
        return EMPTY


def time_of(unix_s: float) -> float:
    """A time that a peer says, or 0 when it is none."""
    return unix_s if 0 < unix_s <= MAX_TIME_S else 0.0


def _statuses(
    record: agent_pb.TaskRecord, said: Iterable[pb.TaskStatus], problems: list[str]
) -> list[pb.TaskStatus]:
    """The statuses that an agent may report of its task; why others are left out is noted."""
    kept: list[pb.TaskStatus] = []
    for status in said:
        if problem := _status_problem(record, status):
            problems.append(problem)
        else:
            kept.append(contract.tame(copy_of(status)))
    return kept


def _status_problem(record: agent_pb.TaskRecord, status: pb.TaskStatus) -> str | None:
    if problem := contract.problem(status):
        return problem
    if status.task_id != record.task_info.task_id:
        return f"it is of {status.task_id!r}, among those of {record.task_info.task_id!r}"
    return state_problem(status.state, record.state)


def state_problem(state: pb.TaskState, latest: pb.TaskState) -> str | None:
    """Why an agent cannot say a state of a task that is in its latest one by now, or None."""
    if state not in FROM_AGENTS or state == pb.TASK_STAGING or latest not in FROM_AGENTS:
        return f"an agent cannot say {state_name(state)}, or {state_name(latest)}, of a task"
    early = latest == pb.TASK_STAGING  # in which nothing has been said of it
    if early or (is_terminal(state) and not is_terminal(latest)):
        return f"it says {state_name(state)} of a task whose latest state is {state_name(latest)}"
    return None


def held_now(tasks: Iterable[ReportedTask], executors: Iterable[ReportedExecutor]) -> Resources:
    """What those hold that run. Raises ResourceError when two overlap."""
    of_tasks = (task.held for task in tasks if not task.has_ended)
    return resources.checked_total(chain(of_tasks, (executor.held for executor in executors)))
