"""What one peer may have open at a master, by the methods whose calls last."""

from __future__ import annotations

from collections.abc import Mapping

from pymesos_core.limits import PEER_AGENTS, PEER_SCHEDULERS, PEER_WATCHERS, Limit

SERVER_LIMITS: Mapping[str, Limit] = {
    "/pymesos.v1.Scheduler/Connect": PEER_SCHEDULERS,
    "/pymesos.v1.Agent/Connect": PEER_AGENTS,
    "/pymesos.v1.Names/Follow": PEER_AGENTS,
    "/pymesos.v1.Operator/WatchEvents": PEER_WATCHERS,
}
