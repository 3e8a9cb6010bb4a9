"""While no master is heard, jobs stay as they are, and no deadline of a rollout passes."""

from __future__ import annotations

import pytest

from pymesos_binpack import core as c
from pymesos_binpack.core.hearing import ANSWERED_WITHIN_S
from pymesos_binpack.jobs.state import JobState
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.binpack_harness import WALL_S, BinpackHarness, job

BRIEF = {"healthy_deadline_s": 60, "progress_deadline_s": 60, "min_healthy_s": 10}
OLD, NEW = "j-r.t.0.1", "j-r.t.0.v2.1"


@pytest.fixture
def h() -> BinpackHarness:
    """One instance of a service runs, and another version of it is put in force."""
    h = BinpackHarness()
    h.feed(c.Subscribed("f"))
    h.submit(job("service", update=BRIEF))
    run(h)
    h.advance(30)
    change(h, "y")
    return h


def change(h: BinpackHarness, command: str) -> None:
    state = state_of(h)
    proposed = job("service", command=command, update=BRIEF)
    request_id = f"change-{state.version}"
    h.feed(c.VersionProposed(request_id, state.job_id, state.version, proposed, "apply"))


def state_of(h: BinpackHarness) -> JobState:
    (state,) = h.core.jobs.values()
    return state


def run(h: BinpackHarness, agent: str = "a") -> None:
    """Offer room, and have everything run that is launched."""
    h.offer(agent=agent)
    for instance in state_of(h).instances:
        if instance.live and instance.saved.state == pb.TASK_STAGING:
            h.update(instance.saved.task_id, pb.TASK_RUNNING)


def starts(h: BinpackHarness) -> None:
    """The new one is launched, and starts."""
    h.offer()
    h.update(NEW, pb.TASK_STARTING)


def killed(h: BinpackHarness) -> list[str]:
    return [effect.task_id for effect in h.of(c.Kill) if isinstance(effect, c.Kill)]


def rollout(h: BinpackHarness) -> str:
    return state_of(h).rollouts["t"].state


def dead_for(h: BinpackHarness, seconds: float) -> BinpackHarness:
    """The framework dies, and another takes over from what it has stored."""
    again = BinpackHarness(dict(h.records))
    again.skew_s = h.skew_s + h.now_s + seconds
    again.feed(c.Subscribed("f"))
    return again


def test_no_deadline_passes_while_no_master_is_heard(h: BinpackHarness) -> None:
    h.feed(c.Disconnected())
    h.advance(700)
    assert (rollout(h), state_of(h).version) == ("rolling", 2)
    h.feed(c.Subscribed("f"))
    h.advance(ANSWERED_WITHIN_S)
    run(h)
    h.advance(10)
    assert (rollout(h), killed(h)) == ("done", [OLD])


def test_what_is_left_of_a_deadline_is_left_afterwards(h: BinpackHarness) -> None:
    starts(h)
    h.advance(50)
    for _ in range(2):  # the time that an answer takes counts no more than the rest
        h.feed(c.Disconnected())
        h.advance(3)
        h.feed(c.Subscribed("f"))
        h.advance(3)
    h.advance(ANSWERED_WITHIN_S - 3)
    h.advance(9.9)
    assert rollout(h) == "rolling"
    h.advance(0.2)
    assert "healthy_deadline_s" in state_of(h).rollouts["t"].failure


@pytest.mark.parametrize("away_s", [1.0, 59.0, 61.0, 1e6])
def test_a_framework_that_was_away_judges_by_what_is_answered(
    h: BinpackHarness, away_s: float
) -> None:
    starts(h)
    again = dead_for(h, away_s)
    again.advance(1)
    again.update(OLD, pb.TASK_RUNNING)
    again.update(NEW, pb.TASK_RUNNING)
    assert (rollout(again), killed(again)) == ("rolling", [])
    again.advance(15)
    assert (rollout(again), killed(again)) == ("done", [OLD])


def test_one_that_was_away_for_long_gives_no_more_than_a_whole_deadline(h: BinpackHarness) -> None:
    starts(h)
    again = dead_for(h, 1e6)
    again.advance(ANSWERED_WITHIN_S + 1)
    again = dead_for(again, 50)
    again.advance(ANSWERED_WITHIN_S + 59)
    assert rollout(again) == "rolling"
    again.advance(1.1)
    assert "healthy_deadline_s" in state_of(again).rollouts["t"].failure


def test_none_is_stopped_for_another_that_may_have_ended(h: BinpackHarness) -> None:
    run(h)
    h.feed(c.Disconnected())
    h.advance(20)  # by now it would be stable
    h.feed(c.Subscribed("f"))
    assert killed(h) == []
    h.update(NEW, pb.TASK_FAILED, 1)
    h.advance(ANSWERED_WITHIN_S)
    assert killed(h) == []


def test_a_change_that_is_made_meanwhile_is_followed_afterwards(h: BinpackHarness) -> None:
    h.feed(c.Disconnected())
    change(h, "z")
    accepted = [e for e in h.effects if isinstance(e, c.JobAccepted)]
    assert accepted[-1].version == 3
    h.feed(c.Subscribed("f"))
    h.advance(ANSWERED_WITHIN_S)
    run(h)
    assert h.launched()[-1] == "j-r.t.0.v3.1"


def test_what_takes_a_place_on_another_agent_stays_until_drains_are_told() -> None:
    h = BinpackHarness()
    h.feed(c.Subscribed("f"))
    h.submit(job("service"))
    run(h)
    h.feed(c.AgentDraining("a", WALL_S + 3600.0))
    h.offer(agent="b")
    successor = h.launched()[-1]
    again = dead_for(h, 5.0)
    again.advance(1)
    assert killed(again) == []
    again.feed(c.AgentDraining("a", WALL_S + 3600.0))
    status = pb.TaskStatus(task_id=successor, state=pb.TASK_RUNNING, uuid=b"u", agent_id="b")
    again.feed(c.TaskUpdated(status))
    again.advance(ANSWERED_WITHIN_S)
    assert killed(again) == [OLD]
