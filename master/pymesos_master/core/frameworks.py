"""Frameworks: they subscribe, call, disconnect, fail over, are removed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pymesos_core import VERSION, contract
from pymesos_core.states import is_terminal
from pymesos_master.core import (
    accepts,
    audit,
    disconnecting,
    drains,
    executors,
    hoarding,
    maintenance,
    names,
    offers,
    permission,
    secret_versions,
    slices,
    tasks,
    updating,
)
from pymesos_master.core.constraints import constraints_problem
from pymesos_master.core.context import Context
from pymesos_master.core.effects import CloseConnection
from pymesos_master.core.events import (
    FrameworkCalled,
    FrameworkSubscribing,
)
from pymesos_master.core.lifecycles import (
    FRAMEWORK_LIFE,
    AgentState,
    FrameworkEvent,
    FrameworkState,
    TaskEvent,
)
from pymesos_master.core.records import FRAMEWORK, FrameworkRecord
from pymesos_master.core.registry import record_problem, to_change
from pymesos_master.core.state import Framework, Task
from pymesos_master.core.validation import change_problem, epoch_problem, subscription_problem
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_proto.v1.operator_pb2 import ClusterEvent

CAPABILITIES = (
    scheduler_pb.REFUSES_CALLS,
    scheduler_pb.ACCEPT_IN_PARTS,
    scheduler_pb.STATUS_DATA,
    scheduler_pb.TELLS_POLICY,
    scheduler_pb.UPDATES_FRAMEWORKS,
    scheduler_pb.SERVES_NAMES,
)
DENIED = scheduler_pb.Event.Error.DENIED
SUPERSEDED = scheduler_pb.Event.Error.SUPERSEDED
FAILED_OVER = "Framework failed over"  # as Mesos says it


def on_subscribing(ctx: Context, event: FrameworkSubscribing) -> None:
    """Admit a framework, or let it take over: written to the registry before it is told."""
    ctx.changed = False
    asked = event.subscribe.framework_info
    problem = subscription_problem(event.subscribe) or constraints_problem(
        event.subscribe.offer_constraints, asked.roles or ("*",)
    )
    if problem is not None:
        ctx.refuse_framework(event.connection_id, problem)
        return
    if denied := permission.subscription_problem(ctx.state, event.caller, asked):
        audit.denied(ctx, event.caller, "Call.subscribe", denied, asked.roles or ("*",))
        ctx.refuse_framework(event.connection_id, denied, DENIED)
        return
    framework_id = asked.framework_id
    if aside := ctx.state.why_aside(FRAMEWORK, framework_id):
        ctx.refuse_framework(event.connection_id, aside)
        return
    known = ctx.state.frameworks.get(framework_id) if framework_id else None
    if framework_id and (known is None or ctx.state.is_removed(framework_id)):
        removed = known is not None or framework_id in ctx.state.completed_frameworks
        # Said only as one who leads for certain: a successor may know it.
        ctx.changed = True
        ctx.persist({}, SubscriptionRefused(event.connection_id, framework_id, removed))
        return
    info = pb.FrameworkInfo()
    info.CopyFrom(asked)
    if event.caller.is_proved:
        info.principal = event.caller.principal
    if known is not None:
        if problem := change_problem(known.info, info, proved=event.caller.is_proved):
            ctx.refuse_framework(event.connection_id, problem)
            return
        if problem := epoch_problem(updating.highest_epoch(ctx, known), info):
            ctx.refuse_framework(event.connection_id, problem, SUPERSEDED)
            return
    info.framework_id = framework_id or next(ctx.framework_ids)
    since = known.registered_at_s if known else ctx.now.wall_s
    peer = known.peer if known else event.caller.taker
    key, record = (FRAMEWORK, info.framework_id), FrameworkRecord(info, since, peer)
    change = to_change(key, record, ctx.now.wall_s)
    if problem := record_problem(change) or ctx.registered.problem(change, peer):
        ctx.refuse_framework(event.connection_id, problem)
        return
    ctx.changed = True  # nothing is refused from here on
    ctx.state.framework_by_connection[event.connection_id] = info.framework_id
    if known is not None:
        known.subscribing = event.connection_id
        if updating.is_written(ctx, known, info):
            on_subscribed(ctx, Subscription(event, info))
            return
    ctx.persist({key: record}, Subscription(event, info), peer)


@dataclass(frozen=True, slots=True)
class Subscription:
    """A framework is written, as it subscribes."""

    event: FrameworkSubscribing
    info: pb.FrameworkInfo


@dataclass(frozen=True, slots=True)
class SubscriptionRefused:
    """A framework is refused, which only one may say who leads for certain."""

    connection_id: int
    framework_id: str
    removed: bool  # or never known here


@dataclass(frozen=True, slots=True)
class Abandoned:
    """A framework is removed that went away before it learned its id."""


def on_refused(ctx: Context, refused: SubscriptionRefused) -> None:
    """This master leads for certain."""
    if refused.removed:
        _refuse_removed(ctx, refused.connection_id, refused.framework_id)
        return
    ctx.refuse_framework(
        refused.connection_id,
        f"Framework {refused.framework_id} is not known to this cluster: it was removed, or its"
        f" id is another cluster's. Subscribe without an id to register as a new one",
    )


def on_abandoned(ctx: Context, _: Abandoned) -> None:
    """Nobody is told."""


def _refuse_removed(ctx: Context, connection_id: int, framework_id: str) -> None:
    """Tell one that is no more, and comes back: in Mesos' words, and why, if that is known."""
    framework = ctx.state.completed_frameworks.get(framework_id)
    said = ["Framework has been removed", framework.removed_for if framework is not None else ""]
    code = scheduler_pb.Event.Error.FRAMEWORK_REMOVED
    ctx.refuse_framework(connection_id, ": ".join(filter(None, said)), code)


def on_subscribed(ctx: Context, subscription: Subscription) -> None:
    """The registry has the framework: it is told, unless it went away or subscribed again."""
    event, info = subscription.event, subscription.info
    framework = ctx.state.frameworks.get(info.framework_id)
    here = ctx.state.framework_by_connection.get(event.connection_id) == info.framework_id
    if framework is None:
        if not here:
            # Its client went away before it learned its id, so nobody will come back for it.
            ctx.persist({(FRAMEWORK, info.framework_id): None}, Abandoned())
            return
        if event.subscribe.framework_info.framework_id:
            _refuse_removed(ctx, event.connection_id, info.framework_id)
            return
        framework = Framework(
            info, FrameworkState.ACTIVE, registered_at_s=ctx.now.wall_s, peer=event.caller.taker
        )
        framework.subscribing = event.connection_id
        ctx.state.frameworks[info.framework_id] = framework
    updating.be(ctx, framework, info)
    if not here or ctx.state.is_removed(
        info.framework_id
    ):  # its removal, which is on its way, ends the stream
        return
    if framework.subscribing != event.connection_id:
        # A later one was faster, as it said nothing new that had to be written.
        ctx.state.framework_by_connection.pop(event.connection_id, None)
        ctx.refuse_framework(event.connection_id, FAILED_OVER, SUPERSEDED)
        return
    _end_subscription(ctx, framework)
    framework.connection_id, framework.caller = event.connection_id, event.caller
    FRAMEWORK_LIFE.move(framework, FrameworkEvent.SUBSCRIBED, ctx.now.wall_s)
    framework.disconnected_at_s = 0.0
    ctx.timers.cancel(("failover", framework.framework_id))
    _schedule_heartbeat(ctx, framework)
    subscribed = scheduler_pb.Event.Subscribed(
        framework_id=framework.framework_id,
        heartbeat_interval_s=ctx.config.heartbeat_interval_s,
        master_address=ctx.config.master_address,
        master_version=VERSION,
        master_capabilities=CAPABILITIES,
        revoked=ctx.state.revoked(),
    )
    ctx.tell_framework(framework, scheduler_pb.Event(subscribed=subscribed))
    suppressed = (
        framework.roles if event.subscribe.suppress_all else event.subscribe.suppressed_roles
    )
    framework.suppressed = frozenset(suppressed)
    updating.want(
        ctx,
        framework,
        event.subscribe.offer_constraints,
        event.subscribe.optimistic_roles,
        keep_filters=False,
    )
    names.begin(ctx, framework)
    tasks.tell_unacknowledged(ctx, framework)
    drains.tell_all(ctx, framework)
    maintenance.look_at_all(ctx)
    ctx.publish(
        ClusterEvent.FRAMEWORK_SUBSCRIBED,
        framework_id=framework.framework_id,
        message=info.name,
        roles=framework.roles,
    )
    audit.subscribed(ctx, framework)
    disconnecting.apply_policy(ctx, framework)
    secret_versions.tell_all(ctx, framework)


def _end_subscription(ctx: Context, framework: Framework) -> None:
    """End the older stream of a framework, if there is one, with all offers it holds."""
    offers.rescind_all(ctx, list(framework.offers.values()), FAILED_OVER)
    maintenance.forget(ctx, framework)
    if framework.connection_id is not None:
        ctx.state.framework_by_connection.pop(framework.connection_id, None)
        ctx.refuse_framework(framework.connection_id, FAILED_OVER, SUPERSEDED)
        framework.connection_id = None


def _schedule_heartbeat(ctx: Context, framework: Framework) -> None:
    at = ctx.now.mono_s + ctx.config.heartbeat_interval_s
    ctx.timers.set(("heartbeat", framework.framework_id), at)


def on_heartbeat_due(ctx: Context, framework_id: str) -> None:
    """A framework that hears nothing for a few intervals connects again."""
    framework = ctx.state.frameworks.get(framework_id)
    if framework is not None and framework.connection_id is not None:
        heartbeat = scheduler_pb.Event(heartbeat=scheduler_pb.Event.Heartbeat())
        ctx.tell_framework(framework, heartbeat)
        _schedule_heartbeat(ctx, framework)


def on_failover_due(ctx: Context, framework_id: str) -> None:
    """The failover timeout is over."""
    framework = ctx.state.frameworks.get(framework_id)
    if framework is not None and framework.state == FrameworkState.DISCONNECTED:
        remove(ctx, framework, "Framework failover timeout")


@dataclass(frozen=True, slots=True)
class Removal:
    """A framework is not in the registry any more; an operator may wait for it."""

    framework_id: str
    reason: str
    request_id: int | None = None


def remove(ctx: Context, framework: Framework, reason: str, request_id: int | None = None) -> None:
    """Write that the framework is no more, then end its tasks and answer the operator."""
    removal = Removal(framework.framework_id, reason, request_id)
    if ctx.state.is_removed(framework.framework_id):
        ctx.persist({}, removal)  # after its removal, which is on its way
        return
    ctx.persist({(FRAMEWORK, framework.framework_id): None}, removal)
    ctx.allocator.deactivate_framework(framework.framework_id)
    offers.rescind_all(ctx, list(framework.offers.values()), reason)


def on_removed(ctx: Context, removal: Removal) -> None:
    """The registry does not have it any more."""
    framework = ctx.state.frameworks.get(removal.framework_id)
    if framework is not None:
        _removed(ctx, framework, removal.reason)
    if removal.request_id is not None:
        ctx.answer(removal.request_id)


def _removed(ctx: Context, framework: Framework, reason: str) -> None:
    framework_id = framework.framework_id
    # The stream in use, and one whose subscription was being written.
    for connection_id in dict.fromkeys((framework.connection_id or 0, framework.subscribing)):
        if ctx.state.framework_by_connection.get(connection_id) == framework_id:
            del ctx.state.framework_by_connection[connection_id]
            ctx.out.append(CloseConnection(connection_id))
    framework.connection_id = None
    framework.removed_for = reason
    FRAMEWORK_LIFE.move(framework, FrameworkEvent.REMOVED, ctx.now.wall_s)
    ctx.timers.cancel(("failover", framework_id))
    ctx.timers.cancel(("heartbeat", framework_id))
    ctx.allocator.remove_framework(framework_id)
    maintenance.forget(ctx, framework)
    del ctx.state.frameworks[framework_id]
    names.forget(ctx, framework_id)
    ctx.state.quarantined.pop((FRAMEWORK, framework_id), None)
    ctx.state.completed_frameworks[framework_id] = framework
    ctx.publish(
        ClusterEvent.FRAMEWORK_REMOVED,
        framework_id=framework_id,
        message=reason,
        roles=framework.roles,
    )
    slices.run(ctx, ("end", framework_id), len(framework.tasks), _end_tasks(ctx, framework))
    completed = ctx.state.completed_frameworks
    while len(completed) > ctx.config.max_completed_frameworks:
        # One whose tasks are still ending must stay, or they would be nobody's.
        oldest = next((f for f, known in completed.items() if not known.tasks), None)
        if oldest is None:
            break
        del completed[oldest]


def _end_tasks(ctx: Context, framework: Framework) -> Iterator[None]:
    """Agents kill tasks and executors. Ours: resources come free when they have, not before.

    An agent that comes or goes meanwhile finds the framework removed, and ends its tasks itself.
    """
    framework_id = framework.framework_id
    shutdown = agent_pb.MasterMessage.ShutdownFramework(framework_id=framework_id)
    told: set[str] = set()
    for part in slices.parts(ctx, framework.tasks.values()):
        _tell_once(ctx, shutdown, (task.agent_id for task in part), told)
        yield
    of_executors = (  # also of those that have no task now
        agent.agent_id
        for agent in ctx.state.agents.values()
        if any(owner == framework_id for owner, _ in agent.executors)
    )
    _tell_once(ctx, shutdown, of_executors, told)
    for part in slices.parts(ctx, framework.tasks.values()):
        for task in part:
            if framework.tasks.get(task.task_id) is task:
                _end_task(ctx, task)
        yield


def _tell_once(
    ctx: Context,
    shutdown: agent_pb.MasterMessage.ShutdownFramework,
    agent_ids: Iterable[str],
    told: set[str],
) -> None:
    for agent_id in dict.fromkeys(agent_ids):
        if agent_id not in told and (agent := ctx.state.agents.get(agent_id)) is not None:
            told.add(agent_id)
            ctx.tell_agent(agent, agent_pb.MasterMessage(shutdown_framework=shutdown))


def _end_task(ctx: Context, task: Task) -> None:
    if is_terminal(task.state):
        tasks.complete(ctx, task)
    elif ctx.state.agents[task.agent_id].state == AgentState.UNREACHABLE:
        tasks.end_without_agent(
            ctx,
            task,
            TaskEvent.FRAMEWORK_REMOVED,
            pb.REASON_FRAMEWORK_REMOVED,
            "Framework removed",
        )


def on_call(ctx: Context, event: FrameworkCalled) -> None:
    """Dispatch a call of a subscribed framework; calls of an ended subscription are ignored."""
    ctx.changed = False
    framework_id = ctx.state.framework_by_connection.get(event.connection_id)
    framework = ctx.state.frameworks.get(framework_id) if framework_id else None
    if framework is None or framework.connection_id != event.connection_id:
        return
    call = event.call
    kind = call.WhichOneof("call")
    # What is wrong with an ACCEPT is told of each of its tasks and operations.
    if kind != "accept" and (problem := contract.problem(call)):
        ctx.refuse_call(framework, kind or "", problem)
        return
    if kind == "accept":
        accepts.accept(ctx, framework, call.accept, event.caller)
        return
    audit.called(ctx, framework, event)
    ctx.changed = True
    match kind:
        case "decline":
            hoarding.note_answer(ctx, framework, call.decline.offer_ids)
            offers.decline(ctx, framework, call.decline)
        case "acknowledge":
            tasks.acknowledge(ctx, framework, call.acknowledge)
        case "kill":
            tasks.kill(ctx, framework, call.kill)
        case "reconcile":
            tasks.reconcile(ctx, framework, call.reconcile)
        case "revive" | "suppress":
            _change_suppression(ctx, framework, kind, list(getattr(call, kind).roles))
        case "update_framework":
            updating.on_asked(ctx, framework, event)
        case "teardown":
            remove(ctx, framework, "Framework tore itself down")
        case "publish":
            names.on_publish(ctx, framework, call.publish)
        case "message":
            executors.send_message(ctx, framework, call.message)
        case "accept_inverse_offers" | "decline_inverse_offers":
            maintenance.on_answer(ctx, framework, call)
        case "shutdown":
            executors.shut_down(ctx, framework, call.shutdown)
        case "subscribe":
            ctx.refuse_call(framework, kind, "This stream is subscribed already")
        case _:
            message = f"This master, of version {VERSION}, does not know a call of this kind"
            ctx.refuse_call(framework, "", message, scheduler_pb.Event.Refused.UNKNOWN_CALL)


def _change_suppression(ctx: Context, framework: Framework, kind: str, roles: list[str]) -> None:
    mine = updating.roles_of(ctx, framework)
    for role in roles:
        if role not in mine:
            known = ", ".join(mine)
            message = f"{kind.upper()} names the role {role[:255]!r}; subscribed are {known}"
            ctx.refuse_call(framework, kind, message)
            return
    if kind == "revive":
        framework.suppressed -= frozenset(roles or mine)
        ctx.allocator.revive(framework.framework_id, roles)
        if ctx.allocator.changed and ctx.agents_awaited == 0:
            ctx.schedule_allocation(at_once=True)
        if not framework.offers:
            ctx.look_for_lack(framework)
    else:
        framework.suppressed |= frozenset(roles or mine)
        ctx.allocator.suppress(framework.framework_id, roles)
