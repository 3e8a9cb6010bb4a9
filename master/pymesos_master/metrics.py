"""What a master tells Prometheus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from prometheus_client.core import Metric

from pymesos_core.metrics import MIB, gauge
from pymesos_core.resources import total
from pymesos_core.states import state_name
from pymesos_master.services.leading import Leadership

BYTES = ("mem", "disk")  # in MiB everywhere else, in bytes by Prometheus' conventions


@dataclass
class Snapshot:
    """Counts, and amounts in thousandths."""

    leads: bool = False
    epoch: int = 0
    agents: Counter[str] = field(default_factory=Counter)
    frameworks: Counter[str] = field(default_factory=Counter)
    tasks: Counter[str] = field(default_factory=Counter)
    offers: int = 0
    resources: dict[tuple[str, str], int] = field(default_factory=dict)  # by kind and name


def snapshot(leadership: Leadership) -> Snapshot:
    """Of the leader's state; of a follower only that it is one."""
    leader = leadership.leader
    if leader is None:
        return Snapshot()
    state = leader.core.state
    out = Snapshot(True, leader.term.epoch)
    out.agents.update(agent.state.value for agent in state.agents.values())
    out.frameworks.update(f.state.value for f in state.frameworks.values())
    out.tasks.update(
        state_name(task.state) for f in state.frameworks.values() for task in f.tasks.values()
    )
    out.offers = len(state.offers)
    agents = [agent for agent in state.agents.values() if agent.state.value == "active"]
    amounts = {
        "total": total(agent.total for agent in agents),
        "allocated": total(agent.allocated() for agent in agents),
        "offered": total(agent.offered() for agent in agents),
    }
    for kind, resources in amounts.items():
        for name, milli in resources.quantities.items():
            out.resources[kind, name] = milli
    return out


def to_metrics(seen: Snapshot) -> Iterable[Metric]:
    """All of them."""
    yield gauge("pymesos_master_leads", "Whether this master leads.", (), [((), seen.leads)])
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
    names = sorted({name for _, name in seen.resources})
    for name in names:
        unit, factor = ("_bytes", MIB) if name in BYTES else ("", 1)
        yield gauge(
            f"pymesos_master_{name}{unit}".replace("-", "_").replace(".", "_"),
            f"Of {name} on active agents: total, allocated to tasks, offered.",
            ("kind",),
            [
                ((kind,), milli / 1000 * factor)
                for (kind, other), milli in sorted(seen.resources.items())
                if other == name
            ],
        )
