"""Tasks, as operators of Mesos see them."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from pymesos_core.mesos.discovery import discovery_to_mesos
from pymesos_core.mesos.json_messages import Fields
from pymesos_core.mesos.resources import to_mesos
from pymesos_core.mesos.statuses import STATES, Places, status_fields
from pymesos_proto.mesos.v1 import master_pb2 as mesos_master
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos
from pymesos_proto.v1 import operator_pb2 as operator_pb
from pymesos_proto.v1 import types_pb2 as pb

NANO = 1_000_000_000
# What a framework is told of its tasks that is not PARTITION_AWARE.
_LOST = frozenset(
    {
        pb.TASK_UNREACHABLE,
        pb.TASK_DROPPED,
        pb.TASK_GONE,
        pb.TASK_GONE_BY_OPERATOR,
    }
)


def nanoseconds(at_s: float) -> mesos.TimeInfo:
    """Return a time."""
    return mesos.TimeInfo(nanoseconds=round(at_s * NANO))


def executor_id_of(task: pb.TaskInfo) -> str:
    """The executor that its framework has given a task, or its group; empty: none."""
    return task.executor.executor_id or task.group_executor_id


def has_address(info: pb.TaskInfo, state: pb.TaskState) -> bool:
    """Whether the address of a task in that state is its agent's.

    That of another network is not known here; a task of a group has none before it runs.
    """
    starts = state == pb.TASK_STARTING and bool(info.group_executor_id)
    return info.container.network in ("", "host") and not starts


def state_of(task: operator_pb.TaskView, aware: Container[str]) -> str:
    """Return the name of the state that the framework of a task is told."""
    lost = task.state in _LOST and task.framework_id not in aware
    return STATES[pb.TASK_LOST if lost else task.state]


def task_state(task: operator_pb.TaskView, aware: Container[str]) -> Any:
    """Return the state that the framework of a task is told."""
    return mesos.TaskState.Value(state_of(task, aware))


def statuses(
    task: operator_pb.TaskView, aware: Container[str], places: Places
) -> list[mesos.TaskStatus]:
    """Return what is known of how a task came to be as it is; see `statuses_fields`."""
    return [mesos.TaskStatus(**fields) for fields in statuses_fields(task, aware, places)]


def statuses_fields(
    task: operator_pb.TaskView, aware: Container[str], places: Places
) -> list[Fields]:
    """Return what the statuses of a task are made of: that it ran, and the latest.

    One that runs was starting before that, since its launch; the rest of its past is not kept.
    """
    out = []
    passed = {
        pb.TASK_STARTING: task.launched_at_s,
        pb.TASK_RUNNING: task.started_at_s,
    }
    for state, at_s in passed.items() if task.started_at_s else ():
        if state != task.state:
            was = pb.TaskStatus(
                task_id=task.task_info.task_id,
                agent_id=task.task_info.agent_id,
                state=state,
                source=pb.SOURCE_EXECUTOR,
                timestamp_s=at_s,
                container_id=task.status.container_id,
            )
            out.append(status_fields(was, places))
    if task.HasField("status"):
        out.append(status_fields(task.status, places) | {"state": state_of(task, aware)})
    return out


def task_message(
    task: operator_pb.TaskView, aware: Container[str], places: Places
) -> mesos_master.Task:
    """Return a task."""
    info = task.task_info
    out = mesos_master.Task(name=info.name, state=task_state(task, aware))
    out.task_id.value, out.agent_id.value = info.task_id, info.agent_id
    out.framework_id.value = task.framework_id
    if executor_id := executor_id_of(info):
        out.executor_id.value = executor_id
    for one in info.resources:
        shown = to_mesos(one, refined=True, allocated_to=task.role)
        if shown is not None:
            out.resources.append(shown)
    out.statuses.extend(statuses(task, aware, places))
    if out.statuses:
        latest = out.statuses[-1]
        out.status_update_state = latest.state
        if latest.uuid:
            out.status_update_uuid = latest.uuid
    out.labels.labels.extend(map(label_to_mesos, info.labels))
    if not info.labels:
        out.ClearField("labels")
    if info.HasField("discovery"):
        out.discovery.CopyFrom(discovery_to_mesos(info.discovery))
    if info.command.user:
        out.user = info.command.user
    return out


def label_to_mesos(label: pb.Label) -> mesos.Label:
    """Return a label; an empty value is none."""
    return mesos.Label(key=label.key, value=label.value or None)
