"""Rollouts in any weather: no step breaks a promise, and each ends once the weather is good.

The promises are checked by the world itself, at every step. That it would see one broken is shown
by breaking the rules, one at a time.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pymesos_binpack.jobs.lifecycle import Phase as Life
from pymesos_binpack.jobs.rollouts import asking, deciding, replacing
from pymesos_binpack.jobs.rollouts.lifecycle import State
from pymesos_binpack.jobs.rollouts.members import Member
from pymesos_binpack.jobs.rollouts.planning import Plan
from pymesos_binpack.jobs.rollouts.rules import (
    DAEMON,
    HOST_PORTS,
    NONE,
    STOP_FIRST,
    Amount,
    OnFailure,
    Promote,
    UpdateRules,
)
from pymesos_binpack.jobs.rollouts.seen import Seen
from pymesos_binpack.jobs.rollouts.state import Rollout
from pymesos_testing.rollout_world import Kind, World

COUNTS = st.integers(0, 6)
RULES = st.sampled_from(
    [
        UpdateRules(),
        UpdateRules(max_surge=NONE, max_unavailable=Amount(50, percent=True)),
        UpdateRules(max_surge=Amount(2), max_unavailable=Amount(1)),
        UpdateRules(canary=Amount(1)),
        UpdateRules(canary=Amount(50, percent=True), canary_promote=Promote.AUTO),
        UpdateRules(canary=Amount(100, percent=True), canary_serve=False),
        UpdateRules(on_failure=OnFailure.PAUSE),
        STOP_FIRST,
    ]
)


class Weather(RuleBasedStateMachine):
    """Everything that may happen to a task while it is changed."""

    world: World

    @initialize(rules=RULES, count=COUNTS)
    def begin(self, rules: UpdateRules, count: int) -> None:
        self.world = World(rules, count)
        self.world.run(20)

    def one(self, number: int, *phases: Life) -> str | None:
        """Some instance in one of these phases."""
        keys = [m.key for m in self.world.members.values() if m.phase in phases]
        return keys[number % len(keys)] if keys else None

    @rule(for_s=st.sampled_from([1.0, 3.0, 12.0, 40.0, 700.0]))
    def wait(self, for_s: float) -> None:
        self.world.run(for_s)

    @rule(kind=st.sampled_from([*Kind, Kind.GOOD, Kind.GOOD]), count=st.none() | COUNTS)
    def apply(self, kind: Kind, count: int | None) -> None:
        self.world.apply(kind, count)

    @rule(count=COUNTS)
    def scale(self, count: int) -> None:
        self.world.scale(count)

    @rule(number=st.integers(0, 9))
    def crash(self, number: int) -> None:
        if (key := self.one(number, Life.RUNNING, Life.STAGING, Life.KILLING)) is not None:
            self.world.crash(key)
            self.world.decide()

    @rule(number=st.integers(0, 9))
    def lose(self, number: int) -> None:
        if (key := self.one(number, Life.RUNNING, Life.STAGING, Life.KILLING)) is not None:
            self.world.lose(key)
            self.world.decide()

    @rule(number=st.integers(0, 9))
    def find(self, number: int) -> None:
        if (key := self.one(number, Life.UNREACHABLE)) is not None:
            self.world.find(key)
            self.world.decide()

    @rule(number=st.integers(0, 9), draining=st.booleans())
    def drain(self, number: int, draining: bool) -> None:
        if (key := self.one(number, Life.RUNNING, Life.STAGING)) is not None:
            self.world.alter(key, draining=draining)
            self.world.decide()

    @rule(number=st.integers(0, 9))
    def unready(self, number: int) -> None:
        if (key := self.one(number, Life.RUNNING)) is not None:
            self.world.alter(key, ready_since_s=None)
            self.world.decide()

    @rule(capacity=st.integers(0, 8))
    def room(self, capacity: int) -> None:
        self.world.capacity = capacity

    @rule(answers=st.booleans())
    def registry(self, answers: bool) -> None:
        self.world.registry_answers = answers

    @rule(what=st.sampled_from(["pause", "resume", "promote", "abort"]))
    def ask(self, what: str) -> None:
        try:
            getattr(self.world, what)()
        except asking.AskedError as refused:
            assert str(refused).startswith("the rollout cannot be")

    @precondition(lambda self: hasattr(self, "world"))
    @rule()
    def clock_goes_back(self) -> None:
        self.world.now_s -= 5.0
        self.world.decide()

    def teardown(self) -> None:
        """The weather clears: whatever can finish finishes."""
        if not hasattr(self, "world"):
            return
        world = self.world
        world.capacity, world.registry_answers = 1000, True
        for key, member in list(world.members.items()):
            world.alter(key, draining=False)
            if member.phase is Life.UNREACHABLE:
                world.find(key)
        for _ in range(400):
            if not world.rollout.going:
                break
            if world.rollout.state is State.PAUSED:
                world.abort()
            if world.rollout.state is State.WAITING_PROMOTION:
                world.promote()
            world.run(10)
        else:
            raise AssertionError(f"it does not end: {world.rollout}")
        for _ in range(20):
            world.run(10)
        self.check_end()

    def check_end(self) -> None:
        world, rollout = self.world, self.world.rollout
        assert sorted(m.index for m in world.live) == list(range(world.count)) or (
            rollout.state is State.ROLLBACK_FAILED
        ), world.live
        if rollout.state in (State.DONE, State.ROLLED_BACK):
            assert {m.version for m in world.live} <= {rollout.target}
        if rollout.state is not State.ROLLBACK_FAILED:
            # Also after an abort: what was not ready is of the version that works.
            bad = [m for m in world.live if not m.ready]
            if rollout.state is State.DONE and not rollout.most_stable:
                # It was in force while none was wanted, so that nobody has tried it.
                bad = [m for m in bad if world.kinds.get(m.version, Kind.GOOD) is Kind.GOOD]
            assert not bad, (rollout, bad)


BRIEF = settings(
    max_examples=50,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


class OfHostPorts(Weather):
    """The same for what ends before its like starts, but on an agent that is drained."""

    @initialize(count=COUNTS)
    def begin(self, count: int) -> None:
        self.world = World(HOST_PORTS, count)
        self.world.run(20)


class OfAgents(Weather):
    """The same for daemons, each of an agent that may be full or unreachable."""

    @initialize(count=COUNTS)
    def begin(self, count: int) -> None:
        self.world = World(DAEMON, count)
        self.world.run(20)


@pytest.mark.parametrize("weather", [Weather, OfHostPorts, OfAgents], ids=lambda one: one.__name__)
def test_no_promise_is_broken_and_each_rollout_ends(weather: type[Weather]) -> None:
    run_state_machine_as_test(weather, settings=BRIEF)


# Rules broken.


def floor_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Seen, "floor", 0)


def ceiling_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Seen, "ceiling", 1000)


def canaries_that_do_not_serve_count(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Seen, "counts", lambda self, member: member.ready)


def crashes_are_forgiven(patch: pytest.MonkeyPatch) -> None:
    """With this alone a crash loop still ends, by its deadline: that goes, too."""
    patch.setattr(deciding, "failure", lambda seen, rollout: "")


def steps_are_of_no_account(patch: pytest.MonkeyPatch) -> None:
    """What was stopped a moment ago still counts as ready."""

    def stop(self: Plan, member: Member, why: str) -> None:
        ready, common = self._ready, self._common
        original(self, member, why)
        self._ready, self._common = ready, common

    original = Plan.stop
    patch.setattr(Plan, "stop", stop)


def two_of_one_index(patch: pytest.MonkeyPatch) -> None:
    """An instance begins while the one that cannot run beside it is still there."""
    original = Seen.of

    def of(*args: object) -> Seen:
        seen = original(*args)  # type: ignore[arg-type]
        seen.held.clear()
        return seen

    patch.setattr(Seen, "of", of)


def a_way_back_replaces_all(patch: pytest.MonkeyPatch) -> None:
    """What was never changed is restarted on the way back."""
    original = replacing.replace

    def mutated(plan: Plan, *, is_blocked: bool) -> None:
        original(plan, is_blocked=is_blocked)
        for member in plan.seen.members:
            if plan.seen.rollout.backward and plan.may_stop(member):
                plan.stop(member, "all are replaced")

    patch.setattr(deciding, "replace", mutated)


def state_is_lost(patch: pytest.MonkeyPatch) -> None:
    """A framework that restarts has forgotten in which direction it went."""
    original = Rollout.record
    patch.setattr(Rollout, "record", lambda self: {**original(self), "backward": False})


BROKEN: list[Callable[[pytest.MonkeyPatch], None]] = [
    floor_is_forgotten,
    ceiling_is_forgotten,
    canaries_that_do_not_serve_count,
    crashes_are_forgiven,
    steps_are_of_no_account,
    two_of_one_index,
    a_way_back_replaces_all,
    state_is_lost,
]


@pytest.mark.parametrize("broken", BROKEN, ids=lambda one: one.__name__)
def test_a_broken_rule_is_found(
    broken: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch)
    # The first that is found is enough: it need not be made small.
    with pytest.raises(AssertionError):
        run_state_machine_as_test(
            Weather, settings=settings(BRIEF, max_examples=1500, phases=[Phase.generate])
        )
