"""Agents, frameworks, tasks, offers and roles as every front door shows them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from pymesos_core.copies import copy_of
from pymesos_core.resources import Resources, to_proto
from pymesos_core.security.policy import EVERY_ROLE, Roles
from pymesos_core.serving_jobs import roles_taken
from pymesos_core.states import is_terminal
from pymesos_master.allocator import Allocator
from pymesos_master.core.lifecycles import AgentState, DrainState
from pymesos_master.core.offers import offer_message
from pymesos_master.core.records import SecretRecord
from pymesos_master.core.registry import place_of, quota_message
from pymesos_master.core.state import (
    Agent,
    ClusterState,
    Drain,
    Framework,
    Offer,
    Quarantined,
    Task,
)
from pymesos_master.queries.uses import Uses
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2


def agent_view(
    agent: Agent | Quarantined,
    may: Roles = EVERY_ROLE,
    frameworks: Mapping[str, Framework] = MappingProxyType({}),
) -> pb.AgentView:
    """An agent; of one whose record cannot be handled only the id is sure.

    What is reserved on it for roles other than these is left out, and what their frameworks answer.
    """
    if isinstance(agent, Quarantined):
        return pb.AgentView(info=types_pb2.AgentInfo(agent_id=agent.key), state="quarantined")
    return pb.AgentView(
        info=_visible_info(agent.info, may),
        state=agent.state_name,
        allocated=to_proto(visible(agent.allocated(), may)),
        offered=to_proto(visible(agent.offered(), may)),
        registered_at_s=agent.registered_at_s,
        tasks=len(agent.tasks),
        usage=_without_tasks(agent.usage),
        total=agent.total_message() if may.every else to_proto(visible(agent.total, may)),
        drain=_drain_view(agent.drain),
        maintenance=_maintenance_view(agent, may, frameworks),
    )


def _visible_info(info: types_pb2.AgentInfo, may: Roles) -> types_pb2.AgentInfo:
    """What an agent says of itself, without what its flags reserve for other roles."""

    def is_for_others(one: types_pb2.Resource) -> bool:
        return bool(one.reservations) and one.reservations[-1].role not in may

    if may.every or not any(map(is_for_others, info.resources)):
        return info
    out = copy_of(info)
    del out.resources[:]
    out.resources.extend(one for one in info.resources if not is_for_others(one))
    return out


def _maintenance_view(
    agent: Agent, may: Roles, frameworks: Mapping[str, Framework]
) -> pb.MaintenanceView | None:
    """The maintenance window of an agent, and what frameworks say to it; None: it has none."""
    window = agent.maintenance
    if window is None:
        return None
    view = pb.MaintenanceView(
        unavailability=window.unavailability, set_by=window.set_by, set_at_s=window.set_at_s
    )
    for asked in agent.inverse_offers.values():
        framework = frameworks.get(asked.framework_id)
        if framework is not None and any(role in may for role in framework.roles):
            view.answers.add(
                framework_id=asked.framework_id,
                framework_name=framework.info.name,
                answer=asked.state.value,
                at_s=asked.at_s,
            )
    return view


def _drain_view(drain: Drain) -> pb.DrainView | None:
    """What an operator has decided of an agent; None: nothing."""
    if drain.state == DrainState.NONE:
        return None
    decided = drain.record
    return pb.DrainView(
        state=drain.state.value,
        deadline_s=decided.deadline_s,
        then_gone=decided.then_gone,
        set_by=decided.set_by,
        set_at_s=decided.set_at_s,
        down=decided.down,
    )


def visible(resources: Resources, may: Roles) -> Resources:
    """What of resources is for everybody, or for one of these roles."""
    if may.every:
        return resources
    return resources.where(lambda tag: not tag.role or tag.role in may)


def _without_tasks(usage: agent_pb.Usage | None) -> agent_pb.Usage | None:
    if usage is None or not usage.tasks:
        return usage
    out = agent_pb.Usage()
    out.CopyFrom(usage)
    out.ClearField("tasks")
    return out


def framework_view(
    allocator: Allocator, framework: Framework, may: Roles = EVERY_ROLE
) -> pb.FrameworkView:
    """A framework with its share of the cluster, and what it has and is in of these roles."""
    offers = [o for o in framework.offers.values() if not o.copy_of and o.role in may]
    offered = _summed(offer.resources for offer in offers)
    # What the allocator counts as held is what is used and what is offered.
    used = dict(allocator.held_by(framework.framework_id, may))
    for name, value in offered.items():
        used[name] = used.get(name, 0) - value
    tasks = framework.tasks.values()
    return pb.FrameworkView(
        info=_framework_info(framework.info, may),
        state=framework.state.value,
        allocated=to_proto(Resources({n: max(0, v) for n, v in used.items()})),
        offered=[types_pb2.Resource(name=n, scalar=v / 1000) for n, v in offered.items()],
        registered_at_s=framework.registered_at_s,
        tasks=len(tasks) if may.every else sum(task.role in may for task in tasks),
        dominant_share=allocator.dominant_share(framework.framework_id),
        suppressed_roles=sorted(role for role in framework.suppressed if role in may),
        offer_conflicts=framework.offer_conflicts,
        disconnected_at_s=framework.disconnected_at_s,
    )


def _framework_info(info: types_pb2.FrameworkInfo, may: Roles) -> types_pb2.FrameworkInfo:
    """What a framework says of itself, without that it is in roles other than these.

    One that is in none of them, and takes jobs of some, is shown with those. Of which roles it
    takes jobs stays: who submits one looks there.
    """
    roles = [role for role in info.roles or ("*",) if role in may]
    if may.every or roles == info.roles:
        return info
    out = copy_of(info)
    if out.jobs_address and not out.job_roles:
        out.job_roles[:] = info.roles or ("*",)
    out.roles[:] = roles or (roles_taken(info) & may).patterns()
    return out


def task_view(state: ClusterState, task: Task, uses: Uses, *, with_env: bool = True) -> pb.TaskView:
    """A task, with where it runs and what it uses; without the values of its environment, and
    what its executor has sent, unless they are to be seen."""
    completed = state.find_task(*task.key) is not task
    agent = state.agents.get(task.agent_id)
    address = agent.info.address if agent else None
    shown = state.names.shown.get(task.key)
    return pb.TaskView(
        framework_id=task.framework_id,
        task_info=task.info if with_env else without_env(task.info),
        state=task.state,
        status=known_status(task) if with_env else _without_data(known_status(task)),
        role=task.role,
        hostname=address.hostname if address else "",
        agent_address=address,
        agent_principal=agent.info.principal if agent else "",
        launched_at_s=task.launched_at_s,
        started_at_s=task.started_at_s,
        finished_at_s=task.finished_at_s,
        completed=completed,
        use=uses.of(agent, task.key) if agent and not is_terminal(task.state) else None,
        serves=shown.task if shown is not None else None,
        names_told=task.framework_id in state.names.settled,
    )


def without_env(info: types_pb2.TaskInfo) -> types_pb2.TaskInfo:
    """A task without what its environments and the variables of its config files hold, and without
    its data, which may repeat that."""
    out = types_pb2.TaskInfo()
    out.CopyFrom(info)
    out.ClearField("data")
    if out.HasField("executor"):
        out.executor.ClearField("data")
    # Reading what is not there does not set it.
    checks = (out.health_check, out.readiness_check)
    for command in (out.command, out.executor.command, *(check.command for check in checks)):
        for variable in command.environment:
            variable.ClearField("value")
    for container in (out.container, out.executor.container):
        for file in container.config:
            file.variables.update(dict.fromkeys(file.variables, ""))
    return out


def _without_data(status: types_pb2.TaskStatus | None) -> types_pb2.TaskStatus | None:
    """A status without what an executor says to its framework, as an engine's view of a container
    with its environment."""
    if status is None or not status.data:
        return status
    out = copy_of(status)
    out.ClearField("data")
    return out


def known_status(task: Task) -> types_pb2.TaskStatus | None:
    """The latest status of a task; whether an unreachable one is healthy nobody knows."""
    known = task.status
    if known is None or task.state != types_pb2.TASK_UNREACHABLE:
        return known
    known = copy_of(known)
    known.ClearField("healthy")
    known.ClearField("ready")
    known.reason = types_pb2.REASON_AGENT_REMOVED
    known.message = "its agent is unreachable, so nothing is known of it now"
    return known


def offer_view(state: ClusterState, offer: Offer) -> pb.OfferView:
    """An offer, as its framework was sent it."""
    message = offer_message(state.agents[offer.agent_id], offer)
    return pb.OfferView(offer=message, offered_at_s=offer.offered_at_s)


def role_views(state: ClusterState, allocator: Allocator) -> list[pb.RoleView]:
    """The roles that frameworks subscribed to, and those with a weight, quota or reservation."""
    reserved = _reserved(state)
    members: dict[str, list[str]] = {role: [] for role in (*state.roles(), *reserved)}
    for framework in state.frameworks.values():
        for role in framework.roles:
            members.setdefault(role, []).append(framework.framework_id)
    offered: dict[str, dict[str, int]] = {}
    charged: dict[str, dict[str, int]] = {}  # of that, what counts by the offer alone
    for offer in state.offers.values():
        if offer.copy_of:
            continue
        plain = offer.resources.where(lambda tag: not (tag.revocable or tag.reservations))
        for role in upwards(offer.role):
            _add(offered.setdefault(role, {}), offer.resources.quantities)
            _add(charged.setdefault(role, {}), plain.quantities)

    def view(role: str, framework_ids: list[str]) -> pb.RoleView:
        out = Resources(offered.get(role))
        return pb.RoleView(
            role=role,
            framework_ids=framework_ids,
            # What the allocator counts as held is what is used and what is offered.
            allocated=to_proto(Resources(allocator.held(role)).minus_what_is_there(out)),
            offered=to_proto(out),
            weight=state.terms(role).weight,
            quota=quota_message(state.terms(role).quota),
            reserved=to_proto(Resources(reserved.get(role))),
            consumed=to_proto(
                Resources(allocator.charged(role)).minus_what_is_there(Resources(charged.get(role)))
            ),
        )

    return [view(*item) for item in sorted(members.items())]


def quarantined_view(aside: Quarantined, *, whole: bool) -> pb.QuarantinedRecord:
    """A record that cannot be handled; `whole`: with what is stored."""
    return pb.QuarantinedRecord(
        kind=aside.kind,
        key=aside.key,
        reason=aside.reason,
        record=aside.record if whole else b"",
    )


def sealed_view(key: str, record: SecretRecord) -> pb.SealedSecret:
    """A secret as it is kept."""
    role, name = place_of(key)
    return pb.SealedSecret(
        role=role,
        name=name,
        key_id=record.sealed.key_id,
        nonce=record.sealed.nonce,
        sealed=record.sealed.data,
        set_by=record.set_by,
        set_at_s=record.set_at_s,
    )


def _reserved(state: ClusterState) -> dict[str, dict[str, int]]:
    """What is reserved for each role itself, in use or not."""
    out: dict[str, dict[str, int]] = {}
    for agent in state.agents.values():
        if agent.state in (AgentState.ACTIVE, AgentState.DISCONNECTED):
            for tag, bag in agent.total.tagged.items():
                if tag.role:
                    _add(out.setdefault(tag.role, {}), bag.amounts())
    return out


def _summed(bags: Iterable[Resources]) -> dict[str, int]:
    """Scalars are added; ports of different agents may be the same numbers, so they are counted."""
    out: dict[str, int] = {}
    for bag in bags:
        _add(out, bag.quantities)
    return out


def _add(sums: dict[str, int], amounts: Mapping[str, int]) -> None:
    for name, value in amounts.items():
        sums[name] = sums.get(name, 0) + value


def upwards(role: str) -> Iterator[str]:
    """A role, and all that it is below of."""
    while role:
        yield role
        role = role.rpartition("/")[0]
