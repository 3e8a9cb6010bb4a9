"""Instances of jobs end: restarts after crashes, and how they are told to stop."""

from __future__ import annotations

from typing import Any

import pytest

from pymesos_agent.core.tasks.outcomes import grace_s
from pymesos_binpack import core as c
from pymesos_binpack.calls import make_call
from pymesos_binpack.jobfiles.parsing import schema
from pymesos_binpack.services.views import instance_view
from pymesos_binpack.specs import JobError
from pymesos_core.stop_signals import STOP_SIGNALS
from pymesos_proto.v1 import scheduler_pb2 as pb_scheduler
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk.calls import Calls
from pymesos_testing.binpack_harness import BinpackHarness
from pymesos_testing.changing_jobs import (
    BIG,
    killed,
    propose,
    run_all,
    shop,
    state_of,
    tasks,
)


def said_by_the_kill(h: BinpackHarness) -> pb.KillPolicy:
    """Stop the job, of which one instance runs; the policy in the call that kills it."""
    h.feed(c.JobStopped("j-r"))
    (kill,) = h.of(c.Kill)
    called: list[pb_scheduler.Call] = []
    calls = Calls()
    calls.call = called.append  # type: ignore[method-assign, assignment]
    make_call(calls, kill)  # type: ignore[arg-type]
    return called[0].kill.kill_policy


@pytest.fixture
def h() -> BinpackHarness:
    """Three instances of a service run."""
    harness = BinpackHarness()
    harness.feed(c.Subscribed("f"))
    harness.submit(shop())
    run_all(harness)
    assert tasks(harness) == ["j-r.web.0.1", "j-r.web.1.1", "j-r.web.2.1"]
    return harness


def crash(h: BinpackHarness, after_s: float = 0.0) -> None:
    """The one instance runs for a while, and crashes."""
    (instance,) = state_of(h).instances
    h.update(instance.saved.task_id, pb.TASK_RUNNING)
    h.advance(after_s)
    h.update(instance.saved.task_id, pb.TASK_FAILED, 1)


class TestRestarts:
    def begun(self, **restart: Any) -> BinpackHarness:
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        h.submit(shop(instances=1, restart=restart))
        return h

    def test_it_is_kept_back_as_its_job_says(self) -> None:
        h = self.begun(backoff_min_s=2, backoff_max_s=5)
        waits = []
        for _ in range(5):
            h.offer(BIG)
            crash(h)
            (instance,) = state_of(h).instances
            waits.append(instance.not_before_s - h.now_s if instance.not_before_s > h.now_s else 0)
            h.advance(5)
        assert waits == [0, 2, 4, 5, 5]

    @pytest.mark.parametrize("restarted", [False, True])
    def test_it_fails_after_so_many_crashes(self, restarted: bool) -> None:
        h = self.begun(max=2, within_s=100, on_max="fail")
        for number in range(3):
            assert not state_of(h).ended, number
            h.offer(BIG)
            crash(h)
            h.advance(1)
            if restarted:
                h = BinpackHarness(dict(h.records))
                h.now_s = number + 1.0
                h.feed(c.Subscribed("f"))
        assert state_of(h).state == "failed"
        if not restarted:
            (instance,) = state_of(h).instances
            assert "it crashed 3 times within 100 s" in instance.explanation

    def test_crashes_of_long_ago_do_not_count(self) -> None:
        h = self.begun(max=2, within_s=100, on_max="fail")
        for _ in range(6):
            h.offer(BIG)
            crash(h, after_s=60)
        assert not state_of(h).ended


class TestShutdown:
    def test_clients_are_told_before_an_instance_is_killed(self) -> None:
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        h.submit(shop(instances=2, shutdown={"drain_s": 5, "grace_s": 7}))
        run_all(h)
        propose(h, shop(instances=1, shutdown={"drain_s": 5, "grace_s": 7}), what="scale")
        leaving = next(i for i in state_of(h).instances if i.durable.leaving)
        view = instance_view(leaving)
        assert (view.ready, view.serving) == (True, False)
        assert killed(h) == set()
        h.update("j-r.web.1.1", pb.TASK_RUNNING)
        h.advance(4.9)
        assert killed(h) == set()
        again = BinpackHarness(dict(h.records))
        again.feed(c.Subscribed("f"))
        again.update("j-r.web.1.1", pb.TASK_RUNNING)
        assert killed(again) == set()
        for one in (h, again):
            one.advance(5)
            assert killed(one) == {"j-r.web.1.1"}

    def test_a_job_that_is_stopped_leaves_first(self) -> None:
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        h.submit(shop(instances=1, shutdown={"drain_s": 5}))
        run_all(h)
        h.feed(c.JobStopped("j-r"))
        (leaving,) = state_of(h).instances
        view = instance_view(leaving, leaves=state_of(h).durably_stopping)
        assert (view.ready, view.serving, view.leaving) == (True, False, "the job is to end")
        h.advance(4.9)
        assert killed(h) == set() and state_of(h).state == "stopping"
        again = BinpackHarness(dict(h.records))
        again.feed(c.Subscribed("f"))
        again.update("j-r.web.0.1", pb.TASK_RUNNING)
        assert killed(again) == set()
        for one in (h, again):
            one.advance(5)
            assert killed(one) == {"j-r.web.0.1"}
            one.update("j-r.web.0.1", pb.TASK_KILLED)
            assert state_of(one).state == "stopped"
            view = instance_view(state_of(one).instances[0], leaves=True)
            assert not view.leaving

    def test_one_that_is_stopped_now_does_not(self) -> None:
        for before in ([], [c.JobStopped("j-r")]):
            h = BinpackHarness()
            h.feed(c.Subscribed("f"))
            h.submit(shop(instances=1, shutdown={"drain_s": 5}))
            run_all(h)
            for event in before:
                h.feed(event)
            assert killed(h) == set()
            h.hold_writes = True
            h.feed(c.JobStopped("j-r", 7, now=True))
            assert killed(h) == set() and c.Done(7) not in h.effects
            h.write()
            assert killed(h) == {"j-r.web.0.1"} and c.Done(7) in h.effects
            again = BinpackHarness(dict(h.records))
            again.feed(c.Subscribed("f"))
            assert killed(again) == {"j-r.web.0.1"}
            again.feed(c.JobStopped("j-r", 8))  # which takes nothing back
            assert state_of(again).hurried

    def test_what_is_told_before_that_is_durable_takes_no_time_from_them(self) -> None:
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        h.submit(shop(instances=1, shutdown={"drain_s": 5}))
        run_all(h)
        h.feed(c.JobStopped("j-r"))
        h.hold_writes = True
        h.feed(c.JobStopped("j-r", 7, now=True))
        h.update("j-r.web.0.1", pb.TASK_RUNNING)
        assert killed(h) == set()
        h.write()
        assert killed(h) == {"j-r.web.0.1"}

    def test_their_time_begins_once_it_is_durable(self) -> None:
        """A write that takes longer than that loses no kill."""
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        h.submit(shop(instances=2, shutdown={"drain_s": 0.2}))
        run_all(h)
        h.hold_writes = True
        propose(h, shop(instances=1, shutdown={"drain_s": 0.2}), what="scale")
        h.advance(3)
        assert killed(h) == set()
        h.hold_writes = False
        h.write()
        h.advance(0.1)
        assert killed(h) == set()
        h.advance(0.2)
        assert killed(h) == {"j-r.web.1.1"}

    def test_what_serves_nobody_is_killed_at_once(self) -> None:
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        h.submit(shop(instances=2, shutdown={"drain_s": 5}))
        h.offer(BIG)
        propose(h, shop(instances=1, shutdown={"drain_s": 5}), what="scale")
        assert killed(h) == {"j-r.web.1.1"}

    def test_its_grace_is_that_of_a_kill(self) -> None:
        assert shop(shutdown={"grace_s": 7}).tasks[0].kill_grace_s == 7
        with pytest.raises(JobError, match="give one of them"):
            shop(shutdown={"grace_s": 7}, kill_grace_s=7)


@pytest.mark.parametrize(
    ("task", "problem"),
    [
        ({"kind": "batch", "restart": {"max": 1}}, "use `retries`"),
        ({"restart": {"backoff_min_s": 90}}, "at most backoff_max_s, 60, is expected"),
        ({"restart": {"on_max": "stop"}}, "not one of wait, fail"),
        ({"shutdown": {"drain": 5}}, "did you mean 'drain_s'"),
    ],
)
def test_keys_that_cannot_be_are_refused(task: dict[str, Any], problem: str) -> None:
    with pytest.raises(JobError, match=problem):
        shop(**task)


class TestFirstSignal:
    def test_a_task_and_its_sidecars_have_its_signal(self) -> None:
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        beside = [{"name": "proxy", "command": "x"}]
        h.submit(shop(instances=1, shutdown={"signal": "SIGQUIT", "grace_s": 7}, sidecars=beside))
        h.offer(capabilities=[])
        assert h.of(c.Accept) == []
        h.offer(agent="b", capabilities=[pb.KILL_SIGNAL])
        (accept,) = h.of(c.Accept)
        assert isinstance(accept, c.Accept)
        policies = [info.kill_policy for info in accept.groups[0]]
        assert [(p.signal, p.grace_period_s) for p in policies] == [("SIGQUIT", 7.0)] * 2

    def test_sigterm_asks_nothing_of_agents(self) -> None:
        (task,) = shop(shutdown={"signal": "SIGTERM"}).tasks
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        h.submit(shop(instances=1, shutdown={"signal": "SIGTERM"}))
        h.offer(capabilities=[])
        (accept,) = h.of(c.Accept)
        assert isinstance(accept, c.Accept)
        assert task.kill_signal == "SIGTERM" and not accept.tasks[0].kill_policy.signal

    def test_what_runs_ends_as_its_job_says_by_then(self) -> None:
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        h.submit(shop(instances=1, shutdown={"signal": "SIGQUIT", "grace_s": 7}))
        run_all(h)
        propose(h, shop(instances=1, shutdown={"grace_s": 9}))
        assert killed(h) == set()
        policy = said_by_the_kill(h)
        assert (policy.grace_period_s, policy.signal) == (9.0, "SIGTERM")

    @pytest.mark.parametrize("signal", ["SIGTERM", "SIGQUIT"])
    def test_no_grace_is_none_for_what_was_launched_with_some(self, signal: str) -> None:
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        h.submit(shop(instances=1, shutdown={"signal": signal, "grace_s": 600}))
        h.offer(BIG, capabilities=[pb.KILL_SIGNAL])
        (accept,) = h.of(c.Accept)
        assert isinstance(accept, c.Accept)
        (own,) = accept.tasks
        assert grace_s(None, own, 3) == 600
        propose(h, shop(instances=1, shutdown={"grace_s": 0}))
        assert grace_s(said_by_the_kill(h), own, 3) < 0.01

    def test_those_of_the_schema_are_those_of_the_contract(self) -> None:
        said = schema()["$defs"]["task"]["properties"]["shutdown"]["properties"]["signal"]
        assert tuple(said["enum"]) == STOP_SIGNALS

    @pytest.mark.parametrize(
        ("shutdown", "problem"),
        [
            ({"signal": "SIGKILL"}, "SIGKILL"),
            ({"signal": "SIGQUIT", "grace_s": 0}, "grace_s be more than 0"),
        ],
    )
    def test_those_that_cannot_be_are_refused(self, shutdown: dict[str, Any], problem: str) -> None:
        with pytest.raises(JobError, match=problem):
            shop(shutdown=shutdown)
