"""Executors, as Mesos' operators see them: custom ones, and those that groups of tasks name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pymesos_core.executors import executor_of
from pymesos_core.mesos.executors import executor_to_mesos
from pymesos_core.mesos.resources import to_mesos
from pymesos_core.mesos.tasks import executor_id_of
from pymesos_core.resources import to_proto
from pymesos_master.queries.looking import Look
from pymesos_proto.mesos.v1 import master_pb2 as mesos_master
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2

GetExecutors = mesos_master.Response.GetExecutors


def executors(tasks: Iterable[pb.TaskView], look: Look) -> GetExecutors:
    """Return those that have tasks, or hold resources of their own without any."""
    found: dict[tuple[str, str, str], mesos.ExecutorInfo] = {}
    for task in tasks:
        executor_id, agent_id = executor_id_of(task.task_info), task.task_info.agent_id
        key = (agent_id, task.framework_id, executor_id)
        if executor_id and key not in found:
            found[key] = _of_task(task)
    for one in look.executors():
        own = types_pb2.ExecutorInfo(
            executor_id=one.executor_id, name=one.name, resources=to_proto(one.resources)
        )
        shown = executor_to_mesos(own, one.framework_id, one.role)
        shown.ClearField("command")  # which nobody knows while it has no task
        found.setdefault((one.agent_id, one.framework_id, one.executor_id), shown)
    out = GetExecutors()
    for (agent_id, _, _), info in found.items():
        out.executors.add(executor_info=info).agent_id.value = agent_id
    return out


def _of_task(task: pb.TaskView) -> mesos.ExecutorInfo:
    info = task.task_info
    if info.HasField("executor"):
        return executor_to_mesos(info.executor, task.framework_id, task.role)
    out = mesos.ExecutorInfo(type=mesos.ExecutorInfo.DEFAULT)
    out.executor_id.value, out.framework_id.value = info.group_executor_id, task.framework_id
    shown = (to_mesos(one, refined=True, allocated_to=task.role) for one in executor_of(info)[1])
    out.resources.extend(one for one in shown if one is not None)
    return out


def older(info: mesos.ExecutorInfo, agent_id: str) -> dict[str, Any]:
    """Return one as `/state` shows it, but for its resources."""
    command: dict[str, Any] = {"argv": list(info.command.arguments), "uris": []}
    if info.HasField("command"):
        command |= {"shell": info.command.shell, "value": info.command.value}
    out = {
        "executor_id": info.executor_id.value,
        "name": info.name,
        "framework_id": info.framework_id.value,
        "command": command,
        "type": mesos.ExecutorInfo.Type.Name(info.type),
        "slave_id": agent_id,
    }
    if info.resources:
        out["role"] = info.resources[0].allocation_info.role
    return out
