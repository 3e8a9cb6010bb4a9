"""Daemons: every agent that meets the constraints has one instance, now and later."""

from __future__ import annotations

import json

import pytest

from pymesos_binpack import core as c
from pymesos_binpack.jobfiles.parsing import Job, JobError, parse_job
from pymesos_binpack.jobs.daemons import DRAINED
from pymesos_binpack.jobs.instance import Instance
from pymesos_binpack.jobs.rollouts.lifecycle import State
from pymesos_binpack.services.daemon_views import EXAMPLES, daemon_views
from pymesos_binpack.services.views import job_view
from pymesos_cli.jobs.instances import daemon_lines
from pymesos_core.jobs_json import daemon_json
from pymesos_proto.v1 import jobs_pb2
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.binpack_harness import WALL_S, BinpackHarness, job

JOB = "j-r"
BATCH = parse_job({"name": "k", "tasks": [{"name": "b", "command": "x"}]})


@pytest.fixture
def h() -> BinpackHarness:
    harness = BinpackHarness()
    harness.feed(c.Subscribed("f"))
    return harness


def daemon(**task: object) -> Job:
    made = {"name": "t", "kind": "daemon", "command": "x", **task}
    return parse_job({"name": "j", "tasks": [made]})


def update(
    h: BinpackHarness,
    task_id: str,
    state: pb.TaskState,
    reason: pb.Reason = pb.REASON_UNSPECIFIED,
) -> None:
    instance = h.core.instance_of(task_id)
    agent_id = instance.saved.agent_id if instance is not None else "a"
    uuid = f"{task_id} {state} {h.now_s}".encode()
    status = pb.TaskStatus(
        task_id=task_id, state=state, uuid=uuid, agent_id=agent_id, reason=reason
    )
    h.feed(c.TaskUpdated(status))


def run_on(h: BinpackHarness, *agents: str) -> list[str]:
    """Offer agents, and have what is launched there run; the tasks."""
    before = len(h.launched())
    for agent in agents:
        h.offer(agent=agent)
    launched = h.launched()[before:]
    for task_id in launched:
        update(h, task_id, pb.TASK_RUNNING)
    return launched


def where(h: BinpackHarness) -> dict[str, str]:
    """Where instances are, and how."""
    return {i.saved.agent_id: i.state.value for i in there(h)}


def there(h: BinpackHarness) -> list[Instance]:
    return h.core.jobs[JOB].instances


def killed(h: BinpackHarness) -> list[str]:
    return [effect.task_id for effect in h.of(c.Kill) if isinstance(effect, c.Kill)]


def apply(h: BinpackHarness, changed: Job) -> None:
    version = h.core.jobs[JOB].version
    h.feed(c.VersionProposed(f"to{version + 1}", JOB, version, changed, "apply"))


class TestWhereItRuns:
    def test_each_agent_has_one_and_those_that_come_later(self, h: BinpackHarness) -> None:
        h.submit(daemon())
        run_on(h, "a", "b")
        h.offer(agent="a")  # again, with room for more
        assert where(h) == {"a": "running", "b": "running"} and len(there(h)) == 2
        h.advance(1000.0)
        run_on(h, "c")
        assert sorted(where(h)) == ["a", "b", "c"] and len(there(h)) == 3
        assert not h.core.jobs[JOB].unsettled

    def test_agents_that_were_seen_before_it_came_have_one(self, h: BinpackHarness) -> None:
        h.offer(agent="a")
        h.submit(daemon())
        assert where(h) == {"a": "waiting"}
        assert [e.role for e in h.of(c.Revive) if isinstance(e, c.Revive)] == ["*"]
        assert len(run_on(h, "a")) == 1

    def test_only_those_that_meet_the_constraints_do(self, h: BinpackHarness) -> None:
        h.submit(daemon(constraints=["disk:IS:ssd"]))
        h.offer(agent="a", disk="hdd")
        h.offer(agent="b")
        h.offer(agent="d", disk="ssd")
        assert where(h) == {"d": "staging"}

    def test_one_without_secrets_has_none_if_they_are_used(self, h: BinpackHarness) -> None:
        h.submit(daemon(secrets=[{"name": "s", "env": "S"}]))
        h.offer(agent="a", capabilities=())
        assert where(h) == {}

    def test_it_never_goes_to_another_agent(self, h: BinpackHarness) -> None:
        h.submit(daemon())
        (first,) = run_on(h, "a")
        run_on(h, "b")
        update(h, first, pb.TASK_FAILED)
        h.advance(100.0)
        h.offer(agent="b")
        assert where(h) == {"a": "waiting", "b": "running"}
        assert len(run_on(h, "a")) == 1 and where(h)["a"] == "running"

    def test_it_looks_out_though_nothing_waits(self, h: BinpackHarness) -> None:
        h.submit(daemon())
        run_on(h, "a")
        h.effects.clear()
        h.offer(agent="a")
        assert h.of(c.Decline) == [c.Decline(("o2",), 60.0)] and not h.of(c.Suppress)

    def test_nobody_looks_out_once_it_has_ended(self, h: BinpackHarness) -> None:
        suppressed = h.of(c.Suppress)
        h.submit(daemon())
        h.feed(c.JobStopped(JOB))
        assert h.core.jobs[JOB].state == "stopped"
        assert h.of(c.Suppress)[-1:] == [c.Suppress("*")] and h.of(c.Suppress) != suppressed

    def test_a_job_without_any_agent_goes_on(self, h: BinpackHarness) -> None:
        h.submit(daemon())
        h.advance(1000.0)
        assert h.core.jobs[JOB].state == "running"


class TestAgentsThatGo:
    def test_what_is_on_a_drained_one_ends_and_is_not_moved(self, h: BinpackHarness) -> None:
        h.submit(daemon())
        first, _ = run_on(h, "a", "b")
        h.feed(c.AgentDraining("a", WALL_S + 3600.0))
        assert killed(h) == [first]
        update(h, first, pb.TASK_KILLED)
        h.advance(1.0)
        assert where(h) == {"b": "running"}
        assert run_on(h, "b") == []

    def test_it_leaves_a_drained_one_last(self, h: BinpackHarness) -> None:
        h.submit(daemon())
        (first,) = run_on(h, "a")
        h.submit(BATCH, "k")
        (batch,) = run_on(h, "a")
        h.feed(c.AgentDraining("a", WALL_S + 3600.0))
        h.advance(10.0)
        assert killed(h) == [], "the batch task may finish, and what serves it stays until then"
        update(h, batch, pb.TASK_FINISHED)
        h.advance(1.0)
        assert killed(h) == [first]

    @pytest.mark.parametrize("discard", [False, True])
    def test_what_runs_of_a_job_in_quarantine_is_not_left(
        self, h: BinpackHarness, discard: bool
    ) -> None:
        h.submit(daemon())
        (first,) = run_on(h, "a")
        h.submit(BATCH, "k")
        (batch,) = run_on(h, "a")
        again = BinpackHarness({**h.records, ("quarantine", "k-k"): b"a fault"})
        again.feed(c.Subscribed("f"))
        again.update(first, pb.TASK_RUNNING)
        again.feed(c.AgentDraining("a", WALL_S + 3600.0))
        again.advance(10.0)
        assert killed(again) == []
        again.feed(c.QuarantineReleased("k-k", discard))
        again.advance(1.0)
        assert killed(again) == ([batch, first] if discard else [])
        if not discard:
            update(again, batch, pb.TASK_FINISHED)
            again.advance(1.0)
            assert killed(again) == [first]

    def test_one_that_ends_while_others_leave_is_not_awaited(self, h: BinpackHarness) -> None:
        h.submit(daemon())
        (first,) = run_on(h, "a")
        h.submit(BATCH, "k")
        run_on(h, "a")
        h.feed(c.AgentDraining("a", WALL_S + 3600.0))
        update(h, first, pb.TASK_FAILED)
        h.advance(100.0)
        assert where(h) == {}

    def test_an_agent_that_is_no_longer_drained_has_one_again(self, h: BinpackHarness) -> None:
        h.submit(daemon())
        (first,) = run_on(h, "a")
        h.feed(c.AgentDraining("a", WALL_S + 3600.0))
        h.feed(c.AgentDraining("a", 0.0, cancelled=True))
        h.advance(1.0)
        assert len(h.launched()) == 1, "the first one is still there"
        update(h, first, pb.TASK_KILLED)
        h.advance(1.0)
        (again,) = run_on(h, "a")
        assert again != first and where(h) == {"a": "running"}

    def test_what_is_on_an_unreachable_one_waits(self, h: BinpackHarness) -> None:
        h.submit(daemon())
        (first,) = run_on(h, "a")
        update(h, first, pb.TASK_UNREACHABLE)
        h.feed(c.AgentLost("a"))
        h.advance(100_000.0)
        assert where(h) == {"a": "unreachable"}
        update(h, first, pb.TASK_RUNNING)
        h.offer(agent="a")
        assert where(h) == {"a": "running"} and h.launched() == [first] and killed(h) == []

    @pytest.mark.parametrize("lost_first", [True, False])
    def test_what_was_on_one_that_is_gone_is_forgotten(
        self, h: BinpackHarness, lost_first: bool
    ) -> None:
        h.submit(daemon())
        first, _ = run_on(h, "a", "b")
        if lost_first:
            h.feed(c.AgentLost("a"))
        update(h, first, pb.TASK_GONE_BY_OPERATOR)
        if not lost_first:
            h.feed(c.AgentLost("a"))
        h.advance(1.0)
        assert where(h) == {"b": "running"}

    def test_what_waits_for_one_that_is_lost_is_forgotten(self, h: BinpackHarness) -> None:
        h.submit(daemon(resources={"cpus": 8}))
        h.offer(agent="a")
        assert where(h) == {"a": "waiting"}
        h.feed(c.AgentLost("a"))
        h.advance(1.0)
        assert where(h) == {}

    def test_what_is_on_one_that_no_longer_meets_them_ends(self, h: BinpackHarness) -> None:
        h.submit(daemon(constraints=["disk:IS:ssd"]))
        h.offer(agent="a", disk="ssd")
        (first,) = h.launched()
        update(h, first, pb.TASK_RUNNING)
        h.offer(agent="a", disk="hdd")
        h.advance(1.0)
        assert killed(h) == [first]
        assert "disk is hdd" in there(h)[0].saved.leaving
        update(h, first, pb.TASK_KILLED)
        h.advance(1.0)
        assert where(h) == {}


class TestRoom:
    def test_why_an_agent_has_no_room_is_said_of_it(self, h: BinpackHarness) -> None:
        h.submit(daemon(resources={"cpus": 3, "mem": 10}))
        h.offer("cpus:4;mem:400", agent="a")
        h.offer("cpus:2;mem:400", agent="b")
        (waiting,) = [i for i in there(h) if i.pending]
        assert waiting.saved.agent_id == "b"
        text = waiting.explanation
        assert text == "on b: needs 3 cpus, the largest agent has 2 cpus"

    def test_it_has_others_preempted_on_its_agent_alone(self, h: BinpackHarness) -> None:
        h.submit(job("service", instances=2, resources={"cpus": 4, "mem": 100}), "other")
        others = run_on(h, "a", "b")
        urgent = {"name": "j", "priority": 5, "preempt": True}
        task = {"name": "t", "kind": "daemon", "command": "x", "constraints": ["hostname:IS:a"]}
        h.submit(parse_job({**urgent, "tasks": [task]}))
        h.advance(2.0)
        assert killed(h) == [others[0]]


UPDATE = {"min_healthy_s": 1}


class TestRollouts:
    def test_one_agent_after_the_other(self, h: BinpackHarness) -> None:
        h.submit(daemon(update=UPDATE))
        olds = run_on(h, "a", "b", "c")
        apply(h, daemon(update=UPDATE, command="y"))
        seen = []
        for _ in olds:
            (old,) = [task_id for task_id in killed(h) if task_id not in seen]
            seen.append(old)
            agent = h.core.instance_of(old).saved.agent_id  # type: ignore[union-attr]
            update(h, old, pb.TASK_KILLED)
            h.advance(0.5)
            assert len(killed(h)) == len(seen), "one is missing already"
            assert len(run_on(h, agent)) == 1
            h.advance(2.0)
        assert sorted(seen) == sorted(olds)
        assert h.core.jobs[JOB].rollouts["t"].state is State.DONE
        assert {i.spec.command for i in there(h)} == {"y"} and len(there(h)) == 3

    def test_an_unreachable_or_full_agent_holds_up_no_other(self, h: BinpackHarness) -> None:
        needs = {"cpus": 3, "mem": 10}
        h.submit(daemon(update=UPDATE, resources=needs))
        first, second = run_on(h, "a", "b")
        h.offer("cpus:1;mem:400", agent="d")
        update(h, first, pb.TASK_UNREACHABLE)
        h.feed(c.AgentLost("a"))
        apply(h, daemon(update=UPDATE, resources=needs, command="y"))
        h.advance(1.0)
        assert killed(h) == [second]
        update(h, second, pb.TASK_KILLED)
        h.advance(1.0)
        run_on(h, "b")
        h.advance(5.0)
        rollout = h.core.jobs[JOB].rollouts["t"]
        assert rollout.going and "is of an agent that is unreachable" in rollout.why
        update(h, first, pb.TASK_RUNNING)
        h.advance(1.0)
        assert killed(h) == [second, first]
        update(h, first, pb.TASK_KILLED)
        h.advance(1.0)
        run_on(h, "a")
        h.advance(5.0)
        assert h.core.jobs[JOB].rollouts["t"].state is State.DONE
        assert where(h) == {"a": "running", "b": "running", "d": "waiting"}

    def test_more_at_a_time_where_the_job_says_so(self, h: BinpackHarness) -> None:
        rules = {**UPDATE, "max_unavailable": "50%"}
        h.submit(daemon(update=rules))
        run_on(h, "a", "b", "c", "d")
        apply(h, daemon(update=rules, command="y"))
        assert len(killed(h)) == 2

    def test_a_bad_version_is_rolled_back(self, h: BinpackHarness) -> None:
        h.submit(daemon(update=UPDATE))
        run_on(h, "a", "b")
        apply(h, daemon(update=UPDATE, command="bad"))
        (old,) = killed(h)
        agent = h.core.instance_of(old).saved.agent_id  # type: ignore[union-attr]
        update(h, old, pb.TASK_KILLED)
        h.advance(1.0)
        for _ in range(3):
            (new,) = run_on(h, agent)
            update(h, new, pb.TASK_FAILED)
            h.advance(5.0)
        run_on(h, agent)
        h.advance(5.0)
        assert h.core.jobs[JOB].rollouts["t"].state is State.ROLLED_BACK
        assert {i.spec.command for i in there(h)} == {"x"}
        assert where(h) == {"a": "running", "b": "running"}

    def test_a_task_stays_a_daemon(self, h: BinpackHarness) -> None:
        h.submit(daemon())
        apply(h, job("service"))
        (refused,) = h.of(c.JobRefused)
        assert isinstance(refused, c.JobRefused) and "is a daemon, and" in refused.message


class TestTakeovers:
    def test_another_life_goes_on_with_what_runs(self, h: BinpackHarness) -> None:
        h.submit(daemon())
        tasks = run_on(h, "a", "b")
        again = BinpackHarness(h.records)
        again.feed(c.Subscribed("f"))
        for task_id in tasks:
            update(again, task_id, pb.TASK_RUNNING)
        again.advance(10.0)
        assert where(again) == {"a": "running", "b": "running"}
        assert run_on(again, "a", "b") == []
        assert len(run_on(again, "c")) == 1 and len(there(again)) == 3

    def test_no_task_id_is_given_twice(self, h: BinpackHarness) -> None:
        h.submit(daemon())
        (first,) = run_on(h, "a")
        update(h, first, pb.TASK_LOST)
        h.feed(c.AgentLost("a"))
        h.advance(1.0)
        assert where(h) == {}
        again = BinpackHarness(h.records)
        again.feed(c.Subscribed("f"))
        (second,) = run_on(again, "b")
        assert second != first

    def test_what_ends_while_nobody_knows_the_agent_comes_again_with_it(
        self, h: BinpackHarness
    ) -> None:
        h.submit(daemon())
        (first,) = run_on(h, "a")
        again = BinpackHarness(h.records)
        again.feed(c.Subscribed("f"))
        update(again, first, pb.TASK_FAILED)
        again.advance(100.0)
        (second,) = run_on(again, "a")
        assert second != first and where(again) == {"a": "running"}


class TestJobFiles:
    @pytest.mark.parametrize(
        ("key", "value", "said"),
        [
            ("instances", 2, "instances: a daemon has no such thing"),
            ("gang", True, "gang: a daemon"),
            ("unreachable_replace_s", 0, "unreachable_replace_s: a daemon"),
            ("constraints", ["hostname:UNIQUE"], "constraints: hostname:UNIQUE: a daemon is on"),
            ("update", {"max_surge": 1}, "max_surge and canary must be 0"),
        ],
    )
    def test_what_makes_no_sense_of_a_daemon_is_refused(
        self, key: str, value: object, said: str
    ) -> None:
        with pytest.raises(JobError, match="tasks") as refused:
            daemon(**{key: value})
        assert said in str(refused.value)

    def test_volumes_are_refused(self) -> None:
        task = {"name": "t", "kind": "daemon", "command": "x"}
        volumes = [{"name": "v", "path": "v", "size": 1}]
        with pytest.raises(JobError, match="volumes: a daemon has no such thing"):
            parse_job({"name": "j", "role": "r", "tasks": [{**task, "volumes": volumes}]})

    def test_what_says_nothing_is_accepted(self) -> None:
        made = daemon(gang=False, volumes=[], retries=0, constraints=["hostname:UNLIKE:x.*"])
        assert made.has_daemon and made.tasks[0].instances == 0
        assert "instances" not in json.loads(made.document)["tasks"][0]


def test_an_alert_counts_the_agents_that_are_to_have_it(h: BinpackHarness) -> None:
    h.submit(daemon(alerts=[{"when": "below", "below": "80%", "for_s": 5, "to": "ops"}]))
    first, _ = run_on(h, "a", "b")
    h.advance(100.0)
    assert [alert.summary for alert in h.core.alerts] == []
    update(h, first, pb.TASK_UNREACHABLE)
    h.advance(6.0)
    (alert,) = h.core.alerts
    assert alert.state == "firing" and "j/t: 1 of 2 instances is ready" in alert.summary


def test_a_rollout_is_told_with_the_number_of_agents(h: BinpackHarness) -> None:
    h.submit(daemon())
    run_on(h, "a", "b")
    apply(h, daemon(command="y"))
    (view,) = job_view(h.core.jobs[JOB], "f").rollouts
    assert (view.wanted, view.old, view.made, view.surge) == (2, 2, 0, 0)


def test_it_is_told_where_it_is_wanted_and_which_agents_it_is_not_for(h: BinpackHarness) -> None:
    h.submit(daemon(constraints=["disk:IS:ssd"]))
    h.offer(agent="a", disk="hdd")
    for agent in ("b", "d"):
        h.offer(agent=agent, disk="ssd")
    first, _ = h.launched()
    update(h, first, pb.TASK_RUNNING)
    (view,) = daemon_views(h.core.jobs[JOB], h.core.agents)
    assert daemon_json(view) == {
        "task_name": "t",
        "agents": 3,
        "wanted": 2,
        "running": 1,
        "not_eligible": 1,
        "examples": [{"agent_id": "a", "hostname": "a", "why": view.examples[0].why}],
    }
    assert view.examples[0].why.startswith("disk:IS:ssd: ")
    assert [*daemon_lines(jobs_pb2.JobView(daemons=[view]))] == [
        "t: 1 of 2 run, one on each agent; not eligible: 1 of 3 known agents",
        f"  a: {view.examples[0].why}",
    ]
    new = jobs_pb2.DaemonView(task_name="t", wanted=2, running=2)
    assert [*daemon_lines(jobs_pb2.JobView(daemons=[new]))] == [
        "t: 2 of 2 run, one on each agent; no agent is known yet"
    ]


def test_of_many_agents_that_it_is_not_for_some_are_named(h: BinpackHarness) -> None:
    h.submit(daemon(constraints=["disk:IS:ssd"]))
    for number in range(EXAMPLES + 2):
        h.offer(agent=f"a{number}")
    (view,) = daemon_views(h.core.jobs[JOB], h.core.agents)
    assert (view.not_eligible, len(view.examples)) == (EXAMPLES + 2, EXAMPLES)
    assert [*daemon_lines(jobs_pb2.JobView(daemons=[view]))][-1] == "  and 2 more"


def test_an_agent_that_is_drained_is_not_eligible(h: BinpackHarness) -> None:
    h.submit(daemon())
    first, _ = run_on(h, "a", "b")
    h.feed(c.AgentDraining("a", WALL_S + 3600.0))
    update(h, first, pb.TASK_KILLED)
    h.advance(1.0)
    (view,) = daemon_views(h.core.jobs[JOB], h.core.agents)
    assert [(one.hostname, one.why) for one in view.examples] == [("a", DRAINED)]


def test_what_is_no_daemon_is_told_as_none(h: BinpackHarness) -> None:
    h.submit(job("service"))
    assert [*daemon_views(next(iter(h.core.jobs.values())), h.core.agents)] == []
