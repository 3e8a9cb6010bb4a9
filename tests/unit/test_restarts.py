"""Nothing wanted waits for a timer, and what people or lost agents end is no crash."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pymesos_binpack import core as c
from pymesos_binpack.jobfiles.parsing import Job, JobError, parse_job
from pymesos_binpack.placement import placing
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.binpack_harness import BinpackHarness, job

LARGE = {"cpus": 99, "mem": 10}


@pytest.fixture
def h() -> BinpackHarness:
    harness = BinpackHarness()
    harness.feed(c.Subscribed("f"))
    return harness


def named(name: str, kind: str = "service", instances: int = 1, **task: object) -> Job:
    made = {"name": "t", "kind": kind, "instances": instances, "command": "x", **task}
    return parse_job({"name": name, "tasks": [made]})


def ended(
    h: BinpackHarness,
    task_id: str,
    state: pb.TaskState,
    reason: pb.Reason = pb.REASON_UNSPECIFIED,
    message: str = "",
) -> None:
    status = pb.TaskStatus(
        task_id=task_id, state=state, reason=reason, message=message, uuid=b"e", agent_id="a"
    )
    h.feed(c.TaskUpdated(status))


class TestWhatBecomesWantedAsksForOffers:
    """Beside a task that fits nowhere, for which all offers were declined for a minute."""

    @pytest.fixture
    def h(self, h: BinpackHarness) -> BinpackHarness:
        h.submit(job(resources=LARGE), "stuck")
        h.submit(named("web"), "1")
        h.offer()
        h.update("web-1.t.0.1", pb.TASK_RUNNING)
        h.offer()
        decline = h.effects[-1]
        assert isinstance(decline, c.Decline) and decline.refuse_s == placing.REFUSE_S
        h.effects.clear()
        return h

    def test_a_restart(self, h: BinpackHarness) -> None:
        ended(h, "web-1.t.0.1", pb.TASK_FAILED)
        assert h.of(c.Revive)

    def test_the_end_of_a_back_off(self, h: BinpackHarness) -> None:
        for attempt in (1, 2):
            ended(h, f"web-1.t.0.{attempt}", pb.TASK_FAILED)
            h.advance(0.1)
            h.offer()
        h.effects.clear()
        h.advance(0.3)
        assert not h.of(c.Revive), "it is kept back"
        h.advance(0.2)
        assert h.of(c.Revive), "and then asks at once"

    def test_a_job(self, h: BinpackHarness) -> None:
        h.submit(named("other"), "2")
        assert h.of(c.Revive)

    def test_the_place_of_an_unreachable_one(self, h: BinpackHarness) -> None:
        h.update("web-1.t.0.1", pb.TASK_UNREACHABLE, uuid=b"")
        h.advance(61)
        assert h.of(c.Revive)

    def test_the_same_as_others_want_does_not(self, h: BinpackHarness) -> None:
        """All that is offered was looked through for them."""
        h.submit(job("batch", 2, retries=5, resources={"cpus": 4, "mem": 10}), "many")
        h.offer("cpus:4;mem:400")
        h.offer("cpus:1;mem:400", "b")
        h.effects.clear()
        ended(h, "j-many.t.0.1", pb.TASK_FAILED)
        assert not h.of(c.Revive)


class TestAConstraintThatMayBeMetNow:
    """Offers of other agents, which nobody will make again before a minute is over, may do now."""

    @pytest.mark.parametrize(
        ("operator", "happens"),
        [
            ("UNIQUE", lambda h: ended(h, "j-r.t.0.1", pb.TASK_FINISHED)),
            ("GROUP_BY", lambda h: h.feed(c.AgentLost("b"))),
        ],
    )
    def test_revives(
        self, h: BinpackHarness, operator: str, happens: Callable[[BinpackHarness], None]
    ) -> None:
        small = {"cpus": 1, "mem": 10}
        h.submit(job("batch", 4, constraints=[f"rack:{operator}"], resources=small))
        h.offer("cpus:1;mem:10", "b", rack="r2")
        h.offer("cpus:9;mem:90", "a", rack="r1")
        h.offer("cpus:9;mem:90", "c", rack="r1")
        assert len(h.launched()) < 4
        h.effects.clear()
        happens(h)
        assert h.of(c.Revive)

    def test_the_company_of_another_task(self, h: BinpackHarness) -> None:
        tasks = [
            {"name": "db", "command": "x", "kind": "service", "resources": {"cpus": 2}},
            {"name": "near", "command": "x", "constraints": ["rack:WITH:db"]},
        ]
        h.submit(parse_job({"name": "j", "tasks": tasks}))
        h.offer("cpus:1;mem:90", "a", rack="r1")
        h.effects.clear()
        h.offer("cpus:2;mem:32", "b", rack="r1")
        assert h.launched() == ["j-r.db.0.1"]
        assert h.of(c.Revive), "what was refused of the other agent is in the rack, too"


def test_what_was_kept_for_one_is_asked_for_when_that_ends(h: BinpackHarness) -> None:
    size = {"cpus": 4, "mem": 10}
    h.submit(named("low", resources=size), "1")
    h.offer("cpus:4;mem:400")
    h.update("low-1.t.0.1", pb.TASK_RUNNING)
    document = {"name": "high", "priority": 9, "preempt": True}
    task = {"name": "t", "command": "x", "resources": {"cpus": 4, "mem": 10}, "kill_grace_s": 1}
    job_id = "high-2"
    h.submit(parse_job({**document, "tasks": [task]}), "2")
    h.advance(2)
    h.update("low-1.t.0.1", pb.TASK_KILLED)
    h.offer("cpus:1;mem:400")
    h.effects.clear()
    h.feed(c.JobStopped(job_id))
    assert h.of(c.Revive), "nobody else needs what was kept"


def test_one_that_is_kept_back_holds_no_offers(h: BinpackHarness) -> None:
    h.submit(named("web"), "1")
    for attempt in (1, 2):
        h.offer()
        ended(h, f"web-1.t.0.{attempt}", pb.TASK_FAILED)
    said = [effect for effect in h.effects if isinstance(effect, c.Suppress | c.Revive)]
    assert said[-1] == c.Suppress("*")
    h.effects.clear()
    h.advance(0.6)
    assert h.of(c.Revive)


class TestNoCrash:
    @pytest.mark.parametrize(
        ("state", "reason"),
        [
            (pb.TASK_KILLED, pb.REASON_UNSPECIFIED),
            (pb.TASK_KILLED, pb.REASON_TASK_KILLED_DURING_LAUNCH),
            (pb.TASK_KILLED, pb.REASON_AGENT_REMOVED),
            (pb.TASK_KILLED, pb.REASON_AGENT_DRAINING),
            (pb.TASK_GONE_BY_OPERATOR, pb.REASON_AGENT_REMOVED_BY_OPERATOR),
            (pb.TASK_GONE, pb.REASON_RECONCILIATION),
            (pb.TASK_LOST, pb.REASON_AGENT_REMOVED),
        ],
    )
    def test_is_replaced_at_once_each_time(
        self, h: BinpackHarness, state: pb.TaskState, reason: pb.Reason
    ) -> None:
        h.submit(named("web"), "1")
        for attempt in range(1, 7):
            h.offer()
            assert h.launched()[-1] == f"web-1.t.0.{attempt}"
            h.update(f"web-1.t.0.{attempt}", pb.TASK_RUNNING)
            ended(h, f"web-1.t.0.{attempt}", state, reason)

    def test_and_leaves_the_back_off_as_it_was(self, h: BinpackHarness) -> None:
        h.submit(named("web"), "1")
        instance = h.core.jobs["web-1"].instances[0]
        for attempt, state in enumerate([pb.TASK_FAILED, pb.TASK_KILLED, pb.TASK_FAILED], 1):
            h.offer()
            h.update(f"web-1.t.0.{attempt}", pb.TASK_RUNNING)
            ended(h, f"web-1.t.0.{attempt}", state)
        assert instance.quick_failures == 2

    @pytest.mark.parametrize(
        ("state", "reason"),
        [
            (pb.TASK_FAILED, pb.REASON_UNSPECIFIED),
            (pb.TASK_FINISHED, pb.REASON_UNSPECIFIED),
            (pb.TASK_KILLED, pb.REASON_TASK_HEALTH_CHECK_STATUS_UPDATED),
            (pb.TASK_DROPPED, pb.REASON_INVALID_OFFERS),
        ],
    )
    def test_what_ends_by_itself_is_one(
        self, h: BinpackHarness, state: pb.TaskState, reason: pb.Reason
    ) -> None:
        h.submit(named("web"), "1")
        for attempt in (1, 2):
            h.offer()
            ended(h, f"web-1.t.0.{attempt}", state, reason)
        h.offer()
        assert len(h.launched()) == 2, "kept back"

    def test_a_sidecar_that_fails_is_one_and_an_operators_kill_of_both_is_not(
        self, h: BinpackHarness
    ) -> None:
        sidecar = {"name": "proxy", "command": "p", "resources": {"cpus": 0.5, "mem": 8}}
        h.submit(named("web", sidecars=[sidecar]), "1")
        instance = h.core.jobs["web-1"].instances[0]
        for attempt, (beside, crashes) in enumerate(
            [(pb.TASK_KILLED, 0), (pb.TASK_FAILED, 1), (pb.TASK_KILLED, 1)], 1
        ):
            h.offer()
            h.update(f"web-1.t.0.{attempt}+proxy", beside)
            ended(h, f"web-1.t.0.{attempt}", pb.TASK_KILLED)
            assert instance.quick_failures == crashes

    @pytest.mark.parametrize(
        "reason",
        [
            pb.REASON_AGENT_REMOVED,
            pb.REASON_AGENT_REMOVED_BY_OPERATOR,
            pb.REASON_AGENT_DRAINING,
        ],
    )
    def test_a_batch_task_that_ends_with_its_agent_is_run_again(
        self, h: BinpackHarness, reason: pb.Reason
    ) -> None:
        h.submit(job(retries=0))
        h.offer()
        h.update("j-r.t.0.1", pb.TASK_RUNNING)
        ended(h, "j-r.t.0.1", pb.TASK_KILLED, reason)
        h.offer()
        assert h.launched() == ["j-r.t.0.1", "j-r.t.0.2"]
        assert h.core.jobs["j-r"].instances[0].saved.failures == 0

    def test_a_batch_task_that_cannot_be_launched_is_tried_ever_later(
        self, h: BinpackHarness
    ) -> None:
        """A secret that was missing for a moment took all its retries, a thousand of them."""
        h.submit(job(retries=9))
        failed = (pb.TASK_FAILED, pb.REASON_CONTAINER_LAUNCH_FAILED)
        for attempt, wait_s in ((1, 0.0), (2, 0.5), (3, 1.0), (4, 2.0)):
            h.offer()
            assert h.launched()[-1] == f"j-r.t.0.{attempt}"
            ended(h, f"j-r.t.0.{attempt}", *failed)
            if wait_s:
                h.advance(wait_s - 0.1)
                h.offer()
                assert len(h.launched()) == attempt, "it is kept back"
                h.advance(0.2)
        assert h.core.jobs["j-r"].instances[0].saved.failures == 4

    def test_which_the_masters_answer_does_not_hide(self, h: BinpackHarness) -> None:
        """Found by the simulator: its own reason is another, and the task was not run again."""
        h.submit(job(retries=0))
        h.offer()
        h.update("j-r.t.0.1", pb.TASK_RUNNING)
        answer = pb.TaskStatus(
            task_id="j-r.t.0.1",
            state=pb.TASK_KILLED,
            reason=pb.REASON_RECONCILIATION,
            repeated_reason=pb.REASON_AGENT_REMOVED,
        )
        h.feed(c.TaskUpdated(answer))
        h.offer()
        assert h.launched() == ["j-r.t.0.1", "j-r.t.0.2"]

    def test_one_that_was_preempted_and_failed_loses_no_retry(self, h: BinpackHarness) -> None:
        h.submit(job(retries=0))
        h.offer()
        h.update("j-r.t.0.1", pb.TASK_RUNNING)
        instance = h.core.jobs["j-r"].instances[0]
        instance.amend(preempted=True)
        ended(h, "j-r.t.0.1", pb.TASK_FAILED)
        assert not instance.saved.done and instance.saved.failures == 0


def test_preemption_stores_before_it_kills(h: BinpackHarness) -> None:
    size = {"cpus": 4, "mem": 10}
    h.submit(named("low", resources=size), "1")
    h.offer("cpus:4;mem:400")
    h.update("low-1.t.0.1", pb.TASK_RUNNING)
    task = {"name": "t", "command": "x", "resources": size}
    h.submit(parse_job({"name": "high", "priority": 9, "preempt": True, "tasks": [task]}), "2")
    h.hold_writes = True
    h.advance(2)
    assert not h.of(c.Kill), "else a restart in between takes its end for one that counts"
    h.write()
    assert h.of(c.Kill) == [c.Kill("low-1.t.0.1", "a", 3.0, "SIGTERM")]


class TestUnreachable:
    def begin(self, h: BinpackHarness, **task: object) -> None:
        h.submit(job(**task))  # type: ignore[arg-type]
        h.offer()
        h.update("j-r.t.0.1", pb.TASK_RUNNING)
        h.update("j-r.t.0.1", pb.TASK_UNREACHABLE, uuid=b"")

    def replaced_after_s(self, h: BinpackHarness, at_most_s: int) -> int | None:
        for second in range(at_most_s + 1):
            if not next(h.core.instances()).live:
                return second
            h.advance(1)
        return None

    def test_hearing_it_again_does_not_begin_anew(self, h: BinpackHarness) -> None:
        self.begin(h, kind="service")
        for _ in range(5):
            h.advance(10)
            h.update("j-r.t.0.1", pb.TASK_UNREACHABLE, uuid=b"")
        assert self.replaced_after_s(h, 60) == 10

    def test_nor_does_a_restart_of_the_framework(self, h: BinpackHarness) -> None:
        """A restarted framework never replaced the task: only news of it set the timer."""
        self.begin(h, kind="service")
        h.advance(40)
        again = BinpackHarness(h.records)
        again.now_s = h.now_s + 5
        again.feed(c.Subscribed("f"))
        again.update("j-r.t.0.1", pb.TASK_UNREACHABLE, uuid=b"")
        assert self.replaced_after_s(again, 60) == 15

    def test_a_record_of_an_older_version_waits_anew(self, h: BinpackHarness) -> None:
        self.begin(h, kind="service")
        next(h.core.instances()).amend(unreachable_since_s=0.0)
        h.advance(10)
        h.update("j-r.t.0.1", pb.TASK_UNREACHABLE, uuid=b"")
        assert self.replaced_after_s(h, 60) == 50, "the timer runs already"

    @pytest.mark.parametrize("kind", ["service", "batch"])
    def test_how_long_is_a_key_of_the_task(self, h: BinpackHarness, kind: str) -> None:
        self.begin(h, kind=kind, unreachable_replace_s=7)
        assert "takes its place" in h.core.jobs["j-r"].instances[0].explanation
        assert self.replaced_after_s(h, 60) == 7

    def test_one_that_is_not_replaced_says_so(self, h: BinpackHarness) -> None:
        self.begin(h)
        said = h.core.jobs["j-r"].instances[0].explanation
        assert "unreachable" in said and "not run a second time" in said

    def test_one_with_a_volume_waits_for_its_agent_and_goes_on(self, h: BinpackHarness) -> None:
        volume = {"name": "data", "path": "data", "size": 10}
        task = {"name": "t", "kind": "service", "command": "x", "volumes": [volume]}
        h.submit(parse_job({"name": "j", "role": "db", "tasks": [task]}))
        h.offer("cpus:4;mem:400;disk:100")
        h.update("j-r.t.0.1", pb.TASK_RUNNING)
        h.update("j-r.t.0.1", pb.TASK_UNREACHABLE, uuid=b"")
        assert self.replaced_after_s(h, 3600) is None
        assert "its data are there" in h.core.jobs["j-r"].instances[0].explanation
        h.update("j-r.t.0.1", pb.TASK_RUNNING, uuid=b"")
        h.advance(3600)
        assert not h.of(c.Kill), "the healthy database is not killed"

    def test_and_may_not_have_the_key(self) -> None:
        volume = {"name": "data", "path": "data", "size": 10}
        task = {"name": "t", "command": "x", "volumes": [volume], "unreachable_replace_s": 5}
        with pytest.raises(JobError, match="a task with volumes"):
            parse_job({"name": "j", "role": "db", "tasks": [task]})
