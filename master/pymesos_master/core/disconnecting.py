"""The stream of a framework ends: by itself, or because the policy does not allow it any more."""

from __future__ import annotations

from pymesos_master.core import audit, maintenance, offers, permission, telling
from pymesos_master.core.context import Context
from pymesos_master.core.events import FrameworkDisconnected
from pymesos_master.core.lifecycles import FRAMEWORK_LIFE, FrameworkEvent
from pymesos_master.core.state import Framework
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1.operator_pb2 import ClusterEvent

DENIED = scheduler_pb.Event.Error.DENIED
MAX_FAILOVER_TIMEOUT_S = 10 * 365 * 86400.0


def on_disconnected(ctx: Context, event: FrameworkDisconnected) -> None:
    """The stream ended: offers go back at once, tasks live through the failover timeout."""
    telling.forget(ctx, event.connection_id)
    framework_id = ctx.state.framework_by_connection.pop(event.connection_id, None)
    framework = ctx.state.frameworks.get(framework_id) if framework_id else None
    if framework is None or framework.connection_id != event.connection_id:
        return
    _disconnected(ctx, framework)


def _disconnected(ctx: Context, framework: Framework) -> None:
    framework.connection_id = None
    offers.rescind_all(ctx, list(framework.offers.values()), "framework disconnected")
    maintenance.forget(ctx, framework)
    FRAMEWORK_LIFE.move(framework, FrameworkEvent.STREAM_ENDED, ctx.now.wall_s)
    ctx.allocator.deactivate_framework(framework.framework_id)
    ctx.publish(
        ClusterEvent.FRAMEWORK_DISCONNECTED,
        framework_id=framework.framework_id,
        roles=framework.roles,
    )
    start_failover_timer(ctx, framework)


def start_failover_timer(ctx: Context, framework: Framework) -> None:
    """Remove the framework, which is away from now on, unless it subscribes again in time."""
    framework.disconnected_at_s = ctx.now.wall_s
    timeout_s = min(framework.info.failover_timeout_s, MAX_FAILOVER_TIMEOUT_S)
    ctx.timers.set(("failover", framework.framework_id), ctx.now.mono_s + timeout_s)


def apply_policy(ctx: Context, framework: Framework) -> None:
    """Tell a framework the policy in force, or end its stream if by that it may not be here."""
    if framework.connection_id is not None and not end_if_denied(ctx, framework):
        tell_policy(ctx, framework)


def end_if_denied(ctx: Context, framework: Framework) -> bool:
    """End the stream of a framework that may not be here by the policy in force; whether it did."""
    connection_id = framework.connection_id
    problem = permission.subscription_problem(ctx.state, framework.caller, framework.info)
    if problem is None or connection_id is None:
        return False
    named = {"framework_id": framework.framework_id}
    audit.denied(ctx, framework.caller, "Call.subscribe", problem, framework.roles, **named)
    telling.forget(ctx, connection_id)
    ctx.state.framework_by_connection.pop(connection_id, None)
    ctx.refuse_framework(connection_id, problem, DENIED)
    _disconnected(ctx, framework)
    return True


def tell_policy(ctx: Context, framework: Framework) -> None:
    """Tell a framework the policy in force if it is to answer by it: it serves jobs."""
    if framework.info.jobs_address and framework.caller.is_proved:
        policy = scheduler_pb.Event.Policy(
            document=ctx.state.policy.document, version=ctx.state.policy.version
        )
        ctx.tell_framework(framework, scheduler_pb.Event(policy=policy))
