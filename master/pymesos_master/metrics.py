"""What a master tells Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, Metric

from pymesos_core.metrics import MIB, gauge
from pymesos_master.core import accounting
from pymesos_master.core.accounts import Sums
from pymesos_master.core.lifecycles import DrainState
from pymesos_master.queries.summary import ALLOCATED, OFFERED, TOTAL, Summary, summary
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
# What roles have used: the field of the sums, its metric, and what a thousandth of it for a ms is.
ACCOUNTED = (
    ("asked_cpus", "asked_cpu_seconds", 1e-6, "CPU time for which tasks held CPUs"),
    ("asked_mem", "asked_mem_byte_seconds", MIB * 1e-6, "Memory that tasks held, times how long"),
    ("asked_gpus", "asked_gpu_seconds", 1e-6, "Time for which tasks held GPUs"),
    ("used_cpus", "used_cpu_seconds", 1e-6, "CPU time that agents have measured"),
    ("used_mem", "used_mem_byte_seconds", MIB * 1e-6, "Memory measured, times how long"),
)
MAX_OTHERS = 100  # names of other resources, so that agents cannot make the answer grow


@dataclass
class Snapshot:
    """Who leads, and what that one has counted."""

    leads: bool = False
    faults: int = 0
    epoch: int = 0
    counted: Summary = field(default_factory=Summary)
    used: Mapping[str, Sums] = field(default_factory=dict)  # by role


async def snapshot(leadership: Leadership) -> Snapshot:
    """What the leader's state holds, read in slices; of a follower only that it is one."""
    leader = leadership.leader
    if leader is None:
        return Snapshot(faults=leadership.faults)
    counted = await summary(leader.core.state)
    used = leader.core.state.accounts.by_role(accounting.at(leadership.outside.clock()))
    return Snapshot(True, leadership.faults, leader.term.epoch, counted, used)


def to_metrics(seen: Snapshot) -> Iterable[Metric]:
    """All metrics of a master."""
    yield gauge("pymesos_master_leads", "Whether this master leads.", (), [((), seen.leads)])
    text = "Faults of its own that ended its leading since it was started."
    yield gauge("pymesos_master_faults", text, (), [((), seen.faults)])
    if not seen.leads:
        return
    counted = seen.counted
    amounts_of = {kind: counted.resources[kind] for kind in (TOTAL, ALLOCATED, OFFERED)}
    yield gauge("pymesos_master_epoch", "The epoch it leads in.", (), [((), seen.epoch)])
    yield gauge("pymesos_master_offers", "Offers that are out.", (), [((), counted.offers)])
    for name, counts in (
        ("agents", counted.agents),
        ("frameworks", counted.frameworks),
        ("tasks", counted.tasks),
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
        [((state,), float(counted.drains[state])) for state in withheld],
    )
    for name, (metric, factor) in OWN.items():
        values = [((kind,), amounts[name] / 1000 * factor) for kind, amounts in amounts_of.items()]
        text = f"Of {name} on active agents: total, allocated to tasks, offered."
        yield gauge(metric, text, ("kind",), values)
    others = sorted({name for amounts in amounts_of.values() for name in amounts} - OWN.keys())
    yield gauge(
        "pymesos_master_other_resources",
        f"Of each other resource, the first {MAX_OTHERS} of them, as those of their own.",
        ("resource", "kind"),
        [
            ((name, kind), amounts[name] / 1000)
            for name in others[:MAX_OTHERS]
            for kind, amounts in amounts_of.items()
        ],
    )
    yield from _accounted(seen.used)


def _accounted(used: Mapping[str, Sums]) -> Iterable[Metric]:
    for field_name, name, factor, text in ACCOUNTED:
        family = CounterMetricFamily(
            f"pymesos_master_role_{name}",
            f"{text}, by role, since this master leads; of roles that are too many without a name.",
            labels=["role"],
        )
        for role, sums in sorted(used.items()):
            family.add_metric([role], getattr(sums, field_name) * factor)
        yield family
