"""Accepted offers: what is launched, reserved and created on them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from pymesos_core import limits, resources
from pymesos_core.caller import NOBODY, Caller
from pymesos_core.executors import executor_of
from pymesos_core.reservations import with_reserved, without
from pymesos_core.resources import EMPTY, Resources, total
from pymesos_master.core import (
    accounting,
    audit,
    drains,
    executors,
    hoarding,
    offers,
    optimistic,
    permission,
    reservations,
    tasks,
)
from pymesos_master.core.context import Context
from pymesos_master.core.launching import Launched, Planned, plan, plan_one
from pymesos_master.core.lifecycles import (
    OFFER_LIFE,
    AgentState,
    DrainState,
    OfferEvent,
    OperationEvent,
)
from pymesos_master.core.reported import ReportedExecutor
from pymesos_master.core.reservations import Launching
from pymesos_master.core.state import Agent, Framework, Offer, Task
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_proto.v1.operator_pb2 import ClusterEvent


def accept(
    ctx: Context,
    framework: Framework,
    call: scheduler_pb.Call.Accept,
    caller: Caller = NOBODY,
) -> None:
    """Launch on the offers of one agent and role; what is not used counts as declined.

    All of it is looked at before anything changes. What its caller may not do is left out.
    """
    if problem := _size_problem(call):
        ctx.changed = True
        hoarding.note_answer(ctx, framework, call.offer_ids)
        said = f"{problem}. None of its tasks and operations is done; its offers are given back"
        ctx.refuse_call(framework, "accept", said, scheduler_pb.Event.Refused.TOO_LARGE)
        give_back(ctx, framework, scheduler_pb.Call(accept=call), problem)
        return
    operations = list(call.operations)
    found = {i: framework.offers[i] for i in call.offer_ids if i in framework.offers}
    if (problem := _offers_problem(call, found)) is not None:
        ctx.changed = True
        hoarding.note_answer(ctx, framework, call.offer_ids)
        framework.ignored.clear()
        message = f"Task launched with invalid offers: {problem}"
        _accept_nothing(ctx, framework, list(found.values()), operations, problem, message)
        return
    first = next(iter(found.values()))
    agent, role = ctx.state.agents[first.agent_id], first.role
    offered = total(offer.resources for offer in found.values())
    operations, denied = permission.permitted(ctx.state, caller, framework, agent, role, operations)
    launches = [launch for operation in operations for launch in reservations.launches(operation)]
    converts = any(map(reservations.is_conversion, operations))
    if converts:
        conversion = _plan_conversions(ctx, framework, agent, role, operations, offered)
    else:
        planned, rest = plan(framework, agent, launches, offered)
    _tell_audit(ctx, caller, framework, first, operations, denied)
    ctx.changed = True  # nothing is refused from here on
    hoarding.note_answer(ctx, framework, call.offer_ids)
    framework.ignored.clear()
    taken = [_claimed(ctx, offer) for offer in found.values()]
    for offer in taken:
        offers.remove(ctx, offer, OfferEvent.ACCEPTED, optimistic.TAKEN)
    for offer in taken:
        offers.publish_end(ctx, offer)
    for operation, why in denied:
        _deny(ctx, framework, agent, role, operation, why)
    for operation in operations:
        if operation.WhichOneof("operation") is None:
            message = "an operation of a kind that this master does not know"
            unknown = reservations.Operation(operation.id, problem=message)
            event = OperationEvent.INVALID
            reservations.end_operation(ctx, framework, agent.agent_id, unknown, event)
    if converts:
        _convert(ctx, framework, agent, role, conversion, offered)
        return
    _launch_all(ctx, framework, agent, role, planned)
    if rest != offered:
        ctx.allocator.used(framework.framework_id, agent.agent_id)
    offers.give_back(ctx, taken[0], rest, offers.refuse_seconds(call.filters))


def _tell_audit(
    ctx: Context,
    caller: Caller,
    framework: Framework,
    offer: Offer,
    operations: list[scheduler_pb.Operation],
    denied: list[permission.Denied],
) -> None:
    agent = ctx.state.agents[offer.agent_id]
    allowed_by = partial(permission.allowed_by, ctx.state, caller, framework, agent, offer.role)
    audit.accepted(
        ctx, caller, framework, offer.role, offer.agent_id, operations, denied, allowed_by
    )


def _deny(
    ctx: Context,
    framework: Framework,
    agent: Agent,
    role: str,
    operation: scheduler_pb.Operation,
    why: str,
) -> None:
    """Tell of each part of an operation that the policy does not allow it."""
    for launching in reservations.launches(operation):
        reason = pb.REASON_TASK_UNAUTHORIZED
        _refuse(ctx, framework, (role,), launching, pb.TASK_ERROR, reason, why)
    if reservations.is_conversion(operation):
        refused = reservations.Operation(operation.id, problem=why)
        event = OperationEvent.INVALID
        reservations.end_operation(ctx, framework, agent.agent_id, refused, event)


def _size_problem(call: scheduler_pb.Call.Accept) -> str | None:
    return (
        limits.CALL_OFFERS.problem(len(call.offer_ids))
        or limits.CALL_OPERATIONS.problem(len(call.operations))
        or limits.CALL_TASKS.problem(
            sum(
                len(operation.launch.task_infos) + len(operation.launch_group.task_infos)
                for operation in call.operations
            )
        )
    )


def _accept_nothing(
    ctx: Context,
    framework: Framework,
    found: list[Offer],
    operations: Iterable[scheduler_pb.Operation],
    problem: str,
    message: str,
    refuse_s: float = 0.0,
) -> None:
    """The offers are not used: none is, and everything that was asked for is refused."""
    for offer in found:
        offers.remove(ctx, offer, OfferEvent.ANSWERED_IN_VAIN)
    for offer in found:
        # As declined, if without a filter: a framework that accepts in vain for ever must not keep
        # the agent from the others.
        offers.give_back(ctx, offer, offer.resources, refuse_s)
        offers.publish_end(ctx, offer, problem)
    # Of an offer that is not known, nor is the role.
    roles = tuple(dict.fromkeys(offer.role for offer in found)) or framework.roles
    for operation in operations:
        for launching in reservations.launches(operation):
            reason = pb.REASON_INVALID_OFFERS
            _refuse(ctx, framework, roles, launching, pb.TASK_DROPPED, reason, message)
        if reservations.is_conversion(operation):
            dropped = reservations.Operation(operation.id, problem=problem)
            reservations.end_operation(ctx, framework, "", dropped, OperationEvent.NO_OFFERS)


def give_back(ctx: Context, framework: Framework, call: scheduler_pb.Call, problem: str) -> None:
    """Take back the offers of an ACCEPT or a DECLINE that is refused, as if they were declined.

    The tasks of an ACCEPT are dropped. The framework is offered the same only after a while: what
    was refused is refused again.
    """
    named = call.accept.offer_ids or call.decline.offer_ids
    found = {i: framework.offers[i] for i in named if i in framework.offers}
    refuse_s = offers.DEFAULT_REFUSE_S
    # One that is too large would be too much work, too, as it is where nothing is in quarantine.
    operations = () if _size_problem(call.accept) else call.accept.operations
    _accept_nothing(ctx, framework, list(found.values()), operations, problem, problem, refuse_s)


def _claimed(ctx: Context, offer: Offer) -> Offer:
    """The offer itself; of a copy, the offer that it is of, taken from whoever held it."""
    if not offer.copy_of:
        return offer
    original = ctx.state.offers[offer.copy_of]
    giver = ctx.state.frameworks[original.framework_id]
    taker = ctx.state.frameworks[offer.framework_id]
    offers.remove(ctx, offer, OfferEvent.ACCEPTED)
    OFFER_LIFE.move(original, OfferEvent.COPY_ACCEPTED, ctx.now.wall_s)
    ctx.allocator.answered(giver.framework_id, original.agent_id)
    ctx.allocator.transfer(
        original.agent_id,
        original.resources,
        (giver.framework_id, original.role),
        (taker.framework_id, offer.role),
    )
    del giver.offers[original.offer_id]
    optimistic.lose(ctx, original, optimistic.TAKEN)
    offers.publish(ctx, ClusterEvent.OFFER_RESCINDED, original, optimistic.TAKEN)
    original.framework_id, original.role = taker.framework_id, offer.role
    taker.offers[original.offer_id] = original
    return original


def _plan_conversions(
    ctx: Context,
    framework: Framework,
    agent: Agent,
    role: str,
    operations: list[scheduler_pb.Operation],
    offered: Resources,
) -> tuple[list[reservations.Step], Resources]:
    launched = Launched()

    def check(launching: Launching, rest: Resources) -> tuple[Resources, str | None]:
        planned = plan_one(framework, agent, launching, rest, launched)
        return total((*planned.needed, planned.of_executor)), planned.problem

    reserved = reservations.intended(ctx.state, agent)
    return reservations.plan(framework, agent, role, operations, offered, reserved, check)


def _convert(
    ctx: Context,
    framework: Framework,
    agent: Agent,
    role: str,
    conversion: tuple[list[reservations.Step], Resources],
    offered: Resources,
) -> None:
    """Reserve, create and so on: first written, then done in order with the launches between."""
    steps, reserved = conversion
    client = (framework.framework_id, role)
    of_accept = reservations.Conversion(
        agent.agent_id, agent.connection_id, reserved, client, offered, tuple(steps)
    )
    reservations.convert(ctx, agent, of_accept)


def on_converted(ctx: Context, done: reservations.Conversion) -> None:
    """Tell the agent, do what was to follow, and have the agent offered anew.

    What is launched is on the agent before anything is offered.
    """
    agent = ctx.state.agents[done.agent_id]
    agent.reserved = done.reserved
    if agent.state == AgentState.ACTIVE:
        base = resources.from_proto(agent.info.resources)
        agent.total = with_reserved(base, agent.reserved) + agent.slack
        reservations.tell_reserved(ctx, agent)
    if done.request_id is not None:
        ctx.answer(done.request_id)
    else:
        _carry_out(ctx, agent, done, there=agent.connection_id == done.connection_id)
    if agent.state == AgentState.ACTIVE:
        offers.rescind_all(ctx, list(agent.offers.values()), reservations.CHANGING)
        reservations.offer_anew(ctx, agent)
    ctx.look_for_drained(agent)
    if agent.state != AgentState.GONE:  # that it is gone was the last to be told of it
        ctx.publish(ClusterEvent.AGENT_RESERVED, agent_id=agent.agent_id, resources=done.reserved)


def _carry_out(ctx: Context, agent: Agent, done: reservations.Conversion, *, there: bool) -> None:
    """The operations of an ACCEPT; `there`: whether the agent has been there all the time."""
    framework_id, role = done.client
    framework = tasks.framework_of(ctx, framework_id)
    if framework is None:
        return
    known = not ctx.state.is_removed(framework_id)
    rest = done.held
    for step in done.steps:
        if isinstance(step, reservations.Launch):
            launching = step.launching
            if step.problem is not None:
                # Not looked at again: what is reserved was computed without it.
                _refuse_invalid(ctx, framework, role, launching, step.problem)
            elif agent.drain.state != DrainState.NONE:
                reason = drains.reason_of(agent)
                message = f"The agent is {agent.drain.state} since before the launch"
                _refuse(ctx, framework, (role,), launching, pb.TASK_DROPPED, reason, message)
            elif not there:
                reason, message = (
                    pb.REASON_INVALID_OFFERS,
                    "The agent disconnected before the launch",
                )
                _refuse(ctx, framework, (role,), launching, pb.TASK_DROPPED, reason, message)
            elif known:
                planned, rest = plan(framework, agent, [launching], rest)
                _launch_all(ctx, framework, agent, role, planned)
            continue
        event = OperationEvent.INVALID
        if step.problem is None:
            event = OperationEvent.STORED
            rest = without(rest, step.taken) + step.given
        reservations.end_operation(ctx, framework, agent.agent_id, step, event)


def _offers_problem(call: scheduler_pb.Call.Accept, found: dict[str, Offer]) -> str | None:
    """Why the offers of an ACCEPT cannot be used together, or None."""
    if not call.offer_ids:
        return "No offers specified"
    seen: set[str] = set()
    for offer_id in call.offer_ids:
        if offer_id in seen:
            return f"Duplicate offer {offer_id[:255]} in offer list"
        seen.add(offer_id)
        if offer_id not in found:
            return f"Offer {offer_id[:255]} is no longer valid"
    agents = {offer.agent_id for offer in found.values()}
    if len(agents) > 1:
        return f"Aggregated offers must belong to one single agent, not {', '.join(sorted(agents))}"
    roles = {offer.role for offer in found.values()}
    if len(roles) > 1:
        return f"Aggregated offers must be of one single role, not {', '.join(sorted(roles))}"
    return None


def _launch_all(
    ctx: Context, framework: Framework, agent: Agent, role: str, planned: Iterable[Planned]
) -> None:
    """Launch what can be, and refuse the rest."""
    for each in planned:
        if each.problem is not None:
            _refuse_invalid(ctx, framework, role, each.launching, each.problem)
            continue
        for info, mine in zip(each.launching.infos, each.needed, strict=True):
            _add(ctx, framework, agent, role, info, mine)
        if each.of_executor:
            first = each.launching.infos[0]
            held = ReportedExecutor(
                framework.framework_id,
                executor_of(first)[0],
                role,
                first.executor.name,
                each.of_executor,
                ctx.now.wall_s,
            )
            executors.hold(ctx, agent, held)
        _tell_launch(ctx, framework, agent, role, each)
        ctx.look_at_maintenance(agent)


def _add(
    ctx: Context,
    framework: Framework,
    agent: Agent,
    role: str,
    info: pb.TaskInfo,
    needed: Resources,
) -> None:
    task = Task(
        info,
        framework.framework_id,
        agent.agent_id,
        role,
        ctx.interned(needed),
        pb.TASK_STAGING,
        ctx.now.wall_s,
    )
    framework.tasks[task.task_id] = task
    agent.tasks[task.key] = task
    accounting.look(ctx, task)
    # What is kept of it is what is kept of the task.
    added = ClusterEvent.TASK_ADDED
    ctx.publish_of(task, added, pb.TASK_STAGING, resources=task.resources or EMPTY)


def _tell_launch(
    ctx: Context, framework: Framework, agent: Agent, role: str, planned: Planned
) -> None:
    launching = planned.launching
    framework_id = framework.framework_id
    new = framework_id not in agent.told_frameworks
    agent.told_frameworks.add(framework_id)
    message = (
        agent_pb.MasterMessage()
    )  # filled in place: of its parts it would be put together twice
    launch: agent_pb.LaunchTask | agent_pb.LaunchGroup
    if launching.grouped:
        launch = message.launch_group
        launch.task_infos.extend(launching.infos)
        launch.launch_executor = bool(planned.of_executor)
    else:
        launch = message.launch
        launch.task_info.CopyFrom(launching.infos[0])
        launch.launch_executor = bool(planned.of_executor)
    launch.framework_id, launch.role = framework_id, role
    if new:
        launch.framework_info.CopyFrom(framework.info)
    ctx.tell_agent(agent, message)


def _refuse_invalid(
    ctx: Context, framework: Framework, role: str, launching: Launching, problem: str
) -> None:
    reason = pb.REASON_TASK_GROUP_INVALID if launching.grouped else pb.REASON_TASK_INVALID
    _refuse(ctx, framework, (role,), launching, pb.TASK_ERROR, reason, problem)


def _refuse(
    ctx: Context,
    framework: Framework,
    roles: tuple[str, ...],
    launching: Launching,
    state: pb.TaskState,
    reason: pb.Reason,
    message: str,
) -> None:
    """Tell of each task that it is not launched; `roles`: in one of which it would have been."""
    for info in launching.infos:
        _refuse_task(ctx, framework, roles, info, state, reason, message)


def _refuse_task(
    ctx: Context,
    framework: Framework,
    roles: tuple[str, ...],
    info: pb.TaskInfo,
    state: pb.TaskState,
    reason: pb.Reason,
    message: str,
) -> None:
    status = tasks.new_status(ctx, info.task_id, state, reason, message, info.agent_id)
    tasks.forward(ctx, framework, status)
    ctx.publish(
        ClusterEvent.TASK_REFUSED,
        framework_id=framework.framework_id,
        task_id=info.task_id[:255],
        task_state=state,
        reason=reason,
        message=message,
        roles=roles,
    )
