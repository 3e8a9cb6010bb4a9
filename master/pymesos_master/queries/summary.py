"""Counts and sums over all that a leader knows, read in slices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pymesos_core.resources import Resources, for_good
from pymesos_core.security.policy import EVERY_ROLE, Roles
from pymesos_core.slices import in_chunks, in_slices
from pymesos_core.states import state_name
from pymesos_master.core.lifecycles import AgentState, DrainState
from pymesos_master.core.state import ClusterState
from pymesos_proto.v1 import types_pb2

TOTAL, ALLOCATED, OFFERED, USED = "total", "allocated", "offered", "used"


@dataclass
class Summary:
    """Counts, and amounts in thousandths."""

    agents: Counter[str] = field(default_factory=Counter)
    drains: Counter[str] = field(default_factory=Counter)
    frameworks: Counter[str] = field(default_factory=Counter)
    tasks: Counter[str] = field(default_factory=Counter)
    offers: int = 0
    # By kind, then by the resource's name.
    resources: dict[str, Counter[str]] = field(
        default_factory=lambda: {kind: Counter() for kind in (TOTAL, ALLOCATED, OFFERED, USED)}
    )


async def summary(state: ClusterState, may: Roles = EVERY_ROLE) -> Summary:
    """What the state holds; frameworks, tasks and offers only of these roles."""
    out = Summary(offers=sum(offer.role in may for offer in state.offers.values()))
    total, allocated, offered, used = out.resources.values()
    states: Counter[types_pb2.TaskState] = Counter()
    async for agent in in_slices(state.agents.values()):
        out.agents[agent.state.value] += 1
        if agent.drain.state is not DrainState.NONE:
            out.drains[agent.drain.state.value] += 1
        if agent.state is not AgentState.ACTIVE:
            continue
        total.update(for_good(agent.total).amounts())
        if (usage := agent.usage) is not None:
            used["cpus"] += round(usage.cpus_used * 1000)
            used["mem"] += round(usage.mem_used_mib * 1000)
            used["disk"] += round(usage.disk_used_mib * 1000)
    async for framework in in_slices(state.frameworks.values()):
        if any(role in may for role in framework.roles):
            out.frameworks[framework.state.value] += 1
        async for tasks in in_chunks(framework.tasks.values()):
            shown = tasks if may.every else (task for task in tasks if task.role in may)
            states.update(task.state for task in shown)
    out.tasks.update({state_name(state): count for state, count in states.items()})
    async for agent in in_slices(state.agents.values()):
        if agent.state is not AgentState.ACTIVE:
            continue
        async for held in in_chunks(agent.holders()):
            for amounts, count in _kinds(holder.resources for holder in held):
                for name, amount in amounts.items():
                    allocated[name] += amount * count
        for offer in agent.offers.values():
            if not offer.copy_of:
                offered.update(for_good(offer.resources).amounts())
    return out


def _kinds(held: Iterable[Resources]) -> Iterator[tuple[Mapping[str, int], int]]:
    """What is held, by its kinds, and how often each is: those that hold the same share a bag."""
    bags: dict[int, Resources] = {}
    counts: Counter[int] = Counter()
    for bag in held:
        bags[id(bag)] = bag
        counts[id(bag)] += 1
    for kind, bag in bags.items():
        yield for_good(bag).amounts(), counts[kind]
