"""The one JSON dialect: how the cluster's things look to programs, whichever door shows them.

Times are ISO 8601 in UTC, amounts are numbers (mem and disk in MiB), states and kinds have
the names of the contract, and what is not known is null.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from pymesos_core.names import run_of
from pymesos_core.resources import Resources, from_proto
from pymesos_core.states import kind_name, reason_name, state_name
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import sandbox_pb2, types_pb2

Json = dict[str, Any]


def to_json(value: Any, indent: int | None, *, ascii_only: bool = False) -> str:
    """JSON without control characters; NaN and the infinities, which it does not have, are null."""
    try:
        text = json.dumps(value, indent=indent, ensure_ascii=ascii_only, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(value), indent=indent, ensure_ascii=ascii_only)
    if text.replace("\n", "").isprintable():
        return text
    return "".join(c if c == "\n" or c.isprintable() else json.dumps(c)[1:-1] for c in text)


def _finite(value: Any) -> Any:
    match value:
        case dict():
            return {key: _finite(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_finite(inner) for inner in value]
        case float() if not math.isfinite(value):
            return None
        case _:
            return value


def iso(time_s: float) -> str | None:
    """Unix time as ISO 8601 in UTC; None for 0."""
    try:
        when = datetime.fromtimestamp(time_s, UTC) if time_s else None
    except (ValueError, OverflowError, OSError):
        return None  # others say when, and not always with sense
    return when.isoformat(timespec="milliseconds") if when else None


# Resources.


def scalars_json(resources: Resources) -> Json:
    """cpus, mem and disk always, others when there; ports as [begin, end] pairs."""
    amounts = resources.quantities
    out: Json = {name: amounts.get(name, 0) / 1000 for name in ("cpus", "mem", "disk")}
    out |= {name: value / 1000 for name, value in amounts.items()}
    out["ports"] = [list(interval) for interval in resources.ranges.get("ports", ())]
    return out


def task_resources_json(messages: Iterable[types_pb2.Resource]) -> Json:
    """Resources as by `scalars_json`, with the ports one by one."""
    out = amounts_json(messages)
    out["ports"] = [port for begin, end in out["ports"] for port in range(begin, end + 1)]
    return out


def amounts_json(messages: Iterable[types_pb2.Resource]) -> Json:
    return scalars_json(from_proto(messages))


def quota_json(messages: Iterable[types_pb2.Resource]) -> dict[str, float]:
    """The scalars of a quota, with limits of zero, which `from_proto` would leave out."""
    return {message.name: round(message.scalar, 3) for message in messages}


def reserved_json(total: Resources) -> list[Json]:
    """What is reserved on an agent, each part with its role, and its volume if it is one."""
    return [
        {
            "role": tag.role,
            "resources": {name: value / 1000 for name, value in bag.scalars.items()},
            "volume": tag.volume.id if tag.volume else None,
            "static": all(r.static for r in tag.reservations),
        }
        for tag, bag in total.tagged.items()
        if tag.reservations
    ]


# What a master shows.


def leader_json(response: pb.GetLeaderResponse) -> Json:
    """Who leads."""
    leader = response.leader if response.HasField("leader") else None
    return {
        "address": f"{leader.ip}:{leader.port}" if leader else None,
        "hostname": leader.hostname if leader else None,
        "epoch": response.epoch or None,
    }


def agent_json(view: pb.AgentView) -> Json:
    """An agent."""
    info, total = view.info, from_proto(view.total)
    return {
        "agent_id": info.agent_id,
        "hostname": info.address.hostname,
        "address": f"{info.address.ip}:{info.address.port}",
        "principal": info.principal or None,
        "state": view.state,
        "drain": _drain_json(view.drain) if view.HasField("drain") else None,
        "maintenance": maintenance_json(view.maintenance) if view.HasField("maintenance") else None,
        "runtime": ",".join(info.runtimes),
        "isolation": dict(info.isolation),
        "unavailable": dict(info.unavailable),
        "set_aside": dict(info.set_aside),
        "resources": scalars_json(total),
        "reserved": reserved_json(total),
        "allocated": amounts_json(view.allocated),
        "offered": amounts_json(view.offered),
        "attributes": {a.name: a.text for a in info.attributes},
        "tasks": view.tasks,
        "usage": {
            "cpus": round(view.usage.cpus_used, 3),
            "mem": round(view.usage.mem_used_mib, 1),
            "disk": round(view.usage.disk_used_mib, 1),
            "containers": view.usage.containers,
        },
        "registered_at": iso(view.registered_at_s),
        "version": info.version,
    }


def tile_json(view: pb.AgentView) -> Json:
    """An agent on a map of all: what is allocated of it, and what that has, in short."""
    total, allocated = from_proto(view.total).quantities, from_proto(view.allocated).quantities
    return {
        **_of_agent(view),
        "state": view.state,
        "drain": view.drain.state or None,
        "tasks": view.tasks,
        **{
            name: [allocated.get(name, 0) / 1000, total.get(name, 0) / 1000]
            for name in ("cpus", "mem", "disk")
        },
    }


def overview_json(response: pb.GetOverviewResponse) -> Json:
    """The cluster at a glance."""
    return {
        "agents": dict(response.agents),
        "drains": dict(response.drains),
        "frameworks": dict(response.frameworks),
        "tasks": dict(response.tasks),
        "offers": response.offers,
        "now": _at_json(response.now),
        "history": [_at_json(at) for at in response.history],
        "failed": [task_json(view) for view in response.failed],
    }


def _at_json(at: pb.GetOverviewResponse.Amounts) -> Json:
    return {
        "at_s": round(at.at_s, 3),
        "total": quota_json(at.total),
        "allocated": quota_json(at.allocated),
        "offered": quota_json(at.offered),
        "used": quota_json(at.used),
    }


def maintenance_json(view: pb.MaintenanceView) -> Json:
    """A maintenance window; `duration_s` is null where it is not known."""
    window = view.unavailability
    return {
        "start": iso(window.start_s),
        "duration_s": window.duration_s or None,
        "set_by": view.set_by or None,
        "set_at": iso(view.set_at_s),
        "answers": [
            {
                "framework_id": said.framework_id,
                "framework": said.framework_name,
                "answer": said.answer,
                "at": iso(said.at_s),
            }
            for said in view.answers
        ],
    }


def window_json(view: pb.AgentView) -> Json:
    """A maintenance window, with the agent that it is of."""
    return _of_agent(view) | maintenance_json(view.maintenance)


def drained_json(view: pb.AgentView) -> Json:
    """How far a drain is, with the agent that it is of."""
    return _of_agent(view) | {"tasks": view.tasks} | _drain_json(view.drain)


def reservations_json(view: pb.AgentView) -> list[Json]:
    """What is reserved on an agent, each part with the agent."""
    return [_of_agent(view) | part for part in reserved_json(from_proto(view.total))]


def _of_agent(view: pb.AgentView) -> Json:
    return {"agent_id": view.info.agent_id, "hostname": view.info.address.hostname}


def _drain_json(drain: pb.DrainView) -> Json:
    return {
        "state": drain.state,
        "deadline": iso(drain.deadline_s) if drain.deadline_s else None,
        "then_gone": drain.then_gone,
        "down": drain.down,
        "set_by": drain.set_by or None,
        "set_at": iso(drain.set_at_s),
    }


def framework_json(view: pb.FrameworkView) -> Json:
    """A framework."""
    info = view.info
    return {
        "framework_id": info.framework_id,
        "name": info.name,
        "user": info.user,
        "roles": list(info.roles) or ["*"],
        "state": view.state,
        "failover_timeout_s": info.failover_timeout_s,
        "capabilities": [types_pb2.FrameworkCapability.Name(c) for c in info.capabilities],
        "principal": info.principal or None,
        "jobs_address": info.jobs_address or None,
        "tasks": view.tasks,
        "allocated": amounts_json(view.allocated),
        "offered": amounts_json(view.offered),
        "dominant_share": view.dominant_share,
        "suppressed_roles": list(view.suppressed_roles),
        "offer_conflicts": view.offer_conflicts,
        "registered_at": iso(view.registered_at_s),
        "disconnected_at": iso(view.disconnected_at_s),
    }


def task_json(view: pb.TaskView, quarantined: str | None = None) -> Json:
    """A task; `quarantined`: why its job is."""
    info, status = view.task_info, view.status
    return {
        "task_id": info.task_id,
        "name": info.name,
        "run": run_of(info.labels) or None,
        "framework_id": view.framework_id,
        "agent_id": (view.completed and status.agent_id) or info.agent_id,
        "hostname": view.hostname,
        "role": view.role,
        "state": state_name(view.state),
        "reason": reason_name(status.reason) or None,
        "message": status.message or None,
        "resources": task_resources_json(info.resources),
        "revocable": any(resource.revocable for resource in info.resources),
        "image": info.container.image or None,
        "launched_at": iso(view.launched_at_s),
        "started_at": iso(view.started_at_s),
        "finished_at": iso(view.finished_at_s),
        "exit_status": status.exit_status if status.HasField("exit_status") else None,
        "healthy": status.healthy if status.HasField("healthy") else None,
        "ready": status.ready if status.HasField("ready") else None,
        "completed": view.completed,
        "quarantined": quarantined,
        "usage": {"cpus": round(view.use.cpus_used, 3), "mem": round(view.use.mem_used_mib, 1)}
        if view.HasField("use")
        else None,
    }


def offer_json(view: pb.OfferView) -> Json:
    """An offer that is not answered yet, as its framework was sent it."""
    offer = view.offer
    return {
        "offer_id": offer.offer_id,
        "framework_id": offer.framework_id,
        "agent_id": offer.agent_id,
        "hostname": offer.hostname,
        "role": offer.role,
        "resources": amounts_json(offer.resources),
        "agent_total": amounts_json(offer.agent_total),
        "attributes": {a.name: a.text for a in offer.attributes},
        "runtimes": list(offer.runtimes),
        "optimistic": offer.optimistic,
        "offered_at": iso(view.offered_at_s),
    }


def accounting_json(row: pb.AccountingRow) -> Json:
    """What was used, in hours; what it is not of is null."""
    return {
        "day": row.day or None,
        "role": row.role or None,
        "framework": row.framework or None,
        "job": row.job or None,
        "rest": row.rest,
        "asked_cpu_hours": row.asked_cpu_hours,
        "asked_mem_gib_hours": row.asked_mem_gib_hours,
        "asked_gpu_hours": row.asked_gpu_hours,
        "used_cpu_hours": row.used_cpu_hours,
        "used_mem_gib_hours": row.used_mem_gib_hours,
    }


def role_json(view: pb.RoleView) -> Json:
    """A role, with what it and those below it hold."""
    return {
        "role": view.role,
        "weight": view.weight,
        "guarantees": quota_json(view.quota.guarantees),
        "limits": quota_json(view.quota.limits),
        "allocated": amounts_json(view.allocated),
        "offered": amounts_json(view.offered),
        "reserved": amounts_json(view.reserved),
        "frameworks": list(view.framework_ids),
    }


def audit_line_json(line: str, source: str) -> Json:
    """A line of an audit, and who has written it. Raises ValueError for what is no such line."""
    try:
        said = json.loads(line)
    except RecursionError:
        said = None
    if not isinstance(said, dict) or not isinstance(said.get("object", {}), dict):
        raise ValueError("no line of an audit")
    return {**said, "source": source}


def master_source(address: str) -> str:
    """What an audit line says of the master that has written it."""
    return f"the master at {address}"


def event_json(event: pb.ClusterEvent) -> Json:
    """An event of the cluster; docs/reference.md lists the kinds."""
    return {
        "timestamp": iso(event.timestamp_s),
        "kind": kind_name(event.kind),
        "agent_id": event.agent_id or None,
        "framework_id": event.framework_id or None,
        "task_id": event.task_id or None,
        "offer_id": event.offer_id or None,
        "task_state": state_name(event.task_state) if event.task_state else None,
        "reason": reason_name(event.reason) or None,
        "resources": amounts_json(event.resources),
        "message": event.message or None,
    }


def explanation_json(said: pb.ExplainFrameworkResponse) -> Json:
    """Why a framework is not offered more."""
    return {
        "framework": framework_json(said.framework),
        "last_offer_at": iso(said.last_offer_at_s),
        "offers_held": said.offers_held,
        "agents": said.agents,
        "agents_awaited": said.agents_awaited,
        "agent_state": said.agent_state or None,
        "roles": [
            {
                "role": standing.role,
                "suppressed": standing.suppressed,
                "weighted_share": standing.weighted_share,
                "place": standing.place,
                "of": standing.of,
                "weight": standing.weight,
                "withheld": [
                    {
                        "reason": withheld.reason,
                        "text": withheld.text,
                        "agents": withheld.agents,
                        "hostnames": list(withheld.hostnames),
                        "first_ends_in_s": withheld.first_ends_in_s or None,
                    }
                    for withheld in standing.withheld
                ],
            }
            for standing in said.roles
        ],
    }


# What an agent shows of a task.


def file_json(view: sandbox_pb2.FileView) -> Json:
    """A file of a sandbox."""
    return {
        "name": view.name,
        "is_directory": view.is_directory,
        "size_bytes": view.size_bytes,
        "modified_at": iso(view.modified_at_s),
        "mode": view.mode or None,
    }


def usage_json(view: sandbox_pb2.TaskUsage) -> Json:
    """What a task uses: since its start, and now."""
    return {
        "task_id": view.task_id,
        "framework_id": view.framework_id,
        "at": iso(view.timestamp_s),
        "cpu_s": view.cpu_s,
        "throttled_s": view.throttled_s,
        "read_bytes": view.read_bytes,
        "written_bytes": view.written_bytes,
        "received_bytes": view.received_bytes,
        "sent_bytes": view.sent_bytes,
        "mem_bytes": view.mem_bytes,
        "pids": view.pids,
        "cpus_limit": view.cpus_limit or None,
        "mem_limit_bytes": view.mem_limit_bytes or None,
    }
