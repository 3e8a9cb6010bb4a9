"""A bully on the same agent, on every runtime: it is stopped or contained, its neighbour lives."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from pymesos_core.following import AGENT_KEY
from pymesos_proto.v1 import sandbox_pb2 as pb
from pymesos_proto.v1.sandbox_pb2_grpc import SandboxStub
from pymesos_testing.cli import Cli
from pymesos_testing.components import IMAGE, Roles, free_port, wait_for

EAT_MEMORY = "x=; while :; do x=$x$(head -c 1000000 /dev/zero | tr '\\0' a); done"
# A shell would end at the first process that it is refused.
FORK = """
if command -v perl > /dev/null; then exec perl -e 'while (1) { fork }'; fi
exec awk 'BEGIN { while (1) system("sleep 1000 &") }'
"""
RUNTIMES = ("process", "docker", "oci")


class Cluster:
    """One agent with one runtime, and a framework."""

    def __init__(self, roles: Roles, *flags: str) -> None:
        self.jobs = 0
        self.folder = roles.folder
        master = roles.master()
        self.cli = Cli(master.address)
        self.master = master.address
        self.agent = roles.agent(
            master.address,
            "agent",
            *("--resources", "cpus:8;mem:2048;disk:1024;ports:[23000-23009]"),
            *("--kill-tasks-on-exit", *flags),
        )
        roles.binpack(master.address)
        self.cli.wait_for_agents(1)

    @contextlib.contextmanager
    def events(self) -> Iterator[Path]:
        """A file of all that the master tells of from now on."""
        path = self.folder / "events.json"
        with path.open("wb") as out:
            watcher = subprocess.Popen(self.cli.argv("events", "--json"), stdout=out)
            try:
                wait_for("the first event", lambda: path.stat().st_size > 0)
                yield path
            finally:
                watcher.terminate()
                watcher.wait()

    def submit(self, *tasks: dict[str, Any]) -> str:
        """The id of the job."""
        self.jobs += 1  # one job of a name runs at a time
        text = json.dumps({"name": f"job{self.jobs}", "tasks": [*tasks]})
        return self.cli.ok("run", "-", text=text).split()[1]  # job ID submitted


def image_of(runtime: str) -> dict[str, str]:
    return {"image": IMAGE} if runtime == "docker" else {}


BULLIES: tuple[tuple[dict[str, Any], str, str], ...] = (
    (
        {"name": "memory", "command": EAT_MEMORY, "resources": {"mem": 48}},
        "CONTAINER_LIMITATION_MEMORY",
        "asked for 48 MiB",
    ),
    (
        # What is forked without end is refused at the limit, and cannot hold its neighbour up.
        # Sixty interpreters need about 32 MiB, stacks and page tables of the kernel included:
        # with the usual memory it depends on the day which of the two limits stops them.
        {
            "name": "processes",
            "command": FORK,
            "resources": {"mem": 256},
            "pids_max": 60,
            "max_completion_time_s": 10,
        },
        "MAX_COMPLETION_TIME_REACHED",
        "10 s",
    ),
    (
        {
            "name": "disk",
            "command": "dd if=/dev/zero of=$PYMESOS_SANDBOX/big bs=1M count=60; sleep 1000",
            "resources": {"disk": 20},
        },
        "CONTAINER_LIMITATION_DISK",
        "asked for 20 MiB",
    ),
    (
        {
            "name": "spinner",
            "command": "for i in 1 2 3 4; do (while :; do :; done) & done; wait",
            "max_completion_time_s": 4,
        },
        "MAX_COMPLETION_TIME_REACHED",
        "4 s",
    ),
)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_bullies(runtime: str, roles: Roles, request: pytest.FixtureRequest) -> None:
    flags = ["--runtime", runtime]
    if runtime == "docker":
        flags += ["--docker-host", request.getfixturevalue("docker_host")]
    if runtime == "oci" and os.geteuid() != 0:
        pytest.skip("the oci runtime needs root")
    cluster = Cluster(roles, *flags)
    neighbour = {
        "name": "neighbour",
        "kind": "service",
        "command": "while :; do echo here; sleep 0.2; done",
        **image_of(runtime),
    }
    home = cluster.submit(neighbour)
    cluster.cli.wait_for_tasks(1, state="TASK_RUNNING", name="neighbour")
    (before,) = cluster.cli.tasks(name="neighbour")
    with cluster.events() as events:
        cluster.submit(*({**bully, **image_of(runtime)} for bully, _, _ in BULLIES))
        # It is said while it runs, and a machine that stands still for seconds must not miss it.
        wait_for("what forks without end to be held", lambda: "was refused" in events.read_text())
    cluster.cli.wait_for_tasks(4, 60, state="TASK_FAILED")
    for bully, reason, says in BULLIES:
        (task,) = cluster.cli.tasks(name=str(bully["name"]))
        assert task["reason"] == reason, task
        assert says in (task["message"] or ""), task
    (after,) = cluster.cli.tasks(name="neighbour")
    assert {**after, "usage": before["usage"]} == before, "the same task, in the same state"
    lines = cluster.cli.ok("logs", f"{home}.neighbour.0").count("here")
    wait_for(
        "the neighbour's next words",
        lambda: cluster.cli.ok("logs", f"{home}.neighbour.0").count("here") > lines,
    )


def test_health_and_readiness(roles: Roles) -> None:
    cluster = Cluster(roles, "--runtime", "process")
    cli = cluster.cli
    port = free_port()
    often = {"delay_s": 0, "interval_s": 0.3, "grace_period_s": 0, "consecutive_failures": 2}
    job = cluster.submit(
        {
            "name": "web",
            "kind": "service",
            "command": f"exec python3 -m http.server {port} --bind 127.0.0.1",
            "resources": {"mem": 64},
            "health_check": {**often, "grace_period_s": 30, "command": "test ! -e broken"},
            "readiness_check": {**often, "http": {"port": port}},
        }
    )
    wait_for("well and ready", lambda: cli.tasks(healthy=True, ready=True) != [], 40)
    assert cli.ok("exec", f"{job}.web.0", "--", "touch", "broken") == ""
    wait_for("its end", lambda: cli.tasks(state="TASK_KILLED") != [], 40)
    (task,) = cli.tasks(state="TASK_KILLED")
    assert task["reason"] == "TASK_HEALTH_CHECK_STATUS_UPDATED" and task["healthy"] is False
    assert "its health checks failed: its command exited with status 1" in task["message"]
    wait_for("another", lambda: len(cli.tasks(state="TASK_RUNNING", healthy=True)) == 1, 40)


def test_logs_of_a_job(roles: Roles) -> None:
    cluster = Cluster(roles, "--runtime", "process", "--log-max-size", "1")
    cli = cluster.cli
    many = "i=0; while [ $i -lt 300000 ]; do echo line $i; i=$((i+1)); done; echo oops >&2"
    job = cluster.submit(
        {"name": "long", "command": many},
        {"name": "pair", "kind": "service", "instances": 2, "command": "echo one; exec sleep 100"},
    )
    cli.wait_for_tasks(1, 60, state="TASK_FINISHED")
    cli.wait_for_tasks(2, state="TASK_RUNNING")
    text = cli.ok("logs", f"{job}.long")
    assert text.splitlines() == [f"line {n}" for n in range(300_000)]
    assert cli.ok("logs", f"{job}.long", "--tail", "2") == "line 299998\nline 299999\n"
    assert cli.run("logs", f"{job}.long", "--stderr").stderr == "oops\n"
    assert sorted(cli.ok("logs", f"{job}.pair").splitlines()) == ["pair.0 | one", "pair.1 | one"]
    follower = subprocess.Popen(
        cli.argv("logs", "-f", f"{job}.pair"), stdout=subprocess.PIPE, text=True
    )
    assert follower.stdout is not None
    assert {follower.stdout.readline(), follower.stdout.readline()} == {
        "pair.0 | one\n",
        "pair.1 | one\n",
    }
    follower.terminate()
    follower.stdout.close()
    assert follower.wait(10) != 0


def test_attach_and_what_a_task_uses(roles: Roles) -> None:
    cluster = Cluster(roles, "--runtime", "process")
    cli = cluster.cli
    wait = "echo before; until test -e go; do sleep 0.1; done; echo out; echo err >&2; exit 7"
    burn = "while :; do :; done"
    job = cluster.submit({"name": "waits", "command": wait}, {"name": "burns", "command": burn})
    cli.wait_for_tasks(2, state="TASK_RUNNING")
    follower = subprocess.Popen(
        cli.argv("attach", f"{job}.waits"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(
        "its use of the CPU", lambda: bool((cli.tasks(name="burns")[0]["usage"] or {}).get("cpus"))
    )
    assert cli.tasks(name="burns")[0]["usage"]["mem"] > 0
    assert "burns" in cli.ok("tasks") and "USED" in cli.ok("tasks")
    cli.ok("exec", f"{job}.waits", "--", "touch", "go")
    out, err = follower.communicate(timeout=30)
    assert (out.splitlines()[-1], err, follower.returncode) == ("out", "err\n", 7)
    refused = cli.run("attach", f"{job}.waits")
    assert refused.returncode != 0 and "Traceback" not in refused.stderr
    cli.ok("kill", cli.tasks(name="burns")[0]["task_id"])


def test_exec(roles: Roles) -> None:
    cluster = Cluster(roles, "--runtime", "process")
    cli = cluster.cli
    job = cluster.submit({"name": "t", "kind": "service", "command": "exec sleep 1000"})
    cli.wait_for_tasks(1, state="TASK_RUNNING")
    task = f"{job}.t.0"
    failed = cli.run("exec", task, "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (failed.returncode, failed.stdout, failed.stderr) == (7, "out\n", "err\n")
    assert cli.run("exec", "-i", task, "--", "cat", text="through\n").stdout == "through\n"
    assert cli.run("exec", task, "--", "sh", "-c", "kill -9 $$").returncode == 128 + 9
    missing = cli.run("exec", task, "--", "/no/such")
    assert missing.returncode == 127 and "No such file" in missing.stderr
    assert cli.run("exec", task).returncode == 2, "no command"
    assert cli.run("exec", "none", "--", "true").returncode == 2
    no_terminal = cli.run("exec", "-t", task, "--", "true")
    assert no_terminal.returncode == 2 and "standard input is none" in no_terminal.stderr
    ours, theirs = pty.openpty()
    shell = subprocess.Popen(
        cli.argv("exec", "-it", task, "--", "sh"), stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 111, 0, 0))
    said, typed = b"", False
    deadline = time.monotonic() + 30
    while shell.poll() is None:
        assert time.monotonic() < deadline, said
        if not select.select([ours], [], [], 0.2)[0]:
            continue
        with contextlib.suppress(OSError):
            said += os.read(ours, 4096)
        if not typed and said.endswith((b"# ", b"$ ")):
            os.write(ours, b"stty size; tty; exit 5\n")
            typed = True
    assert shell.wait(10) == 5, said
    assert b"33 111" in said and b"/dev/pts/" in said, said
    os.close(ours)


def test_files_and_stats(roles: Roles, tmp_path: Path) -> None:
    cluster = Cluster(roles, "--runtime", "process")
    cli = cluster.cli
    make = "mkdir -p d/e; echo deep > d/e/f; ln -s /etc/passwd link; echo top > t"
    job = cluster.submit(
        {"name": "t", "kind": "service", "command": f"{make}; while :; do :; done"}
    )
    cli.wait_for_tasks(1, state="TASK_RUNNING")
    task = f"{job}.t.0"
    wait_for("its files", lambda: " t\n" in cli.ok("ls", task))
    assert "d/" in cli.ok("ls", task) and cli.ok("ls", task, "d/e").split()[-1] == "f"
    assert cli.ok("cat", task, "d/e/f") == "deep\n"
    for path in ("link", "../../checkpoint.sqlite", "/etc/passwd", "none"):
        assert cli.run("cat", task, path).returncode == 2, path
    cli.ok("cp", f"{task}:t", str(tmp_path / "copied"))
    assert (tmp_path / "copied").read_text() == "top\n"
    whole = cli.run("cp", f"{task}:", str(tmp_path / "all"))
    assert whole.returncode == 0 and "left out" in whole.stderr, "the link"
    assert (tmp_path / "all/d/e/f").read_text() == "deep\n"
    assert not (tmp_path / "all/link").exists()
    data = os.urandom(300_000)
    (tmp_path / "up").write_bytes(data)
    cli.ok("cp", str(tmp_path / "up"), f"{task}:d/up")
    cli.ok("cp", f"{task}:d/up", str(tmp_path / "down"))
    assert (tmp_path / "down").read_bytes() == data
    for wrong in (("a", "b"), (f"{task}:a", f"{task}:b"), (str(tmp_path / "none"), f"{task}:x")):
        assert cli.run("cp", *wrong).returncode == 2, wrong
    (row,) = cli.json("stats", job)
    assert row["cpus"] > 0.1 and row["mem"] > 0 and row["pids"] >= 1 and row["cpus_limit"] == 0.1
    assert cli.run("stats", "none").returncode == 2

    def accounted() -> dict[str, float]:
        (row,) = cli.json("accounting", "--by", "job")
        assert row["job"] == job.rpartition("-")[0] and row["role"] == "*"
        return row

    wait_for("what it has used", lambda: accounted()["used_cpu_hours"] > 0)
    row = accounted()
    assert row["used_cpu_hours"] > row["asked_cpu_hours"] > 0, "it was alone, and asked for 0.1"
    assert row["asked_mem_gib_hours"] > 0 and row["asked_gpu_hours"] == 0


def test_metrics(roles: Roles) -> None:
    ports = free_port(), free_port()
    master = roles.master("master", "--metrics-port", str(ports[0]))
    flags = ("--runtime", "process", "--kill-tasks-on-exit", "--metrics-port", str(ports[1]))
    roles.agent(master.address, "agent", "--resources", "cpus:3;mem:512", *flags)
    roles.binpack(master.address)
    cli = Cli(master.address)
    cli.wait_for_agents(1)
    task = {"name": "spin", "kind": "service", "command": "while :; do :; done"}
    cli.ok("run", "-", text=json.dumps({"name": "job", "tasks": [task]}))
    cli.wait_for_tasks(1, state="TASK_RUNNING")
    time.sleep(1)

    def scrape(port: int) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
            return str(answer.read().decode())

    of_master, of_agent = scrape(ports[0]), scrape(ports[1])
    for line in (
        "pymesos_master_leads 1.0",
        'pymesos_master_agents{state="active"} 1.0',
        'pymesos_master_tasks{state="TASK_RUNNING"} 1.0',
        'pymesos_master_cpus{kind="total"} 3.0',
        'pymesos_master_cpus{kind="allocated"} 0.1',
        'pymesos_master_mem_bytes{kind="total"} 5.36870912e+08',
    ):
        assert line in of_master.splitlines(), of_master
    (cpu,) = [x for x in of_agent.splitlines() if x.startswith("pymesos_task_cpu_seconds_total{")]
    assert float(cpu.split()[-1]) > 0.2 and 'name="spin"' in cpu
    (mem,) = [x for x in of_agent.splitlines() if x.startswith("pymesos_task_mem_bytes{")]
    assert float(mem.split()[-1]) > 0
    assert 'pymesos_agent_tasks{state="TASK_RUNNING"} 1.0' in of_agent


def test_through_the_master(roles: Roles) -> None:
    """For those whose way to the agents is closed."""
    cluster = Cluster(roles, "--runtime", "process")
    cluster.submit({"name": "t", "command": "echo through"})
    cluster.cli.wait_for_tasks(1, state="TASK_FINISHED")
    (task,) = cluster.cli.tasks()
    request = pb.ReadLogRequest(framework_id=task["framework_id"], task_id=task["task_id"])
    with grpc.insecure_channel(cluster.master) as channel:
        stub = SandboxStub(channel)
        parts = stub.ReadLog(request, metadata=((AGENT_KEY, task["agent_id"]),), timeout=20)
        assert b"".join(part.data for part in parts) == b"through\n"
        with pytest.raises(grpc.RpcError) as caught:
            list(stub.ReadLog(request, metadata=((AGENT_KEY, "none"),), timeout=20))
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND
        request.task_id = "none"
        with pytest.raises(grpc.RpcError) as caught:
            list(stub.ReadLog(request, metadata=((AGENT_KEY, task["agent_id"]),), timeout=20))
        assert "no sandbox of the task" in str(caught.value.details())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has the oci runtime")
def test_tasks_of_a_runtime_that_is_not_there_are_not_given_up(roles: Roles) -> None:
    cluster = Cluster(roles, "--runtime", "process")
    cluster.submit({"name": "t", "kind": "service", "command": "exec sleep 1000"})
    cluster.cli.wait_for_tasks(1, state="TASK_RUNNING")
    cluster.agent.kill()
    argv = [sys.executable, "-m", "pymesos_agent.main", "--master", cluster.master, "--port", "0"]
    argv += ["--work-dir", str(roles.folder / "agent"), "--runtime", "oci"]
    argv += ["--resources", "cpus:8;mem:2048;disk:1024;ports:[23000-23009]"]
    refused = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert refused.returncode == 1 and "Traceback" not in refused.stderr
    assert "has tasks of the runtime process, which is not there now" in refused.stderr
    argv[argv.index("oci")] = "process"
    roles.start("agent", *argv[2:], "--hostname", "agent", "--kill-tasks-on-exit")
    cluster.cli.wait_for_agents(1)
    (task,) = cluster.cli.tasks()
    assert task["state"] == "TASK_RUNNING"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has the oci runtime")
def test_an_agent_dies_and_its_oci_container_does_not(roles: Roles, tmp_path: Path) -> None:
    flags = ("--runtime", "oci", "--resources", "cpus:2;mem:512;disk:512")
    master = roles.master()
    cli = Cli(master.address)
    agent = roles.agent(master.address, "agent", *flags)
    roles.binpack(master.address)
    cli.wait_for_agents(1)
    tasks = [
        {"name": "stays", "kind": "service", "command": "while :; do echo x; sleep 0.1; done"},
        {"name": "ends", "command": "sleep 3; exit 9"},
        {"name": "eats", "command": f"sleep 3; {EAT_MEMORY}", "resources": {"mem": 48}},
    ]
    text = json.dumps({"name": "job", "tasks": tasks})
    assert cli.run("run", "-", text=text).returncode == 0
    cli.wait_for_tasks(3, state="TASK_RUNNING")
    agent.kill()
    time.sleep(5)
    roles.agent(master.address, "agent", *flags, "--kill-tasks-on-exit")
    cli.wait_for_tasks(2, 60, state="TASK_FAILED")
    (ends,), (eats,) = cli.tasks(name="ends"), cli.tasks(name="eats")
    assert ends["exit_status"] == 9
    assert eats["reason"] == "CONTAINER_LIMITATION_MEMORY"
    (stays,) = cli.tasks(name="stays")
    assert stays["state"] == "TASK_RUNNING"
    lines = cli.ok("logs", stays["task_id"]).count("x")
    wait_for("more of its words", lambda: cli.ok("logs", stays["task_id"]).count("x") > lines)
