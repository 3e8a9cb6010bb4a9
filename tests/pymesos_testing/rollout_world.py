"""A world for rollouts: instances that start, become ready, crash and end, in pretended time.

It carries out what is decided and checks, apart from the code that decides, that no step breaks
what rollouts promise.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum

from pymesos_binpack.jobs.lifecycle import Phase
from pymesos_binpack.jobs.rollouts import asking, deciding
from pymesos_binpack.jobs.rollouts.lifecycle import State
from pymesos_binpack.jobs.rollouts.members import Member, Promote, Start, Stop, Trouble
from pymesos_binpack.jobs.rollouts.rules import UpdateRules
from pymesos_binpack.jobs.rollouts.seen import serves
from pymesos_binpack.jobs.rollouts.state import Rollout, begin, known_good, settled

READY_AFTER_S = 3.0
ENDS_AFTER_S = 2.0
TASKS = (Phase.STAGING, Phase.RUNNING, Phase.UNREACHABLE, Phase.KILLING)


class Kind(StrEnum):
    """What becomes of instances of a version."""

    GOOD = "good"
    CRASHES = "crashes"
    NEVER_READY = "never ready"
    REFUSED = "refused"  # the image is not there
    ERROR = "error"  # the master refuses it


@dataclass
class World:
    """One task of a job, its instances and its rollout; `capacity` is how many tasks fit."""

    rules: UpdateRules = UpdateRules()
    count: int = 3
    capacity: int = 1000
    now_s: float = 1000.0
    kinds: dict[int, Kind] = field(default_factory=dict)  # of versions; good unless it says so
    registry_answers: bool = True
    members: dict[str, Member] = field(default_factory=dict)
    changed_s: dict[str, float] = field(default_factory=dict)  # when a member got into its phase
    decided: dict[str, Member] = field(default_factory=dict)  # as they were then
    log: list[str] = field(default_factory=list)
    version: int = 1
    made: int = 0
    fewest_ready: int = 1000
    most_live: int = 0
    rollout: Rollout = field(init=False)
    look_at_s: float | None = None

    def __post_init__(self) -> None:
        self.rollout = settled(1, self.count, self.now_s)
        self.decide()

    # What people do.

    def apply(self, kind: Kind = Kind.GOOD, count: int | None = None) -> None:
        """The job gets another version."""
        self.version += 1
        self.kinds[self.version] = kind
        before, self.count = self.count, self.count if count is None else count
        if not self.rollout.going:
            before = min(before, self.rollout.from_count) or before
        else:
            before = self.rollout.from_count
        self.rollout = begin(
            self.rules,
            from_version=known_good(self.rollout),
            to_version=self.version,
            from_count=before,
            count=self.count,
            now_s=self.now_s,
            served={m.index for m in self.ready}
            | (set(self.rollout.served_indices()) if self.rollout.going else set()),
        )
        self.fewest_ready, self.most_live = 1000, 0
        self.decide()

    def scale(self, count: int) -> None:
        """Another number of instances is wanted."""
        self.count = count
        self.decide()

    def pause(self) -> None:
        self.rollout = asking.pause(self.rollout, self.now_s, "ann")
        self.decide()

    def resume(self) -> None:
        self.rollout = asking.resume(self.rollout, self.rules, self.now_s)
        self.decide()

    def promote(self) -> None:
        self.rollout = asking.promote(self.rollout)
        self.decide()

    def abort(self) -> None:
        self.rollout = asking.abort(self.rollout, self.now_s)
        self.decide()

    # What happens to instances.

    def alter(self, key: str, **changes: object) -> None:
        """Something about an instance changes."""
        member = self.members[key]
        if changes.get("phase", member.phase) is not member.phase:
            self.changed_s[key] = self.now_s
        self.members[key] = replace(member, **changes)  # type: ignore[arg-type]

    def crash(self, key: str, why: str = "exit status 1") -> None:
        """The task of an instance ends by itself: it will be started again, if that is wanted."""
        member = self.members[key]
        if member.leaving:
            del self.members[key]
            return
        self.rollout = asking.exited(self.rollout, member, why)
        self.alter(key, phase=Phase.WAITING, ready_since_s=None)

    def lose(self, key: str) -> None:
        """The agent of an instance is unreachable."""
        self.alter(key, phase=Phase.UNREACHABLE, ready_since_s=None)

    def find(self, key: str) -> None:
        """The agent of an instance is back."""
        if self.members[key].leaving:
            self.alter(key, phase=Phase.KILLING)
        else:
            self.alter(key, phase=Phase.RUNNING)

    # Time.

    def run(self, for_s: float) -> None:
        """Let time pass, a second at a time; it is decided when that was asked for, or is due."""
        end_s = self.now_s + for_s
        while self.now_s < end_s:
            self.now_s = min(end_s, self.now_s + 1.0)
            self._pass()
            is_due = self.look_at_s is not None and self.look_at_s <= self.now_s
            if is_due or self.members != self.decided:
                self.decide()

    def run_until(self, *states: State, within_s: float = 2000.0) -> None:
        """Let time pass until the rollout is in one of these states."""
        end_s = self.now_s + within_s
        while self.rollout.state not in states:
            assert self.now_s < end_s, f"it is {self.rollout.state}: {self.rollout.why}"
            self.run(1.0)

    def _pass(self) -> None:
        for key, member in list(self.members.items()):
            since_s = self.now_s - self.changed_s[key]
            kind = self.kinds.get(member.version, Kind.GOOD)
            if member.leaving:
                ended = member.phase in (Phase.WAITING, Phase.DONE) or since_s >= ENDS_AFTER_S
                if ended and member.phase is not Phase.UNREACHABLE:
                    del self.members[key]
            elif member.phase is Phase.WAITING:
                self._launch(key, member, kind)
            elif member.phase is Phase.STAGING and since_s >= 1.0:
                self._begin(key, member, kind)
            elif member.phase is Phase.RUNNING and since_s >= READY_AFTER_S:
                if kind is Kind.CRASHES:
                    self.crash(key)
                elif kind is Kind.GOOD and member.ready_since_s is None:
                    self.alter(key, ready_since_s=self.now_s)

    def _launch(self, key: str, member: Member, kind: Kind) -> None:
        if kind is Kind.ERROR:
            self.alter(key, phase=Phase.DONE, trouble=Trouble.TASK_ERROR)
        elif sum(m.phase in TASKS for m in self.members.values()) >= self.capacity:
            self.alter(key, trouble=Trouble.CAPACITY)
        else:
            image = member.trouble is Trouble.IMAGE_UNAVAILABLE
            self.alter(key, phase=Phase.STAGING, trouble=member.trouble if image else Trouble.NONE)

    def _begin(self, key: str, member: Member, kind: Kind) -> None:
        if kind is Kind.REFUSED:
            self.alter(key, phase=Phase.WAITING, trouble=Trouble.IMAGE_REFUSED)
        elif not self.registry_answers and member.version > 1:
            self.alter(key, phase=Phase.WAITING, trouble=Trouble.IMAGE_UNAVAILABLE)
        else:
            self.alter(key, phase=Phase.RUNNING, trouble=Trouble.NONE)

    # Decisions.

    def decide(self) -> None:
        """Decide until there is nothing left to do; all that is kept goes through JSON."""
        for _ in range(20):
            self.rollout = Rollout.of_record(json.loads(json.dumps(self.rollout.record())))
            made = deciding.decide(
                self.rules,
                self.rollout,
                list(self.members.values()),
                range(self.count),
                self.now_s,
            )
            before, self.rollout, self.look_at_s = self.rollout, made.rollout, made.look_at_s
            if before.state is not made.rollout.state:
                self.log.append(f"{made.rollout.state}: {made.rollout.why}")
            for step in made.steps:
                assert getattr(step, "why", ""), step
                self._carry_out(step, before)
            self._note()
            if not made.steps and made.rollout == before:
                self.decided = dict(self.members)
                return
        raise AssertionError(f"decisions without an end: {made}")

    def _carry_out(self, step: Start | Stop | Promote, before: Rollout) -> None:
        match step:
            case Start():
                self._start(step)
            case Stop():
                self._stop(step)
            case Promote():
                assert self.rollout.promoted and not before.promoted
        self.log.append(f"{self.now_s:g} {step}")

    def _start(self, step: Start) -> None:
        assert 0 <= step.index < self.count, f"{step}: nobody wants it"
        there = [m for m in self.members.values() if m.index == step.index]
        same = [m for m in there if m.version == step.version and not m.leaving and not m.departs]
        assert not same, f"{step}: {same} is there"
        if self.rules.stop_first:
            running = [m for m in there if m.phase in TASKS]
            if not self.rules.of_agents:
                running = [m for m in running if m.phase is not Phase.UNREACHABLE]
            running = [m for m in running if not (self.rules.moves_first and m.departs)]
            assert not running, f"{step}: {running} runs"
        self.made += 1
        key = f"i{self.made}"
        pinned = self.rules.of_agents
        self.members[key] = Member(key, step.index, step.version, step.begun_s, pinned=pinned)
        self.changed_s[key] = self.now_s
        assert len(self.live) <= self.ceiling, f"{step}: {len(self.live)} > {self.ceiling}"

    def _stop(self, step: Stop) -> None:
        member = self.members[step.key]
        assert not member.leaving, f"{step} again"
        was_ready, floor = member in self.ready, self.floor
        self.alter(step.key, leaving=True, ready_since_s=None)
        if member.phase is Phase.RUNNING or member.phase is Phase.STAGING:
            self.alter(step.key, phase=Phase.KILLING)
        left = len(self.ready)
        assert not was_ready or left >= floor, f"{step}: {left} ready are left, {floor} must be"
        moves = member.departs or member.index >= self.count
        if was_ready and self.rollout.backward and not moves:
            same = [m for m in self.members.values() if m.index == member.index and m.ready]
            untouched = member.version == self.rollout.from_version and not same
            assert not untouched, f"{step}: it was never changed"

    def _note(self) -> None:
        self.fewest_ready = min(self.fewest_ready, len(self.ready))
        self.most_live = max(self.most_live, len(self.live))

    # What there is.

    @property
    def floor(self) -> int:
        """How many have to be ready after one that is was stopped."""
        unavailable = self.rules.in_numbers(self.count).unavailable
        if self.rules.of_agents:
            served = set(self.rollout.served_indices()).intersection(range(self.count))
            return len(served) - unavailable
        return min(self.rollout.from_count, self.count) - unavailable

    @property
    def ceiling(self) -> int:
        """How many may be live after one was started."""
        numbers = self.rules.in_numbers(self.count)
        drained = sum(m.departs for m in self.live)
        most = max(self.rollout.from_count, self.count)
        return most + numbers.surge + numbers.canaries + drained

    @property
    def live(self) -> list[Member]:
        """All that run or wait to, without those that are being stopped."""
        return [m for m in self.members.values() if m.live]

    @property
    def ready(self) -> list[Member]:
        """All that do their work for whoever asks discovery."""
        return [
            m
            for m in self.members.values()
            if m.ready and serves(self.rules, self.rollout, m.version)
        ]

    def of(self, version: int) -> list[Member]:
        """The live instances of a version."""
        return [m for m in self.live if m.version == version]

    def stops(self) -> Iterator[str]:
        """The stops that were decided, with their reasons."""
        return (line for line in self.log if " Stop(" in line)
