"""What a restore does, keeps, leaves out and says."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from pymesos_cli.backup import restoring
from pymesos_cli.backup.records import Backup, lines_of
from pymesos_cli.backup.restoring import Existing
from pymesos_cli.backup.steps import Found, Kind, Step
from pymesos_cli.errors import EXIT_NO_MASTER, CliError
from pymesos_cli.main import main
from pymesos_core.resources import parse, to_proto
from pymesos_proto.v1 import backup_pb2 as backup_pb
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2
from pymesos_testing.restoring import (
    OTHER,
    SECRET,
    FakeCluster,
    agent,
    planned,
    reserved,
)


class Doing:
    """Steps that remember what was done."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def step(self, found: Found, what: str = "", refusal: CliError | None = None) -> Step:
        what = what or f"what is {found.value}"

        async def do() -> None:
            if refusal is not None:
                raise refusal
            self.done.append(what)

        does = do if found in (Found.MISSING, Found.DIFFERS) else None
        return Step(Kind.SECRETS, what, found, "why", does)


def restore(
    monkeypatch: pytest.MonkeyPatch,
    found: list[Step],
    existing: str = "refuse",
    left_out: tuple[str, ...] = (),
    **more: Any,
) -> int:
    """Restore an empty backup from standard input, with these steps; the exit status."""

    async def steps_of(*_: Any, **__: Any) -> list[Step]:
        return found

    async def no_jobs(*_: Any) -> list[Step]:
        return []

    monkeypatch.setattr(restoring, "steps_of", steps_of)
    monkeypatch.setattr(restoring, "steps_of_jobs", no_jobs)
    data = b"".join(lines_of(Backup(backup_pb.BackupBegin(format=1), left_out=left_out)))
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    cluster: Any = FakeCluster()
    asked = {"plan": False, "key_file": None, "partly": False, **more}
    return asyncio.run(restoring.restore(cluster, "-", existing=Existing(existing), **asked))


ALL = (Found.MISSING, Found.SAME, Found.DIFFERS, Found.LEFT_OUT)


ADDS, REPLACES = "what is missing", "what is differs"


@pytest.mark.parametrize(("existing", "done"), [("keep", [ADDS]), ("replace", [ADDS, REPLACES])])
def test_what_is_there_is_kept_or_replaced_on_demand(
    monkeypatch: pytest.MonkeyPatch, existing: str, done: list[str]
) -> None:
    doing = Doing()
    assert restore(monkeypatch, [doing.step(found) for found in ALL], existing) == 0
    assert doing.done == done


def test_nothing_is_done_where_something_differs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    doing = Doing()
    with pytest.raises(CliError, match=r"1 thing of the backup is in the way: .*--existing keep"):
        restore(monkeypatch, [doing.step(found) for found in ALL])
    assert not doing.done and "differs    what is differs: why" in capsys.readouterr().err


def test_what_cannot_be_restored_is_in_the_way_of_the_rest_unless_it_is_to_be_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    doing = Doing()
    found = [doing.step(Found.STUCK, "the secret db of prod"), doing.step(Found.MISSING)]
    with pytest.raises(CliError, match=r"--secrets-key .* --partly"):
        restore(monkeypatch, found, "replace")
    assert not doing.done
    with pytest.raises(CliError, match="1 thing of the backup is not restored"):
        restore(monkeypatch, found, partly=True)
    assert doing.done == [ADDS]


def test_what_fails_is_said_and_the_rest_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    doing = Doing()
    found = [
        doing.step(Found.MISSING, "one", CliError("no room")),
        doing.step(Found.MISSING, "two"),
    ]
    with pytest.raises(CliError, match="1 thing of the backup is not restored"):
        restore(monkeypatch, found)
    assert doing.done == ["two"] and "not restored: one: no room" in capsys.readouterr().err
    away = [doing.step(Found.MISSING, "one", CliError("away", EXIT_NO_MASTER)), *found]
    with pytest.raises(CliError, match="away"):
        restore(monkeypatch, away)


def test_what_a_backup_lacks_is_said_and_steers_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert restore(monkeypatch, [], left_out=("the labels a=\x1b[2J of cpus:1",)) == 0
    said = capsys.readouterr().err
    assert "the backup lacks the labels a=" in said and "\x1b" not in said


def test_nothing_is_restored_for_somebody_who_could_not_be_kept_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    doing = Doing()
    refused = doing.step(Found.MISSING, "the revocation of a", CliError("it is who asks"))
    found = [
        doing.step(Found.MISSING, "the policy"),
        replace(refused, keeps_out=True),
        doing.step(Found.MISSING, "the secret db of prod"),
    ]
    with pytest.raises(CliError, match=r"nothing that comes after this is restored.*--partly"):
        restore(monkeypatch, found)
    assert doing.done == ["the policy"]
    assert "not restored: the revocation of a: it is who asks" in capsys.readouterr().err
    with pytest.raises(CliError, match="1 thing of the backup is not restored"):
        restore(monkeypatch, found, partly=True)
    assert doing.done == ["the policy", "the policy", "the secret db of prod"]


@pytest.mark.parametrize(
    ("found", "existing", "status"),
    [
        ([], "refuse", 0),
        ([Found.SAME, Found.LEFT_OUT], "refuse", 0),
        ([Found.SAME, Found.MISSING], "refuse", 1),
        ([Found.DIFFERS], "refuse", 1),
        ([Found.DIFFERS], "replace", 1),
        ([Found.DIFFERS], "keep", 0),
        ([Found.STUCK], "keep", 1),
    ],
)
def test_a_plan_says_whether_there_is_anything_to_do_and_does_nothing(
    monkeypatch: pytest.MonkeyPatch, found: list[Found], existing: str, status: int
) -> None:
    doing = Doing()
    steps = [doing.step(each) for each in found]
    assert restore(monkeypatch, steps, existing, plan=True) == status
    assert not doing.done


MIXED = (
    Step(Kind.WEIGHTS, "the weight of a, 2", Found.DIFFERS),
    Step(Kind.WEIGHTS, "the weight of b, 2", Found.SAME),
    Step(Kind.SECRETS, "the secret db of prod", Found.STUCK, "no key"),
    Step(Kind.JOBS, "the job shop", Found.MISSING),
    Step(Kind.JOBS, "the job store", Found.MISSING),
    Step(Kind.JOBS, "the job train", Found.LEFT_OUT),
)


def summary(said: str) -> list[str]:
    """The lines that count the things of a kind, or name none."""
    kinds = (*Kind, "1 thing named above")
    return [line for line in said.splitlines() if line.startswith(kinds)]


@pytest.mark.parametrize(
    ("existing", "plan", "weights"),
    [
        ("replace", False, "1 replaced, 1 the same"),
        ("keep", False, "1 kept as it is here, 1 the same"),
        ("replace", True, "1 to replace, 1 same"),
        ("keep", True, "1 to keep, 1 same"),
        ("refuse", True, "1 differs, 1 same"),
    ],
)
def test_what_was_restored_is_summed_up_by_kind(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    existing: str,
    plan: bool,
    weights: str,
) -> None:
    async def do() -> None: ...

    async def fail() -> None:
        raise CliError("no room")

    found = [replace(step, do=do) for step in MIXED]
    found[4] = replace(found[4], do=fail)
    if plan:
        assert restore(monkeypatch, found, existing, left_out=("a label",), plan=True) == 1
        secrets, jobs = "1 cannot", "2 to add, 1 to leave out"
    else:
        with pytest.raises(CliError, match="2 things of the backup are not restored"):
            restore(monkeypatch, found, existing, left_out=("a label",), partly=True)
        secrets, jobs = "1 not restored", "1 added, 1 not restored, 1 left out"
    assert summary(capsys.readouterr().out) == [
        f"weights: {weights}",
        f"secrets: {secrets}",
        f"jobs: {jobs}",
        "1 thing named above is not in it",
    ]


def test_what_was_done_is_summed_up_where_it_is_not_done_to_its_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def do() -> None: ...

    async def fail() -> None:
        raise CliError("away", EXIT_NO_MASTER)

    adds = [replace(MIXED[3], do=each) for each in (do, fail, do)]
    with pytest.raises(CliError, match="away"):
        restore(monkeypatch, adds)
    assert summary(capsys.readouterr().out) == ["jobs: 1 added, 2 not restored"]


def test_an_empty_backup_is_said_to_be_empty(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert restore(monkeypatch, []) == 0
    assert capsys.readouterr().out == "the backup is empty\n"


def test_each_step_is_of_its_kind() -> None:
    quota = types_pb2.Quota(guarantees=to_proto(parse("cpus:2")))
    cluster = FakeCluster([agent("a", "h")])
    cluster.answers["RestoreSecret"] = pb.RestoreSecretResponse(
        outcome=pb.RestoreSecretResponse.ADDED
    )
    decided = backup_pb.BackupAgent(
        agent_id="a",
        hostname="h",
        cordoned=True,
        maintenance=types_pb2.Unavailability(start_s=1, duration_s=2),
        reserved=reserved("cpus:1", "prod"),
    )
    found = planned(
        cluster,
        policy=OTHER,
        roles=(backup_pb.BackupRole(role="prod", weight=2, quota=quota),),
        secrets=(SECRET,),
        agents=(decided, backup_pb.BackupAgent(agent_id="b", hostname="other")),
        revoked=("framework/lost",),
    )
    assert [step.kind for step in found] == [
        Kind.POLICY,
        Kind.REVOCATIONS,
        Kind.WEIGHTS,
        Kind.QUOTAS,
        Kind.SECRETS,
        Kind.CORDONS,
        Kind.MAINTENANCE,
        Kind.RESERVATIONS,
        Kind.AGENTS,
    ]


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("none", "none: No such file or directory"),
        ("folder", "folder: Is a directory"),
        ("text", "'text': line 1: what `pymesos-cli backup` wrote was expected"),
        ("short", "'short': the backup is not whole: it ends after 1 line"),
    ],
)
def test_what_is_no_backup_is_refused_before_anything_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("text").write_text("hello\n")
    Path("short").write_bytes(next(lines_of(Backup(backup_pb.BackupBegin(format=1)))))
    done = CliRunner().invoke(main, ["--master", "127.0.0.1:1", "restore", file])
    assert done.exit_code == 2 and says in done.output, done.output


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("none", "--secrets-key: none: No such file or directory; secrets.key of a master is"),
        ("folder", "--secrets-key: folder is a folder: a file with keys, as secrets.key, is"),
        ("text", "--secrets-key: text holds no keys of secrets: expected are 1 to 16 lines"),
        ("open", "can be read by others than its owner: chmod 600 open"),
    ],
)
def test_what_is_no_key_file_is_refused_before_anything_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, key: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("b").write_bytes(b"".join(lines_of(Backup(backup_pb.BackupBegin(format=1)))))
    Path("folder").mkdir()
    for name, mode in (("text", 0o600), ("open", 0o644)):
        Path(name).write_text("hello\n")
        Path(name).chmod(mode)
    arguments = ["--master", "127.0.0.1:1", "restore", "b", "--secrets-key", key]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2 and says in " ".join(done.output.split()), done.output
