"""Task groups, as Mesos describes them and as we do.

Mesos' default executor runs the tasks of a group as nested containers, and kills all when one fails
or is killed. Here the agent does that itself: there is no process to be started. It is charged what
its framework says all the same, as in Mesos. What is refused is from `src/master/validation.cpp`.
"""

from __future__ import annotations

from collections.abc import Sequence

from pymesos_core.mesos.resources import from_checked
from pymesos_core.mesos.unsupported import UnsupportedError, check
from pymesos_master.mesos.containers import mapping_of
from pymesos_master.mesos.tasks import ports_of, task_of
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos
from pymesos_proto.v1 import types_pb2 as pb


def group_of(executor: mesos.ExecutorInfo, infos: Sequence[mesos.TaskInfo]) -> list[pb.TaskInfo]:
    """Return our tasks of a group. Raises UnsupportedError that names what there is not here."""
    _check_executor(executor)
    held = [from_checked(resource) for resource in executor.resources]
    tasks = []
    for info in infos:
        try:
            _check_task(executor, info)
            plain = mesos.TaskInfo()
            plain.CopyFrom(info)
            plain.ClearField("executor")  # it says nothing beside that of the group
            task = task_of(plain)
        except UnsupportedError as error:
            raise UnsupportedError(f"Task '{info.task_id.value[:255]}': {error}") from None
        task.group_executor_id = executor.executor_id.value
        task.group_executor_resources.extend(held)
        tasks.append(task)
    if executor.container.network_infos and tasks:
        _add_network(executor.container.network_infos, tasks)
    return tasks


def _check_executor(executor: mesos.ExecutorInfo) -> None:
    """Raises UnsupportedError for one that is not Mesos' own, with what that has here."""
    check(executor)
    if executor.type != mesos.ExecutorInfo.DEFAULT:
        raise UnsupportedError(
            "LAUNCH_GROUP is supported with ExecutorInfo.type DEFAULT; a custom executor gets its"
            " tasks by LAUNCH"
        )
    if executor.HasField("command"):
        raise UnsupportedError("'ExecutorInfo.command' must not be set for 'DEFAULT' executor")
    if not executor.HasField("container"):
        return
    container = executor.container
    if container.type != mesos.ContainerInfo.MESOS:
        raise UnsupportedError(
            "'ExecutorInfo.container.type' must be 'MESOS' for 'DEFAULT' executor"
        )
    if container.mesos.HasField("image"):
        raise UnsupportedError(
            "'ExecutorInfo.container.mesos.image' must not be set for 'DEFAULT' executor"
        )
    for name in ("volumes", "linux_info", "rlimit_info"):
        field = container.DESCRIPTOR.fields_by_name[name]
        if len(getattr(container, name)) if field.is_repeated else container.HasField(name):
            raise UnsupportedError(
                f"ExecutorInfo.container.{name} is not supported of a DEFAULT executor: say it of"
                f" the tasks"
            )


def _check_task(executor: mesos.ExecutorInfo, info: mesos.TaskInfo) -> None:
    """Raises UnsupportedError."""
    if info.HasField("executor") and info.executor != executor:
        raise UnsupportedError(
            "The `ExecutorInfo` of task is different from `LAUNCH_GROUP` operation's executor"
        )
    if not info.HasField("command"):
        raise UnsupportedError("'TaskInfo.command' must be set for a task of a group")
    if info.container.network_infos:
        raise UnsupportedError("NetworkInfos must not be set on the task: say it of the executor")
    if info.HasField("container") and info.container.type == mesos.ContainerInfo.DOCKER:
        raise UnsupportedError("Docker ContainerInfo is not supported on the task: MESOS is")


def _add_network(said: Sequence[mesos.NetworkInfo], tasks: Sequence[pb.TaskInfo]) -> None:
    """Have all in the network of the executor; a port is mapped for the task whose it is."""
    if len(said) > 1:
        raise UnsupportedError(
            "ExecutorInfo.container.network_infos names several networks; one is possible"
        )
    for task in tasks:
        task.container.network = said[0].name
    ports = [ports_of(task) for task in tasks]
    for one in said[0].port_mappings:
        owner = next((n for n, mine in enumerate(ports) if one.host_port in mine), 0)
        tasks[owner].container.port_mappings.append(mapping_of(one, ports[owner]))
