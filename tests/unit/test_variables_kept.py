"""Variables of roles are kept, bounded, and restored."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import grpc
import grpc.aio
import pytest
from click.testing import CliRunner

from pymesos_binpack import core as c
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.jobs.variables import read_variable
from pymesos_cli.backup import variables as of_backup
from pymesos_cli.backup.steps import Found
from pymesos_cli.errors import CliError
from pymesos_cli.main import main
from pymesos_cli.variables.calls import read_value
from pymesos_core import limits
from pymesos_core.caller import Caller, Method
from pymesos_core.transport import CallError, Code
from pymesos_proto.v1 import backup_pb2 as backup_pb
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_testing.variables_desk import Desk, document, settle


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
