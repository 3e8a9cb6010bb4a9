"""Statuses of tasks, as Mesos tells them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pymesos_core.addresses import HostPort
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos
from pymesos_proto.v1 import types_pb2 as pb

_STATES: Mapping[int, Any] = {
    number: mesos.TaskState.Value(name)
    for name, number in pb.TaskState.items()
    if name in mesos.TaskState.keys()  # noqa: SIM118 - it is no mapping
}
_REASONS: Mapping[int, Any] = {
    number: mesos.TaskStatus.Reason.Value(name)
    for name, number in pb.Reason.items()
    if name in mesos.TaskStatus.Reason.keys()  # noqa: SIM118
} | {pb.REASON_RESOURCES_REVOKED: mesos.TaskStatus.REASON_CONTAINER_PREEMPTED}
_SOURCES = {
    pb.SOURCE_MASTER: mesos.TaskStatus.SOURCE_MASTER,
    pb.SOURCE_AGENT: mesos.TaskStatus.SOURCE_AGENT,
    pb.SOURCE_EXECUTOR: mesos.TaskStatus.SOURCE_EXECUTOR,
}
# What the executor of a command says in Mesos, and our agent, which has none.
_OF_EXECUTOR = frozenset(
    {
        pb.REASON_MAX_COMPLETION_TIME_REACHED,
        pb.REASON_TASK_HEALTH_CHECK_STATUS_UPDATED,
        pb.REASON_TASK_CHECK_STATUS_UPDATED,
        pb.REASON_AGENT_DRAINING,
    }
)
# With which a master repeats what it knows of a task.
_OF_LATEST = (pb.REASON_RECONCILIATION, pb.REASON_AGENT_REREGISTERED)


@dataclass(frozen=True)
class Places:
    """Says where things are reached, and what becomes of them, as far as that is known."""

    task: Callable[[pb.TaskStatus], str] = lambda _: ""
    agent: Callable[[str], HostPort | None] = lambda _: None
    executor: Callable[[pb.TaskStatus], str] = lambda _: ""
    executors: Callable[[str, str], Iterable[str]] = lambda framework_id, agent_id: ()
    is_drained: Callable[[str], bool] = lambda agent_id: False
    is_given_up: Callable[[str], bool] = lambda agent_id: False  # once it is drained


NOWHERE = Places()


def status_to_mesos(told: pb.TaskStatus, places: Places) -> mesos.TaskStatus:
    """Return a status; `places` say where its task is reached, and in which executor it runs."""
    out = mesos.TaskStatus(state=_STATES[told.state])
    reason = _reason_of(told, places)
    drained = told.state == pb.TASK_KILLED and reason == pb.REASON_AGENT_DRAINING
    if drained and places.is_given_up(told.agent_id):
        out.state = mesos.TASK_GONE_BY_OPERATOR
    out.task_id.value = told.task_id
    if told.message:
        out.message = told.message
    by_executor = told.source == pb.SOURCE_AGENT and told.reason in _OF_EXECUTOR
    source = pb.SOURCE_EXECUTOR if by_executor else told.source
    if source in _SOURCES:
        out.source = _SOURCES[source]
    if reason in _REASONS:
        out.reason = _REASONS[reason]
    if told.agent_id:
        out.agent_id.value = told.agent_id
    if told.source in (pb.SOURCE_AGENT, pb.SOURCE_EXECUTOR):
        # That of a command has its task's id.
        out.executor_id.value = places.executor(told) or told.task_id
    runs = out.source == mesos.TaskStatus.SOURCE_EXECUTOR
    is_away = told.state in (pb.TASK_UNREACHABLE, pb.TASK_LOST)
    if runs or (told.reason in _OF_LATEST and not is_away):
        _add_address(places.task(told), out.container_status)
        if told.container_id:
            out.container_status.container_id.value = told.container_id
    if told.data:
        out.data = told.data
    out.timestamp = told.timestamp_s
    if told.uuid:
        out.uuid = told.uuid
    if told.HasField("healthy"):
        out.healthy = told.healthy
    for label in told.labels:
        out.labels.labels.add(key=label.key, value=label.value)
    return out


def _reason_of(told: pb.TaskStatus, places: Places) -> pb.Reason:
    """As Mesos tells it.

    Whatever a task is killed for, on an agent that is drained it is that. Of one that is not well
    executors say `healthy` alone when it ends.
    """
    if told.source not in (pb.SOURCE_AGENT, pb.SOURCE_EXECUTOR):
        return told.reason
    if told.state in (pb.TASK_KILLING, pb.TASK_KILLED) and places.is_drained(told.agent_id):
        return pb.REASON_AGENT_DRAINING
    unhealthy = told.reason == pb.REASON_TASK_HEALTH_CHECK_STATUS_UPDATED
    if unhealthy and told.state == pb.TASK_KILLED:
        return pb.REASON_UNSPECIFIED
    return told.reason


def _add_address(ip: str, out: mesos.ContainerStatus) -> None:
    if ip:
        kind = mesos.NetworkInfo.IPv6 if ":" in ip else mesos.NetworkInfo.IPv4
        out.network_infos.add().ip_addresses.add(protocol=kind, ip_address=ip)
