"""The steps of one decision, and the budget from which each of them takes."""

from __future__ import annotations

from pymesos_binpack.jobs.rollouts.members import Member, Start, Step, Stop
from pymesos_binpack.jobs.rollouts.seen import Seen, serves


class Plan:
    """Steps, with what they leave: the budget holds between any two of them."""

    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        self.steps: list[Step] = []
        self.stopped: set[str] = set()
        self._started: set[tuple[int, int]] = set()
        self._room = seen.ceiling - seen.live
        counted = [m for m in seen.members if seen.counts(m)]
        self._ready = len(counted)
        self._common = sum(seen.is_common(m.index) for m in counted)

    def is_free(self, member: Member) -> bool:
        """Return whether nobody would miss an instance: it does no work, as far as is known."""
        seen = self.seen
        serving = member.ready and serves(seen.rules, seen.rollout, member.version)
        return not serving and not member.lost

    def may_stop(self, member: Member) -> bool:
        """Return whether enough that are ready are left without an instance."""
        return self.is_free(member) or self.spare(member) >= self.seen.counts(member)

    def spare(self, member: Member) -> int:
        """Return how many that are ready may be missing, an instance among them."""
        seen = self.seen
        ready = min(self._ready, self._common) if seen.is_common(member.index) else self._ready
        return ready - seen.floor

    def stop(self, member: Member, why: str) -> None:
        """Stop an instance. May be called for one that was stopped already."""
        if member.key in self.stopped:
            return
        one = self.seen.counts(member)
        self._ready -= one
        self._common -= one and self.seen.is_common(member.index)
        self._room += member.live and not member.departs  # one that departs has room of its own
        self.stopped.add(member.key)
        self.steps.append(Stop(member.key, why))

    @property
    def has_room(self) -> bool:
        """Whether another may be live."""
        return self._room > 0

    def start(self, index: int, version: int, why: str) -> bool:
        """Start an instance, if another may be live and its index is free for it."""
        seen = self.seen
        if not self.has_room or (index, version) in self._started:
            return False
        if seen.rules.stop_first and not self._is_given_up(index):
            return False  # also while the one that is stopped now is there
        self._started.add((index, version))
        self._room -= 1
        self.steps.append(Start(index, version, why, seen.now_s))
        return True

    def _is_given_up(self, index: int) -> bool:
        """Whether nobody holds, where a successor would run, what that needs."""
        seen = self.seen
        there = [m for m in seen.at.get(index, ()) if not (seen.rules.moves_first and m.departs)]
        return not there and index not in seen.held

    def left(self, index: int) -> list[Member]:
        """Return the instances of an index that were not stopped."""
        return [m for m in self.seen.at.get(index, ()) if m.key not in self.stopped]
