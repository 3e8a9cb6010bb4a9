"""Metrics of a master by the names that Mesos has for them; those that it counts otherwise are left
out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from pymesos_core.mesos.machine import system
from pymesos_master.core.lifecycles import AgentState, DrainState, FrameworkState
from pymesos_master.queries.summary import ALLOCATED, OFFERED, TOTAL, Summary

RESOURCES = ("cpus", "gpus", "mem", "disk")
STATES = ("staging", "starting", "running", "killing", "unreachable")
_WITHHELD = (DrainState.CORDONED, DrainState.DRAINING, DrainState.DRAINED)


def snapshot(counted: Summary | None, uptime_s: float, subscribers: int) -> dict[str, float]:
    """Return all metrics by their names; of a master that does not lead `counted` is None."""
    out: dict[str, float] = {
        "master/elected": float(counted is not None),
        "master/uptime_secs": uptime_s,
        "master/operator_event_stream_subscribers": float(subscribers),
    }
    for name, value in system().items():
        shown = name.replace("avg_load", "load")
        out[f"system/{shown}"] = float(value)
    if counted is not None:
        out |= _of_cluster(counted)
    return dict(sorted(out.items()))


def _of_cluster(counted: Summary) -> Mapping[str, float]:
    agents, frameworks = counted.agents, counted.frameworks
    connected = agents[AgentState.ACTIVE.value]
    withheld = sum(counted.drains[state.value] for state in _WITHHELD)
    active = frameworks[FrameworkState.ACTIVE.value]
    away = frameworks[FrameworkState.DISCONNECTED.value]
    out: dict[str, float] = {
        "master/slaves_connected": connected,
        "master/slaves_disconnected": agents[AgentState.DISCONNECTED.value],
        "master/slaves_active": max(0, connected - withheld),
        "master/slaves_inactive": agents[AgentState.DISCONNECTED.value] + min(connected, withheld),
        "master/slaves_unreachable": agents[AgentState.UNREACHABLE.value],
        "master/frameworks_active": active,
        "master/frameworks_connected": active,
        "master/frameworks_disconnected": away,
        "master/frameworks_inactive": away,
        "master/outstanding_offers": counted.offers,
    }
    by_state = Counter({name.lower(): count for name, count in counted.tasks.items()})
    for state in STATES:
        out[f"master/tasks_{state}"] = by_state[f"task_{state}"]
    total, used, offered = (counted.resources[kind] for kind in (TOTAL, ALLOCATED, OFFERED))
    for name in RESOURCES:
        out[f"master/{name}_total"] = total[name] / 1000
        out[f"master/{name}_used"] = used[name] / 1000
        out[f"master/{name}_percent"] = used[name] / total[name] if total[name] else 0.0
        out[f"allocator/mesos/resources/{name}/total"] = total[name] / 1000
        taken = (used[name] + offered[name]) / 1000
        out[f"allocator/mesos/resources/{name}/offered_or_allocated"] = taken
    return {name: float(value) for name, value in out.items()}
