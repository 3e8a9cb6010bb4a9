"""Tasks whose number of instances follows what is measured: decisions, steps, what is refused."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from pymesos_agent.health.checking import CheckError
from pymesos_agent.health.gauges import MOST, gathered, sum_of
from pymesos_binpack import core as c
from pymesos_binpack.core.scaling import LOOK_S, OLD_S
from pymesos_binpack.jobfiles.parsing import Job, JobError, parse_job
from pymesos_binpack.jobs.scaling import Measured, ScaleStep, Scaling, decide
from pymesos_binpack.jobs.state import SCALING, JobState
from pymesos_binpack.services.changing import APPLY, check_scale, counts_of
from pymesos_binpack.services.views import job_view
from pymesos_binpack.specs import ScaleRules
from pymesos_cli.jobs.scaling import scaling_lines
from pymesos_core.jobs_json import job_json
from pymesos_core.transport import CallError
from pymesos_master.core import events as ev
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.binpack_harness import BinpackHarness
from pymesos_testing.master_harness import MasterHarness

RULES = ScaleRules(2, 10, 0.6)
BEGUN_S = 1e9
ROOM = "cpus:40;mem:40000;ports:[1-9]"


def stepped(count: int, *values: float, unknown: int = 0, after_s: float = 1000) -> Scaling:
    """What becomes of so many, some time after the latest step."""
    scaling = Scaling(count, (ScaleStep(BEGUN_S, 1, count, "before"),))
    return decide(RULES, scaling, Measured(values, unknown), BEGUN_S + after_s)


class TestDecisions:
    def test_as_many_as_the_work_asks_for(self) -> None:
        after = stepped(3, 0.9, 0.9, 0.9)
        assert after.count == 5
        assert after.note == "cpu 90% on average, 60% is wanted: from 3 to 5"
        assert after.steps[-1] == ScaleStep(BEGUN_S + 1000, 3, 5, after.note)

    @pytest.mark.parametrize("used", [0.55, 0.6, 0.65])
    def test_what_is_nearly_as_wanted_stays(self, used: float) -> None:
        after = stepped(5, *[used] * 5)
        assert after.count == 5 and "it stays at 5" in after.note

    def test_no_more_than_the_most_and_not_too_many_at_once(self) -> None:
        assert stepped(9, *[3.0] * 9).count == 10
        assert stepped(10, *[3.0] * 10).note.endswith("50 would do, and it is to have at most 10")
        assert stepped(2, 9.0, 9.0).count == 6, "four more at once, or twice as many"

    def test_more_come_only_some_time_after_the_step_before(self) -> None:
        assert stepped(3, *[0.9] * 3, after_s=RULES.up_after_s - 1).count == 3
        assert stepped(3, *[0.9] * 3, after_s=RULES.up_after_s).count == 5

    def test_more_come_also_where_some_are_not_measured(self) -> None:
        assert stepped(4, 0.9, 0.9, 0.9, unknown=1).count == 5
        assert stepped(4, 0.9, unknown=3).count == 4, "those that begin may be enough"

    def test_fewer_have_to_be_enough_for_a_while(self) -> None:
        scaling, now_s = stepped(8, *[0.1] * 8), BEGUN_S + 1000
        assert scaling.count == 8 and "fewer not before" in scaling.note
        less = Measured([0.1] * 8)
        almost = decide(RULES, scaling, less, now_s + RULES.down_after_s - 1)
        assert almost.count == 8
        assert decide(RULES, almost, less, now_s + RULES.down_after_s).count == 4
        busy = decide(RULES, almost, Measured([0.6] * 8), now_s + 299)
        assert decide(RULES, busy, less, now_s + RULES.down_after_s).count == 8

    def test_fewer_come_only_some_time_after_the_step_before(self) -> None:
        low = replace(stepped(8, *[0.1] * 8, after_s=0), low_since_s=BEGUN_S - 1000)
        assert decide(RULES, low, Measured([0.1] * 8), BEGUN_S + 299).count == 8
        assert decide(RULES, low, Measured([0.1] * 8), BEGUN_S + 300).count == 4

    @pytest.mark.parametrize(
        "measured",
        [Measured(()), Measured((), 8), Measured([0.0] * 7, 1), Measured([0.0] * 8, 0, True)],
    )
    def test_never_fewer_while_something_is_not_known(self, measured: Measured) -> None:
        scaling = Scaling(8)
        for number in range(10):
            scaling = decide(RULES, scaling, measured, BEGUN_S + number * 1000)
        assert scaling.count == 8
        assert "nothing is measured" in scaling.note or "not fewer" in scaling.note

    def test_no_fewer_than_the_least(self) -> None:
        scaling = decide(RULES, Scaling(3), Measured([0.0] * 3), BEGUN_S)
        scaling = decide(RULES, scaling, Measured([0.0] * 3), BEGUN_S + 300)
        assert scaling.count == 2
        again = decide(RULES, scaling, Measured([0.0] * 2), BEGUN_S + 900)
        assert again.count == 2 and "at least 2" in again.note

    def test_a_metric_is_added_up(self) -> None:
        rules = ScaleRules(1, 100, 10.0, "queue_length")
        after = decide(rules, Scaling(2), Measured([35, 0]), BEGUN_S)
        assert after.note == "queue_length 17.5 on average, 10 is wanted: from 2 to 4"

    def test_few_steps_are_kept_and_read_back(self) -> None:
        scaling = Scaling(1)
        for number in range(30):
            values = [(0.9, 0.3)[number % 2]] * scaling.count
            scaling = decide(RULES, scaling, Measured(values), BEGUN_S + number * 1000)
        assert 0 < len(scaling.steps) <= 10
        assert Scaling.of_record(json.loads(scaling.record())).steps == scaling.steps


class TestJobFiles:
    def test_it_begins_within_its_bounds(self) -> None:
        scale = {"min": 2, "max": 4, "target": {"cpu": "60%"}}
        assert job_of(scale).tasks[0].instances == 2
        assert job_of(scale, instances=9).tasks[0].instances == 4
        assert job_of(scale, instances=3).tasks[0].instances == 3
        assert job_of(scale).tasks[0].digest == job_of(None).tasks[0].digest

    @pytest.mark.parametrize(
        ("scale", "more", "said"),
        [
            ({"min": 3, "max": 2, "target": {"cpu": "60%"}}, {}, "at most max, 2, is expected"),
            ({"target": {"cpu": "60%"}}, {"kind": "batch"}, "only a service is scaled"),
            ({"target": {"cpu": "60%", "value": 1}}, {}, "it goes with a metric"),
            ({"target": {"metric": "m"}}, {}, "value is missing"),
            ({"target": {"value": 1}}, {}, "metric is missing"),
            ({"target": {"metric": "m", "value": 1}}, {}, "no port to ask for it"),
            (
                {"target": {"metric": "m", "value": 1, "port": "b"}},
                {"ports": [{"name": "a"}]},
                "no port b: it has a",
            ),
            ({"target": {"cpu": "60%"}}, {"resources": {"cpus": 0}}, "asks for no cpus"),
            ({"target": {"cpu": "60%"}}, {"gang": True, "kind": "service"}, "gang"),
        ],
    )
    def test_what_cannot_be_is_refused(
        self, scale: dict[str, Any], more: dict[str, Any], said: str
    ) -> None:
        with pytest.raises(JobError, match=said):
            job_of({"min": 1, "max": 4, **scale}, **more)


def job_of(scale: dict[str, Any] | None, **more: Any) -> Job:
    made = {"name": "web", "kind": "service", "command": "x", "resources": {"cpus": 0.5}, **more}
    return parse_job({"name": "j", "tasks": [made if scale is None else {**made, "scale": scale}]})


@pytest.fixture
def h() -> BinpackHarness:
    harness = BinpackHarness()
    harness.feed(c.Subscribed("f"))
    return harness


QUICK = {"min": 2, "max": 6, "target": {"cpu": "50%"}, "up_after_s": 1, "down_after_s": 60}


def state_of(h: BinpackHarness) -> JobState:
    (state,) = h.core.jobs.values()
    return state


def run_all(h: BinpackHarness) -> int:
    """Have all run that there is; how many that are."""
    h.offer(ROOM)
    for instance in list(state_of(h).instances):
        if instance.live and instance.killing:
            h.update(instance.saved.task_id, pb.TASK_KILLED, uuid=b"k")
        elif instance.live and instance.saved.state == pb.TASK_STAGING:
            h.update(instance.saved.task_id, pb.TASK_RUNNING)
    h.core.check()
    return sum(i.live for i in state_of(h).instances)


def launched(h: BinpackHarness) -> pb.TaskInfo:
    """The first task that was launched."""
    return next(e.tasks[0] for e in h.effects if isinstance(e, c.Accept))


def tell(h: BinpackHarness, cpus: float, **more: Any) -> None:
    """Each instance uses so many, as a master says."""
    live = [i.saved.task_id for i in state_of(h).instances if i.live]
    h.feed(c.UsesTold(tuple(pb.TaskUse(task_id=t, cpus_used=cpus, **more) for t in live)))


def look(h: BinpackHarness, cpus: float, seconds: float = LOOK_S) -> int:
    """Tell what each uses until some time has passed; how many run then."""
    for _ in range(int(seconds / LOOK_S)):
        tell(h, cpus)
        h.advance(LOOK_S)
    return run_all(h)


class TestSteps:
    def test_instances_come_and_go(self, h: BinpackHarness) -> None:
        h.submit(job_of(QUICK))
        assert run_all(h) == 2
        assert launched(h).HasField("measure")
        assert look(h, 0.5) == 4, "each uses all that it asked for, and half of that is wanted"
        assert look(h, 0.25) == 4
        assert look(h, 0.05, 90) < 4
        assert look(h, 0.05, 180) == 2
        assert state_of(h).version == 1, "a step is no version"

    def test_nothing_is_ended_once_nothing_is_told(self, h: BinpackHarness) -> None:
        h.submit(job_of(QUICK))
        run_all(h)
        look(h, 0.5)
        h.advance(10 * OLD_S)
        assert run_all(h) == 4
        (view,) = job_view(state_of(h), "f").scaling
        assert view.note == "50% is wanted, and nothing is measured: it stays at 4"

    def test_an_old_measurement_counts_for_nothing(self, h: BinpackHarness) -> None:
        h.submit(job_of(QUICK))
        run_all(h)
        tell(h, 0.01)
        h.advance(OLD_S + LOOK_S)
        assert "nothing is measured" in state_of(h).scalings["web"].note

    def test_what_another_attempt_used_counts_for_nothing(self, h: BinpackHarness) -> None:
        h.submit(job_of(QUICK))
        run_all(h)
        tell(h, 0.5)
        h.advance(1)
        for instance in list(state_of(h).instances):
            h.update(instance.saved.task_id, pb.TASK_FAILED, uuid=b"e")
        h.advance(1)
        run_all(h)
        h.advance(LOOK_S)
        assert "nothing is measured" in state_of(h).scalings["web"].note

    def test_the_number_and_the_latest_step_survive(self, h: BinpackHarness) -> None:
        h.submit(job_of(QUICK))
        run_all(h)
        look(h, 0.5)
        again = BinpackHarness(h.records)
        again.now_s = h.now_s
        assert sum(i.live for i in state_of(again).instances) == 4
        assert state_of(again).job.tasks[0].instances == 4
        assert state_of(again).scalings["web"].steps == state_of(h).scalings["web"].steps
        again.feed(c.Subscribed("f"))
        for instance in list(state_of(again).instances):
            again.update(instance.saved.task_id, pb.TASK_RUNNING, uuid=b"again")
        again.advance(300)
        assert run_all(again) == 4

    def test_a_backup_has_the_numbers_of_more_tasks_than_are_listed(
        self, h: BinpackHarness
    ) -> None:
        task = {"kind": "service", "command": "true", "instances": 3, "scale": QUICK}
        h.submit(
            parse_job({"name": "job", "tasks": [{"name": f"t{n}", **task} for n in range(150)]})
        )
        assert len(job_view(state_of(h), "f").scaling) == 100
        assert state_of(h).scaled_counts() == {f"t{n}": 3 for n in range(150)}

    def test_a_step_is_told_once_it_is_stored(self, h: BinpackHarness) -> None:
        h.submit(job_of(QUICK))
        run_all(h)
        h.hold_writes = True
        tell(h, 0.5)
        h.advance(LOOK_S)
        assert not job_view(state_of(h), "f").scaling[0].steps
        h.hold_writes = False
        h.write()
        (view,) = job_view(state_of(h), "f").scaling
        assert view.count == 4 and view.steps[0].before == 2

    def test_what_people_apply_keeps_the_number_within_the_bounds(self, h: BinpackHarness) -> None:
        h.submit(job_of(QUICK))
        run_all(h)
        look(h, 0.5)
        apply(h, job_of({**QUICK, "max": 3}, instances=1))
        assert run_all(h) >= 3 and state_of(h).job.tasks[0].instances == 3
        apply(h, job_of(None, instances=1))
        assert state_of(h).job.tasks[0].instances == 1
        assert not any(kind == SCALING for kind, _ in h.records)
        h.advance(100)
        run_all(h)
        assert run_all(h) == 1

    def test_a_job_that_begins_to_be_scaled(self, h: BinpackHarness) -> None:
        h.submit(job_of(None, instances=2))
        run_all(h)
        apply(h, job_of(QUICK, instances=2))
        assert look(h, 0.5) == 4

    def test_a_gauge_that_is_not_read_is_not_measured(self, h: BinpackHarness) -> None:
        target = {"metric": "queue", "value": 10, "port": "b"}
        ports = [{"name": "a"}, {"name": "b"}]
        h.submit(job_of({**QUICK, "target": target}, ports=ports))
        run_all(h)
        measure = launched(h).measure
        assert (measure.metric, measure.port_index, measure.path) == ("queue", 1, "/metrics")
        tell(h, 9.0)
        h.advance(LOOK_S)
        assert "nothing is measured" in state_of(h).scalings["web"].note
        tell(h, 0.0, gauge=25)
        h.advance(LOOK_S)
        assert state_of(h).scalings["web"].count == 5

    def test_a_job_that_ends_is_looked_at_no_more(self, h: BinpackHarness) -> None:
        h.submit(job_of(QUICK))
        run_all(h)
        h.feed(c.JobStopped(state_of(h).job_id, 1))
        tell(h, 0.5)
        h.advance(1000)
        assert run_all(h) in (0, 2)
        assert state_of(h).job.tasks[0].instances == 2


def apply(h: BinpackHarness, job: Job) -> None:
    state = state_of(h)
    h.feed(c.VersionProposed(f"a{state.version}", state.job_id, state.version, job, APPLY))


class TestForPeople:
    def test_nobody_scales_it_by_hand(self, h: BinpackHarness) -> None:
        h.submit(job_of(QUICK))
        with pytest.raises(CallError, match=r"from 2 to 6 .* change these bounds"):
            check_scale(state_of(h), "web")
        assert counts_of(state_of(h).job) == {}

    def test_each_step_says_why(self, h: BinpackHarness) -> None:
        h.submit(job_of(QUICK))
        run_all(h)
        look(h, 0.5)
        look(h, 0.25)
        view = job_view(state_of(h), "f")
        first, step = scaling_lines(view)
        assert first.startswith("web: scaled from 2 to 6 by cpu 50%, now 4; cpu 50% on average")
        assert step.endswith("cpu 100% on average, 50% is wanted: from 2 to 4")
        (told,) = job_json(view)["scaling"]
        assert (told["count"], told["steps"][0]["after"]) == (4, 4)


def test_a_master_tells_frameworks_of_their_own_tasks() -> None:
    h = MasterHarness()
    agent = h.agent()
    mine, other = h.subscribe(), h.subscribe()
    h.run(mine, "t")
    h.launched(agent)
    framework_id = h.framework_id(mine)
    uses = [
        pb.TaskUse(framework_id=framework_id, task_id="t", cpus_used=0.5, told=True),
        pb.TaskUse(framework_id=framework_id, task_id="another", cpus_used=1, told=True),
        pb.TaskUse(framework_id=h.framework_id(other), task_id="t", cpus_used=2, told=True),
    ]
    h.feed(ev.AgentUsageReported(agent, agent_pb.Usage(tasks=uses)))
    told = [event.uses for event in h.framework_inbox[mine] if event.HasField("uses")]
    assert [list(each.uses) for each in told] == [uses[:1]]
    assert not any(event.HasField("uses") for event in h.framework_inbox[other])
    uses[0].told = False
    h.feed(ev.AgentUsageReported(agent, agent_pb.Usage(tasks=uses)))
    assert len([e for e in h.framework_inbox[mine] if e.HasField("uses")]) == 1


class TestGauges:
    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("# TYPE queue gauge\nqueue 12\n", 12),
            ('queue{a="x y}"} 3\nqueue{a="z"} 4.5 1700000000\nqueue_max 99\n', 7.5),
            ("queue 1e3\r\n", 1000),
            ("queue_max 99\nsome queue 3\n", None),
            ("queue NaN\n", None),
            ('queue 5\nqueue{a="b"} +Inf\n', None),
            ("queue -1\n", None),
            ("queue many\n", None),
            ("queue \n", None),
            (f"queue {MOST}\nqueue {MOST}\n", None),
            ("", None),
        ],
    )
    def test_samples_are_added_up(self, text: str, found: float | None) -> None:
        assert sum_of(text.encode(), b"queue") == found

    def test_what_cannot_be_read_is_left_out(self) -> None:
        async def well() -> float:
            return 1.0

        async def unwell() -> float:
            raise CheckError("it is not well")

        assert asyncio.run(gathered({"a": well, "b": unwell})) == {"a": 1.0}
