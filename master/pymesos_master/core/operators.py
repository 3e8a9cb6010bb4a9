"""What operators decide."""

from __future__ import annotations

from dataclasses import dataclass

from pymesos_core.errors import ProblemKind
from pymesos_core.security.policy import Decision, Verb, roles_for
from pymesos_master.core import agents, audit, frameworks, permission, tasks
from pymesos_master.core.context import Context
from pymesos_master.core.events import OperatorKilledTask, OperatorMarkedGone, OperatorToreDown
from pymesos_master.core.lifecycles import AgentState
from pymesos_master.core.records import AGENT, AgentRecord


def on_kill_task(ctx: Context, event: OperatorKilledTask) -> None:
    """Kill one task by the policy of its own. Whether one is there that the caller may not kill, it
    does not learn."""
    if permission.refused(ctx, event.request_id, event.caller, "Operator.KillTask"):
        return
    may = roles_for(ctx.state.policy, event.caller, Verb.KILL)
    found = [
        task
        for framework in ctx.state.frameworks.values()
        if event.framework_id in ("", framework.framework_id)
        and (task := framework.tasks.get(event.task_id)) is not None
        and task.role in may
    ]
    if len(found) == 1:
        roles = (found[0].role,)
        if permission.refused(ctx, event.request_id, event.caller, "Operator.KillTask", roles):
            return  # it cannot be, and the audit has the rule that allows it
        tasks.request_kill(ctx, found[0], None)
        ctx.answer(event.request_id)
    elif found:
        owners = ", ".join(task.framework_id for task in found)
        message = f"task {event.task_id} exists in several frameworks ({owners}): name one"
        ctx.answer(event.request_id, message)
    elif not may.every:
        message = (
            f"{event.caller.principal} may not kill {event.task_id}: no such task is live in the"
            f" roles in which it may; `pymesos-cli whoami` shows them"
        )
        denied = Decision(message)
        audit.begin(ctx, event.request_id, event.caller, "Operator.KillTask", (), denied)
        ctx.answer(event.request_id, message, ProblemKind.DENIED)
    else:
        message = f"there is no live task {event.task_id}"
        ctx.answer(event.request_id, message, ProblemKind.NOT_FOUND)


def on_teardown(ctx: Context, event: OperatorToreDown) -> None:
    """Remove a framework and end its tasks."""
    if permission.refused(ctx, event.request_id, event.caller, "Operator.TeardownFramework"):
        return
    framework = ctx.state.frameworks.get(event.framework_id)
    if framework is None:
        message = f"there is no framework {event.framework_id}"
        ctx.answer(event.request_id, message, ProblemKind.NOT_FOUND)
        return
    call = "Operator.TeardownFramework"
    roles = framework.roles_with_tasks
    if permission.refused(ctx, event.request_id, event.caller, call, roles):
        return
    frameworks.remove(ctx, framework, "Torn down by an operator", event.request_id)


def on_mark_gone(ctx: Context, event: OperatorMarkedGone) -> None:
    """Write it, then end the agent's tasks for good."""
    if permission.refused(ctx, event.request_id, event.caller, "Operator.MarkAgentGone"):
        return
    agent = ctx.state.agents.get(event.agent_id)
    if agent is None:
        message = f"there is no agent {event.agent_id}"
        ctx.answer(event.request_id, message, ProblemKind.NOT_FOUND)
        return

    meant = ctx.state.intended_agent(agent.agent_id)
    reserved = meant.reserved if meant is not None else agent.reserved
    info = meant.info if meant is not None else agent.info
    gone = AgentRecord(info, AgentState.GONE, reserved)
    ctx.persist({(AGENT, agent.agent_id): gone}, AgentGone(agent.agent_id, event.request_id))


@dataclass(frozen=True, slots=True)
class AgentGone:
    """An agent is written to be gone; the operator waits."""

    agent_id: str
    request_id: int


def on_gone(ctx: Context, gone: AgentGone) -> None:
    """End its tasks, and say so."""
    agent = ctx.state.agents[gone.agent_id]
    if agent.state != AgentState.GONE:
        agents.make_gone(ctx, agent)
    ctx.answer(gone.request_id)
