"""The audit: what is in a line, which denials have one, and the files."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pymesos_core.caller import Caller, Method
from pymesos_core.clock import Now
from pymesos_core.errors import Problem, ProblemKind
from pymesos_core.outside import Outside
from pymesos_core.security import audit_files
from pymesos_core.security.audit import MAX_ARGV, MAX_LISTED, DenialLimit, Entry, Wanted, entry
from pymesos_core.security.audit_files import AuditFiles, CursorError
from pymesos_core.security.auditing import COUNTED_S, Audit, at_gate
from pymesos_core.security.gate import CertificateGate, telling
from pymesos_core.security.identities import Kind
from pymesos_core.security.policy import Decision
from pymesos_core.transport import CallError

ALICE = Caller("operator/alice", Method.CERT, "a1", "10.0.0.1", "grpc")
WHEN_S = 1_700_000_000.0
KIB = 1024


def said(made: Entry) -> Any:
    return json.loads(made.line())


def change(number: int = 0, *, synced: bool = True) -> Entry:
    return Entry(WHEN_S + number, ALICE, "Operator.SetWeight", {"n": number}, synced=synced)


def denial(who: Caller = ALICE) -> Entry:
    return entry(WHEN_S, who, "Operator.SetWeight", Decision("no"), {"role": "prod"})


class TestLines:
    def test_one_names_the_master_on_whose_word_it_says_who_asked(self) -> None:
        relayed = replace(ALICE, relayed_by="master/m2")
        assert said(denial(relayed)) == {**said(denial()), "relayed_by": "master/m2"}

    def test_one_tells_who_asked_for_what_and_what_came_of_it(self) -> None:
        assert said(denial()) == {
            "time": "2023-11-14T22:13:20.000+00:00",
            "principal": "operator/alice",
            "serial": "a1",
            "peer": "10.0.0.1",
            "method": "Operator.SetWeight",
            "verb": "quota",
            "object": {"role": "prod"},
            "decision": "denied",
            "rule": None,
            "outcome": "denied",
            "result": "no",
        }

    def test_what_a_peer_says_makes_no_second_line_and_has_its_bounds(self) -> None:
        made = Entry(
            WHEN_S,
            Caller(peer="p"),
            "A\n{}",
            {"task": "x\n" * 10_000, "tasks": ("t" * 10_000,) * 10_000},
            result="r\n" * 10_000,
            argv=("sh", "-c", "é" * 100_000, "more"),
        )
        line = made.line()
        assert line.count(b"\n") == 1 and line.endswith(b"\n") and len(line) < 64 * KIB
        assert len(said(made)["object"]["tasks"]) == MAX_LISTED
        assert said(made)["argv"][:2] == ["sh", "-c"] and said(made)["argv"][-1] == "…"
        assert sum(map(len, said(made)["argv"])) <= MAX_ARGV + 1

    def test_those_that_are_asked_for(self) -> None:
        line = denial().line()
        for wanted in (
            Wanted(),
            Wanted(WHEN_S, "operator/*", "quota", denied=True),
            Wanted(who="operator/alice"),
        ):
            assert wanted.is_met_by(line), wanted
        for wanted in (
            Wanted(since_s=WHEN_S + 1),
            Wanted(who="operator/al"),
            Wanted(verb="read"),
        ):
            assert not wanted.is_met_by(line), wanted
        assert not Wanted(denied=True).is_met_by(change().line())
        for torn in (b'{"time": "20', b"[]", b"\xff", b"\n"):
            assert not Wanted().is_met_by(torn)


class TestDenials:
    def test_some_at_once_have_lines_and_the_others_are_counted(self) -> None:
        limit = DenialLimit()
        passed = [limit.passed(denial(), 0.0) for _ in range(100)]
        assert sum(one is not None for one in passed) == DenialLimit.AT_ONCE
        later = limit.passed(denial(), 10.0)
        assert later is not None and later.left_out == 100 - DenialLimit.AT_ONCE
        assert limit.passed(denial(), 10.0) is None

    def test_each_caller_has_its_own(self) -> None:
        limit = DenialLimit()
        for _ in range(100):
            limit.passed(denial(), 0.0)
        assert limit.passed(denial(Caller("operator/bob")), 0.0) is not None
        assert limit.passed(denial(Caller(peer="10.0.0.1")), 0.0) is not None

    def test_what_is_left_out_is_said_though_nothing_comes_after_it(self) -> None:
        limit = DenialLimit()
        for _ in range(DenialLimit.AT_ONCE + 3):
            limit.passed(denial(), 0.0)
        (told,) = limit.counted(WHEN_S)
        assert (told.left_out, told.caller, told.denied) == (3, ALICE, True)
        assert not limit.counted(WHEN_S)

    def test_callers_without_number_cost_no_more_than_some(self) -> None:
        limit = DenialLimit()
        lines = 0
        for number in range(3 * DenialLimit.MAX_CALLERS):
            lines += limit.passed(denial(Caller(peer=f"p{number}")), 0.0) is not None
        assert lines == DenialLimit.MAX_CALLERS + DenialLimit.AT_ONCE
        assert limit.passed(denial(Caller(peer="later")), 1000.0) is not None


@pytest.fixture
def files(tmp_path: Path) -> AuditFiles:
    return AuditFiles(tmp_path / "audit", 64 * KIB)


def numbers(files: AuditFiles, wanted: Wanted | None = None) -> list[int]:
    """The numbers of the lines, read page by page."""
    found: list[int] = []
    cursor = ""
    while True:
        page = files.page(wanted or Wanted(), cursor)
        found += [json.loads(line)["object"]["n"] for line in page.lines]
        cursor = page.cursor
        if not cursor:
            return found


class TestFiles:
    def test_they_are_for_their_owner_only(self, files: AuditFiles) -> None:
        files.append([change().line()], sync=True)
        (file,) = files.folder.iterdir()
        assert file.stat().st_mode & 0o777 == 0o600
        assert files.folder.stat().st_mode & 0o777 == 0o700

    def test_the_oldest_go_when_there_is_no_room(self, files: AuditFiles) -> None:
        for number in range(2000):
            files.append([change(number).line()], sync=False)
        sizes = [file.stat().st_size for file in files.folder.iterdir()]
        assert len(sizes) == audit_files.FILES and sum(sizes) <= 64 * KIB
        kept = numbers(files)
        assert kept == list(range(kept[0], 2000)) and len(kept) > 200

    def test_what_was_there_before_a_restart_stays(self, files: AuditFiles) -> None:
        files.append([change(1).line()], sync=True)
        files.close()
        with (files.folder / "audit-00000001.jsonl").open("ab") as torn:
            torn.write(b'{"time":')
        again = AuditFiles(files.folder, 64 * KIB)
        again.append([change(2).line()], sync=True)
        assert numbers(again) == [1, 2] and len(list(files.folder.iterdir())) == 1

    def test_two_masters_do_not_write_the_same_file(self, files: AuditFiles) -> None:
        other = AuditFiles(files.folder, 64 * KIB)
        files.append([change(1).line()], sync=True)
        other.append([change(2).line()], sync=True)
        assert len(list(files.folder.iterdir())) == 2
        assert numbers(files) == [1, 2]

    def test_pages_go_on_where_the_last_ended(
        self, files: AuditFiles, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(audit_files, "PAGE_BYTES", 1000)
        monkeypatch.setattr(audit_files, "SEARCHED_BYTES", 3000)
        files.append([change(n).line() for n in range(150)], sync=True)
        assert numbers(files) == list(range(150))
        assert numbers(files, Wanted(since_s=WHEN_S + 140)) == list(range(140, 150))
        assert not numbers(files, Wanted(who="operator/bob"))

    @pytest.mark.parametrize("cursor", ["x", "1", "-1:2", "1:2:3", "1:٣", "9" * 99 + ":1"])
    def test_what_is_no_cursor_is_refused(self, files: AuditFiles, cursor: str) -> None:
        with pytest.raises(CursorError):
            files.page(Wanted(), cursor)

    def test_where_nothing_is_written_yet_there_is_nothing(self, files: AuditFiles) -> None:
        assert files.page(Wanted()).lines == []

    def test_a_link_is_not_followed(self, files: AuditFiles, tmp_path: Path) -> None:
        files.folder.mkdir()
        (files.folder / "audit-00000001.jsonl").symlink_to(tmp_path / "other")
        with pytest.raises(OSError):
            files.append([change().line()], sync=True)
        assert not (tmp_path / "other").exists()

    def test_a_full_disk_is_noticed_before_anything_is_done(
        self, files: AuditFiles, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        files.make_room()
        monkeypatch.setattr(audit_files, "ROOM_BYTES", 1 << 62)
        with pytest.raises(OSError) as full:
            files.make_room()
        assert full.value.errno == errno.ENOSPC

    def test_half_a_line_is_taken_back(
        self, files: AuditFiles, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        files.append([change(1).line()], sync=True)
        write = os.write

        def full(file: int, data: bytes) -> int:
            if len(data) < 20:
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(file, data[:-10])

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            with pytest.raises(OSError):
                files.append([change(2).line()], sync=True)
        files.append([change(3).line()], sync=True)
        assert numbers(files) == [1, 3]


class Sink:
    """Keeps lines, and does not write while it is told to wait, or is full."""

    def __init__(self) -> None:
        self.lines: list[Any] = []
        self.synced = 0  # of the lines
        self.full = False
        self.closed = False
        self.may_write = asyncio.Event()
        self.may_write.set()
        self.loop = asyncio.get_running_loop()

    def make_room(self) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device", "/audit")

    def append(self, lines: list[bytes], *, sync: bool) -> None:
        asyncio.run_coroutine_threadsafe(self.may_write.wait(), self.loop).result()
        self.make_room()
        self.lines += map(json.loads, lines)
        self.synced = len(self.lines) if sync else self.synced

    def close(self) -> None:
        self.closed = True


class Clock:
    mono_s = 1000.0

    def __call__(self) -> Now:
        return Now(self.mono_s, WHEN_S + self.mono_s)


class Running:
    def __init__(self) -> None:
        self.clock = Clock()
        self.sink = Sink()
        self.audit = Audit(self.sink, Outside(clock=self.clock))
        self.task = asyncio.ensure_future(self.audit.run())
        self.told: list[Problem | None] = []

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.001)


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    made = Running()
    yield made
    await made.end()


class TestWriting:
    async def test_who_waits_is_told_when_it_is_on_the_disk(self, running: Running) -> None:
        running.sink.may_write.clear()
        running.audit.write(change())
        running.audit.then(running.told.append)
        await asyncio.sleep(0.05)
        running.audit.then(running.told.append)  # of what is being written now
        assert not running.told and not running.sink.lines
        running.sink.may_write.set()
        await running.until(lambda: len(running.told) == 2)
        assert running.told == [None, None] and running.sink.synced == 1
        running.audit.then(running.told.append)  # at once, since nothing waits
        assert len(running.told) == 3

    async def test_lines_that_are_not_synced_keep_nobody_waiting(self, running: Running) -> None:
        for number in range(3):
            running.audit.write(change(number, synced=False))
        running.audit.then(running.told.append)
        assert running.told == [None] and not running.sink.lines
        await running.until(lambda: len(running.sink.lines) == 3)  # together, a moment later
        assert running.sink.synced == 0

    async def test_a_full_disk_refuses_and_says_so(self, running: Running) -> None:
        assert await running.audit.record(change(1)) is None
        running.sink.full = True
        problem = await running.audit.record(change(2))
        assert problem is not None and problem.kind == ProblemKind.FULL
        assert "nothing is done" in problem.message and "/audit" in problem.message
        running.audit.write(change(3))  # was done before the disk was full
        running.audit.then(running.told.append)
        await running.until(lambda: bool(running.told))
        assert "it may be done" in getattr(running.told[0], "message", "")
        running.sink.full = False
        assert await running.audit.record(change(4)) is None
        numbers = [line["object"].get("n") for line in running.sink.lines]
        assert numbers == [1, 4, None]
        assert running.sink.lines[-1]["left_out"] == 1

    async def test_denials_that_are_left_out_are_counted_later(self, running: Running) -> None:
        for _ in range(DenialLimit.AT_ONCE + 5):
            running.audit.write(denial())
        await running.until(lambda: len(running.sink.lines) == DenialLimit.AT_ONCE)
        assert running.sink.synced == DenialLimit.AT_ONCE
        running.clock.mono_s += COUNTED_S
        running.audit.write(change())
        await running.until(lambda: len(running.sink.lines) == DenialLimit.AT_ONCE + 2)
        assert [line.get("left_out") for line in running.sink.lines[-2:]] == [None, 5]

    async def test_what_waits_is_written_at_the_end(self, running: Running) -> None:
        await asyncio.sleep(0)
        running.audit.write(change(1, synced=False))
        await running.end()
        assert [line["object"] for line in running.sink.lines] == [{"n": 1}]
        assert running.sink.closed

    async def test_without_a_place_to_write_nothing_is_done_and_nobody_waits(self) -> None:
        audit = Audit()
        audit.write(change())
        told: list[Problem | None] = []
        audit.then(told.append)
        assert told == [None] and await audit.record(change()) is None and not audit.is_on

    async def test_whom_the_gate_refuses_is_in_it(self, running: Running) -> None:
        gate = telling(CertificateGate("prod", Kind.MASTER), at_gate(running.audit))
        proof = {"peer_uri": [b"spiffe://prod/agent/a"], "x509_pem_cert": [b"none"]}
        for shown in (proof, {}):
            with pytest.raises(CallError):
                gate("/pymesos.v1.Operator/KillTask", "10.0.0.9", shown)
        await running.until(lambda: len(running.sink.lines) == 2)
        for line in running.sink.lines:
            assert line["decision"] == "denied" and line["peer"] == "10.0.0.9"
            assert (line["method"], line["verb"]) == ("Operator.KillTask", "kill")
        assert "agent/a may not call" in running.sink.lines[0]["result"]
