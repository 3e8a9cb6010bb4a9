"""Variables of roles: they reach jobs as versions, so that services roll and go back."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from pymesos_binpack import core as c
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_binpack.jobfiles.variables import missing_problem, reference_warnings
from pymesos_binpack.jobs import variables as of_jobs
from pymesos_binpack.jobs.rollouts.asking import Asked
from pymesos_binpack.making import made_job
from pymesos_core import limits
from pymesos_core.transport import Code
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_proto.v1 import types_pb2
from pymesos_testing.variables_desk import OTHER, WEB, Desk, document, settle


@pytest.fixture
def desk() -> Desk:
    """A job that refers to two variables, and runs."""
    desk = Desk()
    desk.set("level", "info")
    desk.set("host", "h1")
    desk.apply(document())
    settle(desk.h)
    return desk


class TestJobs:
    def test_tasks_have_the_values_of_their_role(self, desk: Desk) -> None:
        assert desk.environments() == {"info": ["db://h1/"] * 3}
        described = desk.call("DescribeJob", pb.DescribeJobRequest(job_id=desk.shop.job_id))
        assert json.loads(described.job_json)["variables"] == {"level": "info", "host": "h1"}

    def test_what_has_no_value_is_refused_with_what_to_do(self) -> None:
        desk = Desk()
        request = pb.ApplyJobRequest(job_json=document(), request_id="a", dry_run=True)
        refused = desk.refused("ApplyJob", request)
        assert refused.code == Code.FAILED_PRECONDITION
        assert "pymesos-cli variables set '*' level VALUE" in refused.message
        submitted = pb.SubmitJobRequest(job_json=document(), request_id="b")
        assert "'level'" in desk.refused("SubmitJob", submitted).message
        assert missing_problem(parse_job(json.loads(document()))) is not None
        desk.h.feed(c.JobSubmitted("c", "shop-c", parse_job(json.loads(document()))))
        assert not desk.h.core.jobs, "nor does who hosts a job itself start it"

    def test_a_file_has_values_for_where_its_role_has_none(self, desk: Desk) -> None:
        own = {"level": "debug", "host": "h1"}
        assert not desk.apply(document(variables=own)).changed
        desk = Desk()
        desk.set("host", "h1")
        desk.apply(document(variables=own))
        settle(desk.h)
        assert desk.environments() == {"debug": ["db://h1/"] * 3}

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("{{ variables['x'] }}", "env.A has \"{{ variables['x'] }}\", which is passed on"),
            ("{{ variables.x|upper }}", "env.A has '{{ variables.x|upper }}', which is passed on"),
            ("a {{ variable.x }}", "env.A has '{{ variable.x }}', which is passed on as it stands"),
            ("{{secrets.x}}", "and a secret is given by `secrets`"),
            ("{{ variables.x }} {{variables.x}}", ""),
            ("{{ .Values.variables }} {{ other }} {{ variablesof }}", ""),
        ],
    )
    def test_what_looks_like_a_reference_and_is_none_is_said(self, text: str, said: str) -> None:
        keys = {"variables": {"x": "y"}}
        made = parse_job(json.loads(document({**OTHER, "env": {"A": text}}, **keys)))
        warnings = reference_warnings(made)
        assert len(warnings) == bool(said) and all(said in each for each in warnings), warnings

    def test_only_tasks_that_refer_to_it_are_replaced(self, desk: Desk) -> None:
        before = {i.saved.task_id for i in desk.h.core.instances() if i.spec.name == "other"}
        desk.set("level", "debug")
        settle(desk.h)
        after = {i.saved.task_id for i in desk.h.core.instances() if i.spec.name == "other"}
        assert before == after and desk.environments() == {"debug": ["db://h1/"] * 3}

    def test_a_sidecar_refers_to_variables(self) -> None:
        helper = {"name": "log", "command": "y", "env": {"LEVEL": "{{ variables.level }}"}}
        made = {"name": "j", "tasks": [{"name": "t", "command": "x", "sidecars": [helper]}]}
        job = parse_job({**made, "variables": {"level": "warn"}})
        assert job.tasks[0].sidecars[0].env == {"LEVEL": "warn"}
        other = parse_job({**made, "variables": {"level": "info"}})
        assert other.tasks[0].digest != job.tasks[0].digest

    def test_a_value_set_meanwhile_is_taken_by_who_applies(self, desk: Desk) -> None:
        desk.before_propose.append(c.VariableSet("quick", "*", "level", "debug"))
        changed = document({**WEB, "command": "z"})
        assert desk.apply(changed).changed
        assert desk.shop.job.variables["level"] == "debug"
        assert desk.shop.job.tasks[0].command == "z"


class TestSpreading:
    def test_it_reaches_a_service_by_a_rollout(self, desk: Desk) -> None:
        answer = desk.set("level", "debug")
        assert (answer.version, answer.changed, answer.jobs) == (2, True, 1)
        assert desk.listed()[1].spreading
        desk.h.advance(0.1)
        assert not desk.listed()[1].spreading
        latest = desk.shop.history.latest
        assert (latest.number, latest.what, latest.made_by) == (
            2,
            "variable level",
            "operator/lead",
        )
        desk.h.offer("cpus:40;mem:40000")
        killing = [i for i in desk.h.core.instances() if i.killing]
        assert len(killing) < 3, "not all at once"
        settle(desk.h)
        assert desk.environments() == {"debug": ["db://h1/"] * 3}

    def test_the_same_value_changes_nothing(self, desk: Desk) -> None:
        answer = desk.set("level", "info")
        assert (answer.version, answer.changed) == (1, False)
        assert desk.shop.version == 1
        first = desk.set("level", "debug", "once")
        desk.set("level", "warn")
        desk.h.advance(1)
        assert desk.set("level", "warn", "twice").version == 3 and first.version == 2

    def test_a_restart_goes_on_with_it(self, desk: Desk) -> None:
        desk.set("level", "debug")
        again = Desk(desk.h.records)
        again.h.core.check()
        again.h.advance(1)
        assert again.shop.job.variables["level"] == "debug"
        assert not Desk(again.h.records).listed()[1].spreading

    def test_a_bad_value_goes_back_and_stays_back(self, desk: Desk) -> None:
        desk.set("level", "bad")
        settle(desk.h, bad="bad")
        settle(desk.h, bad="bad")
        assert desk.environments() == {"info": ["db://h1/"] * 3}
        assert desk.shop.job.variables["level"] == "info"
        again = Desk(desk.h.records)
        again.h.advance(60)
        assert again.shop.job.variables["level"] == "info", "nor does a restart spread it again"

    def test_what_goes_back_takes_no_value_from_others(self, desk: Desk) -> None:
        desk.apply(document(WEB, {**OTHER, "env": {"L": "{{ variables.level }}"}}))
        settle(desk.h)
        desk.set("level", "bad")
        for _ in range(60):
            desk.h.offer("cpus:40;mem:40000")
            for each in [i for i in desk.h.core.instances() if i.live]:
                bad = each.spec.env.get("LEVEL") == "bad"
                state = types_pb2.TASK_FAILED if bad else types_pb2.TASK_RUNNING
                state = types_pb2.TASK_KILLED if each.killing else state
                desk.h.update(each.saved.task_id, state, exit_status=1 if bad else None)
            desk.h.advance(5)
        assert desk.environments() == {"info": ["db://h1/"] * 3}
        (other,) = [i for i in desk.h.core.instances() if i.spec.name == "other" and i.live]
        assert other.spec.env == {"L": "bad"}, "that one works with it"

    def test_a_rollback_brings_the_value_of_that_time(self, desk: Desk) -> None:
        desk.set("level", "debug")
        settle(desk.h)
        request = pb.RollbackJobRequest(job_id=desk.shop.job_id, version=1, request_id="back")
        assert desk.call("RollbackJob", request).changed
        settle(desk.h)
        assert desk.environments() == {"info": ["db://h1/"] * 3}

    def test_a_name_that_was_removed_and_set_again_spreads_again(self, desk: Desk) -> None:
        for value in ("debug", "warn"):
            desk.remove("level", force=True)
            desk.h.advance(1)
            assert desk.set("level", value).version == 1
            desk.h.advance(1)
            assert desk.shop.job.variables["level"] == value

    def test_a_job_that_cannot_have_it_says_why(self, desk: Desk) -> None:
        many = {f"V{number}": "{{ variables.level }}" for number in range(100)}
        desk.apply(document({**WEB, "env": many}))
        desk.set("level", "x" * limits.VARIABLE_VALUE.most)
        desk.h.advance(1)
        view = desk.listed()[1]
        assert not view.spreading and view.untaken[0].job_id == desk.shop.job_id
        assert "at most 262144" in view.untaken[0].why
        assert desk.shop.job.variables["level"] == "info"
        desk.set("level", "warn")
        desk.h.advance(1)
        assert desk.shop.job.variables["level"] == "warn" and not desk.listed()[1].untaken

    def test_a_job_is_read_beside_the_loop_and_put_in_force_if_it_is_still_the_same(
        self, desk: Desk
    ) -> None:
        desk.h.hold_made = True
        desk.set("level", "warn")
        desk.h.advance(1)
        (wanted,) = desk.h.wanted
        assert (wanted.job_id, wanted.base_version) == (desk.shop.job_id, 1)
        assert wanted.values == {"level": "warn", "host": "h1"}
        desk.h.core.check()
        desk.call("RestartJob", pb.RestartJobRequest(job_id=desk.shop.job_id, request_id="again"))
        assert desk.shop.version == 2
        desk.h.hold_made = False
        desk.h.make()
        desk.h.advance(1)
        assert desk.shop.version == 3 and desk.shop.job.variables["level"] == "warn"
        assert not desk.listed()[1].spreading and not desk.listed()[1].untaken

    def test_what_was_made_for_an_earlier_value_is_not_put_in_force(self, desk: Desk) -> None:
        desk.h.hold_made = True
        for value in ("warn", "debug"):
            desk.set("level", value)
            desk.h.advance(1)
        desk.h.feed(c.JobMade(desk.h.wanted[0], made_job(desk.h.wanted.pop(0))))
        assert desk.shop.version == 1
        desk.h.hold_made = False
        desk.h.make()
        desk.h.advance(1)
        assert desk.shop.version == 2 and desk.shop.job.variables["level"] == "debug"
        desk.h.hold_made = True
        desk.set("level", "info")
        desk.h.advance(1)
        desk.remove("level", force=True)
        desk.h.hold_made = False
        desk.h.make()
        desk.h.advance(1)
        assert desk.shop.version == 2, "it was removed meanwhile"

    def test_what_people_have_paused_is_left_alone_until_they_resume_it(self, desk: Desk) -> None:
        desk.apply(document({**WEB, "command": "bad"}, OTHER))
        ask = c.RolloutAsked("p", desk.shop.job_id, "web", Asked.PAUSE)
        desk.h.feed(ask)
        desk.set("level", "warn")
        settle(desk.h)
        assert desk.shop.version == 2 and "info" in desk.environments()
        assert desk.listed()[1].spreading
        desk.h.feed(replace(ask, request_id="r", what=Asked.RESUME))
        settle(desk.h)
        assert desk.shop.version == 3 and set(desk.environments()) == {"warn"}
        assert not desk.listed()[1].spreading

    def test_many_that_cannot_have_it_are_tried_once_each(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(of_jobs, "MAX_UNTAKEN", 2)
        many = {f"V{number}": "{{ variables.level }}" for number in range(100)}
        for name in "abcd":
            desk.apply(document({**WEB, "env": many}, name=name))
        desk.set("level", "x" * limits.VARIABLE_VALUE.most)
        desk.h.advance(1)
        view = desk.listed()[1]
        assert not view.spreading and len(view.untaken) == 2
        record = json.loads(desk.h.records["variable", "*:level"])
        assert len(record["untaken"]) == 2, "what is kept of them has a bound"
        writes = len(desk.h.of(c.Store))
        desk.h.advance(1)
        assert len(desk.h.of(c.Store)) == writes
