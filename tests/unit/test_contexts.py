"""Contexts: what a command means where its flags leave it open, and who may say so."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from pymesos_cli.completing import contexts as offered
from pymesos_cli.main import main
from pymesos_core.contexts import Context, ContextError, Contexts, Said, Way, own_contexts, way_to
from pymesos_proto.v1.types_pb2 import FrameworkInfo
from pymesos_sdk import Scheduler, run_framework
from pymesos_sdk.program import way_of_framework

PROD, LAB = "zk://zk1:2181/prod", "10.0.0.1:5050"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Contexts:
    """The contexts of a user who has none yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("PYMESOS_MASTER", "PYMESOS_TLS"):
        monkeypatch.delenv(name, raising=False)
    return own_contexts()


def run(*arguments: str, **env: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, [*arguments], env=env)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def issue(folder: Path, principal: str) -> Path:
    if not (folder / "authority").exists():
        assert run("cluster", "init", str(folder / "authority"), "--name", "prod")[0] == 0
    path = folder / principal.replace("/", "-")
    assert run("cluster", "issue", str(folder / "authority"), principal, str(path))[0] == 0
    return path


class TestChoosing:
    def test_the_first_is_current_and_a_second_is_when_it_is_used(self, own: Contexts) -> None:
        own.add(Context("prod", PROD), current=False)
        own.add(Context("lab", LAB), current=False)
        assert own.current() == Context("prod", PROD)
        own.use("lab")
        assert own.current() == Context("lab", LAB)
        own.remove("lab")
        assert own.current() == Context("prod", PROD), "what was chosen before"

    def test_names_that_are_there_or_are_not(self, own: Contexts) -> None:
        with pytest.raises(ContextError, match="there is none yet"):
            own.use("prod")
        own.add(Context("prod", PROD), current=True)
        with pytest.raises(ContextError, match="there is a context prod already"):
            own.add(Context("prod", LAB), current=True)
        with pytest.raises(ContextError, match="no context 'lab'; there are prod"):
            own.remove("lab")

    @pytest.mark.parametrize("name", ["", ".hidden", "a/b", "..", "a b", "-x", "x" * 64, "é"])
    def test_what_is_no_name(self, own: Contexts, name: str) -> None:
        with pytest.raises(ContextError, match="the context's name is"):
            own.add(Context(name, LAB), current=True)
        assert own.all() == []

    def test_files_are_the_users_alone(self, own: Contexts) -> None:
        before = os.umask(0)
        try:
            own.add(Context("prod", PROD), current=True)
        finally:
            os.umask(before)
        assert stat.S_IMODE(own.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(own.path.parent.stat().st_mode) == 0o700

    def test_many_at_once_lose_none(self, own: Contexts) -> None:
        names = [f"c{number}" for number in range(20)]
        threads = [
            threading.Thread(target=own.add, args=(Context(n, LAB),), kwargs={"current": True})
            for n in names
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {one.name for one in own.all()} == set(names)
        assert [p.name for p in own.path.parent.iterdir() if p.name.startswith(".")] == []


class TestOfLocal:
    def test_it_is_current_while_it_runs_and_the_choice_comes_back(
        self, own: Contexts, tmp_path: Path
    ) -> None:
        own.add(Context("prod", PROD), current=True)
        with (tmp_path / "lock").open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            assert own.add_as("local", Context("", LAB, held=tmp_path / "lock")).name == "local"
            with (tmp_path / "other").open("w") as other:
                fcntl.flock(other, fcntl.LOCK_EX)
                second = own.add_as("local", Context("", LAB, held=tmp_path / "other"))
                assert second.name == "local-2"
                assert own.current() == second
                own.remove_held(tmp_path / "lock")
                assert own.current() == second, "the other one has ended"
            assert own.current() == Context("prod", PROD), "it was killed"
            assert [one.name for one in own.all()] == ["prod"]
        with pytest.raises(ContextError, match="no context 'local-2'; there are prod"):
            own.named("local-2")

    def test_who_chooses_while_it_runs_keeps_the_choice(
        self, own: Contexts, tmp_path: Path
    ) -> None:
        own.add(Context("prod", PROD), current=True)
        with (tmp_path / "lock").open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            own.add_as("local", Context("", LAB, held=tmp_path / "lock"))
            own.use("prod")
            assert own.current() == Context("prod", PROD)

    def test_a_name_of_the_users_is_not_taken(self, own: Contexts, tmp_path: Path) -> None:
        own.add(Context("local", PROD), current=True)
        with (tmp_path / "lock").open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            made = own.add_as("local", Context("", LAB, held=tmp_path / "lock"))
        assert made.name == "local-2"
        assert own.named("local").master == PROD


class TestTheWay:
    """Flags before variables before contexts."""

    @pytest.fixture(autouse=True)
    def two(self, own: Contexts) -> None:
        own.add(Context("prod", PROD, Path("/prod"), Path("/prod-framework")), current=True)
        own.add(Context("lab", LAB, Path("/lab")), current=False)

    def test_nothing_is_said(self) -> None:
        way = way_to(Said(), Said(), default="127.0.0.1:5050")
        its = ("the context prod", "the context prod", "prod", Path("/prod-framework"))
        assert way == Way(PROD, Path("/prod"), *its)

    def test_a_master_is_said(self) -> None:
        way = way_to(Said("10.0.0.1:5050", "--master"), Said())
        assert (way.master, way.tls, way.context) == (LAB, Path("/lab"), "lab")
        other = way_to(Said("10.0.0.2:5050", "--master"), Said())
        assert (other.master, other.tls, other.context) == ("10.0.0.2:5050", None, "")

    def test_a_certificate_is_said(self) -> None:
        way = way_to(Said(), Said("/mine", "PYMESOS_TLS"))
        assert (way.master, way.tls, way.tls_from) == (PROD, Path("/mine"), "PYMESOS_TLS")

    def test_all_is_said(self, own: Contexts) -> None:
        own.path.write_text("broken")
        way = way_to(Said("h:1", "--master"), Said("/mine", "--tls"))
        assert way == Way("h:1", Path("/mine"), "--master", "--tls")

    def test_a_context_is_said(self) -> None:
        way = way_to(Said("10.0.0.2:5050", "--master"), Said(), context="lab")
        assert (way.master, way.tls) == ("10.0.0.2:5050", Path("/lab"))
        with pytest.raises(ContextError, match="there are lab, prod"):
            way_to(Said(), Said(), context="other")

    def test_nobody_has_contexts(self, own: Contexts, monkeypatch: pytest.MonkeyPatch) -> None:
        own.path.unlink()
        assert way_to(Said(), Said(), default="127.0.0.1:5050").master == "127.0.0.1:5050"
        monkeypatch.setenv("XDG_CONFIG_HOME", "")
        monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError))
        assert way_to(Said(), Said(), default="127.0.0.1:5050").master == "127.0.0.1:5050"

    @pytest.mark.parametrize(
        ("flags", "variables", "said"),
        [
            ((), {}, "127.0.0.1:2, of the context near"),
            (("--context", "near"), {"PYMESOS_MASTER": "127.0.0.1:3"}, "127.0.0.1:2, of"),
            ((), {"PYMESOS_MASTER": "127.0.0.1:3"}, "127.0.0.1:3 ("),
            (("--master", "127.0.0.1:1"), {"PYMESOS_MASTER": "127.0.0.1:3"}, "127.0.0.1:1 ("),
        ],
    )
    def test_what_a_command_means(
        self, own: Contexts, flags: tuple[str, ...], variables: dict[str, str], said: str
    ) -> None:
        own.add(Context("near", "127.0.0.1:2"), current=True)
        status, output = run(*flags, "--timeout", "0.3", "leader", **variables)
        assert status == 3 and f"no master is reachable at {said}" in output, output

    def test_a_certificate_that_is_none_is_the_contexts(self, own: Contexts) -> None:
        status, output = run("leader")
        assert status == 2 and "the context prod: /prod/cert.pem: No such file" in output


class TestOfFrameworks:
    """What `run_framework` does where its command line leaves something open."""

    def test_the_current_context_is_meant(self, own: Contexts) -> None:
        assert way_of_framework([]) is None and way_of_framework(["a:1", "b:2"]) is None
        own.add(Context("lab", LAB, Path("/mine"), Path("/framework")), current=True)
        for arguments in ([], [LAB]):
            way = way_of_framework(arguments)
            assert way is not None and (way.master, way.tls) == (LAB, Path("/framework"))

    def test_variables_win(self, own: Contexts, monkeypatch: pytest.MonkeyPatch) -> None:
        own.add(Context("lab", LAB, None, Path("/framework")), current=True)
        monkeypatch.setenv("PYMESOS_MASTER", "h:1")
        assert way_of_framework([]) == Way("h:1", None, "PYMESOS_MASTER", "PYMESOS_TLS")
        monkeypatch.setenv("PYMESOS_TLS", "/other")
        assert way_of_framework(["h:2"]) == Way("h:2", Path("/other"), "MASTER", "PYMESOS_TLS")

    def test_what_cannot_be_used_is_said(
        self, own: Contexts, capsys: pytest.CaptureFixture[str]
    ) -> None:
        own.add(Context("lab", LAB, None, Path("/framework")), current=True)
        assert run_framework(Scheduler(), FrameworkInfo(name="mine"), []) == 1
        assert "mine: /framework/cert.pem: No such file" in capsys.readouterr().err
        own.path.write_text("{")
        assert run_framework(Scheduler(), FrameworkInfo(name="mine"), []) == 2
        assert "cannot be used: it is no JSON" in capsys.readouterr().err


class TestFiles:
    """Whatever is in the file, a sentence says what is wrong with it."""

    @pytest.mark.parametrize(
        "content",
        [
            b"", b"\xff\xfe", b"[", b"[]", b"3", b'"x"', b"[" * 100_000, b"{}",
            b'{"contexts": []}', b'{"contexts": {"a": 1}}', b'{"contexts": {"a": {}}}',
            b'{"contexts": {"a": {"master": 1}}}', b'{"contexts": {"a": {"master": "x"}}}',
            b'{"contexts": {"../a": {"master": "h:1"}}}', b'{"contexts": {}, "chosen": 7}',
            b'{"contexts": {"a": {"master": "h:1", "tls": "relative"}}}',
            b'{"contexts": {"a": {"master": "h:1", "tls": "/a\\u0000b"}}}',
            b'{"contexts": {"a": {"master": "h:1", "tls": ["/a"]}}}',
            json.dumps({"contexts": {f"c{n}": {"master": "h:1"} for n in range(1001)}}).encode(),
            b" " * (1024 * 1024 + 1),
        ],
    )  # fmt: skip
    def test_what_is_broken(self, own: Contexts, content: bytes) -> None:
        own.path.parent.mkdir(parents=True)
        own.path.write_bytes(content)
        own.path.chmod(0o600)
        status, output = run("agents")
        assert status == 2 and str(own.path) in " ".join(output.split()), output
        with pytest.raises(ContextError):
            own.add(Context("new", LAB), current=True)
        assert own.path.read_bytes() == content, "nothing that is not understood is replaced"

    @pytest.mark.parametrize("master", ["zk://ann:secret@zk1:2181/prod", "ann:secret@h:1"])
    def test_no_password_is_in_what_is_said(self, own: Contexts, master: str) -> None:
        own.add(Context("prod", PROD), current=True)
        broken = json.loads(own.path.read_text())
        broken["contexts"]["prod"]["master"] = master
        own.path.write_text(json.dumps(broken))
        for command in (("context", "list"), ("context", "show"), ("agents",)):
            status, output = run(*command)
            assert status == 2 and "the master of the context prod" in output
            assert "secret" not in output
        assert "secret" not in repr(Context("prod", master))

    def test_what_others_can_write_is_not_believed(self, own: Contexts) -> None:
        own.add(Context("prod", PROD), current=True)
        own.path.chmod(0o622)
        with pytest.raises(ContextError, match="can be written by others"):
            own.current()

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a file away")
    def test_what_belongs_to_another_is_not_believed(self, own: Contexts) -> None:
        own.add(Context("prod", PROD), current=True)
        os.chown(own.path, 12345, 12345)
        with pytest.raises(ContextError, match="can be written by others"):
            own.current()

    @pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
    def test_what_is_no_file_keeps_nobody_waiting(
        self, own: Contexts, make: Callable[[Path], None]
    ) -> None:
        own.path.parent.mkdir(parents=True)
        make(own.path)
        with pytest.raises(ContextError, match=f"{own.path} is no file: remove it"):
            own.current()

    def test_a_folder_that_cannot_be_made(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
        status, output = run("context", "add", "a", "--master", "h:1")
        assert status == 2 and "the contexts cannot be" in output

    def test_a_folder_that_cannot_be_looked_at(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CONFIG_HOME", f"/{'x' * 300}")  # as one that is closed to us
        for command, verb in ((("add", "a", "--master", "h:1"), "written"), (("list",), "read")):
            status, output = run("context", *command)
            assert status == 2 and f"the contexts cannot be {verb}: /xxx" in output
            assert output.endswith("too long. Name another folder for them with XDG_CONFIG_HOME\n")


class TestCommands:
    def test_a_context_with_certificates(self, own: Contexts, tmp_path: Path) -> None:
        tls, framework = issue(tmp_path, "operator/ann"), issue(tmp_path, "framework/mine")
        status, output = run(
            *("context", "add", "prod", "--master", PROD, "--tls", str(tls)),
            *("--framework-tls", str(framework)),
        )
        assert (status, output) == (0, "the context prod is added; it is the current one\n")
        assert own.current() == Context("prod", PROD, tls, framework)
        _, shown = run("context", "show")
        assert "operator/ann of prod, until" in shown and "framework/mine of prod" in shown
        assert run("context", "add", "lab", "--master", LAB)[1].endswith("the current one stays\n")
        _, listed = run("context", "list")
        assert [line.split()[:2] for line in listed.splitlines()] == [
            ["NAME", "MASTER"], ["lab", LAB], ["*", "prod"],
        ]  # fmt: skip
        assert run("context", "use", "lab") == (0, "lab is the current context\n")
        assert run("context", "remove", "lab")[1].endswith("prod is the current context\n")
        assert tls.exists()

    def test_a_certificate_of_another_kind(self, own: Contexts, tmp_path: Path) -> None:
        tls = issue(tmp_path, "agent/node-1")
        status, output = run("context", "add", "x", "--master", LAB, "--tls", str(tls))
        assert status == 2 and "is of agent/node-1; expected is one of operator/NAME" in output
        assert own.all() == []

    def test_a_shell_is_offered_their_names(self, own: Contexts) -> None:
        own.add(Context("prod", PROD), current=True)
        own.add(Context("lab", LAB), current=True)
        command = main.get_command(main.make_context("x", ["leader"]), "leader")
        assert command is not None
        context = main.make_context("x", ["leader"])
        names = [item.value for item in offered(context, command.params[0], "p")]
        assert names == ["prod"]
