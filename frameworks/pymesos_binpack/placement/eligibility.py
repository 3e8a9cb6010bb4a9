"""Whether an agent may have a task at all, whatever is free on it."""

from __future__ import annotations

from collections.abc import Iterable

from pymesos_binpack.constraints import OF_AGENTS, Constraint
from pymesos_binpack.placement.agents import Attributes, KnownAgents, OfferedAgent, Placements
from pymesos_binpack.placement.tasks import PendingTask
from pymesos_core.expressions import compile_expression


def refusal_of_agent(
    task: PendingTask, agent: OfferedAgent, placed: Placements, known: KnownAgents
) -> str | None:
    """Why the agent will not do, whatever is free on it."""
    found = rule_against(task, agent, placed, known)
    return ": ".join(filter(None, found)) if found is not None else None


def rule_against(
    task: PendingTask, agent: OfferedAgent, placed: Placements, known: KnownAgents
) -> tuple[str, str] | None:
    """What rules the agent out, and what of it is wrong where that does not say so; or None."""
    if (lacking := lacks(task, agent)) is not None:
        return lacking, ""
    for constraint in task.constraints:
        reason = unmet(constraint, task.group, agent.attributes, placed, known)
        if reason is not None:
            return str(constraint), reason
    return None


def lacks(task: PendingTask, agent: OfferedAgent) -> str | None:
    """What an agent lacks to run a task, wherever others run; or None."""
    if task.runtimes and agent.runtimes and not set(task.runtimes) & set(agent.runtimes):
        return f"it has none of the runtimes {', '.join(task.runtimes)}"
    if task.secrets and not agent.knows_secrets:
        return "it is of a version that knows no secrets"
    if task.signals and not agent.knows_signals:
        return "it is of a version that ends tasks by SIGTERM only"
    if task.config and not agent.knows_config:
        return "it is of a version that makes no config files"
    if task.addresses and not agent.knows_addresses:
        return "it is of a version whose config files have no addresses"
    if task.secret_addresses and not agent.knows_secret_addresses:
        return "it is of a version whose config files have secrets or addresses, and not both"
    return None


def barred(constraints: Iterable[Constraint], agent: OfferedAgent) -> str | None:
    """Which constraint keeps a task from an agent, wherever others run, and why; or None."""
    for constraint in constraints:
        if constraint.operator in OF_AGENTS:
            reason = unmet(constraint, "", agent.attributes, Placements(), KnownAgents())
            if reason is not None:
                return f"{constraint}: {reason}"
    return None


def unmet(
    constraint: Constraint,
    group: str,
    attributes: Attributes,
    placed: Placements,
    known: KnownAgents,
) -> str | None:
    """Why an agent with these attributes (hostname among them) will not do for a group, or None."""
    mine = attributes.get(constraint.field)
    if constraint.operator == "UNLIKE":
        if mine is not None and compile_expression(constraint.value).fullmatch(mine):
            return f"{constraint.field} is {mine}"
        return None
    if mine is None:
        return f"it has no attribute {constraint.field}"
    if constraint.operator in ("IS", "IN"):
        return None if mine in constraint.allowed() else f"{constraint.field} is {mine}"
    taken = placed.counts(constraint.group_of(group), constraint.field)
    if constraint.operator == "WITH":
        return None if taken[mine] else f"no {constraint.value} runs on {mine}"
    if constraint.operator == "AWAY":
        return f"{constraint.value} runs on {mine}" if taken[mine] else None
    if constraint.operator == "UNIQUE":
        return f"{constraint.field} {mine} has one already" if taken[mine] else None
    values = known.values(constraint.field)
    # Where some value has none, the fewest are none, and that need not be looked for.
    fewest = 0 if len(taken) < len(values) else min((taken[v] for v in values), default=0)
    if taken[mine] > fewest:
        return f"{constraint.field} {mine} has more of them than others"
    return None
