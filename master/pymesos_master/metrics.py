"""What a master tells Prometheus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from prometheus_client.core import Metric

from pymesos_core.metrics import MIB, gauge
from pymesos_core.slices import in_slices
from pymesos_core.states import state_name
from pymesos_master.core.lifecycles import AgentState, DrainState
from pymesos_master.services.leading import Leadership

# Resources with a metric of their own; the values of mem and disk are in bytes by Prometheus'
# conventions. All others share one metric: an agent may call a resource what it likes.
OWN = {
    "cpus": ("pymesos_master_cpus", 1),
    "mem": ("pymesos_master_mem_bytes", MIB),
    "disk": ("pymesos_master_disk_bytes", MIB),
    "gpus": ("pymesos_master_gpus", 1),
    "ports": ("pymesos_master_ports", 1),
}
MAX_OTHERS = 100  # names of other resources, so that agents cannot make the answer grow
TOTAL, ALLOCATED, OFFERED = "total", "allocated", "offered"


@dataclass
class Snapshot:
    """Counts, and amounts in thousandths."""

    leads: bool = False
    faults: int = 0
    epoch: int = 0
    agents: Counter[str] = field(default_factory=Counter)
    drains: Counter[str] = field(default_factory=Counter)
    frameworks: Counter[str] = field(default_factory=Counter)
    tasks: Counter[str] = field(default_factory=Counter)
    offers: int = 0
    # By kind, then by the resource's name.
    resources: dict[str, Counter[str]] = field(
        default_factory=lambda: {kind: Counter() for kind in (TOTAL, ALLOCATED, OFFERED)}
    )


async def snapshot(leadership: Leadership) -> Snapshot:
    """What the leader's state holds, read in slices; of a follower only that it is one."""
    leader = leadership.leader
    if leader is None:
        return Snapshot(faults=leadership.faults)
    state = leader.core.state
    out = Snapshot(True, leadership.faults, leader.term.epoch, offers=len(state.offers))
    total, allocated, offered = out.resources.values()
    async for agent in in_slices(state.agents.values()):
        out.agents[agent.state.value] += 1
        if agent.drain.state is not DrainState.NONE:
            out.drains[agent.drain.state.value] += 1
        if agent.state is AgentState.ACTIVE:
            total.update(agent.total.amounts())
    async for framework in in_slices(state.frameworks.values()):
        out.frameworks[framework.state.value] += 1
        async for task in in_slices(framework.tasks.values()):
            out.tasks[state_name(task.state)] += 1
    async for agent in in_slices(state.agents.values()):
        if agent.state is not AgentState.ACTIVE:
            continue
        async for task in in_slices(agent.tasks.values()):
            if task.holds_resources:
                allocated.update(task.resources.amounts())
        for offer in agent.offers.values():
            if not offer.copy_of:
                offered.update(offer.resources.amounts())
    return out


def to_metrics(seen: Snapshot) -> Iterable[Metric]:
    """All metrics of a master."""
    yield gauge("pymesos_master_leads", "Whether this master leads.", (), [((), seen.leads)])
    text = "Faults of its own that ended its leading since it was started."
    yield gauge("pymesos_master_faults", text, (), [((), seen.faults)])
    if not seen.leads:
        return
    yield gauge("pymesos_master_epoch", "The epoch it leads in.", (), [((), seen.epoch)])
    yield gauge("pymesos_master_offers", "Offers that are out.", (), [((), seen.offers)])
    for name, counts in (
        ("agents", seen.agents),
        ("frameworks", seen.frameworks),
        ("tasks", seen.tasks),
    ):
        text = f"Known {name} that are not completed, by state."
        values = [((state,), float(count)) for state, count in sorted(counts.items())]
        yield gauge(f"pymesos_master_{name}", text, ("state",), values)
    text = "Agents that operators have cordoned, that are being drained, or are drained."
    withheld = [DrainState.CORDONED.value, DrainState.DRAINING.value, DrainState.DRAINED.value]
    yield gauge(
        "pymesos_master_withheld_agents",
        text,
        ("state",),
        [((state,), float(seen.drains[state])) for state in withheld],
    )
    for name, (metric, factor) in OWN.items():
        values = [
            ((kind,), amounts[name] / 1000 * factor) for kind, amounts in seen.resources.items()
        ]
        text = f"Of {name} on active agents: total, allocated to tasks, offered."
        yield gauge(metric, text, ("kind",), values)
    others = sorted({name for amounts in seen.resources.values() for name in amounts} - OWN.keys())
    yield gauge(
        "pymesos_master_other_resources",
        f"Of each other resource, the first {MAX_OTHERS} of them, as those of their own.",
        ("resource", "kind"),
        [
            ((name, kind), amounts[name] / 1000)
            for name in others[:MAX_OTHERS]
            for kind, amounts in seen.resources.items()
        ],
    )
