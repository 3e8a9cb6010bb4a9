"""Views of a leader as messages of Mesos' operators' API."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping

from pymesos_core.mesos import VERSION
from pymesos_core.mesos.agents import CAPABILITIES, mesos_address
from pymesos_core.mesos.operators import EmptyLists
from pymesos_core.mesos.resources import attribute_to_mesos, to_mesos
from pymesos_core.mesos.statuses import Places
from pymesos_core.mesos.tasks import nanoseconds
from pymesos_core.resources import Resources, to_proto
from pymesos_master.mesos.events import AGENT_PATH, offer_to_mesos
from pymesos_master.mesos.frameworks import Format, info_to_mesos
from pymesos_master.mesos.tasks import NANO
from pymesos_master.queries.looking import Held
from pymesos_proto.mesos.v1 import master_pb2 as mesos_master
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2

Response = mesos_master.Response
Agent = Response.GetAgents.Agent
Framework = Response.GetFrameworks.Framework
OFFERED = Format(refined=True, multi_role=True)  # how offers are shown to operators
NO_SCALARS = frozenset({"ports"})
_KINDS = mesos_master.AgentInfo.Capability
_DRAINS = {"draining": mesos_master.DRAINING, "drained": mesos_master.DRAINED}
EMPTY_LISTS = EmptyLists(
    {
        Response.GetTasks: ("tasks", "unreachable_tasks", "completed_tasks"),
        Response.GetExecutors: ("executors",),
        Response.GetFrameworks: ("frameworks", "completed_frameworks"),
        Response.GetAgents: ("agents", "recovered_agents"),
    },
    below=(
        *("get_state", "get_tasks", "get_executors", "get_frameworks", "get_agents"),
        "subscribed",
    ),
)


def pid_of(info: types_pb2.AgentInfo) -> str:
    """Return what Mesos calls an agent's process."""
    return f"{AGENT_PATH.removeprefix('/')}@{mesos_address(info)}"


def agent_text(info: types_pb2.AgentInfo) -> str:
    """Return an agent as Mesos writes it in a sentence."""
    return f"{info.agent_id} at {pid_of(info)} ({info.address.hostname})"


def aware_of(frameworks: Iterable[pb.FrameworkView]) -> Container[str]:
    """Return the ids of frameworks that are PARTITION_AWARE."""
    aware = types_pb2.PARTITION_AWARE
    return {f.info.framework_id for f in frameworks if aware in f.info.capabilities}


# Resources.


def held_to_mesos(held: Iterable[tuple[str, Resources]]) -> list[mesos.Resource]:
    """Return what is held, in the older format, by the roles that it is allocated to."""
    return added(
        shown
        for role, resources in held
        for one in to_proto(resources)
        if (shown := to_mesos(one, refined=False, allocated_to=role)) is not None
    )


def added(resources: Iterable[mesos.Resource]) -> list[mesos.Resource]:
    """Return the sums of resources that differ in nothing but how much it is."""
    out: dict[bytes, mesos.Resource] = {}
    for one in resources:
        key = mesos.Resource()
        key.CopyFrom(one)
        for value in ("scalar", "ranges", "set"):
            key.ClearField(value)
        name = key.SerializeToString(deterministic=True)
        known = out.setdefault(name, one)
        if known is one:
            continue
        if one.HasField("scalar"):
            known.scalar.value = round(known.scalar.value + one.scalar.value, 3)
        known.ranges.range.extend(one.ranges.range)
        known.set.item.extend(item for item in one.set.item if item not in known.set.item)
    return list(out.values())


def plain(resources: Iterable[types_pb2.Resource], *, refined: bool) -> Iterator[mesos.Resource]:
    """Yield resources that are allocated to nobody; parts of devices are left out."""
    for one in resources:
        if (shown := to_mesos(one, refined=refined, allocated_to=None)) is not None:
            yield shown


def scalars(resources: Iterable[types_pb2.Resource]) -> dict[str, float]:
    """Return the sums of scalars by their names."""
    out: dict[str, float] = {}
    for one in resources:
        if one.WhichOneof("value") in (None, "scalar") and one.name not in NO_SCALARS:
            out[one.name] = round(out.get(one.name, 0.0) + one.scalar, 3)
    return out


def _scalar_resources(amounts: Mapping[str, float]) -> Iterator[mesos.Resource]:
    for name, amount in sorted(amounts.items()):
        if amount:
            out = mesos.Resource(name=name, type=mesos.Value.SCALAR)
            out.scalar.value = amount
            yield out


# Agents, frameworks, tasks, roles.


def agent_info(agent: pb.AgentView) -> mesos_master.AgentInfo:
    """Return what an agent says of itself."""
    info = agent.info
    out = mesos_master.AgentInfo(
        hostname=info.address.hostname or info.address.ip,
        port=mesos_address(info).port,
        checkpoint=True,
    )
    out.id.value = info.agent_id
    out.resources.extend(plain(info.resources, refined=True))
    out.attributes.extend(map(attribute_to_mesos, info.attributes))
    return out


def is_active(agent: pb.AgentView) -> bool:
    """Whether an agent is there and offered."""
    return agent.state == "active" and not agent.HasField("drain")


def agent_message(agent: pb.AgentView, held: Held) -> Agent:
    """Return an agent that is registered."""
    out = Agent(
        agent_info=agent_info(agent),
        active=is_active(agent),
        deactivated=agent.HasField("drain"),
        version=VERSION,
        pid=pid_of(agent.info),
        registered_time=nanoseconds(agent.registered_at_s),
        total_resources=plain(agent.total, refined=False),
        allocated_resources=held_to_mesos(held.allocated),
        offered_resources=held_to_mesos(held.offered),
        capabilities=[_KINDS(type=kind) for kind in CAPABILITIES],
    )
    if (state := _DRAINS.get(agent.drain.state)) is not None:
        drain = agent.drain
        out.drain_info.state = state
        out.drain_info.config.mark_gone = drain.then_gone
        within_s = max(0.0, drain.deadline_s - drain.set_at_s)
        out.drain_info.config.max_grace_period.nanoseconds = round(within_s * NANO)
        out.estimated_drain_start_time.CopyFrom(nanoseconds(drain.set_at_s))
    return out


def framework_message(
    framework: pb.FrameworkView,
    held: Held,
    offers: Iterable[types_pb2.Offer],
    places: Places,
    *,
    event: bool = False,
) -> Framework:
    """Return a framework; for an event as Mesos writes it there."""
    there = framework.state == "active"
    out = Framework(
        framework_info=info_to_mesos(framework.info),
        active=there,
        connected=there,
        recovered=False,
        registered_time=nanoseconds(framework.registered_at_s),
        reregistered_time=nanoseconds(framework.registered_at_s),
        allocated_resources=held_to_mesos(held.allocated),
        offered_resources=held_to_mesos(held.offered),
    )
    if event:
        out.unregistered_time.nanoseconds = 0
    else:
        out.offers.extend(offer_to_mesos(one, OFFERED, places) for one in offers)
        out.offer_constraints.SetInParent()
    return out


def role_message(role: pb.RoleView) -> mesos_master.Role:
    """Return a role, with what is allocated to it and offered."""
    out = mesos_master.Role(name=role.role, weight=role.weight or 1.0)
    out.frameworks.extend(mesos.FrameworkID(value=one) for one in role.framework_ids)
    out.resources.extend(_scalar_resources(scalars([*role.allocated, *role.offered])))
    return out


def has_quota(role: pb.RoleView) -> bool:
    """Whether an operator has given a role a quota."""
    return bool(role.quota.guarantees or role.quota.limits)


def quota_status(roles: Iterable[pb.RoleView]) -> mesos_master.QuotaStatus:
    """Return the quotas that operators have set."""
    out = mesos_master.QuotaStatus()
    for role in filter(has_quota, roles):
        config = out.configs.add(role=role.role)
        for one in role.quota.guarantees:
            config.guarantees[one.name].value = one.scalar
        for one in role.quota.limits:
            config.limits[one.name].value = one.scalar
        info = out.infos.add(role=role.role)
        info.guarantee.extend(plain(role.quota.guarantees, refined=False))
    return out


def weights(roles: Iterable[pb.RoleView]) -> list[mesos_master.WeightInfo]:
    """Return the weights that operators have set."""
    return [
        mesos_master.WeightInfo(role=role.role, weight=role.weight)
        for role in roles
        if role.weight not in (0.0, 1.0)
    ]
