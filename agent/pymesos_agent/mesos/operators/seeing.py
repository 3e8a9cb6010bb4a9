"""An agent as Mesos sees it: every task is in an executor, a command in one of its own."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, field

from pymesos_agent.core.context import AgentState
from pymesos_agent.core.executors.executor import Executor
from pymesos_agent.core.tasks.task import Task
from pymesos_agent.mesos.events import framework_to_mesos
from pymesos_core.executors import OVERHEAD
from pymesos_core.mesos.executors import executor_to_mesos
from pymesos_core.mesos.resources import to_mesos
from pymesos_core.mesos.tasks import executor_id_of
from pymesos_core.resources import to_proto
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import operator_pb2
from pymesos_proto.v1 import types_pb2 as pb

TaskView = operator_pb2.TaskView
MAX_SHOWN = 15  # characters of a command, in the name of its executor


@dataclass
class Seen:
    """An executor with its tasks."""

    framework_id: str
    info: mesos.ExecutorInfo
    container_id: str  # its own; of a group, that of its first task
    role: str  # empty: it is not known
    ended: bool = False
    containers: list[str] = field(default_factory=list)  # that run, or are about to
    queued: list[TaskView] = field(default_factory=list)
    launched: list[TaskView] = field(default_factory=list)
    terminated: list[TaskView] = field(default_factory=list)
    completed: list[TaskView] = field(default_factory=list)

    @property
    def executor_id(self) -> str:
        """What its framework calls it."""
        return self.info.executor_id.value

    def add(self, task: Task) -> None:
        """Add a task whose end is not acknowledged."""
        if task.container is not None and not task.ended:
            self.containers.append(task.container_id)
        if task.ended:
            self.terminated.append(_view(task))
        elif task.state == pb.TASK_STAGING:
            self.queued.append(_view(task))
        else:
            self.launched.append(_view(task))


def executors(state: AgentState) -> list[Seen]:
    """Return all executors, also those that have ended and whose files are kept."""
    found: dict[str, Seen] = {}
    for owner in state.owners.values():
        if isinstance(owner, Executor):
            own, framework_id = owner.executor_info, owner.framework_id
            info = executor_to_mesos(own, framework_id, owner.role, with_env=False)
            found[owner.container_id] = Seen(
                owner.framework_id,
                info,
                owner.container_id,
                owner.role,
                owner.ended,
                [] if owner.ended else [owner.container_id],
            )
    for task in state.tasks.values():
        place = _place(task)
        if place not in found:
            info = _info_of(task)
            found[place] = Seen(task.framework_id, info, task.container_id, task.role)
        found[place].add(task)
    for record in (*state.sandboxes.values(), *state.in_executors.values()):
        place = record.executor_container_id or record.container_id
        if place not in found:
            info = _info(record.framework_id, record.task_id)
            role = record.task.role
            found[place] = Seen(record.framework_id, info, place, role, ended=True)
        if record.HasField("task"):
            found[place].completed.append(_view_of_record(record.task))
    return list(found.values())


def _place(task: Task) -> str:
    """What is the same of all tasks of an executor."""
    if task.inside is not None:
        return task.inside.container_id
    if task.info.group_executor_id:
        return f"{task.framework_id}/{task.info.group_executor_id}"
    return task.container_id


def _info_of(task: Task) -> mesos.ExecutorInfo:
    """The executor of a task that runs in none of its framework's own."""
    if (executor_id := executor_id_of(task.info)) == "":
        return _of_command(task)
    out = _info(task.framework_id, executor_id)
    out.type = mesos.ExecutorInfo.DEFAULT
    for one in task.info.group_executor_resources:
        shown = to_mesos(one, refined=True, allocated_to=task.role)
        if shown is not None:
            out.resources.append(shown)
    return out


def _info(framework_id: str, executor_id: str) -> mesos.ExecutorInfo:
    out = mesos.ExecutorInfo()
    out.executor_id.value, out.framework_id.value = executor_id, framework_id
    return out


def _of_command(task: Task) -> mesos.ExecutorInfo:
    """As Mesos describes the one that it gives a command; here the command runs without one."""
    out = _info(task.framework_id, task.info.task_id)
    out.name, out.source = f"Command Executor {_shown(task.info)}", task.info.task_id
    shown = (to_mesos(one, refined=True, allocated_to=task.role) for one in to_proto(OVERHEAD))
    out.resources.extend(one for one in shown if one is not None)
    return out


def _shown(info: pb.TaskInfo) -> str:
    command = info.command
    if not command.value:
        said = "NO COMMAND" if command.shell else "NO EXECUTABLE"
    elif command.shell:
        said = f"sh -c '{_cut(command.value)}'"
    else:
        said = f"[{command.value}: {_cut(', '.join(command.arguments))}]"
    return f"(Task: {info.task_id}) (Command: {said})"


def _cut(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."


def _view(task: Task) -> TaskView:
    """A task, without what its executor has sent with its status, as in Mesos."""
    view = TaskView(
        framework_id=task.framework_id,
        task_info=task.info,
        state=task.state,
        role=task.role,
        launched_at_s=task.launched_at_s,
        started_at_s=task.started_at_s,
    )
    latest = task.unacknowledged[-1] if task.unacknowledged else task.acknowledged
    if latest is not None:
        view.status.CopyFrom(latest)
        view.status.ClearField("data")
    return view


def _view_of_record(record: agent_pb.TaskRecord) -> TaskView:
    view = TaskView(
        framework_id=record.framework_id,
        task_info=record.task_info,
        state=record.state,
        role=record.role,
        launched_at_s=record.launched_at_s,
        started_at_s=record.started_at_s,
        status=record.status if record.HasField("status") else None,
        completed=True,
    )
    if view.HasField("status"):
        view.status.ClearField("data")
    return view


def frameworks(state: AgentState, seen: list[Seen]) -> Iterator[tuple[mesos.FrameworkInfo, bool]]:
    """Yield the frameworks of executors, each with whether all of these have ended."""
    live = {one.framework_id for one in seen if not one.ended}
    for framework_id in dict.fromkeys(one.framework_id for one in seen):
        info = state.framework_info(framework_id)
        yield framework_to_mesos(info, framework_id), framework_id not in live


def aware(state: AgentState) -> Container[str]:
    """Return the frameworks that are PARTITION_AWARE, as far as that is known."""
    return {
        framework_id
        for framework_id, info in state.frameworks.items()
        if pb.PARTITION_AWARE in info.capabilities
    }
