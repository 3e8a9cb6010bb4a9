"""What nobody uses of agents is offered as revocable, as they say how much that is.

An agent that says less has what is offered of it taken back at once; it ends the tasks that use
what is no longer there. Until they have ended they hold more than there is, and nothing comes free.
"""

from __future__ import annotations

from pymesos_core import contract
from pymesos_core.resource_values import ResourceError
from pymesos_core.resources import EMPTY, Resources, for_good, from_proto, is_revocable
from pymesos_master.core import offers, reservations
from pymesos_master.core.agents import agent_of
from pymesos_master.core.context import Context
from pymesos_master.core.events import AgentSlackTold
from pymesos_master.core.lifecycles import AgentState
from pymesos_master.core.state import Agent

NAMES = frozenset({"cpus", "mem"})
CHANGED = "what nobody uses of its agent has changed"


def on_told(ctx: Context, event: AgentSlackTold) -> None:
    """Offer what an agent says that nobody uses of it, and nothing else of what is revocable."""
    agent = agent_of(ctx, event.connection_id)
    if agent is None:
        return
    agent.heard = agent.confirmed = True
    slack = _read(agent, event)
    if isinstance(slack, str):
        ctx.complain(agent, "a bad word on what nobody uses of it", slack)
        return
    if slack == agent.slack or agent.state != AgentState.ACTIVE:
        return
    held = [o for o in agent.offers.values() if not o.copy_of and is_revocable(o.resources)]
    offers.rescind_all(ctx, held, CHANGED)
    agent.slack = slack
    agent.total = for_good(agent.total) + slack
    used = agent.allocated()
    for conversion in reservations.converting(ctx.state, agent):
        used = used + conversion.held
    used = used.where(lambda tag: tag.revocable)
    ctx.allocator.set_revocable(agent.agent_id, slack, used)


def _read(agent: Agent, event: AgentSlackTold) -> Resources | str:
    """What there is, or what is wrong."""
    if problem := contract.problem(event.slack):
        return problem
    try:
        slack = from_proto(event.slack.revocable)
    except ResourceError as error:
        return str(error)
    own = from_proto(agent.info.resources)
    if is_revocable(own):
        return "some of its resources are revocable for good"
    if for_good(slack) != EMPTY or not slack.quantities.keys() <= NAMES:
        return "cpus and mem that are revocable are expected, and nothing else"
    if any(tag.role or tag.volume or tag.device or tag.shared for tag in slack.tagged):
        return "nothing of it may be reserved, shared, or of a device"
    if any(v > own.quantities.get(n, 0) for n, v in slack.quantities.items()):
        return "it is more than the agent has"
    return slack
