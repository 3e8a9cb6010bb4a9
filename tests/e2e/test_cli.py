"""`pymesos-cli` as people use it, and as they mistype it."""

from __future__ import annotations

import contextlib
import fcntl
import http.server
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pymesos_testing.cli import Cli, job
from pymesos_testing.components import Role, Roles, free_port, passable_folder, wait_for


class Cluster:
    """A master, two agents and a bin-packing framework, which the tests of this file share."""

    def __init__(self, roles: Roles) -> None:
        self.master = roles.master()
        self.cli = Cli(self.master.address)
        flags = ("--runtime", "process", "--kill-tasks-on-exit")
        self.agents: list[Role] = []
        for name, first in (("a1", 24000), ("a2", 24100)):
            offered = f"cpus:4;mem:2048;disk:1024;ports:[{first}-{first + 49}]"
            started = roles.agent(self.master.address, name, "--resources", offered, *flags)
            self.agents.append(started)
        self.binpack = roles.binpack(self.master.address)
        self.cli.wait_for_agents(2)

    def submit(self, name: str, *tasks: dict[str, object]) -> str:
        """Run a job of these tasks until it runs; its id."""
        document = json.dumps({"name": name, "tasks": list(tasks)})
        said = self.cli.ok("run", "-", "--wait", text=document)
        return said.split()[1]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with passable_folder() as folder, contextlib.closing(Roles(folder)) as roles:
        yield Cluster(roles)


@pytest.fixture(autouse=True)
def stop_jobs(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "cluster" in request.fixturenames:
        cli: Cli = request.getfixturevalue("cluster").cli
        for left in cli.json("jobs"):
            cli.run("stop", left["job_id"])


def service(name: str, instances: int = 1, command: str = "exec sleep 1000") -> dict[str, object]:
    return {"name": name, "kind": "service", "instances": instances, "command": command}


# What is meant by a name.


def test_what_destroys_takes_nothing_for_something_else(cluster: Cluster) -> None:
    cli = cluster.cli
    job_id = cluster.submit("web", service("w", 2))
    agents = {a["hostname"]: a["agent_id"] for a in cli.json("agents")}
    parts = [agents["a1"][-2:], agents["a2"][3:], "a", agents["a1"][:-1], "", " "]
    for part in parts:
        refused = cli.run("gone", part, "--yes")
        assert refused.returncode == 2, (part, refused.stdout)
        assert cli.run("unreserve", part, "r").returncode == 2
    for part in (job_id[-4:], job_id[:-1], "we", ""):
        assert cli.run("stop", part).returncode == 2, part
        assert cli.run("kill", part).returncode == 2, part
    for part in ("bin", "pack", cli.json("frameworks")[0]["framework_id"][:-1]):
        assert cli.run("teardown", part).returncode == 2, part
    assert {a["state"] for a in cli.json("agents")} == {"active"}
    assert len(cli.tasks(state="TASK_RUNNING")) == 2
    several = cli.run("kill", "web.w")
    assert several.returncode == 2 and "'web.w' fits 2 tasks" in several.stderr
    assert all(f"{job_id}.w.{n}.1  (RUNNING on a" in several.stderr for n in (0, 1))


def test_what_is_asked_and_answered_names_what_was_found(cluster: Cluster) -> None:
    cli = cluster.cli
    job_id = cluster.submit("asked", service("w"))
    (agent,) = [a for a in cli.json("agents") if a["hostname"] == "a2"]
    asked = cli.run("gone", "a2", text="n\n")
    assert asked.returncode == 1
    who = f"{agent['agent_id']} (host a2, active, {agent['tasks']} task"
    assert who in asked.stderr, asked.stderr
    asked = cli.run("teardown", "binpack", text="n\n")
    assert asked.returncode == 1 and "it is removed for good, and 1 task" in asked.stderr
    assert [f["state"] for f in cli.json("frameworks")] == ["active"]
    for command in ("kill", "logs", "tasks"):
        for name, has in (("asked.x", "w"), ("asked.w.7", "w.0")):
            none = cli.run(command, name)
            says = (
                f"there is no task '{name}': the job 'asked' has {has}; `pymesos-cli tasks asked`"
            )
            assert none.returncode == 2 and says in none.stderr, none.stderr
    for arguments in (("cat", "asked.w.0", "stdot"), ("cp", "asked.w.0:stdot", ".")):
        absent = cli.run(*arguments)
        assert absent.returncode and f"; `pymesos-cli ls {job_id}.w.0.1`" in absent.stderr, absent
    killed = cli.run("kill", "asked.w.0")
    assert killed.stdout.startswith(f"killing {job_id}.w.0.1 (RUNNING on a"), killed
    assert f"is replaced; `pymesos-cli stop {job_id}` ends its job" in killed.stderr
    stopped = cli.ok("stop", "asked")
    assert stopped.startswith(f"stopping {job_id} (running, "), stopped


def test_names_of_jobs_and_their_tasks(cluster: Cluster) -> None:
    cli = cluster.cli
    say = "echo $PYMESOS_INSTANCE; until test -e end; do sleep 0.1; done"
    once = cluster.submit("shop", service("once", 1, say), service("twice", 2, say))
    for name in ("shop.once", "shop.once.0", f"{once}.once", "shop.twice.1"):
        task = name.split(".")[-1]
        wait_for("its word", lambda n=name: cli.ok("logs", n) != "")  # type: ignore[misc]
        assert cli.ok("logs", name) == ("1\n" if task == "1" else "0\n"), name
    assert sorted(cli.ok("logs", "shop.twice").splitlines()) == ["twice.0 | 0", "twice.1 | 1"]
    assert len(cli.ok("logs", "shop").splitlines()) == 3
    assert len(json.loads(cli.ok("tasks", "shop.twice", "--json"))) == 2
    assert "stdout" in cli.ok("ls", "shop.once") and cli.ok("cat", "shop.once", "stdout") == "0\n"
    assert "has been RUNNING" in cli.ok("explain", "task", "shop.once").replace("TASK_", "")
    assert {r["task_id"] for r in json.loads(cli.ok("stats", "shop.twice", "--json"))} == {
        f"{once}.twice.0.1",
        f"{once}.twice.1.1",
    }
    announced = cli.run("exec", "shop.onc", "--", "touch", "end")
    assert announced.returncode == 0
    assert f"shop.onc… is task {once}.once.0.1 (RUNNING on a" in announced.stderr
    # It is restarted: one lives and one has ended.
    second = f"{once}.once.0.2"
    wait_for("its restart", lambda: any(t["task_id"] == second for t in cli.json("tasks")))
    wait_for("its word", lambda: cli.ok("logs", "shop.once") == "0\n")
    assert "has ended" not in cli.run("exec", "shop.once", "--", "true").stderr
    cli.ok("stop", "shop")
    cli.wait_for_tasks(0, state="TASK_RUNNING")
    assert cli.ok("logs", "shop.once") == "0\n" and len(cli.ok("logs", "shop").splitlines()) == 3
    over = cli.run("kill", "shop.once")
    assert over.returncode == 2 and f"{second} has ended" in over.stderr
    again = cli.run("stop", "shop")
    assert again.returncode == 2 and f"the job {once} has ended already" in again.stderr
    newer = cluster.submit("shop", service("once", 1, "echo newer; exec sleep 1000"))
    wait_for("its word", lambda: cli.ok("logs", "shop") == "newer\n")
    assert f"stopping {newer} " in cli.ok("stop", "shop"), "not those that have ended"


# Running, and leaving.


def test_both_streams_of_a_command_are_live_and_go_to_their_own_ends(cluster: Cluster) -> None:
    command = "echo first >&2; echo out; until test -e end; do sleep 0.1; done; printf last"
    running = subprocess.Popen(
        cluster.cli.argv("run", "--", command), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert running.stdout is not None and running.stderr is not None
    assert running.stdout.readline() == b"out\n"
    while running.stderr.readline() != b"first\n":
        assert running.poll() is None
    cluster.cli.ok("exec", "echo.echo", "--", "touch", "end")
    out, err = running.communicate(timeout=30)
    assert (running.returncode, out) == (0, b"last"), err
    assert err.splitlines()[-1] == b"1 finished"


def interrupted(
    cli: Cli, folder: Path, *arguments: str, numbers: Sequence[int]
) -> tuple[int, str, str]:
    """A command that gets signals once it says that its task runs: status, stdout, stderr."""
    out, err = folder / "out", folder / "err"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        running = subprocess.Popen(
            cli.argv(*arguments),
            stdout=stdout,
            stderr=stderr,
        )
    wait_for("its task", lambda: b" running on " in out.read_bytes() + err.read_bytes(), 60)
    for number in numbers:
        running.send_signal(number)
        time.sleep(0.3)
    status = running.wait(60)
    said = err.read_text()
    assert "Traceback" not in said and "Aborted" not in said, said
    return status, out.read_text(), said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_the_command_that_is_run(cluster: Cluster, number: int, tmp_path: Path) -> None:
    cli = cluster.cli
    command = "trap 'echo bye; exit 0' TERM; while :; do sleep 0.1; done"
    status, out, err = interrupted(cli, tmp_path, "run", "--", command, numbers=[number])
    assert (status, out) == (128 + number, "bye\n")
    assert "ending trap-" in err
    assert not cli.tasks(name="trap", state="TASK_RUNNING")


def test_a_second_ctrl_c_leaves_and_says_how_to_end_it(cluster: Cluster, tmp_path: Path) -> None:
    twice = [signal.SIGINT, signal.SIGINT]
    command = "trap '' TERM; while :; do sleep 0.1; done"
    status, _, err = interrupted(cluster.cli, tmp_path, "run", "--", command, numbers=twice)
    assert status == 130 and "may run on: `pymesos-cli stop trap-" in err


def test_ctrl_c_leaves_a_job_and_says_how_to_go_on(cluster: Cluster, tmp_path: Path) -> None:
    cli = cluster.cli
    (tmp_path / "job.json").write_text(job(command="sleep 1000"))
    arguments = ("run", str(tmp_path / "job.json"), "--wait")
    status, _, err = interrupted(cli, tmp_path, *arguments, numbers=[signal.SIGINT])
    assert status == 130 and "runs on: `pymesos-cli watch job-" in err and " stop job-" in err
    assert cli.tasks(name="t", state="TASK_RUNNING")
    status, _, err = interrupted(cli, tmp_path, "watch", "job", numbers=[signal.SIGINT])
    assert status == 130 and "runs on" in err


def test_a_command_whose_reader_has_gone_ends(cluster: Cluster) -> None:
    line = " ".join(cluster.cli.argv("run", "--", "'while :; do echo y; done'"))
    done = subprocess.run(
        ["bash", "-c", f"{line} | head -2"], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "y\ny\n" and "Traceback" not in done.stderr
    wait_for("its end", lambda: not cluster.cli.tasks(name="while", state="TASK_RUNNING"))


# Files.


def test_cp_is_as_docker_cp(cluster: Cluster, tmp_path: Path) -> None:
    cli = cluster.cli
    cluster.submit("files", service("t", 1, "mkdir dir; exec sleep 1000"))
    wait_for("its folder", lambda: "dir/" in cli.ok("ls", "files"))
    here = tmp_path / "here"
    (here / "tree/deep").mkdir(parents=True)
    (here / "up.txt").write_text("up\n")
    (here / "tree/deep/f").write_text("deep\n")
    (here / "tree/run.sh").write_text("#!/bin/sh\necho ran\n")
    (here / "tree/run.sh").chmod(0o750)
    (here / "tree/link").symlink_to("run.sh")

    def inside(script: str) -> str:
        return cli.ok("exec", "files", "--", "sh", "-c", script).strip()

    for target, place in (("dir", "dir/up.txt"), ("", "up.txt"), ("new", "new"), ("dir/", "")):
        cli.ok("cp", str(here / "up.txt"), f"files:{target}")
        assert inside(f"cat {place or 'dir/up.txt'}") == "up"
    assert inside("ls dir") == "up.txt", "no parts are left"
    cli.ok("cp", str(here / "tree/run.sh"), "files:")
    assert inside("./run.sh; stat -c %a run.sh") == "ran\n750"
    cli.ok("cp", str(here / "tree"), "files:made")
    assert inside("cat made/deep/f; made/run.sh; readlink made/link") == "deep\nran\nrun.sh"
    cli.ok("cp", str(here / "tree"), "files:dir")
    assert inside("cat dir/tree/deep/f; stat -c %a dir/tree/run.sh") == "deep\n750"
    cli.ok("cp", f"{here / 'tree'}/.", "files:dir")
    assert inside("cat dir/deep/f") == "deep"

    for outside in ("../up.txt", "dir/../../up.txt", "/tmp/up.txt", "..", "none/up.txt"):
        refused = cli.run("cp", str(here / "up.txt"), f"files:{outside}")
        assert refused.returncode == 1, outside
        assert "sandbox" in refused.stderr or "there is no folder none" in refused.stderr

    back = tmp_path / "back"
    back.mkdir()
    cli.ok("cp", "files:run.sh", str(back))
    assert (back / "run.sh").stat().st_mode & 0o777 == 0o750
    cli.ok("cp", "files:dir/tree", str(back))
    assert (back / "tree/deep/f").read_text() == "deep\n"
    assert (back / "tree/run.sh").stat().st_mode & 0o777 == 0o750
    cli.ok("cp", "files:dir/tree/deep", str(back / "renamed"))
    assert (back / "renamed/f").read_text() == "deep\n"
    cli.ok("cp", "files:dir/tree/deep/.", str(back))
    assert (back / "f").read_text() == "deep\n"

    for source, wanted, says in (
        (str(here / "up.txt"), "files:no/such", "no/such"),
        (str(here / "up.txt"), "files:nope/", "there is no folder nope/"),
        (str(here / "tree"), "files:up.txt", "up.txt is a file"),
        (f"{here}/up.txt/", "files:x", "is a file, not a folder"),
        ("files:up.txt", f"{back}/nope/", "there is no folder"),
        ("files:dir", f"{back}/f", "is a file"),
        ("files:none", str(back), "no file 'none'"),
        ("files:up.txt", "", "an empty text is given"),
        ("files:up.txt", "-", "cat TASK PATH"),
        ("", "files:x", "an empty text is given"),
        ("files:up.txt", "/dev/full", "No space left"),
        (os.devnull, "files:x", "neither a file nor a folder"),
    ):
        wrong = cli.run("cp", source, wanted)
        assert wrong.returncode in (1, 2) and says in wrong.stderr, (source, wanted, wrong.stderr)


# The terminal, the pipe, and what is in their way.


def on_terminal(cli: Cli, *arguments: str, columns: int, **env: str) -> tuple[int, bytes]:
    """A command whose stdout is a terminal of so many columns: its status, and what it wrote."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k != "COLUMNS"} | env
    running = subprocess.Popen(
        cli.argv(*arguments), stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, env=environment
    )
    os.close(theirs)
    said = b""
    with contextlib.suppress(OSError):  # its end
        while select.select([ours], [], [], 30)[0] and (part := os.read(ours, 65536)):
            said += part
    assert running.stderr is not None
    errors = running.stderr.read()
    assert b"Traceback" not in errors, errors
    os.close(ours)
    return running.wait(10), said.replace(b"\r\n", b"\n")


@pytest.mark.parametrize("columns", [50, 80])
def test_a_narrow_terminal_of_an_old_encoding(cluster: Cluster, columns: int) -> None:
    cluster.submit("narrow", service("w"))
    agent = cluster.cli.json("agents")[0]["agent_id"]
    for encoding in ("ascii", "latin-1", "utf-8"):
        status, said = on_terminal(
            cluster.cli, "agents", columns=columns, PYTHONIOENCODING=encoding
        )
        text = said.decode(encoding)
        assert status == 0 and agent in text, "what other commands are given is never cut"
        *table, left_out, is_open = text.splitlines()
        assert "\x1b" not in text and all(len(line) <= columns for line in table), text
        assert left_out.startswith("left out: ") and "ATTRIBUTES" in left_out
        assert is_open.startswith("this cluster has no certificates: ")
    piped = cluster.cli.ok("agents")
    assert "HOLDS" in piped and "left out" not in piped


def test_output_that_cannot_be_written_is_a_sentence(cluster: Cluster) -> None:
    for command in (["agents"], ["agents", "--json"], ["--help"], ["leader"]):
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                cluster.cli.argv(*command), stdout=full, stderr=subprocess.PIPE, text=True
            )
        assert done.returncode == 1, done
        assert done.stderr == "pymesos-cli: cannot write the output: No space left on device\n"
    line = " ".join(cluster.cli.argv("agents", "--json"))
    for ending in ("| true", ">&-", "2>&-", "<&- >&- 2>&-"):
        quiet = subprocess.run(["bash", "-c", f"{line} {ending}"], capture_output=True, text=True)
        assert quiet.stderr == "", (ending, quiet)


def test_no_escape_codes_go_into_a_pipe_and_no_lines_are_glued(cluster: Cluster) -> None:
    cluster.submit("seen", service("w"))
    seen = subprocess.Popen(cluster.cli.argv("top"), stdout=subprocess.PIPE, text=True)
    assert seen.stdout is not None
    lines = [seen.stdout.readline() for _ in range(6)]
    seen.terminate()
    seen.stdout.close()
    seen.wait(10)
    assert not any("\x1b" in line for line in lines)
    assert [line.split()[:1] for line in lines].count(["TASK"]) == 2, lines
    together = subprocess.run(
        cluster.cli.argv("run", "--", "printf abc"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said = together.stdout.splitlines()
    assert "abc" in said and said[-1] == "1 finished", said


def test_a_proxy_is_not_asked_for_what_is_in_the_cluster(cluster: Cluster) -> None:
    nowhere = "http://127.0.0.1:9"
    names = ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY")
    env = dict.fromkeys(names, nowhere) | {"no_proxy": "", "NO_PROXY": ""}
    done = cluster.cli.run("--timeout", "5", "run", "--", "echo hello", env=env)
    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr


@contextlib.contextmanager
def http_server() -> Iterator[int]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_what_is_no_master_is_said_in_one_sentence(cluster: Cluster) -> None:
    with http_server() as port:
        for address, says in (
            (cluster.agents[0].address, "something else"),
            (f"127.0.0.1:{port}", "something else"),
            (f"127.0.0.1:{free_port()}", "Connection refused"),
            ("no-such-host.invalid:5050", "there is no host no-such-host.invalid"),
            (f"zk://127.0.0.1:{free_port()}/x", "no ZooKeeper server answers"),
        ):
            done = Cli(address).run("--timeout", "1", "tasks")
            assert done.returncode == 3, done.stderr
            assert says in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
            assert "s3cret" not in done.stderr
            assert ("certificate" in done.stderr) == (says == "something else"), done.stderr


def test_a_reservation_of_disk_alone_is_shown(cluster: Cluster) -> None:
    cli = cluster.cli
    near = cli.run("reserve", "a", "archive", "disk:100")
    assert near.returncode == 2 and "a whole id or host is needed here" in near.stderr
    cli.ok("reserve", "a1", "archive", "disk:100;ports:[24000-24004]")
    (line,) = [x for x in cli.ok("roles").splitlines() if x.startswith("archive")]
    assert "disk 100, ports 5" in line
    said = cli.ok("unreserve", "a1", "archive")
    assert "is no longer reserved for archive" in said and "host a1" in said


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["run", "--", ""], 2, "the command is empty"),
        (["run", "--", "  ", "x"], 2, "the command is empty"),
        (["run", ""], 2, "give a job file"),
        (["logs", ""], 2, "TASK is expected; an empty text is given"),
        (["logs", " "], 2, "TASK is expected; an empty text is given"),
        (["stats", "nothing"], 2, "there is no task 'nothing'"),
        (["tasks", "nothing"], 2, "there is no task 'nothing'"),
        (["tasks", "--framework", ""], 2, "--framework ID is expected; an empty text"),
        (["explain", "task", ""], 2, "TASK is expected; an empty text is given"),
        (["logs", "\x1b[31mred"], 2, "there is no task '\\x1b[31mred'"),
        (["logs", "x" * 100_000], 2, "there is no task 'xxx"),
        (["kill", "\u202egnp"], 2, "there is no task"),
        (["exec", "nothing", "--", ""], 2, "the command is empty"),
        (["logs", "\udcff"], 2, "is not text in UTF-8"),
    ],
)
def test_what_is_wrong_is_said(
    cluster: Cluster, arguments: list[str], code: int, says: str
) -> None:
    done = cluster.cli.run(*arguments)
    assert (done.returncode, says in done.stderr) == (code, True), done.stderr[-500:]
    assert "\x1b" not in done.stderr and "\u202e" not in done.stderr


def offered(cli: Cli, line: str, **env: str) -> list[str]:
    """What is offered after a line, as bash has it: it ends a word at each colon, too."""
    words = re.sub(r"(:)", r" \1 ", line).split() + ([""] if line.endswith(" ") else [])
    given = {
        "COMP_WORDS": " ".join(words),
        "COMP_CWORD": str(len(words) - 1),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "_PYMESOS_CLI_COMPLETE": "bash_complete",
        "PYMESOS_MASTER": cli.master,
    }
    argv = [
        sys.executable,
        "-c",
        "from pymesos_cli.main import main; main(prog_name='pymesos-cli')",
    ]
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=30, env=os.environ | given | env
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    return [said.removeprefix("plain,") for said in done.stdout.splitlines() if "plain," in said]


def test_completion_asks_the_master(cluster: Cluster) -> None:
    cli = cluster.cli
    job_id = cluster.submit("shown", service("w", 1, "touch seen; mkdir dir; exec sleep 1000"))
    wait_for("its files", lambda: "seen" in cli.ok("ls", "shown"))
    assert {f"{job_id}.w.0.1", "shown", "shown.w.0"} <= set(offered(cli, "pymesos-cli logs sh"))
    assert offered(cli, "pymesos-cli stop sh") == ["shown", job_id]
    assert offered(cli, "pymesos-cli teardown bin") == ["binpack"]
    (agent,) = [a["agent_id"] for a in cli.json("agents") if a["hostname"] == "a1"]
    assert offered(cli, "pymesos-cli gone a1") == ["a1", agent]
    assert offered(cli, "pymesos-cli cat shown.w.0 s") == ["seen", "stderr", "stdout"]
    assert offered(cli, "pymesos-cli cp shown:d") == ["dir/"]
    assert offered(cli, f"pymesos-cli --master {cli.master} kill {job_id}.w.0.") == [
        f"{job_id}.w.0.1"
    ]
    for nowhere in (f"127.0.0.1:{free_port()}", "zk://127.0.0.1:1/x", "nonsense"):
        assert offered(cli, "pymesos-cli logs ", PYMESOS_MASTER=nowhere) == []
