"""What an agent has, in the JSON of Mesos' older endpoints."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pymesos_agent.mesos.about import state as about
from pymesos_agent.mesos.operators import seeing, showing
from pymesos_agent.mesos.operators.gathering import Container, Gathering
from pymesos_agent.mesos.operators.seeing import Seen, TaskView
from pymesos_core.mesos.agents import CAPABILITIES
from pymesos_core.mesos.json_messages import to_object
from pymesos_core.mesos.older import Json, amounts, task
from pymesos_core.mesos.resources import to_mesos
from pymesos_core.resources import Resources, from_proto, to_proto, total
from pymesos_core.security.roles import Roles
from pymesos_proto.mesos.v1 import master_pb2 as mesos_master
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos
from pymesos_proto.v1 import types_pb2 as pb


def state(gathering: Gathering) -> Json:
    """Return `/state`."""
    known, info, seen = gathering.state, gathering.info, gathering.seen()
    out = gathering.version | about(info, known.agent_id, str(gathering.at))
    out["start_time"] = gathering.started.wall_s
    out["capabilities"] = [mesos_master.AgentInfo.Capability.Type.Name(one) for one in CAPABILITIES]
    everything = gathering.resources()
    live = (one for one in gathering.tasks() if not one.ended)
    used = total(from_proto(one.info.resources) for one in live)
    reserved, unreserved = _by_role(everything, gathering.may.read)
    seen_of = [*unreserved, *(one for of in reserved.values() for one in of)]
    out |= {
        "resources": amounts(_plain(seen_of)),
        "reserved_resources": {role: amounts(_plain(of)) for role, of in reserved.items()},
        "unreserved_resources": amounts(_plain(unreserved)),
        "reserved_resources_full": {role: _full(of) for role, of in reserved.items()},
        "unreserved_resources_full": _full(unreserved),
    }
    reserved, unreserved = _by_role(used, gathering.may.read)
    out |= {
        "reserved_resources_allocated": {
            role: amounts(_plain(of)) for role, of in reserved.items()
        },
        "unreserved_resources_allocated": amounts(_plain(unreserved)),
        "resource_providers": [],
        "flags": dict(gathering.flags),
        "frameworks": [],
        "completed_frameworks": [],
    }
    shown = _Executors(gathering, seen)
    for framework, ended in seeing.frameworks(known, seen):
        name = "completed_frameworks" if ended else "frameworks"
        out[name].append(_framework(framework, shown))
    return out


def _by_role(
    resources: Resources, may: Roles
) -> tuple[dict[str, list[pb.Resource]], list[pb.Resource]]:
    """What is reserved for roles that may be seen, and what for nobody."""
    reserved: dict[str, list[pb.Resource]] = {}
    unreserved = []
    for one in to_proto(resources):
        role = one.reservations[-1].role if one.reservations else None
        if role is not None and role in may:
            reserved.setdefault(role, []).append(one)
        elif role is None:
            unreserved.append(one)
    return reserved, unreserved


def _plain(resources: Iterable[pb.Resource]) -> list[mesos.Resource]:
    shown = (to_mesos(one, refined=True, allocated_to=None) for one in resources)
    return [one for one in shown if one is not None]


def _full(resources: Iterable[pb.Resource]) -> list[Json]:
    shown = (to_mesos(one, refined=False, allocated_to=None) for one in resources)
    return [to_object(one) for one in shown if one is not None]


class _Executors:
    """Executors of one answer, by their frameworks."""

    def __init__(self, gathering: Gathering, seen: list[Seen]) -> None:
        self._aware = seeing.aware(gathering.state)
        self._places = showing.places(seen, gathering.info.address.ip)
        self._folder_of = gathering.queries.folder_of
        self._seen = seen

    def of(self, framework_id: str, *, ended: bool) -> list[Json]:
        """The executors of a framework, those that run or those that have ended."""
        return [
            self._executor(one)
            for one in self._seen
            if (one.framework_id, one.ended) == (framework_id, ended)
        ]

    def _executor(self, seen: Seen) -> Json:
        info = seen.info
        held = (one.task_info.resources for one in (*seen.queued, *seen.launched))
        resources = [*info.resources, *(one for of in held for one in _plain(of))]
        out: Json = {
            "id": seen.executor_id,
            "name": info.name,
            "source": info.source,
            "container": seen.container_id,
            "directory": str(self._folder_of(seen.container_id)),
            "resources": amounts(resources),
        }
        if info.resources:
            out["role"] = info.resources[0].allocation_info.role
        if info.HasField("labels"):
            out["labels"] = to_object(info.labels)["labels"]
        if info.HasField("type"):
            out["type"] = mesos.ExecutorInfo.Type.Name(info.type)
        return out | {
            "tasks": self._tasks(seen.launched),
            "queued_tasks": self._tasks(seen.queued),
            "completed_tasks": self._tasks([*seen.completed, *seen.terminated]),
        }

    def _tasks(self, views: Iterable[TaskView]) -> list[Json]:
        return [task(view, self._aware, self._places) for view in views]


def _framework(info: mesos.FrameworkInfo, executors: _Executors) -> Json:
    out: Json = {
        "id": info.id.value,
        "name": info.name,
        "user": info.user,
        "failover_timeout": info.failover_timeout,
        "checkpoint": info.checkpoint,
        "hostname": info.hostname,
    }
    if info.HasField("principal"):
        out["principal"] = info.principal
    out["roles"] = list(info.roles)
    return out | {
        "executors": executors.of(info.id.value, ended=False),
        "completed_executors": executors.of(info.id.value, ended=True),
    }


def container(shown: Container) -> Json:
    """Return a container as `/containers` shows it."""
    out: Json = {"container_id": shown.container_id.value} | _of_executor(shown)
    if shown.HasField("resource_statistics"):
        out["statistics"] = to_object(shown.resource_statistics)
    out["status"] = to_object(shown.container_status)
    return out


def statistics(shown: Container) -> Json:
    """Return a container as `/monitor/statistics` shows it."""
    return _of_executor(shown) | {"statistics": to_object(shown.resource_statistics)}


def _of_executor(shown: Container) -> Json:
    executor_id = shown.executor_id.value
    return {
        "executor_id": executor_id,
        "executor_name": shown.executor_name,
        "framework_id": shown.framework_id.value,
        "source": executor_id if shown.executor_name.startswith("Command Executor") else "",
    }


def paths(gathering: Gathering) -> dict[str, Any]:
    """Return `/files/debug`: the paths that are served, and the folders that they are."""
    out: dict[str, Any] = {}
    for one in gathering.seen():
        folder = str(gathering.queries.folder_of(one.container_id))
        runs = f"/frameworks/{one.framework_id}/executors/{one.executor_id}/runs"
        for path in (folder, f"{runs}/{one.container_id}", f"{runs}/latest"):
            out.setdefault(path, folder)
    return out
