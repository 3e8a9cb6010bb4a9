"""Accepted offers: what is launched, reserved and created on them."""

from __future__ import annotations

from collections.abc import Iterable

from pymesos_core.reservations import without
from pymesos_core.resources import EMPTY, Resources, total
from pymesos_master.core import offers, optimistic, reservations, tasks
from pymesos_master.core.context import Context
from pymesos_master.core.reservations import Launching
from pymesos_master.core.state import Agent, Framework, Offer, Task
from pymesos_master.core.validation import group_problem, task_problem
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb

Update = scheduler_pb.Event.OperationUpdate


def accept(ctx: Context, framework: Framework, call: scheduler_pb.Call.Accept) -> None:
    """Launch on the offers of one agent and role; what is not used counts as declined."""
    found = {i: framework.offers[i] for i in call.offer_ids if i in framework.offers}
    problem = _offers_problem(call, found)
    operations = list(call.operations)
    launches = [launch for operation in operations for launch in reservations.launches(operation)]
    framework.ignored.clear()
    if problem is None:
        found = {offer_id: _claimed(ctx, offer) for offer_id, offer in found.items()}
    for offer in found.values():
        offers.remove(ctx, offer, optimistic.TAKEN if problem is None else optimistic.NOT_OFFERED)
    if problem is not None:
        for offer in found.values():
            # As declined without a filter: a framework that accepts in vain for ever must not
            # keep the agent from the others.
            offers.give_back(ctx, offer, offer.resources, 0.0)
            offers.publish_end(ctx, "offer_declined", offer, problem)
        for launching in launches:
            _refuse(ctx, framework, launching, pb.TASK_DROPPED, pb.REASON_INVALID_OFFERS,
                    f"Task launched with invalid offers: {problem}")  # fmt: skip
        for operation in filter(reservations.is_conversion, operations):
            reservations.tell_operation(ctx, framework, "", operation.id, Update.DROPPED, problem)
        return
    first = next(iter(found.values()))
    agent = ctx.state.agents[first.agent_id]
    offered = total(offer.resources for offer in found.values())
    for offer in found.values():
        offers.publish_end(ctx, "offer_accepted", offer)
    if any(map(reservations.is_conversion, operations)):
        _accept_conversions(ctx, framework, agent, first.role, operations, offered)
        return
    rest = _launch_all(ctx, framework, agent, first.role, launches, offered)
    if rest != offered:
        ctx.allocator.used(framework.framework_id, agent.agent_id)
    offers.give_back(ctx, first, rest, offers.refuse_seconds(call.filters))


def _claimed(ctx: Context, offer: Offer) -> Offer:
    """The offer itself; of a copy, the offer that it is of, taken from whoever held it."""
    if not offer.copy_of:
        return offer
    original = ctx.state.offers[offer.copy_of]
    giver = ctx.state.frameworks[original.framework_id]
    taker = ctx.state.frameworks[offer.framework_id]
    offers.remove(ctx, offer)
    ctx.allocator.answered(giver.framework_id, original.agent_id)
    ctx.allocator.transfer(
        original.agent_id,
        original.resources,
        (giver.framework_id, original.role),
        (taker.framework_id, offer.role),
    )
    del giver.offers[original.offer_id]
    optimistic.lose(ctx, original, optimistic.TAKEN)
    offers.publish_end(ctx, "offer_rescinded", original, optimistic.TAKEN)
    original.framework_id, original.role = taker.framework_id, offer.role
    taker.offers[original.offer_id] = original
    return original


def _accept_conversions(
    ctx: Context,
    framework: Framework,
    agent: Agent,
    role: str,
    operations: list[scheduler_pb.Operation],
    offered: Resources,
) -> None:
    """Reserve, create and so on: first written, then done in order with the launches between."""

    def check(launching: Launching, rest: Resources) -> tuple[Resources, str | None]:
        needed, problem = _needed(framework, agent, launching, rest)
        return total(needed), problem

    steps, reserved = reservations.plan(framework, agent, role, operations, offered, check)

    def then(there: bool) -> None:
        known = not framework.removing and framework.framework_id in ctx.state.frameworks
        rest = offered
        for step in steps:
            if isinstance(step, reservations.Launch):
                launching = step.launching
                if step.problem is not None:
                    # Not looked at again: what is reserved was reckoned without it.
                    _refuse_invalid(ctx, framework, launching, step.problem)
                elif not there:
                    _refuse(ctx, framework, launching, pb.TASK_DROPPED, pb.REASON_INVALID_OFFERS,
                            "The agent disconnected before the launch")  # fmt: skip
                elif known:
                    rest = _launch_all(ctx, framework, agent, role, [launching], rest)
                continue
            state, message = Update.FINISHED, ""
            if isinstance(step, reservations.Refused):
                state, message = Update.ERROR, step.message
            else:
                rest = without(rest, step.taken) + step.given
            tell = reservations.tell_operation
            tell(ctx, framework, agent.agent_id, step.operation_id, state, message)

    held = ((framework.framework_id, role), offered)
    reservations.convert(ctx, agent, reserved, held, then)


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


def _needed(
    framework: Framework, agent: Agent, launching: Launching, rest: Resources
) -> tuple[list[Resources], str | None]:
    """What each of its tasks needs, and why they may not be launched, or None."""
    if launching.grouped:
        return group_problem(framework, agent, launching.infos, rest)
    needed, problem = task_problem(framework, agent, launching.infos[0], rest)
    return [needed], problem


def _launch_all(
    ctx: Context,
    framework: Framework,
    agent: Agent,
    role: str,
    launches: Iterable[Launching],
    rest: Resources,
) -> Resources:
    """Launch what is valid and fits; return what is left of the offers."""
    for launching in launches:
        needed, problem = _needed(framework, agent, launching, rest)
        if problem is not None:
            _refuse_invalid(ctx, framework, launching, problem)
            continue
        for info, mine in zip(launching.infos, needed, strict=True):
            rest = rest - mine
            _add(ctx, framework, agent, role, info, mine)
        _tell_launch(ctx, framework, agent, role, launching)
    return rest


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
    ctx.publish(
        "task_added",
        agent_id=agent.agent_id,
        framework_id=framework.framework_id,
        task_id=info.task_id,
        task_state=pb.TASK_STAGING,
        resources=needed or EMPTY,
    )


def _tell_launch(
    ctx: Context, framework: Framework, agent: Agent, role: str, launching: Launching
) -> None:
    framework_id = framework.framework_id
    new = framework_id not in agent.told_frameworks
    agent.told_frameworks.add(framework_id)
    info = framework.info if new else None
    if launching.grouped:
        group = agent_pb.LaunchGroup(
            framework_id=framework_id,
            role=role,
            task_infos=launching.infos,
            framework_info=info,
        )
        ctx.tell_agent(agent, agent_pb.MasterMessage(launch_group=group))
        return
    launch = agent_pb.LaunchTask(
        framework_id=framework_id, role=role, task_info=launching.infos[0], framework_info=info
    )
    ctx.tell_agent(agent, agent_pb.MasterMessage(launch=launch))


def _refuse_invalid(ctx: Context, framework: Framework, launching: Launching, problem: str) -> None:
    reason = pb.REASON_TASK_GROUP_INVALID if launching.grouped else pb.REASON_TASK_INVALID
    _refuse(ctx, framework, launching, pb.TASK_ERROR, reason, problem)


def _refuse(
    ctx: Context,
    framework: Framework,
    launching: Launching,
    state: pb.TaskState,
    reason: pb.Reason,
    message: str,
) -> None:
    for info in launching.infos:
        _refuse_task(ctx, framework, info, state, reason, message)


def _refuse_task(
    ctx: Context,
    framework: Framework,
    info: pb.TaskInfo,
    state: pb.TaskState,
    reason: pb.Reason,
    message: str,
) -> None:
    status = tasks.new_status(ctx, info.task_id, state, reason, message, info.agent_id)
    tasks.forward(ctx, framework, status)
    ctx.publish(
        "task_refused",
        framework_id=framework.framework_id,
        task_id=info.task_id[:255],
        task_state=state,
        reason=reason,
        message=message,
    )
