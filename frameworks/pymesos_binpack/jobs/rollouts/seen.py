"""What a decision sees: the instances of a task, ordered, against what is wanted of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pymesos_binpack.jobs.lifecycle import Phase
from pymesos_binpack.jobs.rollouts.lifecycle import State
from pymesos_binpack.jobs.rollouts.members import Member
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
    count: int  # how many are wanted
    now_s: float
    numbers: Numbers
    members: list[Member] = field(default_factory=list)
    at: dict[int, list[Member]] = field(default_factory=dict)  # by their index
    held: set[int] = field(default_factory=set)  # indices of those that are leaving and not gone

    @classmethod
    def of(
        cls,
        rules: UpdateRules,
        rollout: Rollout,
        members: Iterable[Member],
        count: int,
        now_s: float,
    ) -> Seen:
        """Return them in an order that does not depend on that of `members`."""
        seen = cls(rules, rollout, count, now_s, rules.in_numbers(count))
        for member in sorted(members, key=lambda m: (m.index, m.begun_s, m.key)):
            if not member.leaving:
                seen.members.append(member)
                seen.at.setdefault(member.index, []).append(member)
            elif member.phase not in (Phase.DONE, Phase.UNREACHABLE, Phase.WAITING):
                seen.held.add(member.index)
        return seen

    @property
    def common(self) -> int:
        """How many instances are wanted before and after: for these there is no outage."""
        return min(self.rollout.from_count, self.count)

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
        return [m for m in self.members if m.index < self.count and self.is_new(m)]
