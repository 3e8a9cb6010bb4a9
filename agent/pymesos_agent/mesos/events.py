"""Events of our executors' streams as events of Mesos' executor API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pymesos_core.mesos.executors import executor_to_mesos
from pymesos_core.mesos.resources import attribute_to_mesos, to_mesos
from pymesos_proto.mesos.v1 import executor_pb2 as mesos_executor
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos
from pymesos_proto.v1 import executor_pb2 as executor_pb
from pymesos_proto.v1 import types_pb2 as pb

Event = mesos_executor.Event
NANO = 1_000_000_000
_CAPABILITIES = mesos.FrameworkInfo.Capability
# What a framework may declare by the same name on both wires.
_DECLARED: Mapping[int, Any] = {
    ours: _CAPABILITIES.Type.Value(name)
    for name, ours in pb.FrameworkCapability.items()
    if name in _CAPABILITIES.Type.keys()  # noqa: SIM118 - it is no mapping
}


@dataclass(frozen=True)
class Around:
    """What is true of one executor, whatever it is told."""

    framework_id: str
    role: str  # that its tasks are in
    container_id: str
    agent: pb.AgentInfo
    port: int  # of the listener


def translate(event: executor_pb.ExecutorEvent, around: Around) -> Event | None:
    """Return what an executor is told; None: Mesos has no event for it."""
    match event.WhichOneof("event"):
        case "subscribed":
            return _subscribed(event.subscribed, around)
        case "launch":
            out = Event(type=Event.LAUNCH)
            out.launch.task.CopyFrom(_task(event.launch.task_info, around))
        case "kill":
            out = Event(type=Event.KILL)
            out.kill.task_id.value = event.kill.task_id
            if event.kill.kill_policy.ByteSize():  # Mesos tells of none that says nothing
                _add_policy(event.kill.kill_policy, out.kill.kill_policy)
        case "acknowledged":
            out = Event(type=Event.ACKNOWLEDGED)
            out.acknowledged.task_id.value = event.acknowledged.task_id
            out.acknowledged.uuid = event.acknowledged.uuid
        case "message":
            out = Event(type=Event.MESSAGE)
            out.message.data = event.message.data
        case "shutdown":
            out = Event(type=Event.SHUTDOWN)
        case "error":
            out = Event(type=Event.ERROR)
            out.error.message = event.error.message
        case "refused":
            out = Event(type=Event.ERROR)
            out.error.message = event.refused.message
        case _:
            return None
    return out


def _subscribed(told: executor_pb.ExecutorEvent.Subscribed, around: Around) -> Event:
    out = Event(type=Event.SUBSCRIBED)
    out.subscribed.executor_info.CopyFrom(
        executor_to_mesos(told.executor_info, around.framework_id, around.role)
    )
    out.subscribed.framework_info.CopyFrom(
        framework_to_mesos(told.framework_info, around.framework_id)
    )
    out.subscribed.container_id.value = around.container_id
    agent = out.subscribed.agent_info
    agent.id.value, agent.hostname = told.agent_id, around.agent.address.hostname
    agent.port = around.port
    for resource in around.agent.resources:
        if (shown := to_mesos(resource, refined=True, allocated_to=None)) is not None:
            agent.resources.append(shown)
    agent.attributes.extend(map(attribute_to_mesos, around.agent.attributes))
    return out


def framework_to_mesos(info: pb.FrameworkInfo, framework_id: str) -> mesos.FrameworkInfo:
    """Return what an agent is told of a framework."""
    out = mesos.FrameworkInfo(
        user=info.user,
        name=info.name,
        failover_timeout=info.failover_timeout_s,
        checkpoint=info.checkpoint,
        roles=info.roles,
        capabilities=[
            _CAPABILITIES(type=_DECLARED[one])
            for one in dict.fromkeys((pb.MULTI_ROLE, *info.capabilities))
            if one in _DECLARED
        ],
    )
    out.id.value = framework_id
    for name in ("principal", "hostname", "webui_url"):
        if value := getattr(info, name):
            setattr(out, name, value)
    for label in info.labels:
        out.labels.labels.add(key=label.key, value=label.value)
    return out


def _task(info: pb.TaskInfo, around: Around) -> mesos.TaskInfo:
    out = mesos.TaskInfo(name=info.name)
    out.task_id.value, out.agent_id.value = info.task_id, info.agent_id
    for resource in info.resources:
        shown = to_mesos(resource, refined=True, allocated_to=around.role)
        if shown is not None:
            out.resources.append(shown)
    out.executor.CopyFrom(executor_to_mesos(info.executor, around.framework_id, around.role))
    if info.data:
        out.data = info.data
    for label in info.labels:
        out.labels.labels.add(key=label.key, value=label.value)
    if info.HasField("kill_policy"):
        _add_policy(info.kill_policy, out.kill_policy)
    if info.max_completion_time_s:
        out.max_completion_time.nanoseconds = round(info.max_completion_time_s * NANO)
    return out


def _add_policy(policy: pb.KillPolicy, out: mesos.KillPolicy) -> None:
    out.grace_period.nanoseconds = round(policy.grace_period_s * NANO)
