"""What each peer has in the registry is bounded: each principal or, without certificates, address.

A framework may ask to be kept for years after it has gone, and an agent that goes is remembered.
Counted is what is meant to be written. The peer is who first came with a framework or an agent;
what has none, from an older version's registry, counts only among all.
"""

from __future__ import annotations

from collections import Counter

from pymesos_core.caller import taker_text
from pymesos_core.limits import (
    PEER_REGISTERED_AGENTS,
    PEER_REGISTERED_FRAMEWORKS,
    PEER_REGISTRY,
    REGISTERED_AGENTS,
    REGISTERED_FRAMEWORKS,
)
from pymesos_core.store import Change
from pymesos_master.core.records import AGENT, FRAMEWORK

_ADVICE = {
    FRAMEWORK: "end some with `pymesos-cli teardown`, or let their failover_timeout pass",
    AGENT: "give those up that do not come back, with `pymesos-cli gone`",
}
_LIMITS = {
    FRAMEWORK: (REGISTERED_FRAMEWORKS, PEER_REGISTERED_FRAMEWORKS),
    AGENT: (REGISTERED_AGENTS, PEER_REGISTERED_AGENTS),
}


class Registered:
    """The records of agents and frameworks, by who came with them."""

    def __init__(self) -> None:
        self._records: dict[tuple[str, str], tuple[str, int]] = {}  # peer and bytes, by record
        self._all: Counter[str] = Counter()  # by kind
        self._of_peer: Counter[tuple[str, str]] = Counter()  # by kind and peer
        self._bytes_of_peer: Counter[str] = Counter()

    def problem(self, change: Change, peer: str) -> str | None:
        """Why a record is refused that is new of this peer, or larger than before; or None."""
        kind, size = change.kind, len(change.value or b"")
        most, most_of_peer = _LIMITS[kind]
        problem = None
        known = self._records.get((kind, change.key))
        if known is None:
            problem = most.problem(self._all[kind] + 1)
            if peer and problem is None:
                problem = most_of_peer.problem(self._of_peer[kind, peer] + 1, taker_text(peer))
        else:
            peer, size = known[0], size - known[1]
        if peer and size > 0 and problem is None:
            problem = PEER_REGISTRY.problem(self._bytes_of_peer[peer] + size, taker_text(peer))
        return f"{problem}: {_ADVICE[kind]}" if problem else None

    def note(self, change: Change, peer: str = "") -> None:
        """A record is to be as this says; a new one came from `peer`."""
        key = (change.kind, change.key)
        if change.kind not in _LIMITS:
            return
        known = self._records.pop(key, None)
        if known is not None:
            peer = known[0]
            self._count(change.kind, peer, -1, -known[1])
        if change.value is not None:
            self._records[key] = (peer, len(change.value))
            self._count(change.kind, peer, 1, len(change.value))

    def _count(self, kind: str, peer: str, number: int, size: int) -> None:
        self._all[kind] += number
        self._of_peer[kind, peer] += number
        self._bytes_of_peer[peer] += size
        if not self._of_peer[kind, peer]:
            del self._of_peer[kind, peer]
        if not self._bytes_of_peer[peer]:
            del self._bytes_of_peer[peer]
