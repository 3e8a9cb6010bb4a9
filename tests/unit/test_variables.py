"""Variables of roles: they reach jobs as versions, so that services roll and go back."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import grpc
import grpc.aio
import pytest
from click.testing import CliRunner

from pymesos_binpack import core as c
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_binpack.jobfiles.variables import missing_problem, reference_warnings
from pymesos_binpack.jobs import variables as of_jobs
from pymesos_binpack.jobs.rollouts.asking import Asked
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.jobs.variables import read_variable
from pymesos_binpack.making import made_job
from pymesos_binpack.roles import JobRoles
from pymesos_binpack.services.jobs import JobsService
from pymesos_cli.backup import variables as of_backup
from pymesos_cli.backup.steps import Found
from pymesos_cli.errors import CliError
from pymesos_cli.main import main
from pymesos_cli.variables.calls import read_value
from pymesos_core import limits
from pymesos_core.caller import Caller, Method
from pymesos_core.security.policy_file import read_policy
from pymesos_core.transport import CallError, Code
from pymesos_proto.v1 import backup_pb2 as backup_pb
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_proto.v1 import types_pb2
from pymesos_testing.binpack_harness import BinpackHarness
from pymesos_testing.jobs_frameworks import HarnessedBinpack

RULES = """
allow:
- {who: operator/ci, do: [submit, read], role: '*'}
- {who: operator/lead, do: [submit, read, read-env], role: '*'}
"""
WEB = {
    "name": "web", "kind": "service", "instances": 3, "command": "x",
    "env": {"LEVEL": "{{ variables.level }}", "URL": "db://{{variables.host}}/"},
}  # fmt: skip
OTHER = {"name": "other", "kind": "service", "command": "y"}


def document(*tasks: dict[str, Any], **keys: Any) -> str:
    return json.dumps({"name": "shop", "tasks": list(tasks or (WEB, OTHER)), **keys})


class Desk(HarnessedBinpack):
    """A Jobs service in front of a core, whose writes are durable at once."""

    def __init__(self, records: dict[tuple[str, str], bytes] | None = None) -> None:
        super().__init__(BinpackHarness(records))
        self.h.feed(c.Subscribed("f"))
        self.h.feed(c.PolicyTold(read_policy(RULES, 1)))
        self.service = JobsService(cast(Any, self), JobRoles(("*",)))

    def call(self, method: str, request: Any, who: str = "operator/lead") -> Any:
        call: Any = SimpleNamespace(caller=Caller(who, Method.CERT))
        return asyncio.run(getattr(self.service, method)(request, call))

    def set(self, name: str, value: str, request_id: str = "", **more: Any) -> Any:
        self.requests += 1
        request_id = request_id or f"v{self.requests}"
        request = pb.SetVariableRequest(
            role="*", name=name, value=value, request_id=request_id, **more
        )
        return self.call("SetVariable", request)

    def apply(self, text: str, **more: Any) -> pb.ApplyJobResponse:
        self.requests += 1
        request = pb.ApplyJobRequest(job_json=text, request_id=f"r{self.requests}", **more)
        answer: pb.ApplyJobResponse = self.call("ApplyJob", request)
        return answer

    def remove(self, name: str, **more: Any) -> None:
        self.call("RemoveVariable", pb.RemoveVariableRequest(role="*", name=name, **more))

    def listed(self, who: str = "operator/lead") -> list[pb.VariableView]:
        return list(self.call("ListVariables", pb.ListVariablesRequest(), who).variables)

    def refused(self, method: str, request: Any) -> CallError:
        with pytest.raises(CallError) as caught:
            self.call(method, request)
        return caught.value

    @property
    def shop(self) -> JobState:
        (job,) = self.h.core.named("*", "shop")
        return job

    def environments(self) -> dict[str, list[str]]:
        """What the tasks that run were last started with, by the level that they have."""
        infos = {i.task_id: i for e in self.h.of(c.Accept) for i in cast(c.Accept, e).tasks}
        found: dict[str, list[str]] = {}
        for instance in self.h.core.instances():
            if instance.live and instance.spec.name == "web":
                info = infos[instance.saved.task_id]
                env = {v.name: v.value for v in info.command.environment}
                found.setdefault(env["LEVEL"], []).append(env["URL"])
        return found


def settle(h: BinpackHarness, bad: str = "") -> None:
    """Have all that is launched run, but what has a bad value: that ends at once."""
    for _ in range(30):
        h.offer("cpus:40;mem:40000")
        for each in [i for i in h.core.instances() if i.live]:
            fails = bad and bad in each.spec.env.values()
            state = types_pb2.TASK_FAILED if fails else types_pb2.TASK_RUNNING
            state = types_pb2.TASK_KILLED if each.killing else state
            h.update(each.saved.task_id, state, exit_status=1 if fails else None)
        h.advance(5)


class LookedAt(dict[str, JobState]):
    """Jobs that count how often all of them are looked at."""

    looks = 0

    def values(self) -> Any:
        self.looks += 1
        return super().values()


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


class TestKeeping:
    def test_what_is_used_is_removed_by_force_only(self, desk: Desk) -> None:
        request = pb.RemoveVariableRequest(role="*", name="level")
        refused = desk.refused("RemoveVariable", request)
        assert refused.code == Code.FAILED_PRECONDITION and desk.shop.job_id in refused.message
        desk.remove("level", force=True)
        assert [each.name for each in desk.listed()] == ["host"]
        assert ("variable", "*:level") not in desk.h.records
        refused = desk.refused("RemoveVariable", request)
        assert refused.code == Code.NOT_FOUND and "has no variable 'level'" in refused.message
        desk.h.feed(c.JobStopped(desk.shop.job_id))
        desk.remove("host")
        assert not desk.listed()

    def test_the_last_ten_values_are_kept(self) -> None:
        desk = Desk()
        for number in range(12):
            desk.set("level", str(number))
        asked = pb.GetVariableRequest(role="*", name="level")
        for each in (desk, Desk(desk.h.records)):
            versions = each.call("GetVariable", asked).versions
            assert [view.value for view in versions] == [str(n) for n in range(11, 1, -1)]
            assert versions[0].version == 12 and versions[0].set_by == "operator/lead"

    def test_a_version_is_expected(self) -> None:
        desk = Desk()
        assert desk.set("level", "a", if_version=0).version == 1
        with pytest.raises(CallError, match="is at version 1, and none was expected"):
            desk.set("level", "b", if_version=0)
        with pytest.raises(CallError, match="is not there, and version 3 was expected"):
            desk.set("other", "b", if_version=3)
        assert desk.set("level", "b", if_version=1).version == 2

    def test_values_are_for_those_who_may_read_environments(self, desk: Desk) -> None:
        assert [(v.value, v.hidden) for v in desk.listed("operator/ci")] == [("", True)] * 2
        asked = pb.DescribeJobRequest(job_id=desk.shop.job_id)
        described = desk.call("DescribeJob", asked, "operator/ci")
        assert json.loads(described.job_json)["variables"] == {"level": "", "host": ""}
        desk.set("level", "topsecret")
        desk.h.advance(1)
        versions = pb.ListVersionsRequest(job_id=desk.shop.job_id)
        assert "topsecret" not in str(desk.call("ListVersions", versions, "operator/ci"))
        assert "topsecret" in str(desk.call("ListVersions", versions))

    @pytest.mark.parametrize(
        ("name", "value", "says"),
        [("9a", "x", "no name of a variable"), ("a", "x" * 4097, "at most 4096 are accepted"),
         ("a", "\0", "NUL"), ("a-b", "x", "no name of a variable")],
    )  # fmt: skip
    def test_what_cannot_be_is_refused(self, name: str, value: str, says: str) -> None:
        desk = Desk()
        with pytest.raises(CallError, match=says) as caught:
            desk.set(name, value)
        assert caught.value.code == Code.INVALID_ARGUMENT and not desk.listed()

    def test_there_is_room_for_so_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        desk = Desk()
        event = c.VariableSet("a", "*", "a", "x" * 100, room_bytes=99)
        desk.h.feed(event)
        (refused,) = desk.h.of(c.JobRefused)
        assert "room for 99 bytes more" in cast(c.JobRefused, refused).message
        most = limits.Limit("variables", 1, "variables", "A framework")
        monkeypatch.setattr(limits, "VARIABLES", most)
        desk.set("a", "x")
        with pytest.raises(CallError, match="remove some that nobody uses"):
            desk.set("b", "x")
        monkeypatch.setattr(limits, "ALL_VARIABLES", limits.Limit("all", 3, "bytes", "All"))
        desk.set("a", "xy")
        with pytest.raises(CallError, match="remove some that nobody uses"):
            desk.set("a", "z")

    @pytest.mark.parametrize(
        ("key", "value"),
        [("level", b"{}"), ("*:9", b"{}"), ("*:level", b"{}"), ("*:level", b"["),
         ("*:level", b'{"values": [], "spreading": false, "untaken": {}}'),
         ("*:level", b'{"values": [{"value": 1, "version": 1, "set_by": "", "set_at_s": 1}],'
                     b' "spreading": false, "untaken": {}}')],
    )  # fmt: skip
    def test_a_record_that_cannot_be_is_left_out(self, key: str, value: bytes) -> None:
        with pytest.raises(ValueError, match="variable"):
            read_variable(key, value)
        assert not Desk({("variable", key): value}).listed()

    def test_a_listing_looks_no_oftener_at_jobs_for_more_variables(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        desk.set("other", "x")
        desk.apply(document(name="second"))
        jobs = LookedAt(desk.h.core._ctx.roster.jobs)
        monkeypatch.setattr(desk.h.core._ctx.roster, "jobs", jobs)
        desk.call("ListVariables", pb.ListVariablesRequest(page_size=1))
        looks_for_one, jobs.looks = jobs.looks, 0
        listed = {view.name: view.jobs for view in desk.listed()}
        assert listed == {"host": 2, "level": 2, "other": 0}
        assert jobs.looks == looks_for_one

    def test_pages_follow_each_other(self) -> None:
        desk = Desk()
        for name in "abc":
            desk.set(name, "x")
        first = desk.call("ListVariables", pb.ListVariablesRequest(page_size=2))
        assert [each.name for each in first.variables] == ["a", "b"]
        token = first.next_page_token
        rest = desk.call("ListVariables", pb.ListVariablesRequest(page_size=2, page_token=token))
        assert [each.name for each in rest.variables] == ["c"] and not rest.next_page_token


class Stub:
    """The service of a framework, as a restore asks it."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    async def GetVariable(
        self, request: pb.GetVariableRequest, timeout: float
    ) -> pb.GetVariableResponse:
        try:
            return await self._ask("GetVariable", request)  # type: ignore[no-any-return]
        except CallError as error:
            assert error.code == Code.NOT_FOUND
            none: Any = None
            raise grpc.aio.AioRpcError(grpc.StatusCode.NOT_FOUND, none, none, "") from error

    async def SetVariable(
        self, request: pb.SetVariableRequest, timeout: float
    ) -> pb.SetVariableResponse:
        return await self._ask("SetVariable", request)  # type: ignore[no-any-return]

    async def _ask(self, method: str, request: Any) -> Any:
        call: Any = SimpleNamespace(caller=Caller("operator/lead", Method.CERT))
        return await getattr(self.desk.service, method)(request, call)


def test_a_restore_sets_what_is_missing_and_says_what_differs() -> None:
    desk = Desk()
    desk.set("same", "x")
    desk.set("other", "y")
    cluster: Any = SimpleNamespace(timeout_s=1.0)
    serves: Any = (SimpleNamespace(info=SimpleNamespace(jobs_address="127.0.0.1:1")), Stub(desk))

    async def restored() -> list[Found]:
        found: list[Found] = []
        for name in ("same", "other", "new"):
            wanted = backup_pb.BackupVariable(role="*", name=name, value="x")
            step = await of_backup._step(cluster, serves, wanted)
            found.append(step.found)
            if step.do is not None:
                await step.do()
        return found

    assert asyncio.run(restored()) == [Found.SAME, Found.DIFFERS, Found.MISSING]
    assert {view.name: view.value for view in desk.listed()} == dict.fromkeys(
        ("same", "other", "new"), "x"
    )


def test_a_version_that_there_cannot_be_is_refused_before_anything_is_asked() -> None:
    asked = ["variables", "set", "*", "a", "b", "--if-version", str(2**32)]
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 2 and "4294967296 is not in the range" in done.output


def test_a_file_that_is_too_large_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "v").write_bytes(b"x" * 5000)
    with pytest.raises(CliError, match="has more than 4096 bytes"):
        read_value(tmp_path / "v")
    (tmp_path / "v").write_bytes(b"x" * 4096 + b"\n")
    assert read_value(tmp_path / "v") == "x" * 4096
