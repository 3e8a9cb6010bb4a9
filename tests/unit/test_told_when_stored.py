"""What is shown of a job is what is durable, and nothing is told before it is."""

from __future__ import annotations

import pytest

from pymesos_binpack import core as c
from pymesos_binpack.jobs.lifecycle import INSTANCE_LIFE, Happened, Phase
from pymesos_binpack.services.views import instance_view, job_view
from pymesos_core.lifecycle import ImpossibleTransitionError
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.binpack_harness import BinpackHarness, job


@pytest.fixture
def h() -> BinpackHarness:
    harness = BinpackHarness()
    harness.feed(c.Subscribed("f"))
    harness.submit(job(instances=2))
    return harness


def told(h: BinpackHarness) -> int:
    return len(h.of(c.JobChanged))


def states(h: BinpackHarness) -> list[str]:
    views = [instance_view(instance) for instance in h.core.instances()]
    return [pb.TaskState.Name(view.state) for view in views]


def test_an_update_is_told_and_shown_once_it_is_stored(h: BinpackHarness) -> None:
    h.offer()
    assert states(h) == ["TASK_STAGING"] * 2
    h.hold_writes = True
    before = told(h)
    h.update("j-r.t.0.1", pb.TASK_RUNNING)
    assert told(h) == before
    assert states(h) == ["TASK_STAGING"] * 2
    h.write()
    assert told(h) == before + 1
    assert states(h) == ["TASK_RUNNING", "TASK_STAGING"]


def test_an_end_and_why_are_shown_once_they_are_stored(h: BinpackHarness) -> None:
    h.offer()
    h.update("j-r.t.1.1", pb.TASK_FINISHED, 0)
    h.hold_writes = True
    h.update("j-r.t.0.1", pb.TASK_FAILED, 3)
    state = h.core.jobs["j-r"]
    assert (state.ended, state.is_over) == (True, False)
    assert job_view(state, "f").state == "running"
    assert instance_view(state.instances[0]).explanation == ""
    h.write()
    assert job_view(state, "f").state == "failed"
    assert "TASK_FAILED" in instance_view(state.instances[0]).explanation
    h.core.check()


def test_a_launch_is_shown_once_it_is_stored(h: BinpackHarness) -> None:
    h.hold_writes = True
    h.offer()
    view = instance_view(next(h.core.instances()))
    assert (view.state, view.task_id) == (pb.TASK_STATE_UNSPECIFIED, "")
    assert view.explanation == "its launch is being stored"
    h.write()
    view = instance_view(next(h.core.instances()))
    assert (view.state, view.task_id, view.explanation) == (pb.TASK_STAGING, "j-r.t.0.1", "")


def test_what_is_stored_twice_before_it_is_durable_is_shown_in_order(h: BinpackHarness) -> None:
    h.offer()
    h.hold_writes = True
    h.update("j-r.t.0.1", pb.TASK_RUNNING)
    h.update("j-r.t.0.1", pb.TASK_KILLING)
    (first, _), second = h.held[0], h.held[1]
    h.held = []
    h.feed(c.Stored(first))
    assert states(h)[0] == "TASK_RUNNING"
    h.feed(c.Stored(second[0]))
    assert states(h)[0] == "TASK_KILLING"


def test_a_job_that_is_to_end_kills_nothing_before_that_is_stored(h: BinpackHarness) -> None:
    h.offer()
    h.hold_writes = True
    h.feed(c.JobStopped("j-r"))
    h.update("j-r.t.0.1", pb.TASK_RUNNING)
    assert h.of(c.Kill) == []
    assert h.core.jobs["j-r"].state == "running"
    h.write()
    assert len(h.of(c.Kill)) == 2
    assert h.core.jobs["j-r"].state == "stopping"


def test_who_ends_a_job_is_answered_once_that_is_stored(h: BinpackHarness) -> None:
    h.offer()
    h.hold_writes = True
    h.feed(c.JobStopped("j-r", 7))
    h.feed(c.JobStopped("j-r", 8))  # somebody else, while the first is still being written
    assert h.of(c.Done) == []
    h.write()
    assert h.of(c.Done) == [c.Done(7), c.Done(8)]


def test_who_ends_what_has_ended_is_answered(h: BinpackHarness) -> None:
    h.feed(c.JobStopped("unknown", 9))
    assert h.of(c.Done) == [c.Done(9)]


def test_who_had_a_volume_forgotten_is_answered_once_that_is_stored(h: BinpackHarness) -> None:
    h.hold_writes = True
    h.feed(c.VolumeRemoved("ops", "v", 10))
    assert h.of(c.Done) == []
    h.write()
    assert h.of(c.Done) == [c.Done(10)]


def test_a_write_that_is_durable_out_of_turn_is_a_mistake(h: BinpackHarness) -> None:
    h.hold_writes = True
    h.offer()
    h.update("j-r.t.0.1", pb.TASK_RUNNING)
    with pytest.raises(AssertionError, match="durable before"):
        h.feed(c.Stored(h.held[-1][0]))


def test_an_impossible_transition_tells_the_story_of_the_instance(h: BinpackHarness) -> None:
    h.offer()
    h.update("j-r.t.0.1", pb.TASK_RUNNING)
    h.update("j-r.t.0.1", pb.TASK_FINISHED, 0)
    instance = next(h.core.instances())
    with pytest.raises(ImpossibleTransitionError) as error:
        instance.move(Happened.PLANNED, 2e9)
    told = str(error.value)
    assert "instance j-r/t/0 (task j-r.t.0.1) is done" in told
    for part in ("waiting", "planned", "TASK_RUNNING", "ended for good"):
        assert part in told
    assert instance.state is Phase.DONE


@pytest.mark.parametrize("phase", [p for p in Phase if p not in (Phase.WAITING, Phase.DONE)])
@pytest.mark.parametrize("event", [e for e in Happened if e.name.startswith("HEARD")])
def test_what_a_master_says_is_never_impossible(phase: Phase, event: Happened) -> None:
    assert INSTANCE_LIFE.after(phase, event) is not None
    assert INSTANCE_LIFE.after(phase, Happened.ENDED) is not None
    assert INSTANCE_LIFE.after(phase, Happened.RUN_AGAIN) is not None


def test_a_stopping_job_whose_agent_stays_unreachable_ends_and_starts_nothing() -> None:
    """The task was replaced, so something new was started for a job that was to end."""
    h = BinpackHarness()
    h.feed(c.Subscribed("f"))
    h.submit(job("service"))
    h.offer()
    h.update("j-r.t.0.1", pb.TASK_RUNNING)
    h.update("j-r.t.0.1", pb.TASK_UNREACHABLE, uuid=b"")
    h.feed(c.JobStopped("j-r"))
    h.advance(120)
    h.offer()
    assert h.launched() == ["j-r.t.0.1"]
    assert h.core.jobs["j-r"].state == "stopped"
    kills = len(h.of(c.Kill))
    h.update("j-r.t.0.1", pb.TASK_RUNNING, uuid=b"")
    assert len(h.of(c.Kill)) == kills + 1, "should it come back"
    h.core.check()
