"""Statuses of tasks, as Mesos tells them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pymesos_core.addresses import HostPort
from pymesos_core.mesos.json_messages import Fields
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos
from pymesos_proto.v1 import types_pb2 as pb

STATES = {n: name for name, n in pb.TaskState.items() if name in set(mesos.TaskState.keys())}
_REASONS = {
    number: name
    for name, number in pb.Reason.items()
    if name in set(mesos.TaskStatus.Reason.keys())
} | {pb.REASON_RESOURCES_REVOKED: "REASON_CONTAINER_PREEMPTED"}
_SOURCES = {
    pb.SOURCE_MASTER: "SOURCE_MASTER",
    pb.SOURCE_AGENT: "SOURCE_AGENT",
    pb.SOURCE_EXECUTOR: "SOURCE_EXECUTOR",
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
_BY_AGENT = (pb.SOURCE_AGENT, pb.SOURCE_EXECUTOR)
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
    return mesos.TaskStatus(**status_fields(told, places))


def status_fields(told: pb.TaskStatus, places: Places) -> Fields:
    """Return what a status is made of."""
    reason, by_agent = _reason_of(told, places), told.source in _BY_AGENT
    by_executor = told.source == pb.SOURCE_AGENT and told.reason in _OF_EXECUTOR
    source = pb.SOURCE_EXECUTOR if by_executor else told.source
    out: Fields = {"task_id": {"value": told.task_id}, "state": _state_of(told, reason, places)}
    if told.data:
        out["data"] = told.data
    if told.message:
        out["message"] = told.message
    if told.agent_id:
        out["agent_id"] = {"value": told.agent_id}
    out["timestamp"] = told.timestamp_s if math.isfinite(told.timestamp_s) else 0.0
    if by_agent:  # that of a command has its task's id
        out["executor_id"] = {"value": places.executor(told) or told.task_id}
    if told.HasField("healthy"):
        out["healthy"] = told.healthy
    if source in _SOURCES:
        out["source"] = _SOURCES[source]
    if reason in _REASONS:
        out["reason"] = _REASONS[reason]
    if told.uuid:
        out["uuid"] = told.uuid
    if told.labels:
        out["labels"] = {"labels": [{"key": one.key, "value": one.value} for one in told.labels]}
    is_away = told.state in (pb.TASK_UNREACHABLE, pb.TASK_LOST)
    has_container = source == pb.SOURCE_EXECUTOR or (told.reason in _OF_LATEST and not is_away)
    if has_container and (container := _container_fields(told, places.task(told))):
        out["container_status"] = container
    return out


def _state_of(told: pb.TaskStatus, reason: pb.Reason, places: Places) -> str:
    drained = told.state == pb.TASK_KILLED and reason == pb.REASON_AGENT_DRAINING
    if drained and places.is_given_up(told.agent_id):
        return "TASK_GONE_BY_OPERATOR"
    return STATES[told.state]


def _reason_of(told: pb.TaskStatus, places: Places) -> pb.Reason:
    """As Mesos tells it.

    Whatever a task is killed for, on an agent that is drained it is that. Of one that is not well
    executors say `healthy` alone when it ends.
    """
    if told.source not in _BY_AGENT:
        return told.reason
    if told.state in (pb.TASK_KILLING, pb.TASK_KILLED) and places.is_drained(told.agent_id):
        return pb.REASON_AGENT_DRAINING
    unhealthy = told.reason == pb.REASON_TASK_HEALTH_CHECK_STATUS_UPDATED
    if unhealthy and told.state == pb.TASK_KILLED:
        return pb.REASON_UNSPECIFIED
    return told.reason


def _container_fields(told: pb.TaskStatus, ip: str) -> Fields:
    out: Fields = {}
    if told.container_id:
        out["container_id"] = {"value": told.container_id}
    if ip:
        address = {"protocol": "IPv6" if ":" in ip else "IPv4", "ip_address": ip}
        out["network_infos"] = [{"ip_addresses": [address]}]
    return out
