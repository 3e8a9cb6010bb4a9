"""Users of their own, for tasks of root's agent that name none: who has which."""

from __future__ import annotations

from dataclasses import dataclass

MOST_AHEAD = 256  # given before the next is stored anew: a write of these is synced


@dataclass(frozen=True)
class UidRange:
    """Ids of users, and of groups, that belong to nobody but the tasks of one agent."""

    base: int
    count: int

    def __contains__(self, uid: int) -> bool:
        return self.base <= uid < self.end

    def __str__(self) -> str:
        return f"{self.base}:{self.count}"

    @property
    def end(self) -> int:
        """The first id after them."""
        return self.base + self.count


class Uids:
    """Whose the ids of a range are: a task's for as long as its files are there.

    They are given in turn, so that one comes back as late as it can: what a task left outside of
    its sandbox (in /tmp, in System V shared memory) is nobody's until then. The disk knows of one
    further on where to begin again, so that a machine that crashes does not give the latest again.
    """

    def __init__(self, given: UidRange | None) -> None:
        """None: every task is the agent's own user."""
        self._range = given
        self._held: set[int] = set()
        self.next = given.base if given else 0  # if nobody has it
        self._ahead = min(MOST_AHEAD, given.count // 8) if given else 0
        self._covered = 0  # so many may be given before another one has to be stored

    def lacks(self, count: int) -> bool:
        """Whether so many more cannot be given."""
        return self._range is not None and len(self._held) + count > self._range.count

    def take(self) -> int:
        """One that nobody has; 0 for the agent's own user."""
        if self._range is None:
            return 0
        assert not self.lacks(1)
        while self.next in self._held:
            self._advance()
        uid = self.next
        self._held.add(uid)
        self._advance()
        return uid

    def _advance(self) -> None:
        assert self._range is not None
        self.next = self.next + 1 if self.next + 1 < self._range.end else self._range.base
        self._covered -= 1

    def to_store(self) -> int | None:
        """Return where a later run is to begin, if that has to be stored, and synced, now."""
        if self._range is None or self._covered >= 0:
            return None
        self._covered = self._ahead
        return self._range.base + (self.next - self._range.base + self._ahead) % self._range.count

    def not_stored(self) -> None:
        """Take note that a write has failed: the next one that is given has it stored."""
        self._covered = 0

    def go_on(self, uid: int) -> None:
        """Begin where an earlier run has ended, unless that had another range."""
        if self._range is not None and uid in self._range:
            self.next = uid

    def hold(self, uid: int) -> None:
        """Keep one that an earlier run has given; also one of another range."""
        if uid:
            self._held.add(uid)

    def free(self, uid: int) -> None:
        """Take one back, since nothing is there that is its."""
        self._held.discard(uid)
