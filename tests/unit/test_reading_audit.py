"""The audit of all masters is read through the one that leads, and merged by time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pymesos_cli.access import audit
from pymesos_cli.access.audit import Wanted, show_audit
from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import CliError, NotFoundError
from pymesos_core.addresses import HostPort
from pymesos_core.caller import NOBODY
from pymesos_core.coordination import CoordinationError, MasterInfo
from pymesos_core.outside import Outside
from pymesos_core.security.audit_files import AuditFiles
from pymesos_core.security.identities import Kind
from pymesos_core.transport import CallError, Code
from pymesos_master.services.leading import Leadership
from pymesos_master.services.masters import MastersService
from pymesos_master.services.operator import OperatorService
from pymesos_master.services.reading_audit import lines
from pymesos_master.services.relaying import OperatorCalls
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2

A, B, C = (HostPort("10.0.0.1", port) for port in (1, 2, 3))


class Masters:
    """Some masters, of which the first leads, and how they reach each other."""

    def __init__(self, folder: Path) -> None:
        self.running = {at: MasterInfo(f"m{at.port}", at) for at in (A, B, C)}
        self.of = {}
        for at, info in self.running.items():
            files = AuditFiles(folder / str(at.port), 1 << 20)
            outside = Outside(dial=self._dial)
            self.of[at] = Leadership(info, outside, masters=self.all, audit_files=files)
        self.zookeeper_away = self.framework = self.none = False
        self.pages: list[pb.ReadAuditResponse] = []  # of the framework, the last for ever
        self.timeout_s = 1.0
        self.refusal: CallError | None = None  # by which another master lets this one not in

    def _dial(self, address: HostPort, to: Kind, name: str = "") -> Any:
        return Peer(self, address)

    async def all(self) -> list[MasterInfo]:
        if self.zookeeper_away:
            raise CoordinationError("ZooKeeper is away")
        return list(self.running.values())

    def write(self, at: HostPort, *times: int) -> None:
        files = self.of[at].audit_files
        assert files is not None
        made = [{"time": f"2026-01-01T00:00:{t:02}.000Z", "by": at.port} for t in times]
        files.append([json.dumps(line).encode() + b"\n" for line in made], sync=False)

    async def frameworks(self) -> list[pb.FrameworkView]:
        """As `Cluster.frameworks`: one that serves jobs, and is away."""
        if not self.framework:
            return []
        info = types_pb2.FrameworkInfo(name="binpack", jobs_address="h:1")
        return [pb.FrameworkView(info=info, state="active" if self.pages else "disconnected")]

    @asynccontextmanager
    async def service(self, *_: object) -> AsyncIterator[Any]:
        """As the Jobs service of the framework."""

        async def read(request: Any, timeout: float) -> pb.ReadAuditResponse:
            if self.none:
                raise NotFoundError("this framework writes no audit")
            return self.pages.pop(0) if len(self.pages) > 1 else self.pages[0]

        yield SimpleNamespace(ReadAudit=read)

    async def call(self, make: Callable[[Any, float], Awaitable[Any]]) -> Any:
        """As `Cluster.call`, of the first."""
        try:
            return await make(self, 1.0)
        except CallError as error:
            raise CliError(error.message) from error

    async def ReadAudit(self, request: Any, timeout: float) -> Any:
        """As an operator's call."""
        return await lines(self.of[A], request)


class Peer:
    """A channel to another master, and the one call on it."""

    def __init__(self, masters: Masters, at: HostPort) -> None:
        self._masters = masters
        self._at = at
        self._request: Any = None

    def stream(self, *_: object) -> Peer:
        return self

    async def write(self, request: Any) -> None:
        self._request = request

    async def done_writing(self) -> None: ...

    async def read(self) -> Any:
        if self._masters.refusal is not None:
            raise self._masters.refusal
        if self._masters.of[self._at].audit_files is None:
            raise CallError(Code.UNAVAILABLE, "failed to connect to all addresses")
        call = type("Call", (), {"caller": NOBODY})()
        leadership = self._masters.of[self._at]
        operators = OperatorCalls(leadership, [OperatorService(leadership)], ())
        return await MastersService(leadership, operators).ReadAudit(self._request, call)

    async def close(self) -> None: ...


@pytest.fixture
def masters(tmp_path: Path) -> Masters:
    return Masters(tmp_path)


def show(masters: Masters) -> None:
    wanted = Wanted(None, "", "", denied=False)
    asyncio.run(show_audit(cast(Cluster, masters), wanted, as_json=True))


def shown(said: str) -> list[tuple[int, int]]:
    """The second and the master of each line."""
    found = map(json.loads, said.splitlines())
    return [(int(line["time"][17:19]), line["by"]) for line in found]


def test_what_all_have_written_is_merged_by_time(
    masters: Masters, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pymesos_core.security.audit_files.PAGE_BYTES", 100)  # two lines or so
    masters.write(A, 1, 2, 8, 9, 10)
    masters.write(B, 3, 4, 5, 6, 7)
    masters.write(C, 11)
    show(masters)
    said = capsys.readouterr()
    assert shown(said.out) == [
        *((1, 1), (2, 1), (3, 2), (4, 2), (5, 2), (6, 2), (7, 2)),
        *((8, 1), (9, 1), (10, 1), (11, 3)),
    ]
    of = " and ".join(f"the master at {at}" for at in (A, B, C))
    assert f"that is all in the audit of {of}; " in said.err


def test_those_that_are_not_reached_are_named(
    masters: Masters, capsys: pytest.CaptureFixture[str]
) -> None:
    masters.write(A, 1)
    masters.write(C, 2)
    masters.of[B].audit_files, masters.framework = None, True
    with pytest.raises(CliError) as refused:
        show(masters)
    assert refused.value.message == (
        "what others have written is missing: the master at 10.0.0.1:2: not reachable;"
        " the framework binpack: it is disconnected from the master"
    )
    assert shown(capsys.readouterr().out) == [(1, 1), (2, 3)]


async def test_only_masters_that_run_are_asked(masters: Masters) -> None:
    """The address comes from an operator."""
    with pytest.raises(CallError, match=r"no master runs at '10\.0\.0\.9:1' now"):
        await lines(masters.of[A], pb.ReadAuditRequest(master="10.0.0.9:1"))
    del masters.running[B]
    with pytest.raises(CallError, match="no master runs"):
        await lines(masters.of[A], pb.ReadAuditRequest(master=str(B)))


@pytest.mark.parametrize("code", [Code.UNAUTHENTICATED, Code.PERMISSION_DENIED])
async def test_what_another_master_refuses_to_this_one_is_no_refusal_of_who_asked(
    masters: Masters, code: Code
) -> None:
    masters.refusal = CallError(code, "the certificate of master/m1 is revoked")
    with pytest.raises(CallError, match="master/m1 is revoked") as refused:
        await lines(masters.of[A], pb.ReadAuditRequest(master=str(B)))
    assert refused.value.code is Code.FAILED_PRECONDITION


async def test_which_run_is_not_known_without_zookeeper(masters: Masters) -> None:
    masters.write(A, 1)
    masters.zookeeper_away = True
    with pytest.raises(CallError, match="ZooKeeper is away; try again"):
        await lines(masters.of[A], pb.ReadAuditRequest())
    answer = await lines(masters.of[A], pb.ReadAuditRequest(master=str(A)))
    assert len(answer.lines) == 1 and answer.master == str(A)


@pytest.mark.parametrize(
    ("lines_told", "cursor", "why"),
    [
        (["nonsense"], "", "it answers what is no line of an audit"),
        (["[" * 100_000], "", "it answers what is no line of an audit"),
        (['{"time": 1, "object": 3}'], "", "it answers what is no line of an audit"),
        ([], "again", "it answers the same page again and again"),
        (['{"time": "0000"}'], "", "it has not ended after 5 pages"),
    ],
)
def test_a_framework_that_makes_lines_up_hides_none_of_the_masters(
    masters: Masters,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    lines_told: list[str],
    cursor: str,
    why: str,
) -> None:
    masters.write(A, 1)
    masters.framework = True
    endless = why.startswith("it has not ended")
    masters.pages = [
        pb.ReadAuditResponse(lines=lines_told, cursor=str(number) if endless else cursor)
        for number in range(9 if endless else 1)
    ]
    monkeypatch.setattr(audit, "MAX_PAGES", 5)
    monkeypatch.setattr(audit, "service", masters.service)
    with pytest.raises(CliError, match=f"the framework binpack, from some line on: {why}"):
        show(masters)
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["by"] for line in found if line["source"] == f"the master at {A}"] == [1]


def test_a_framework_that_writes_none_is_named_and_nothing_is_missing(
    masters: Masters, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    masters.write(A, 1)
    masters.framework = masters.none = True
    masters.pages = [pb.ReadAuditResponse()]
    monkeypatch.setattr(audit, "service", masters.service)
    show(masters)
    said = capsys.readouterr()
    assert shown(said.out) == [(1, 1)]
    assert "the framework binpack: this framework writes no audit" in said.err


def test_instances_that_stand_by_are_named(
    masters: Masters, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    masters.framework = True
    masters.pages = [pb.ReadAuditResponse(others=["10.0.0.7:5060", *("x" * 40)])]
    monkeypatch.setattr(audit, "service", masters.service)
    show(masters)
    said = capsys.readouterr().err
    told = "the framework binpack at '10.0.0.7:5060' stands by: what it wrote while it led is on"
    assert told in " ".join(said.split()) and said.count("stands by") == audit.MOST_NAMED


def test_what_a_framework_tells_is_marked(
    masters: Masters, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = '{"time": "2026", "principal": "operator/alice", "source": "the master at 10.0.0.1:1"}'
    masters.framework, masters.pages = True, [pb.ReadAuditResponse(lines=[told])]
    monkeypatch.setattr(audit, "service", masters.service)
    asyncio.run(show_audit(cast(Cluster, masters), Wanted(None, "", "", False), as_json=False))
    said = capsys.readouterr().out
    assert said.startswith("2026 [the framework binpack] operator/alice ")
