"""Views of a leader as Mesos' older endpoints have them, in a JSON of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pymesos_core.mesos import VERSION
from pymesos_core.mesos.agents import CAPABILITIES, mesos_address
from pymesos_core.mesos.json_messages import to_object
from pymesos_core.mesos.older import Json, amounts, attribute
from pymesos_core.mesos.older import task as as_older
from pymesos_core.mesos.statuses import NOWHERE, Places
from pymesos_core.mesos.tasks import label_to_mesos, state_of
from pymesos_core.resources import Resources
from pymesos_core.states import is_terminal
from pymesos_master.mesos.events import Here
from pymesos_master.mesos.frameworks import info_to_mesos
from pymesos_master.mesos.operators import showing
from pymesos_master.mesos.operators.executors import executors, older
from pymesos_master.mesos.operators.reading import Tasks
from pymesos_master.queries.looking import Look
from pymesos_proto.mesos.v1 import master_pb2 as mesos_master
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2

NO_TASKS = Tasks([], [], [])
COUNTED = (
    "TASK_STAGING",
    "TASK_STARTING",
    "TASK_RUNNING",
    "TASK_KILLING",
    "TASK_FINISHED",
    "TASK_KILLED",
    "TASK_FAILED",
    "TASK_LOST",
    "TASK_ERROR",
    "TASK_UNREACHABLE",
)


@dataclass(frozen=True)
class Cluster:
    """What is read for one answer; what an answer does not need is empty."""

    here: Here
    look: Look
    agents: Sequence[pb.AgentView] = ()
    frameworks: Sequence[pb.FrameworkView] = ()
    tasks: Tasks = NO_TASKS
    offers: Sequence[pb.OfferView] = ()
    places: Places = NOWHERE

    @property
    def aware(self) -> Container[str]:
        """The frameworks that are PARTITION_AWARE."""
        return showing.aware_of(self.frameworks)


def _of_ours(resources: Iterable[types_pb2.Resource]) -> Json:
    return amounts(showing.plain(resources, refined=True))


def _held(held: Iterable[tuple[str, Resources]]) -> Json:
    return amounts(showing.held_to_mesos(held))


def _full(resources: Iterable[mesos.Resource]) -> list[Json]:
    return [to_object(one) for one in resources]


def _reserved(agent: pb.AgentView) -> dict[str, list[types_pb2.Resource]]:
    out: dict[str, list[types_pb2.Resource]] = {}
    for one in agent.total:
        if one.reservations:
            out.setdefault(one.reservations[-1].role, []).append(one)
    return out


def _unreserved(agent: pb.AgentView) -> list[types_pb2.Resource]:
    return [one for one in agent.total if not one.reservations]


# Agents.


def slave(agent: pb.AgentView, cluster: Cluster, *, full: bool) -> Json:
    """Return an agent; `full`: with its resources as messages, too."""
    info, held = agent.info, cluster.look.held_on(agent.info.agent_id)
    reserved, unreserved = _reserved(agent), _unreserved(agent)
    out: Json = {
        "id": info.agent_id,
        "hostname": info.address.hostname or info.address.ip,
        "port": mesos_address(info).port,
        "attributes": {one.name: attribute(one) for one in info.attributes},
        "pid": showing.pid_of(info),
        "registered_time": agent.registered_at_s,
        "resources": _of_ours(agent.total),
        "used_resources": _held(held.allocated),
        "offered_resources": _held(held.offered),
        "reserved_resources": {role: _of_ours(found) for role, found in reserved.items()},
        "unreserved_resources": _of_ours(unreserved),
        "active": showing.is_active(agent),
        "deactivated": agent.HasField("drain"),
        "version": VERSION,
        "capabilities": list(_capability_names()),
    }
    message = showing.agent_message(agent, held)
    if message.HasField("drain_info"):
        out["drain_info"] = to_object(message.drain_info)
        out["estimated_drain_start_time_seconds"] = int(agent.drain.set_at_s)
    if full:
        out["reserved_resources_full"] = {
            role: _full(showing.plain(found, refined=False)) for role, found in reserved.items()
        }
        out["unreserved_resources_full"] = _full(showing.plain(unreserved, refined=False))
        out["used_resources_full"] = _full(message.allocated_resources)
        out["offered_resources_full"] = _full(message.offered_resources)
    return out


def _capability_names() -> Iterable[str]:
    return map(mesos_master.AgentInfo.Capability.Type.Name, CAPABILITIES)


# Tasks.


def all_tasks(cluster: Cluster) -> list[pb.TaskView]:
    """Return the tasks of an answer, whatever became of them."""
    found = cluster.tasks
    return [*found.live, *found.unreachable, *found.completed]


# Frameworks.


def framework_summary(view: pb.FrameworkView, cluster: Cluster) -> Json:
    """Return what every answer says of a framework."""
    info = info_to_mesos(view.info)
    held = cluster.look.held_by(view.info.framework_id)
    there = view.state == "active"
    return {
        "id": view.info.framework_id,
        "name": info.name,
        "used_resources": _held(held.allocated),
        "offered_resources": _held(held.offered),
        "capabilities": [
            mesos.FrameworkInfo.Capability.Type.Name(one.type) for one in info.capabilities
        ],
        "hostname": info.hostname,
        "webui_url": info.webui_url,
        "active": there,
        "connected": there,
        "recovered": False,
    }


class Frameworks:
    """Frameworks of one answer, with what belongs to each."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._aware = cluster.aware
        self._of: dict[tuple[str, str], list[Json]] = {}
        for kind in ("live", "unreachable", "completed"):
            for view in getattr(cluster.tasks, kind):
                shown = as_older(view, self._aware, cluster.places)
                self._of.setdefault((view.framework_id, kind), []).append(shown)
        self._executors: dict[str, list[Json]] = {}
        for executor in executors(cluster.tasks.live, cluster.look).executors:
            info = executor.executor_info
            shown = older(info, executor.agent_id.value) | {"resources": amounts(info.resources)}
            self._executors.setdefault(info.framework_id.value, []).append(shown)
        self._offers: dict[str, list[Json]] = {}
        for one in cluster.offers:
            self._offers.setdefault(one.offer.framework_id, []).append(_offer(one.offer))

    def shown(self, view: pb.FrameworkView) -> Json:
        """Return one."""
        info, framework_id = view.info, view.info.framework_id
        out = framework_summary(view, self._cluster)
        used = self._cluster.look.held_by(framework_id)
        out |= {
            "user": info.user,
            "failover_timeout": info.failover_timeout_s,
            "checkpoint": info.checkpoint,
            "registered_time": view.registered_at_s,
            "unregistered_time": 0.0,
            "resources": _held([*used.allocated, *used.offered]),
        }
        if info.principal:
            out["principal"] = info.principal
        if types_pb2.MULTI_ROLE in info.capabilities:
            out["roles"] = list(info.roles)
        else:
            out["role"] = next(iter(info.roles), "*")
        if info.labels:
            out["labels"] = [to_object(label_to_mesos(one)) for one in info.labels]
        out |= {
            "tasks": self._of.get((framework_id, "live"), []),
            "unreachable_tasks": self._of.get((framework_id, "unreachable"), []),
            "completed_tasks": self._of.get((framework_id, "completed"), []),
            "offers": self._offers.get(framework_id, []),
            "executors": self._executors.get(framework_id, []),
            "offer_constraints": {},
        }
        return out

    def split(self, views: Iterable[pb.FrameworkView]) -> Json:
        """Return those that are there, and those that have ended."""
        found: Json = {"frameworks": [], "completed_frameworks": []}
        for view in views:
            ended = view.state == "completed"
            found["completed_frameworks" if ended else "frameworks"].append(self.shown(view))
        return found | {"unregistered_frameworks": []}


def _offer(offer: types_pb2.Offer) -> Json:
    return {
        "id": offer.offer_id,
        "framework_id": offer.framework_id,
        "allocation_info": {"role": offer.role},
        "slave_id": offer.agent_id,
        "resources": _of_ours(offer.resources),
    }


# The cluster.


def state_summary(cluster: Cluster) -> Json:
    """Return `/state-summary`."""
    aware = cluster.aware
    of_agent: dict[str, Counter[str]] = {}
    of_framework: dict[str, Counter[str]] = {}
    agents_of: dict[str, dict[str, None]] = {}
    frameworks_on: dict[str, dict[str, None]] = {}
    for view in all_tasks(cluster):
        name = state_of(view, aware)
        framework_id, agent_id = view.framework_id, view.task_info.agent_id
        of_agent.setdefault(agent_id, Counter())[name] += 1
        of_framework.setdefault(framework_id, Counter())[name] += 1
        if not is_terminal(view.state):
            agents_of.setdefault(framework_id, {})[agent_id] = None
            frameworks_on.setdefault(agent_id, {})[framework_id] = None

    def counts(of: Mapping[str, Counter[str]], key: str) -> Json:
        counted = of.get(key, Counter())
        return {name: counted[name] for name in COUNTED}

    return {
        "hostname": cluster.here.hostname,
        "slaves": [
            slave(agent, cluster, full=False)
            | counts(of_agent, agent.info.agent_id)
            | {"framework_ids": list(frameworks_on.get(agent.info.agent_id, ()))}
            for agent in cluster.agents
        ],
        "frameworks": [
            framework_summary(view, cluster)
            | counts(of_framework, view.info.framework_id)
            | {"slave_ids": list(agents_of.get(view.info.framework_id, ()))}
            for view in cluster.frameworks
            if view.state != "completed"
        ],
    }


def state(
    cluster: Cluster,
    recovered: Sequence[pb.AgentView],
    flags: Mapping[str, str],
    version: Json,
    start_s: float,
) -> Json:
    """Return `/state`."""
    info = cluster.here.info()
    active = sum(map(showing.is_active, cluster.agents))
    out = version | {
        "start_time": start_s,
        "elected_time": start_s,
        "id": info.id,
        "pid": info.pid,
        "hostname": info.hostname,
        "capabilities": ["AGENT_UPDATE", "AGENT_DRAINING", "QUOTA_V2"],
        "activated_slaves": active,
        "deactivated_slaves": len(cluster.agents) - active,
        "unreachable_slaves": 0,
        "leader": info.pid,
        "leader_info": {
            "id": info.id,
            "pid": info.pid,
            "port": info.port,
            "hostname": info.hostname,
        },
        "flags": dict(flags),
        "slaves": [slave(agent, cluster, full=True) for agent in cluster.agents],
        "recovered_slaves": _recovered(recovered),
    }
    return out | Frameworks(cluster).split(cluster.frameworks) | {"orphan_tasks": []}


def slaves(cluster: Cluster, recovered: Iterable[pb.AgentView]) -> Json:
    """Return `/slaves`."""
    return {
        "slaves": [slave(agent, cluster, full=True) for agent in cluster.agents],
        "recovered_slaves": _recovered(recovered),
    }


def _recovered(agents: Iterable[pb.AgentView]) -> list[Json]:
    return [to_object(showing.agent_info(agent)) for agent in agents]


def roles(views: Iterable[pb.RoleView]) -> Json:
    """Return `/roles`."""
    return {"roles": [_role(view) for view in views]}


def _role(view: pb.RoleView) -> Json:
    allocated, offered = showing.scalars(view.allocated), showing.scalars(view.offered)
    held = {name: allocated.get(name, 0.0) + more for name, more in offered.items()} | {
        name: amount + offered.get(name, 0.0) for name, amount in allocated.items()
    }

    def shown(found: Mapping[str, float]) -> Json:
        return {name: round(amount, 3) for name, amount in sorted(found.items()) if amount}

    return {
        "name": view.role,
        "weight": view.weight or 1.0,
        "quota": {
            "role": view.role,
            "guarantee": {one.name: one.scalar for one in view.quota.guarantees},
            "limit": {one.name: one.scalar for one in view.quota.limits},
            "consumed": shown(showing.scalars(view.consumed)),
        },
        "resources": shown(held),
        "allocated": shown(allocated),
        "offered": shown(offered),
        "reserved": shown(showing.scalars(view.reserved)),
        "frameworks": list(view.framework_ids),
    }
