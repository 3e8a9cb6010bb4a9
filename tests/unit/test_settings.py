"""Settings: one declaration, three sources, and what is said of wrong input."""

from __future__ import annotations

import math
import os
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from pymesos_agent.main import main as agent_main
from pymesos_core import settings as declared
from pymesos_core.settings import Settings, resolved, takes
from pymesos_core.settings.declaring import settings_of
from pymesos_core.settings.printing import toml
from pymesos_core.settings.server import ServerSettings, mask_credentials, master_address
from pymesos_core.settings.sources import MAX_BYTES, FileError, read_file
from pymesos_lb.main import main as lb_main
from pymesos_master.main import main as master_main
from pymesos_master.settings import MasterSettings


@dataclass(frozen=True)
class CookSettings(Settings):
    """One setting of every kind."""

    oven_s: float = declared.number(1.5, 0.5, 600, unit=declared.SECONDS, help="Time.")
    plates: int = declared.whole(4, 1, 12, help="Plates.")
    guest: str | None = declared.text(None, help="Who comes.")
    wine: str = declared.choice("red", ("red", "white"), help="Wine.")
    candles: bool = declared.switch(False, help="Light.")
    courses: tuple[str, ...] = declared.texts(metavar="NAMES", help="Courses.")
    kitchen: Path | None = declared.folder(None, exists=True, help="Where.")
    book: Path | None = declared.file(help="What to cook.", default_text="none")
    delivery: str | None = declared.text(None, mask=mask_credentials, help="Who brings it.")
    master: str | None = master_address()

    def problems(self) -> Iterator[tuple[str, str]]:
        if self.wine == "white" and self.candles:
            yield "wine", "white wine is not for candles"


@click.command()
@takes(CookSettings, "cook")
@click.pass_context
def cook(context: click.Context) -> None:
    found = resolved(context, CookSettings, "cook")
    click.echo("|".join(repr(getattr(found, one.field)) for one in settings_of(CookSettings)))


def run(*flags: str, **variables: str | None) -> Any:
    return CliRunner(env={"PYMESOS_MASTER": "h:1", **variables}).invoke(cook, flags)


def refused(*flags: str, **variables: str | None) -> str:
    done = run(*flags, **variables)
    assert done.exit_code == 2, done.output
    assert not isinstance(done.exception, Exception), done.exception
    return str(done.output)


def test_an_option_that_is_not_given_is_said_with_what_it_is() -> None:
    done = CliRunner().invoke(lb_main, ["--folder", "f"], env={"PYMESOS_MASTER": ""})
    assert done.exit_code == 2 and "Error: --master" in done.output
    assert " is expected: " in done.output


@pytest.mark.parametrize(
    ("role", "said"),
    [(master_main, "--prot"), (agent_main, "--prot"), (agent_main, "purge --wrk-dir")],
)
def test_an_option_that_there_is_not_is_answered_with_the_one_meant(
    role: click.Command, said: str
) -> None:
    done = CliRunner().invoke(role, [*said.split(), "1"])
    meant = {"--prot": "--port", "purge --wrk-dir": "--work-dir"}[said]
    assert done.exit_code == 2 and f"; did you mean {meant}?" in done.output


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--ip", "10.0.0.1"], "Give it certificates"),
        (["--ip", "10.0.0.1", "--no-auth"], "--no-auth with --i-know"),
        (["--ip", "10.0.0.1", "--i-know"], "--no-auth with --i-know"),
        (["--no-auth", "--tls", "/x"], "choose one"),
        (["--join-file", "JOIN"], "give --tls, too"),
    ],
)
def test_an_open_server_is_meant_to_be_one(argv: list[str], says: str, tmp_path: Path) -> None:
    (tmp_path / "JOIN").write_text("x")
    words = [str(tmp_path / word) if word == "JOIN" else word for word in argv]
    done = CliRunner().invoke(master_main, [*words, "--print-config"])
    assert done.exit_code == 2 and says in " ".join(done.output.split()), done.output


def test_logins_of_registries_that_others_can_read_are_refused(tmp_path: Path) -> None:
    logins = tmp_path / "config.json"
    logins.write_text("{}")
    argv = ["--master", "h:1", "--registry-auth", str(logins), "--print-config"]
    logins.chmod(0o644)
    done = CliRunner().invoke(agent_main, argv)
    assert done.exit_code == 2 and f"chmod 600 {logins}" in " ".join(done.output.split())
    logins.chmod(0o600)
    assert CliRunner().invoke(agent_main, argv).exit_code == 0


def test_an_open_server_may_be_meant() -> None:
    argv = ["--ip", "10.0.0.1", "--no-auth", "--i-know", "--print-config"]
    assert CliRunner().invoke(master_main, argv).exit_code == 0


def test_the_flag_wins_over_the_variable_and_that_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "cook.toml"
    path.write_text('plates = 2\noven = 3\nwine = "white"\ncourses = ["a", "b c"]\n')
    where = ("--config", str(path))
    variables = {"PYMESOS_COOK_OVEN": "5", "PYMESOS_COOK_WINE": "red", "PYMESOS_COOK_GUEST": ""}
    done = run(*where, "--oven", "7", **variables)
    assert done.output == "7.0|2|None|'red'|False|('a', 'b c')|None|None|None|'h:1'\n"
    assert run(PYMESOS_COOK_CONFIG=str(path)).output.startswith("3.0|2|None|'white'|")
    assert run("--config", str(path), PYMESOS_COOK_CONFIG="/no/such.toml").exit_code == 0


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("plates: 010", "|10|"),  # YAML 1.1 has 8
        ("plates: 0x0A", "|10|"),
        ("plates: 1:30", "'1:30' is given, and a whole number from 1 to 12 is expected"),  # 90
        ("plates: 1_0", "'1_0' is given, and a whole number from 1 to 12 is expected"),  # 10
        ("oven: 1e-999", "1e-999 is nearer to 0 than any number that can be kept"),
        ("guest: 2020-01-01", "'2020-01-01'"),
        ("guest: on", "'on'"),
        ("candles: yes", "'yes' is given, and true or false is expected"),
    ],
)
def test_a_yaml_file_is_read_as_a_job_file_is(tmp_path: Path, written: str, says: str) -> None:
    path = tmp_path / "cook.yaml"
    path.write_text(f"{written}\n")
    assert says in run("--config", str(path)).output


def test_a_switch_of_the_file_can_be_switched_off(tmp_path: Path) -> None:
    path = tmp_path / "cook.yml"
    path.write_text("candles: true\n")
    assert "|True|" in run("--config", str(path)).output
    assert "|False|" in run("--config", str(path), "--no-candles").output
    assert "|False|" in run("--config", str(path), PYMESOS_COOK_CANDLES="off").output


def test_the_variable_of_the_role_wins_over_the_one_of_all() -> None:
    assert "'a:1'" in run(PYMESOS_COOK_MASTER="a:1").output


@pytest.mark.parametrize("suffix", ["toml", "yaml"])
def test_what_is_printed_is_a_file_of_the_same_settings(tmp_path: Path, suffix: str) -> None:
    given = tmp_path / f"given.{suffix}"
    equals = " = " if suffix == "toml" else ": "
    given.write_text(f'# \u2026\nplates{equals}3\n\nguest{equals}"Zo\u00eb \\"Z\\" \\t"\n', "utf-8")
    flags = ("--config", str(given), "--courses", "x, y")
    printed = run(*flags, "--print-config", PYMESOS_COOK_WINE="white")
    assert printed.exit_code == 0
    lines = {line.split()[0]: line for line in printed.output.splitlines()}
    assert lines["plates"].endswith(f"# {given}:2")
    assert lines["guest"].endswith(f"# {given}:4")
    assert lines["courses"].endswith("# --courses")
    assert lines["wine"].endswith("# PYMESOS_COOK_WINE")
    assert lines["oven"].endswith("# default, seconds")
    again = tmp_path / "again.toml"
    again.write_text(printed.output, "utf-8")
    assert run("--config", str(again)).output == run(*flags, PYMESOS_COOK_WINE="white").output


def test_secrets_are_masked() -> None:
    done = run("--print-config", "--delivery", "tcp://alice:s3cr@t@a:1")
    assert done.exit_code == 0 and "s3cr" not in done.output and "alice" not in done.output
    assert '# delivery = "tcp://***@a:1"' in done.output and "--delivery, masked" in done.output
    assert mask_credentials("tcp://a:1/x") == "tcp://a:1/x"
    for wrong in ("zk://alice:s3cret@", "zk://alice:s3cret@a", "zk://alice:s3cret@a:1/x"):
        assert "s3cret" not in refused("--master", wrong)


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    path = tmp_path / "cook.toml"
    path.write_text('plates = 99\nguests = "x"\n')
    said = refused(
        "--config", str(path), "--oven", "nan", "--plates", "1", PYMESOS_COOK_WINE="rose"
    )
    assert f"{path}:1: plates: 99 is given, and a whole number from 1 to 12 is expected" in said
    assert f"{path}:2: guests is no setting of pymesos-cook; did you mean guest?" in said
    assert "--oven: 'nan' is given, and a number of seconds from 0.5 to 600 is expected" in said
    assert "PYMESOS_COOK_WINE: 'rose' is given, and one of red, white is expected" in said


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--oven", ""), "a number of seconds"),
        (("--oven", "0.4"), "--oven: 0.4 is given"),
        (("--oven", "1e999"), "--oven: '1e999' is given"),
        (("--oven", "9" * 400), "--oven: '9999"),
        (("--oven", "1_0"), "'1_0'"),
        (("--oven", "\u0663"), "a number of seconds"),
        (("--plates", "1.0"), "a whole number from 1 to 12"),
        (("--plates", "9" * 9000), "\u2026' is given"),
        (("--plates", "\x1b[31m"), "'\\x1b[31m'"),
        (("--wine", "Red"), "one of red, white"),
        (("--kitchen", "/no/such"), "a directory is expected, and nothing is there"),
        (("--kitchen", "/dev/null"), "a directory is expected, and a file is there"),
        (("--kitchen", ""), "a directory is expected; . is this directory"),
        (("--kitchen", "x" * 5000), "nothing is there"),
        (("--kitchen", "~/kitchen"), "a directory is expected; ~ is a home to shells alone"),
        (("--book", "~"), "a file is expected; ~ is a home to shells alone"),
        (("--book", "/tmp"), "a file is expected, and a directory is there"),
        (("--wine", "white", "--candles"), "--wine: white wine is not for candles"),
        (("--master", ""), "--master: '' is not host:port"),
        (("--guest", "\udcff"), "--guest: UTF-8 text is expected"),
    ],
)  # fmt: skip
def test_flags_that_make_no_sense(flags: tuple[str, ...], says: str) -> None:
    assert says in refused(*flags)


def test_a_setting_that_is_missing_says_where_it_may_be() -> None:
    said = refused(PYMESOS_MASTER=None)
    assert "--master is missing: host:port, or zk://host:port/path" in said
    assert "PYMESOS_MASTER in the environment, or master in the file of --config" in said
    printed = refused("--print-config", PYMESOS_MASTER=None)
    assert "plates = 4" in printed and "--master is missing" in printed


def test_a_variable_that_sets_nothing_is_told() -> None:
    done = run(PYMESOS_COOK_PLATE="3", PYMESOS_COOK_QUITE_ELSE="1")
    assert done.exit_code == 0
    assert "PYMESOS_COOK_PLATE sets nothing; did you mean PYMESOS_COOK_PLATES?" in done.output
    assert "PYMESOS_COOK_QUITE_ELSE sets nothing\n" in done.output


WRONG_FILES: Mapping[str, tuple[bytes, str]] = {
    "a.toml": (b"plates = 1\nplates = 2\n", "a.toml:2: not TOML: Cannot overwrite a value"),
    "b.toml": (b"plates = \n", "b.toml:1: not TOML: Invalid value; text stands in quotes"),
    "ba.toml": (b"guest = 10.0.0.1\n", "document after a statement; text stands in quotes"),
    "c.toml": (b'\nguest = "\xff"\n', "c.toml:2: the byte 0xff is not UTF-8"),
    "d.toml": (b'plates = "4"\n', "d.toml:1: plates: '4' is given, and a whole number"),
    "e.toml": (b"plates = true\n", "e.toml:1: plates: true is given"),
    "f.toml": (b"plates = 2020-01-02\n", "the date or time 2020-01-02 is given"),
    "g.toml": (b"candles = 1\n", "g.toml:1: candles: 1 is given, and true or false is expected"),
    "h.toml": (b'candles = "true"\n', "expected, without quotes"),
    "i.toml": (b"guest = 5\n", "i.toml:1: guest: 5 is given, and text is expected"),
    "j.toml": (b'courses = "a"\n', 'a list of texts is expected, as in ["a", "b"]'),
    "k.toml": (b'courses = ["a", 1]\n', "1 is in the list, and text is expected"),
    "l.toml": (b"[cook]\nplates = 1\n", "l.toml:1: cook is no setting of pymesos-cook; settings"),
    "m.toml": (b"oven_s = 1\n", "oven_s is no setting of pymesos-cook; did you mean oven?"),
    "n.toml": (b"Plates = 1\n", "did you mean plates?"),
    "o.toml": (b"quite-else = 1\n", "`pymesos-cook --print-config` lists all"),
    "p.toml": (b'"\\u001b[31m" = 1\n', "'\\x1b[31m' is no setting"),
    "q.toml": (b"x = " + b"[" * 30_000, "nested too deeply"),
    "r.toml": (b"plates = " + b"9" * 9000, "not TOML: a number or a date in it is out of range"),
    "s.toml": (b"#" * (MAX_BYTES + 1), "more than 64 KiB"),
    "t.toml": (b"oven = nan\n", "t.toml:1: oven: nan is given"),
    "u.toml": (b"oven = inf\n", "u.toml:1: oven: inf is given"),
    "v.toml": (b"\x00", "not TOML"),
    "w.json": (b"{}", "is named neither .toml nor .yaml"),
    "a.yaml": (b"plates: 1\nplates: 2\n", "a.yaml:2: the key 'plates' is given twice"),
    "b.yaml": (b"plates: [1\n", "b.yaml:2: not YAML or JSON: "),
    "ba.yaml": (b"guest: a\n plates: 1\n", "ba.yaml:2: not YAML or JSON: mapping values are not"),
    "bb.yaml": (b"courses:\n  - a\n b: 1\n", "; is the line indented as those that it belongs"),
    "bc.yaml": (b"guest:\n\t- a\n", "; lines are indented by blanks, not by tabs"),
    "c.yaml": (b"guest: x\n\xff: 1\n", "c.yaml:2: the byte 0xff is not UTF-8"),
    "d.yaml": (b"- plates\n", "d.yaml: `name: value` is expected"),
    "e.yaml": (b"? [a]\n: 1\n", "e.yaml:1: the key of several values is not text"),
    "f.yaml": (b"plates:\n", "f.yaml:1: plates: no value is given"),
    "g.yaml": (b'guest: "\\UFFFFFFFF"\n', "g.yaml: not YAML or JSON: an escape is beyond Unicode"),
    "h.yaml": (b"guest: !!python/object:os.system {}\n", "h.yaml:1: not YAML or JSON: the tag "),
    "ka.yaml": (b"guest: !!int ''\n", "ka.yaml:1: '' is not of the tag !!int"),
    "la.yaml": (b"guest: !!bool maybe\n", "la.yaml:1: 'maybe' is not of the tag !!bool"),
    "ma.yaml": (b"guest: !!timestamp x\n", "ma.yaml:1: not YAML or JSON: the tag "),
    "na.yaml": (b'"\\e[31m": 1\n"\\e[31m": 1\n', "na.yaml:2: the key '\\x1b[31m' is given twice"),
    "i.yaml": (b"a: 1\n---\nb: 1\n", "i.yaml:2: not YAML or JSON: but found another document"),
    "j.yaml": (b"guest: &a [*a]\n", "j.yaml:1: anchors and aliases (&, *) are not supported"),
    "k.yaml": (b"x: " + b"[" * 30_000, "nested too deeply"),
    "l.yaml": (b"plates: 1\n\x07: 1\n", "l.yaml:2: not YAML or JSON: "),
    "m.yaml": (b"1: x\nnull: y\n", "m.yaml:1: the key 1 is not text; quote it"),
    "n.yaml": (b"plates: {<<: *no}\n", "anchors and aliases (&, *) are not supported"),
    "o.yaml": (b"plates: " + b"9" * 9000, "o.yaml:1: a number of 9000 digits is too long"),
    "p.yaml": (b"guest: {[a]: b}\n", "p.yaml:1: the key of several values is not text"),
}


@pytest.mark.parametrize("name", WRONG_FILES)
def test_files_that_make_no_sense(tmp_path: Path, name: str) -> None:
    data, says = WRONG_FILES[name]
    (tmp_path / name).write_bytes(data)
    said = refused("--config", str(tmp_path / name))
    assert str(tmp_path / name) in said and says in said, said


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "folder.toml"
    folder.mkdir()
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    loop = tmp_path / "loop.toml"
    loop.symlink_to(loop)
    assert f"{folder} is a directory; a TOML or YAML file is expected" in refused(
        "--config", str(folder)
    )
    assert f"{pipe} is not a regular file" in refused("--config", str(pipe))
    assert "Too many levels" in refused("--config", str(loop))
    assert "No such file" in refused("--config", str(tmp_path / "none.toml"))
    assert "File name too long" in refused("--config", "x" * 5000 + ".toml")
    assert "PYMESOS_COOK_CONFIG: cannot read /no/such.toml" in refused(
        PYMESOS_COOK_CONFIG="/no/such.toml"
    )
    assert "--config: it is empty; a TOML or YAML file is expected" in refused("--config", "")


def test_a_file_of_somebody_elses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", deny)  # root may read everything
    with pytest.raises(FileError, match=r"cannot read /a\.toml: Permission denied"):
        read_file(Path("/a.toml"))


@pytest.mark.parametrize("suffix", ["toml", "yaml"])
def test_an_empty_file_and_a_mark_of_the_byte_order(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"empty.{suffix}"
    for data in (b"", b"# nothing\r\n", b"\xef\xbb\xbf# nothing\n"):
        path.write_bytes(data)
        assert run("--config", str(path)).exit_code == 0


@given(st.binary(max_size=200), st.sampled_from(["toml", "yaml"]))
def test_no_file_brings_a_traceback(data: bytes, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"file.{suffix}"
        path.write_bytes(data)
        try:
            read_file(path)
        except FileError as error:
            assert str(path) in str(error)


@given(st.text(st.characters(blacklist_categories=["Cs"])))
def test_text_is_printed_as_toml_reads_it(text: str) -> None:
    assert tomllib.loads(f"a = {toml(text)}") == {"a": text}


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_printed_as_toml_reads_them(number: float) -> None:
    assert math.isclose(tomllib.loads(f"a = {toml(number)}")["a"], number, rel_tol=0)


def test_a_class_has_its_defaults() -> None:
    assert CookSettings() == CookSettings(1.5, 4, None, "red", False, (), None, None, None)
    assert MasterSettings().core.offer_timeout_s == MasterSettings().allocation.claim_s == 30


def test_names_are_the_fields_without_their_unit() -> None:
    names = {setting.field: (setting.name, setting.flag) for setting in settings_of(MasterSettings)}
    assert names["offer_timeout_s"] == ("offer_timeout", "--offer-timeout")
    assert names["port"] == ("port", "--port")


def test_where_a_server_listens() -> None:
    assert list(ServerSettings().problems()) == []
    assert [field for field, _ in ServerSettings(ip="10.0.0.1").problems()] == ["ip"]
    everywhere = ServerSettings(ip="::", auth=False, i_know=True)
    assert [field for field, _ in everywhere.problems()] == ["ip"]
    other = ServerSettings(ip="::", advertise_ip="0.0.0.0", auth=False, i_know=True)
    assert [field for field, _ in other.problems()] == ["advertise_ip"]
