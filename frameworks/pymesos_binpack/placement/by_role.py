"""Placement of several roles: an offer is of one role, and so is a job.

Only tasks of the offer's role may be launched on it. So what waits in one role, what is offered to
it and what it asks for are planned by themselves; policy and agents are those of all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic

from pymesos_binpack.placement.agents import KnownAgents
from pymesos_binpack.placement.hand import agent_of
from pymesos_binpack.placement.packing import Policy
from pymesos_binpack.placement.placing import Placement
from pymesos_binpack.placement.queue import W
from pymesos_proto.v1 import types_pb2 as pb


class PlacementByRole(Generic[W]):
    """The placement of each role that the framework is in, or has jobs of."""

    def __init__(self, policy: Policy, roles: Iterable[str]) -> None:
        self.policy = policy
        self.agents = KnownAgents()
        self._of: dict[str, Placement[W]] = {}
        for role in roles:
            self.of(role)

    def __iter__(self) -> Iterator[Placement[W]]:
        return iter(self._of.values())

    def of(self, role: str) -> Placement[W]:
        """The placement of a role."""
        if (found := self._of.get(role)) is None:
            found = self._of[role] = Placement(role, self.policy, self.agents)
        return found

    def keys(self) -> set[str]:
        """The keys of all that wait."""
        return set().union(*(placement.queue.keys() for placement in self))

    def waiting_jobs(self) -> dict[str, None]:
        """The ids of the jobs of which something waits."""
        return {line.job_id: None for placement in self for line in placement.queue}

    # What happens.

    def connect(self) -> None:
        """A master has taken the framework in; who was lost meanwhile nobody told."""
        self.agents.clear()
        for placement in self:
            placement.connect()

    def disconnect(self) -> None:
        """The master is away, and every offer with it."""
        for placement in self:
            placement.hand.clear()

    def keep(self, roles: Iterable[str]) -> None:
        """The framework is in these roles from now on: what is offered in others is taken back."""
        for role in self._of.keys() - set(roles):
            del self._of[role]

    def take(self, offers: Iterable[pb.Offer], now_s: float) -> tuple[str, ...]:
        """Offers have come; returns those of roles that the framework has just left."""
        changed, strange = False, []
        for offer in offers:
            placement = self._of.get(offer.role or "*")
            if placement is None:
                strange.append(offer.offer_id)
                continue
            placement.take(offer, now_s)
            changed |= self.agents.see(agent_of(offer))
        if changed:
            self.agents_changed()
        return tuple(strange)

    def drop(self, offer_id: str) -> None:
        """An offer is no longer valid."""
        for placement in self:
            placement.hand.drop(offer_id)

    def lose(self, agent_id: str) -> None:
        """An agent is gone, or cannot be reached: that is to be explained."""
        self.agents.lose(agent_id)
        for placement in self:
            placement.explain()

    def agents_changed(self) -> None:
        """Constraints may be met that were not."""
        for placement in self:
            placement.agents_changed()
