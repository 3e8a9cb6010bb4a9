"""What a decision sees: the instances of a task, ordered, against what is wanted of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Set
from dataclasses import dataclass, field

from pymesos_binpack.jobs.lifecycle import Phase
from pymesos_binpack.jobs.rollouts.lifecycle import State
from pymesos_binpack.jobs.rollouts.members import Member, Trouble
from pymesos_binpack.jobs.rollouts.rules import Numbers, UpdateRules
from pymesos_binpack.jobs.rollouts.state import Rollout


def serves(rules: UpdateRules, rollout: Rollout, version: int) -> bool:
    """Return whether instances of a version are in discovery once they are ready."""
    canary = version == rollout.to_version != rollout.from_version and not rollout.promoted
    return rules.canary_serve or not canary


@dataclass(slots=True)
class Seen:
    """The instances of a task that are not leaving, and numbers about them."""

    rules: UpdateRules
    rollout: Rollout
    places: Collection[int]  # the indices of which one each is wanted
    now_s: float
    numbers: Numbers
    members: list[Member] = field(default_factory=list)
    at: dict[int, list[Member]] = field(default_factory=dict)  # by their index
    held: set[int] = field(default_factory=set)  # indices of those that are leaving and not gone
    served: Set[int] = frozenset()  # places where work was done before, if each is of an agent

    @classmethod
    def of(
        cls,
        rules: UpdateRules,
        rollout: Rollout,
        members: Iterable[Member],
        places: Collection[int],
        now_s: float,
    ) -> Seen:
        """Return them in an order that does not depend on that of `members`."""
        seen = cls(rules, rollout, places, now_s, rules.in_numbers(len(places)))
        gone = {Phase.DONE, Phase.WAITING}
        if not rules.of_agents:
            gone.add(Phase.UNREACHABLE)  # a successor is placed elsewhere
        for member in sorted(members, key=lambda m: (m.index, m.begun_s, m.key)):
            if not member.leaving:
                seen.members.append(member)
                seen.at.setdefault(member.index, []).append(member)
            elif member.phase not in gone:
                seen.held.add(member.index)
        if rules.of_agents:
            seen.served = {i for i in rollout.served_indices() if i in places}
        return seen

    @property
    def count(self) -> int:
        """How many are wanted."""
        return len(self.places)

    @property
    def common(self) -> int:
        """How many instances are wanted before and after: for these there is no outage.

        Where each is of an agent, these are the ones that did their work before: an agent that had
        no room, or could not be reached, is none that others have to wait for.
        """
        if self.rules.of_agents:
            return len(self.served)
        return min(self.rollout.from_count, self.count)

    def is_common(self, index: int) -> bool:
        """Return whether an index is that of one that is wanted before and after."""
        return index in self.served if self.rules.of_agents else index < self.common

    def is_missed_by_nobody(self, member: Member) -> bool:
        """Return whether an instance cannot run on its agent, as there was none before."""
        full = member.phase is Phase.WAITING and member.trouble is Trouble.CAPACITY
        return self.rules.of_agents and (member.lost or full) and member.index not in self.served

    @property
    def floor(self) -> int:
        """How many are to be ready whenever one that is ready is stopped."""
        return max(0, self.common - self.numbers.unavailable)

    @property
    def ceiling(self) -> int:
        """How many may be live."""
        canaries = 0 if self.rollout.promoted else self.numbers.canaries
        drained = sum(m.live and m.departs for m in self.members)
        most = max(self.rollout.from_count, self.count)
        return most + self.numbers.surge + canaries + drained

    @property
    def live(self) -> int:
        """How many are."""
        return sum(m.live for m in self.members)

    def stable(self, member: Member) -> bool:
        """Return whether an instance has been ready for long enough."""
        return member.stable(self.rules.min_healthy_s, self.now_s)

    def counts(self, member: Member) -> bool:
        """Return whether an instance is one of those that may not become too few.

        What a rollout starts counts once it is stable; all else while it is ready.
        """
        if not serves(self.rules, self.rollout, member.version):
            return False
        return self.stable(member) if self.is_new(member) else member.ready

    def is_new(self, member: Member) -> bool:
        """Return whether a rollout that is going started an instance, and judges it."""
        rollout = self.rollout
        return (
            rollout.going
            and rollout.state is not State.PAUSED
            and member.version == rollout.target
            and member.begun_s >= rollout.since_s
        )

    def new(self) -> list[Member]:
        """Return the instances by which a rollout is judged."""
        return [m for m in self.members if m.index in self.places and self.is_new(m)]
