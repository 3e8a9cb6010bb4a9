"""The commands of pymesos-cli: where they are, what starting one costs, and what they take."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import click
import pytest
from click.testing import CliRunner

from pymesos_cli.access.webhooks import KINDS
from pymesos_cli.group import Room
from pymesos_cli.jobs.following import Following
from pymesos_cli.jobs.progress import Progress
from pymesos_cli.main import ROOMS, main
from pymesos_cli.tasks.logs import _prefixes
from pymesos_proto.v1 import jobs_pb2, types_pb2

HEAVY = {"asyncio", "grpc", "google.protobuf", "numpy", "jsonschema", "rich", "yaml", "ssl"}


def commands_of(room: str) -> dict[str, click.Command]:
    module = importlib.import_module(f"pymesos_cli.{room}.commands")
    assert isinstance(module.room, Room)
    return dict(module.room.commands)


def test_every_command_is_in_the_room_that_main_names() -> None:
    for room in {room for room, _ in ROOMS.values()}:
        assert set(commands_of(room)) == {name for name, (of, _) in ROOMS.items() if of == room}


def test_what_a_command_does_fits_beside_its_name() -> None:
    said = CliRunner().invoke(main, ["--help"], terminal_width=80).output
    lines = said.partition("Commands:\n")[2].splitlines()
    assert len(lines) == len(ROOMS) + 1, "one line for each, and for completion"
    assert not any(line.endswith("...") or len(line) > 80 for line in lines)
    for name, (_, about) in ROOMS.items():
        assert about.endswith((".", "?")) and "\n" not in about, name


def test_the_kinds_of_events_are_all_named() -> None:
    for arguments in ([], ["--help"]):
        said = CliRunner().invoke(main, ["webhook", "add", "http://a/", *arguments])
        named = " ".join(said.output.split())
        assert f"Kinds are {', '.join(KINDS)}." in named


def test_an_address_that_needs_a_flag_names_it() -> None:
    url = "http://169.254.169.254/"
    said = CliRunner().invoke(main, ["webhook", "add", url, "--on", "task_added"])
    assert said.exit_code == 2 and "--link-local allows it" in said.output


@pytest.mark.parametrize("given", ["60d", "0s"])
def test_a_silence_out_of_range_is_said_of_what_was_typed(given: str) -> None:
    said = CliRunner().invoke(main, ["alerts", "silence", "sick", "--for", given])
    assert said.exit_code == 2 and "--for: expected is a time from 1s to 30d" in said.output


def run(*arguments: str, **env: str) -> tuple[str, set[str]]:
    """What a command prints, and the modules that it imports."""
    script = (
        "import sys, atexit; from pymesos_cli.main import main\n"
        "atexit.register(lambda: print('\\n' + ' '.join(sys.modules), file=sys.__stderr__))\n"
        "main(sys.argv[1:], prog_name='pymesos-cli')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True, text=True, timeout=60, env=os.environ | env,
    )  # fmt: skip
    return done.stdout, set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize(
    ("arguments", "rooms"),
    [
        (["--help"], set()),
        (["--version"], set()),
        (["tasks", "--help"], {"operators"}),
        (["run", "--help"], {"jobs"}),
        (["whatif", "--help"], {"local"}),
        (["quota", "set", "--help"], {"operators"}),
    ],
)
def test_help_imports_only_what_it_needs(arguments: list[str], rooms: set[str]) -> None:
    said, modules = run(*arguments)
    assert "pymesos-cli" in said
    assert not modules & HEAVY
    ours = {m for m in modules if m.startswith("pymesos_cli.") and m.endswith(".commands")}
    assert ours == {f"pymesos_cli.{room}.commands" for room in rooms}


def test_the_script_of_a_shell_is_ours() -> None:
    said, _ = run("completion", "bash")
    assert "COMP_LINE" in said, "so that a word may have a colon in it"


@pytest.mark.parametrize(
    ("line", "offered"),
    [("pymesos-cli lo", "logs"), ("pymesos-cli --ti", "--timeout"),
     ("pymesos-cli logs --ta", "--tail"), ("pymesos-cli quota s", "set")],
)  # fmt: skip
def test_completion_imports_only_what_it_needs(line: str, offered: str) -> None:
    words = line.split()
    said, modules = run(
        COMP_WORDS=line, COMP_CWORD=str(len(words) - 1), COMP_LINE=line,
        COMP_POINT=str(len(line)), _PYMESOS_CLI_COMPLETE="bash_complete",
    )  # fmt: skip
    assert offered in [line.removeprefix("plain,") for line in said.splitlines()]
    assert not modules & HEAVY


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["cat", "f"], "TASK and PATH are expected; only 'f' is given"),
        (["cat"], "TASK and PATH are expected; nothing is given"),
        (["exec", "--", "true"], "TASK and CMD... are expected; nothing is given before --"),
        (["exec", "web.0"], "TASK and CMD... are expected; only 'web.0' is given"),
        (["cp", "a"], "SOURCE and TARGET are expected; only 'a' is given"),
        (["stop"], "JOB is expected; nothing is given"),
        (["quota", "set"], "ROLE is expected; nothing is given"),
        (["reserve", "a1"], "AGENT and ROLE are expected; only 'a1' is given"),
        (["policy", "set", "f"], "--instead-of VERSION is expected: the version that it replaces"),
        (["context", "add", "p"], "--master ADDRESS is expected: "),
        (["whatif"], "--nodes FILE is expected: CSV with the columns cpu_milli, memory_mib"),
        (["var"], "there is no command 'var'; did you mean variables?"),
        (["promote"], "there is no command 'promote'; did you mean rollout promote?"),
        (["frobnicate"], "there is no command 'frobnicate'; `pymesos-cli --help` lists them"),
        (["--master", "http://h:5080", "leader"], "and with the port for gRPC: 'h:5080'"),
        (["logss"], "there is no command 'logss'; did you mean logs?"),
        (["quota", "sett"], "there is no command 'sett'; did you mean set?"),
        (["logs", "-n", "5", "t"], "there is no option '-n'; did you mean --tail?"),
        (["logs", "--tial", "5", "t"], "there is no option '--tial'; did you mean --tail?"),
        (["logs", "--quux", "t"], "'--quux'; there are -f, --follow, --stderr, --tail, -h, --help"),
        (["run", "--name", "a", "--", "true"], "there is no option '--name'; there are --"),
        (["events", "--since", "1h"], "there is no option '--since'; there are --"),
        (["tasks", "-o", "json"], "there is no option '-o'; did you mean --json?"),
        (["jobs", "-j"], "there is no option '-j'; did you mean --json?"),
        (["attach", "-n", "t"], "there is no option '-n'; there are -h, --help"),
        (["--mster", "x", "jobs"], "there is no option '--mster'; did you mean --master?"),
        (["x" * 5000], "there is no command 'xxx"),
        (["--" + "x" * 5000], "there is no option '--xxx"),
        (["local", "--resources", "cpu:3"], "nothing here asks for 'cpu'; did you mean cpus?"),
        (["logs", "a", "x" * 5000], "xxx…' is one argument too many: logs takes TASK alone"),
        (["describe", "shop", "9"], "'9' is one argument too many: "),
        (["agents", "a1"], "'a1' is one argument too many: agents takes no argument; it lists all"),
        (["frameworks", "f"], "takes no argument; it lists all; `explain framework` is about one"),
        (["quota", "show"], "there is no command 'show'; there are remove, set; `roles` lists"),
        (["weights"], "is expected; nothing is given; `roles` lists those that are set"),
        (["tasks", "--master", "h:1"], "--master goes before the command: main --master … tasks"),
        (["policy", "show", "--tls", "f"], "goes before the command: main --tls … policy show"),
        (["run", "--timeout", "3", "j"], "--timeout goes before the command: "),
        (["logs", "a", "--tail", "x" * 5000], "xx…' has 5000 characters; a whole number"),
        (["logs", "a", "--tail", "1_0"], "'1_0' is not a whole number; the range is 0<=x<=100000"),
        (["--timeout", "\u0663", "leader"], "is not a number; the range is 0.1<=x<=3600"),
        (["quota", "set", "a b"], "role 'a b' has white space"),
        (
            ["quota", "set", "r", "--limit", ""],
            "--limit TEXT is expected; an empty text is given: ",
        ),
        (["quota", "set", "r"], "give --guarantee, --limit, or both"),
        (["quota", "set", "r", "--limit", "cpus:1_0"], "cpus: '1_0' is not a number"),
        (["quota", "remove", "a b"], "role 'a b' has white space"),
        (["unreserve", "a", "r", ""], "RESOURCES is expected; an empty text is given"),
        (["reserve", "a", "*", "cpus:1"], "nothing is reserved for *"),
        (["reserve", "a", "r"], "give resources, as in"),
        (
            ["run", "--role", "", "--", "true"],
            "--role TEXT is expected; an empty text is given: the command's role",
        ),
        (["run", "--image", "a b", "--", "true"], "--image: 'a b' is no reference of an image"),
        (["run", "--cpus", "1e400", "--", "true"], "--cpus is 1e400; at most 1125899906842"),
        (["run", "--mem", "1G", "--", "true"], "'1G' is not a number; it is in MiB"),
        (["quota", "set", "r", "--limit", "mem:1GB"], "mem: '1GB' is not a number; it is in MiB"),
        (["variables", "set", "*", "a=b"], "give the value after the name, as in a b, or --file"),
        (["run", "--cpus", "\u0663", "--", "true"], "--cpus: '\u0663' is not a number"),
        (["weights", "a=1_0"], "'a=1_0' is not ROLE=WEIGHT, as in eng/web=2.5"),
        (["weights", "a=1", "b c=1"], "role 'b c' has white space"),
        (["weights", "a=0"], "'a=0': a weight is above 0"),
        (["--master", "::1", "leader"], "brackets are around an IPv6 address: [::1]:5050"),
        (["stats", ""], "TASK is expected; an empty text is given"),
        (["run", "--", "", "x"], "the command is empty"),
        (["run", ""], "give a job file, or a command after --"),
        (["scale", "a.b=0"], "'0' is no number of instances; 1 to 10000"),
        (["scale", "a.b=0000000059999999999"], "'0000000059999999999' is no number of instances"),
        (["scale", f"a.b=1{5000 * '0'}"], "is no number of instances"),
        (["rollback", "a", "00000000019999999999"], "'00000000019999999999' is no version"),
        (["rollback", "a", f"1{5000 * '0'}"], "is no version: a number is expected"),
    ],
)
def test_what_is_typed_wrong_is_said_shortly(arguments: list[str], says: str) -> None:
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2
    assert says in done.output and len(done.output) < 700, done.output


def places_of_texts(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Wherever a command takes a text of its own: what comes before it, and its name."""
    before = path
    for param in command.params:
        if isinstance(param, click.Option) and not param.is_flag and not param.count:
            yield (*path, param.opts[0]), param.opts[0]
        elif isinstance(param, click.Argument) and param.type is not click.UNPROCESSED:
            yield before, param.human_readable_name.removesuffix("...")
            before = (*before, "x")
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            inner = command.get_command(click.Context(command), name)
            assert inner is not None
            yield from places_of_texts(inner, (*path, name))


@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_text_never_counts_as_one_that_is_not_given(empty: str) -> None:
    found = [*places_of_texts(main)]
    assert (("jobs",), "JOB") in found and (("--master",), "--master") in found
    assert (("rollback", "x"), "VERSION") in found and len(found) > 100
    for before, name in found:
        # A group looks at its own options once there is a command.
        after = ("leader",) if before[0].startswith("-") else ()
        done = CliRunner().invoke(main, [*before, empty, *after])
        assert done.exit_code == 2, (before, done.output)
        said = " ".join(done.output.split())
        assert f"{name} " in said and "is expected; an empty text is given" in said, (before, said)


def test_a_program_is_given_empty_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr("pymesos_cli.jobs.commands.with_cluster", lambda *_: 0)
    monkeypatch.setattr("pymesos_cli.tasks.commands.with_cluster", lambda *_: 0)
    monkeypatch.setattr(
        "pymesos_cli.jobs.run.command_document", lambda words, *_: given.append(words)
    )
    monkeypatch.setattr("pymesos_cli.jobs.run.check", lambda *_: None)
    for arguments in (["run", "--", "printf", ""], ["exec", "t", "--", "printf", ""]):
        assert CliRunner().invoke(main, arguments).exit_code == 0, arguments
    assert given == [("printf", "")]


def test_lines_of_several_tasks_begin_with_their_instances() -> None:
    def labels(*task_ids: str) -> list[str]:
        return [prefix.decode() for prefix in _prefixes(task_ids)]

    a, b = "shop-0123abcd", "shop-4567abcd"
    assert labels(f"{a}.web.0.7", f"{a}.web.10.1") == ["web.0  | ", "web.10 | "]
    assert labels(f"{a}.web.0.7", f"{a}.db.0.1") == ["web.0 | ", "db.0  | "]
    assert labels(f"{a}.web.0.1", f"{a}.web.0.1+log") == ["web.0     | ", "web.0+log | "]
    assert labels(f"{a}.web.0.1", f"{a}.web.0.2") == ["web.0 attempt 1 | ", "web.0 attempt 2 | "]
    assert labels(f"{a}.web.0.1", f"{b}.web.0.1") == [f"{a}.web.0 | ", f"{b}.web.0 | "]
    assert labels("mine", "other.1") == ["mine    | ", "other.1 | "]


def test_what_was_forgotten_between_two_connections_is_no_more() -> None:
    def view(*names: str, more: bool = False, removed: bool = False) -> jobs_pb2.JobView:
        instances = [jobs_pb2.InstanceView(name=name, removed=removed) for name in names]
        return jobs_pb2.JobView(instances=instances, more=more)

    def told(taken: jobs_pb2.JobView) -> list[tuple[str, bool]]:
        return [(instance.name, instance.removed) for instance in taken.instances]

    following = Following()
    following.begin()
    assert told(following.take(view("a", "b", "c"))) == [("a", False), ("b", False), ("c", False)]
    assert told(following.take(view("d"))) == [("d", False)]
    following.take(view("b", removed=True))
    following.begin()
    assert told(following.take(view("a", more=True))) == [("a", False)]
    assert told(following.take(view("c"))) == [("c", False), ("d", True)]
    assert told(following.take(view("c"))) == [("c", False)]


def test_why_a_command_failed_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(quiet=True)
    instance = jobs_pb2.InstanceView(
        task_name="t", task_id="j.t.0.1", state=types_pb2.TASK_FAILED, done=True, exit_status=3,
        explanation="Command exited with status 3",
    )  # fmt: skip
    progress.update(jobs_pb2.JobView(state="failed", instances=[instance]))
    progress.summarize(output_shown=True)
    said = capsys.readouterr().err
    assert said.count("exited with status 3") == 1 and said.splitlines()[-1] == "1 failed"


def test_a_service_that_is_not_ready_is_not_summed_up_as_one_that_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    progress = Progress(quiet=True)
    for number, ready in enumerate((True, False)):
        instance = jobs_pb2.InstanceView(
            task_name="t", instance=number, state=types_pb2.TASK_RUNNING, ready=ready, service=True
        )
        progress.update(jobs_pb2.JobView(state="running", instances=[instance]))
    progress.summarize()
    assert capsys.readouterr().err.splitlines()[-1] == "1 running, 1 running, not ready yet"
    assert "running, not ready yet 1" in str(progress._render()), "and so it is as it goes on"
