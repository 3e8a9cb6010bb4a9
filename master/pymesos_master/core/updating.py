"""What a framework says of itself: it may change while its subscription goes on.

What it says is written before anything goes by it. SUPPRESS and REVIVE that come meanwhile are of
the roles that it is about to have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pymesos_core.copies import copy_of
from pymesos_master.allocator.interface import Terms
from pymesos_master.core import audit, disconnecting, offers, permission, secret_versions
from pymesos_master.core.constraints import constraints_problem, wanted
from pymesos_master.core.context import Context
from pymesos_master.core.events import FrameworkCalled
from pymesos_master.core.records import FRAMEWORK, FrameworkRecord
from pymesos_master.core.registry import record_problem, to_change
from pymesos_master.core.state import Framework
from pymesos_master.core.validation import change_problem, epoch_problem, info_problem
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_proto.v1.operator_pb2 import ClusterEvent

CALL = "update_framework"
DROPPED = "the framework is in this role no more"


@dataclass(frozen=True, slots=True)
class Update:
    """What a framework says of itself is written, as it asked by its stream."""

    connection_id: int
    said: scheduler_pb.Call.UpdateFramework
    info: pb.FrameworkInfo


def highest_epoch(ctx: Context, known: Framework) -> int:
    """The latest in which it has subscribed, or is about to: that is being written."""
    intended = _intended(ctx, known)
    return max(known.info.epoch, intended.info.epoch if intended is not None else 0)


def is_written(ctx: Context, known: Framework, info: pb.FrameworkInfo) -> bool:
    """Whether that is what it has said of itself, and is all that it has: nothing is to write."""
    intended = _intended(ctx, known)
    return known.info == info and intended is not None and intended.info == info


def roles_of(ctx: Context, framework: Framework) -> list[str]:
    """The roles that it is in, with those that it is about to be in: these are being written."""
    intended = _intended(ctx, framework)
    meant = (list(intended.info.roles) or ["*"]) if intended is not None else []
    return list(dict.fromkeys((*framework.roles, *meant)))


def _intended(ctx: Context, framework: Framework) -> FrameworkRecord | None:
    intended = ctx.state.image.intended(FRAMEWORK).get(framework.framework_id)
    return intended if isinstance(intended, FrameworkRecord) else None


def on_asked(ctx: Context, framework: Framework, event: FrameworkCalled) -> None:
    """Have what it says written, or refuse it."""
    said = event.call.update_framework
    info = pb.FrameworkInfo()
    info.CopyFrom(said.framework_info)
    if event.caller.is_proved:
        info.principal = event.caller.principal
    if problem := _problem(ctx, framework, event, info):
        ctx.refuse_call(framework, CALL, problem)
        return
    if denied := permission.subscription_problem(ctx.state, event.caller, info):
        named = {"framework_id": framework.framework_id}
        roles = info.roles or ("*",)
        audit.denied(ctx, event.caller, f"Call.{CALL}", denied, roles, **named)
        ctx.refuse_call(framework, CALL, denied, scheduler_pb.Event.Refused.DENIED)
        return
    record = FrameworkRecord(info, framework.registered_at_s, framework.peer)
    key = (FRAMEWORK, framework.framework_id)
    change = to_change(key, record, ctx.now.wall_s)
    if problem := record_problem(change) or ctx.registered.problem(change, framework.peer):
        ctx.refuse_call(framework, CALL, problem)
        return
    framework.suppressed = frozenset(said.suppressed_roles)
    update = Update(event.connection_id, said, info)
    if is_written(ctx, framework, info):
        on_written(ctx, update)
        return
    ctx.persist({key: record}, update, framework.peer)


def _problem(
    ctx: Context, framework: Framework, event: FrameworkCalled, info: pb.FrameworkInfo
) -> str | None:
    """Why it may not say that of itself, or None."""
    if ctx.state.is_removed(framework.framework_id):
        return "The framework is being removed"
    if info.framework_id != framework.framework_id:
        return f"The framework info has another id; {framework.framework_id} is expected"
    constraints = event.call.update_framework.offer_constraints
    return (
        info_problem(info)
        or constraints_problem(constraints, info.roles or ("*",))
        or change_problem(framework.info, info, proved=event.caller.is_proved)
        or epoch_problem(highest_epoch(ctx, framework), info)
    )


def on_written(ctx: Context, update: Update) -> None:
    """The registry has it: the framework is that now, unless it has subscribed again since."""
    framework = ctx.state.frameworks.get(update.info.framework_id)
    if framework is None or framework.connection_id != update.connection_id:
        return
    if ctx.state.is_removed(framework.framework_id):
        return  # its removal, which is on its way, ends the stream
    served = bool(framework.info.jobs_address)
    be(ctx, framework, update.info)
    dropped = [o for o in framework.offers.values() if o.role not in framework.roles]
    offers.rescind_all(ctx, dropped, DROPPED)
    constraints, optimistic = update.said.offer_constraints, update.said.optimistic_roles
    want(ctx, framework, constraints, optimistic, keep_filters=True)
    ctx.publish(
        ClusterEvent.FRAMEWORK_UPDATED,
        framework_id=framework.framework_id,
        message=update.info.name,
        roles=framework.roles,
    )
    audit.subscribed(ctx, framework, f"Call.{CALL}")
    # It was decided by the policy of then; another may have come into force while it was written.
    if disconnecting.end_if_denied(ctx, framework):
        return
    updated = scheduler_pb.Event.FrameworkUpdated()
    ctx.tell_framework(framework, scheduler_pb.Event(framework_updated=updated))
    if not served:
        disconnecting.tell_policy(ctx, framework)
    secret_versions.tell_all(ctx, framework)


def be(ctx: Context, framework: Framework, info: pb.FrameworkInfo) -> None:
    """Have a framework be what it says of itself."""
    if _without_roles(framework.info) != _without_roles(info):
        # The policy goes by what it says now, as to the user of its tasks: so do agents. The role
        # of a task they are told with the task.
        for agent in ctx.state.agents.values():
            agent.told_frameworks.discard(info.framework_id)
    framework.info = info


def _without_roles(info: pb.FrameworkInfo) -> pb.FrameworkInfo:
    out = copy_of(info)
    out.ClearField("roles")
    out.ClearField("job_roles")
    return out


def want(
    ctx: Context,
    framework: Framework,
    constraints: Mapping[str, scheduler_pb.OfferConstraints],
    optimistic_roles: Iterable[str],
    *,
    keep_filters: bool,
) -> None:
    """Have a framework that is subscribed offered what it wants, and has not refused if
    `keep_filters`."""
    # A role that is not subscribed is nobody's to suppress, or to show anything.
    mine = frozenset(framework.roles)
    framework.suppressed &= frozenset(roles_of(ctx, framework))
    ctx.allocator.add_framework(
        framework.framework_id,
        framework.roles,
        active=True,
        suppressed=framework.suppressed & mine,
        terms=Terms(
            gpus=framework.has(pb.GPU_RESOURCES),
            revocable=framework.has(pb.REVOCABLE_RESOURCES),
            shared=framework.has(pb.SHARED_RESOURCES),
            wants_agent=wanted(constraints, ctx.state.agents),
        ),
        keep_filters=keep_filters,
    )
    ctx.look_for_lack(framework)
    framework.optimistic_roles = mine & frozenset(optimistic_roles)
