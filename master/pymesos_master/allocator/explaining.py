"""Why a framework is not granted more: the answers of the checks that granting runs."""

from __future__ import annotations

from collections.abc import Iterator

from pymesos_master.allocator.checks import Look, why_not
from pymesos_master.allocator.granting import guaranteed
from pymesos_master.allocator.interface import Standing, Withheld
from pymesos_master.allocator.minimum import Scalars
from pymesos_master.allocator.state import AgentEntry, AllocatorState, FrameworkEntry
from pymesos_master.allocator.tree import Node


def standing(
    state: AllocatorState, framework: FrameworkEntry, role: str, needs: Scalars
) -> Standing:
    """Where a framework stands in a role, and why each agent is withheld from it."""
    leaf = framework.leaves[role]
    assert leaf.parent is not None
    # Not the shares that nodes keep: an only child's is not computed, since it needs none.
    share = {other: _share_of(state, other) for other in leaf.parent.children.values()}
    mine = (share[leaf], leaf.order)
    rivals = [(share[other], other.order) for other in share if other.wanting]
    withheld: dict[str, Withheld] = {}
    until_s: dict[str, float] = {}
    lacking = list(_lacking(state, leaf))
    for agent in state.agents.values():
        if reason := _why_not(state, agent, leaf, needs, lacking):
            withheld[agent.agent_id] = reason
        if reason == Withheld.REFUSED:
            until_s[agent.agent_id] = agent.refusals.ends_s(leaf)
    return Standing(
        role,
        role in framework.suppressed,
        share[leaf],
        sum(rival < mine for rival in rivals) + 1,
        len(rivals),
        withheld,
        until_s,
    )


def _why_not(
    state: AllocatorState, agent: AgentEntry, leaf: Node, needs: Scalars, lacking: list[str]
) -> Withheld | None:
    """As `Granting` does it: what is guaranteed first, then the fair share."""
    available = agent.available
    for role in lacking:
        bounds = guaranteed(state, role)
        if why_not(Look(state, bounds, first=True, needs=needs).at(agent, available), leaf):
            continue
        return None
    return why_not(Look(state, state.surplus(), needs=needs).at(agent, available), leaf)


def _lacking(state: AllocatorState, leaf: Node) -> Iterator[str]:
    """The role of a leaf and those above, as far as they lack some of a guarantee."""
    role = leaf.role
    while role:
        if state.quotas.missing(role):
            yield role
        role = role.rpartition("/")[0]


def _share_of(state: AllocatorState, node: Node) -> float:
    return state.tree.dominant_share(node) / node.weight
