"""A job that `pymesos-cli run` runs itself, where no Jobs service is: found, ended, cleaned up."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pymesos_testing.cli import Cli
from pymesos_testing.components import Roles, passable_folder, wait_for


@pytest.fixture(scope="module")
def cli() -> Iterator[Cli]:
    """A master and an agent without a bin-packing framework."""
    with passable_folder() as folder, contextlib.closing(Roles(folder)) as roles:
        master = roles.master()
        resources = "cpus:4;mem:1024;disk:100;ports:[24200-24249]"
        roles.agent(master.address, "h1", "--resources", resources, "--kill-tasks-on-exit")
        made = Cli(master.address)
        made.wait_for_agents(1)
        yield made


def runs(cli: Cli, name: str) -> bool:
    found = cli.tasks(name="w", state="TASK_RUNNING")
    return any(task["task_id"].startswith(f"{name}-") for task in found)


@contextlib.contextmanager
def hosting(cli: Cli, folder: Path, name: str) -> Iterator[subprocess.Popen[str]]:
    """`run` of a job of one service that runs and one task that no agent can run."""
    tasks = [
        {"name": "w", "kind": "service", "command": "exec sleep 1000"},
        {"name": "never", "command": "true", "constraints": ["rack:IS:none"]},
    ]
    file = folder / f"{name}.json"
    file.write_text(json.dumps({"name": name, "tasks": tasks}))
    with (folder / f"{name}.errors").open("w") as errors:
        running = subprocess.Popen(
            cli.argv("run", str(file)),
            stdout=subprocess.DEVNULL, stderr=errors, text=True,
            env=os.environ | {"TMPDIR": str(folder)},
        )  # fmt: skip
    try:
        wait_for("it runs", lambda: runs(cli, name))  # beside those of others
        yield running
    finally:
        if running.poll() is None:
            running.send_signal(signal.SIGINT)
            running.wait(30)


def test_it_is_found_and_stopped(cli: Cli, tmp_path: Path) -> None:
    with hosting(cli, tmp_path, "here") as running:
        (listed,) = cli.json("jobs")
        job_id = listed["job_id"]
        assert re.fullmatch("here-[0-9a-f]{8}", job_id)
        assert (listed["state"], listed["counts"]) == ("running", {"running": 1})
        where = f"the command `pymesos-cli run` (process {running.pid} on {os.uname().nodename})"
        assert f"{job_id} is run by {where}, and ends with it" in cli.ok("jobs")
        watched = cli.run("watch", "here")
        assert watched.returncode == 2 and where in watched.stderr
        assert f"`pymesos-cli stop {job_id}` ends it" in watched.stderr
        why = cli.run("explain", "task", "here.never.0")
        assert why.returncode == 2 and where in why.stderr and "explain framework" in why.stderr
        framework = cli.json("frameworks")[0]["framework_id"]
        assert "h1" in cli.ok("explain", "framework", framework)
        killed = cli.run("kill", "here.w.0")
        assert f"`pymesos-cli stop {job_id}` ends its job" in killed.stderr
        assert cli.run("stop", "her").returncode == 2, "what destroys takes a whole name"
        said = cli.ok("stop", "here")
        assert said == f"stopping {job_id}, and with it {where}\n"
        assert running.wait(30) == 1
        cli.wait_for_tasks(0, name="w", state="TASK_RUNNING")
        error = (tmp_path / "here.errors").read_text()
        stopped = f"Error: the job {job_id} was stopped, with its tasks, and not by this command: "
        assert "Traceback" not in error and stopped in error, error
        assert "Torn down by an operator. `pymesos-cli stop` and" in error
    gone = cli.run("stop", "here")
    assert gone.returncode == 2 and "there is no job 'here'" in gone.stderr
    assert not list(tmp_path.glob("pymesos-run-*"))


def test_what_one_that_was_killed_left_goes_with_the_next(cli: Cli, tmp_path: Path) -> None:
    with hosting(cli, tmp_path, "dead") as running:
        (folder,) = tmp_path.glob("pymesos-run-*")
        with hosting(cli, tmp_path, "alive") as other:
            assert folder.is_dir(), "it is held by a process that lives"
            running.kill()
            killed_s = time.monotonic()
            running.wait(10)
            wait_for("its end", lambda: {"disconnected"} <= {
                f["state"] for f in cli.json("frameworks")
            })  # fmt: skip
            done = cli.run("run", "--", "echo hello", env={"TMPDIR": str(tmp_path)})
            assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr
            if time.monotonic() - killed_s < 25:  # else its own time may have been over first
                assert re.search(r"ended the job dead-[0-9a-f]{8}: the command", done.stderr)
            assert not folder.exists() and len(list(tmp_path.glob("pymesos-run-*"))) == 1
            assert other.poll() is None
            wait_for(
                "its tasks' end",
                lambda: len(cli.tasks(name="w", state="TASK_RUNNING")) == 1,
            )
            assert [j["job_id"][:5] for j in cli.json("jobs")] == ["alive"]
