"""Rollouts of jobs are steered by people, and fail at once where nothing can become better."""

from __future__ import annotations

from typing import Any

import pytest

from pymesos_binpack import core as c
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_binpack.jobs.aligning import is_shown
from pymesos_binpack.jobs.rollouts.asking import Asked
from pymesos_binpack.jobs.rollouts.rules import Amount
from pymesos_binpack.jobs.updating import rules_of
from pymesos_binpack.services.views import job_view
from pymesos_binpack.specs import JobError
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.binpack_harness import BinpackHarness
from pymesos_testing.changing_jobs import (
    BIG,
    instances_are_settled,
    killed,
    propose,
    roll,
    run_all,
    shop,
    state_of,
    tasks,
)


@pytest.fixture
def h() -> BinpackHarness:
    """Three instances of a service run."""
    harness = BinpackHarness()
    harness.feed(c.Subscribed("f"))
    harness.submit(shop())
    run_all(harness)
    assert tasks(harness) == ["j-r.web.0.1", "j-r.web.1.1", "j-r.web.2.1"]
    return harness


class TestSteering:
    def ask(self, h: BinpackHarness, what: str, task: str = "") -> str:
        """Ask something of the rollout; why it is refused, or empty."""
        before = len(h.of(c.JobRefused))
        h.feed(c.RolloutAsked(f"ask-{what}", "j-r", task, Asked(what), "operator/ci"))
        refused = [e for e in h.of(c.JobRefused)[before:] if isinstance(e, c.JobRefused)]
        return refused[0].message if refused else ""

    def test_while_it_is_paused_nothing_is_replaced(self, h: BinpackHarness) -> None:
        propose(h, shop(command="y"))
        assert self.ask(h, "pause") == ""
        for _ in range(10):
            run_all(h)
            h.advance(400)
        assert killed(h) == set()
        again = BinpackHarness(dict(h.records))
        assert state_of(again).rollouts["web"].state == "paused"
        assert self.ask(h, "resume") == ""
        roll(h)
        assert len([t for t in tasks(h) if ".v2." in t]) == 3

    def test_canaries_wait_to_be_promoted(self, h: BinpackHarness) -> None:
        propose(h, shop(command="y", update={"canary": 1, "canary_serve": False}))
        run_all(h)
        h.advance(15)
        assert len(tasks(h)) == 4
        assert state_of(h).rollouts["web"].state == "waiting_promotion"
        shown = {i.name: is_shown(state_of(h), i) for i in state_of(h).instances}
        assert shown == {"web.0": True, "web.1": True, "web.2": True, "web.0.v2": False}
        h.advance(1000)
        assert killed(h) == set(), "it waits for as long as that takes"
        assert self.ask(h, "promote", "web") == ""
        roll(h)
        assert tasks(h) == ["j-r.web.0.v2.1", "j-r.web.1.v2.1", "j-r.web.2.v2.1"]

    def test_after_an_abort_as_many_run_as_were_wanted(self, h: BinpackHarness) -> None:
        propose(h, shop(command="y"))
        run_all(h)
        assert self.ask(h, "abort") == ""
        for _ in range(5):
            run_all(h)
            for instance in [i for i in state_of(h).instances if i.killing]:
                h.update(instance.saved.task_id, pb.TASK_KILLED)
            h.advance(5)
        assert state_of(h).rollouts["web"].state == "aborted"
        assert len(tasks(h)) == 3
        assert instances_are_settled(h)
        again = BinpackHarness(dict(h.records))
        again.feed(c.Subscribed("f"))
        assert tasks(again) == tasks(h)
        propose(h, shop(command="y", env={"A": "1"}))
        roll(h)
        assert tasks(h) == ["j-r.web.0.v3.1", "j-r.web.1.v3.1", "j-r.web.2.v3.1"]

    def test_what_is_applied_after_an_abort_is_what_begins(self) -> None:
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        h.submit(shop(instances=1))
        run_all(h)
        propose(h, shop(command="y", instances=1))
        run_all(h)
        h.update("j-r.web.0.1", pb.TASK_FAILED, 1)
        assert self.ask(h, "abort") == ""
        roll(h)
        assert [i.spec.command for i in state_of(h).instances] == ["y"], "what is ready stays"
        propose(h, shop(command="y", instances=2))
        roll(h)
        assert state_of(h).rollouts["web"].state == "done"
        assert [i.spec.command for i in state_of(h).instances] == ["y", "y"]

    def test_what_is_as_it_was_before_is_not_abandoned(self, h: BinpackHarness) -> None:
        """An instance was stopped as one of the aborted version, and begun again, without end."""
        propose(h, shop(command="y"))
        run_all(h)
        h.update("j-r.web.1.1", pb.TASK_FAILED, 1)
        propose(h, shop())
        assert self.ask(h, "abort") == ""
        waiting = {i.key for i in state_of(h).instances if not i.live}
        assert waiting
        h.advance(0.1)
        assert waiting <= {i.key for i in state_of(h).instances}
        roll(h)
        assert [i.spec.command for i in state_of(h).instances] == ["x", "x", "x"]

    def test_what_is_as_it_was_before_is_no_canary(self, h: BinpackHarness) -> None:
        canary = {"canary": 1}
        propose(h, shop(command="y", update=canary))
        run_all(h)
        propose(h, shop(update=canary))
        roll(h)
        assert state_of(h).rollouts["web"].state == "done"
        assert tasks(h) == ["j-r.web.0.1", "j-r.web.1.1", "j-r.web.2.1"], "they stay"

    def test_a_restart_of_another_task_brings_nothing_forward(self) -> None:
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        web, api = ({"name": n, "kind": "service", "command": "x"} for n in ("web", "api"))
        h.submit(parse_job({"name": "j", "tasks": [web, api]}))
        run_all(h)
        changed = parse_job({"name": "j", "tasks": [{**web, "command": "y"}, api]})
        propose(h, changed)
        assert self.ask(h, "abort") == ""
        propose(h, changed, what="restart", restarts=("api",))
        assert state_of(h).rollouts["web"].state == "aborted"
        propose(h, changed)
        assert state_of(h).rollouts["web"].state == "rolling"

    def test_what_cannot_be_is_refused_with_what_can(self, h: BinpackHarness) -> None:
        assert "no rollout goes on" in self.ask(h, "pause")
        assert "no task 'api': it has web" in self.ask(h, "pause", "api")
        propose(h, shop(command="y"))
        assert "it is rolling" in self.ask(h, "promote")

    def test_what_was_asked_is_told_once_it_is_stored(self, h: BinpackHarness) -> None:
        propose(h, shop(command="y"))
        h.hold_writes = True
        self.ask(h, "pause")
        view = job_view(state_of(h), "f")
        assert [r.state for r in view.rollouts] == ["rolling"]
        h.write()
        view = job_view(state_of(h), "f")
        assert [(r.state, r.by) for r in view.rollouts] == [("paused", "")]
        assert not view.settled


def test_a_version_that_the_master_refuses_fails_at_once(h: BinpackHarness) -> None:
    propose(h, shop(command="y"))
    h.offer(BIG)
    h.update("j-r.web.0.v2.1", pb.TASK_ERROR)
    assert state_of(h).rollouts["web"].state in ("rolling_back", "rolled_back")
    roll(h)
    assert tasks(h) == ["j-r.web.0.1", "j-r.web.1.1", "j-r.web.2.1"]


def test_an_image_that_cannot_be_had_now_is_waited_for(h: BinpackHarness) -> None:
    said = "cannot fetch the image x:2: received unexpected HTTP status: 503 Service Unavailable"
    propose(h, shop(command="y", image="x:2"))
    for attempt in range(1, 6):
        h.offer(BIG)
        status = pb.TaskStatus(
            task_id=f"j-r.web.0.v2.{attempt}", state=pb.TASK_FAILED, uuid=b"u", agent_id="a",
            reason=pb.REASON_CONTAINER_LAUNCH_FAILED, message=said,
            image_trouble=pb.IMAGE_UNAVAILABLE,
        )  # fmt: skip
        h.feed(c.TaskUpdated(status))
        h.advance(70)
    rollout = state_of(h).rollouts["web"]
    assert (rollout.state, rollout.exits) == ("waiting_image", 0)
    assert "503" in rollout.why


def test_ids_are_not_given_again_within_a_version(h: BinpackHarness) -> None:
    """Back and forth under one version, as when a rollout fails twice."""
    propose(h, shop(instances=2, command="y"))
    state = state_of(h)
    first = next(i for i in state.instances if i.version == 2)
    state.retire([first])
    state.remove(frozenset([first]))
    assert state.add(first.spec, first.index).name == f"{first.name}r1"


@pytest.mark.parametrize(
    ("update", "problem"),
    [
        ({"max_surge": 0}, "both 0"),
        ({"max_surge": "x"}, "a share like 25%"),
        ({"max_surge": "101%"}, "a share like 25%"),
        ({"min_healthy_s": 400}, "healthy_deadline_s must be more"),
        ({"surge": 1}, "unknown key"),
    ],
)
def test_rules_that_cannot_be_are_refused(update: dict[str, Any], problem: str) -> None:
    with pytest.raises(JobError, match=problem):
        shop(update=update)


def test_a_whole_number_may_be_written_with_a_point() -> None:
    (task,) = shop(update={"canary": 1.0, "max_surge": "50%"}).tasks
    rules = rules_of(task)
    assert (rules.canary, rules.max_surge) == (Amount(1), Amount(50, percent=True))


def test_a_batch_task_has_no_update() -> None:
    with pytest.raises(JobError, match="a batch task is not replaced"):
        shop("batch", update={"max_surge": 1})


class TestScalingAfterwards:
    """A number of instances is no reason to try again what was given up."""

    def test_while_a_rollout_goes_back_it_goes_on_back(self, h: BinpackHarness) -> None:
        propose(h, shop(command="y"))
        h.offer(BIG)
        h.update("j-r.web.0.v2.1", pb.TASK_RUNNING)
        for attempt in range(1, 4):
            h.update(f"j-r.web.0.v2.{attempt}", pb.TASK_FAILED, 1)
            h.advance(1)
            h.offer(BIG)
        state = state_of(h)
        while state.rollouts["web"].going and not state.rollouts["web"].backward:
            h.advance(1)
        propose(h, shop(command=state.job.tasks[0].command or "", instances=4), what="scale")
        roll(h)
        assert {i.version for i in state.instances} <= {1, 4}
        assert all(i.spec.command == "x" for i in state.instances)
        assert len(tasks(h)) == 4

    def test_after_an_abort_it_stays_where_it_is(self, h: BinpackHarness) -> None:
        propose(h, shop(command="y"))
        run_all(h)
        TestSteering().ask(h, "abort")
        roll(h)
        commands = sorted(i.spec.command or "" for i in state_of(h).instances)
        propose(h, shop(command="y", instances=4), what="scale")
        roll(h)
        after = sorted(i.spec.command or "" for i in state_of(h).instances)
        assert after == sorted([*commands, "x"]), "the one that is new is known to work"


def test_a_restart_needs_no_canaries(h: BinpackHarness) -> None:
    canary = {"canary": 1}
    propose(h, shop(update=canary))
    propose(h, shop(update=canary), what="restart", restarts=("web",))
    roll(h)
    assert tasks(h) == ["j-r.web.0.v3.1", "j-r.web.1.v3.1", "j-r.web.2.v3.1"]


@pytest.mark.parametrize("stable", [False, True])
def test_canaries_that_are_wanted_no_longer_wait_for_nobody(
    h: BinpackHarness, stable: bool
) -> None:
    propose(h, shop(command="y", update={"canary": 1}))
    run_all(h)
    h.advance(20 if stable else 3)
    assert state_of(h).rollouts["web"].state == ("waiting_promotion" if stable else "rolling")
    propose(h, shop(command="y"))
    roll(h)
    assert state_of(h).rollouts["web"].state == "done"
    assert tasks(h) == ["j-r.web.0.v2.1", "j-r.web.1.v3.1", "j-r.web.2.v3.1"]
