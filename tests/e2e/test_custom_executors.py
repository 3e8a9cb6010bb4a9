"""A framework's own executor on a real agent: the example of the documentation."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pymesos_testing.cli import Cli
from pymesos_testing.components import Roles, free_port, wait_for

EXAMPLE = Path(__file__).parents[2] / "frameworks/examples/counting_executor.py"


class Example:
    def __init__(self, folder: Path, master: str, tasks: int, steps: int) -> None:
        self.log = folder / "framework.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(EXAMPLE), master, str(tasks), str(steps)],
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def said(self, pattern: str) -> list[str]:
        return re.findall(pattern, self.log.read_text(), re.M)

    def wait(self, pattern: str, count: int, timeout_s: float = 60) -> None:
        wait_for(
            f"{count} times {pattern} in {self.log.read_text()}",
            lambda: len(self.said(pattern)) >= count,
            timeout_s,
        )


@pytest.fixture
def examples() -> Iterator[list[Example]]:
    started: list[Example] = []
    yield started
    for example in started:
        example.process.kill()
        example.process.wait()


def test_many_tasks_in_one_process(roles: Roles, tmp_path: Path, examples: list[Example]) -> None:
    master = roles.master()
    flags = ("--resources", "cpus:2;mem:1024", "--runtime", "process", "--kill-tasks-on-exit")
    roles.agent(master.address, "agent", *flags)
    cli = Cli(master.address)
    cli.wait_for_agents(1)
    example = Example(tmp_path, master.address, 8, 5)
    examples.append(example)
    example.wait("TASK_FINISHED", 8)
    pids = set(example.said(r"in process (\d+)"))
    assert len(pids) == 1 and len(example.said("counted to 5")) == 8
    assert example.process.wait(30) == 0
    wait_for("the end of the executor", lambda: not Path(f"/proc/{min(pids)}").exists(), 30)
    for task in cli.tasks(state="TASK_FINISHED"):
        assert "stdout" in cli.ok("ls", task["task_id"]), "the files of its executor"


def test_it_outlives_the_agent_and_dies_with_its_tasks(
    roles: Roles, tmp_path: Path, examples: list[Example]
) -> None:
    master = roles.master()
    cli = Cli(master.address)
    resources = ("--resources", "cpus:2;mem:1024", "--runtime", "process", "--kill-tasks-on-exit")
    flags = (*resources, "--port", str(free_port()))
    agent = roles.agent(master.address, "agent", *flags)
    cli.wait_for_agents(1)
    example = Example(tmp_path, master.address, 2, 36_000)  # steps: it outlasts the test
    examples.append(example)
    example.wait("TASK_RUNNING", 2)
    agent.signal(signal.SIGKILL)
    agent.process.wait()
    again = roles.agent(master.address, "agent", *flags)
    wait_for("the agent's return", lambda: cli.json("agents")[0]["state"] == "active", 30)
    assert len(cli.tasks(state="TASK_RUNNING")) == 2
    cli.ok("kill", cli.tasks()[0]["task_id"])
    example.wait("TASK_KILLED", 1)
    (left,) = cli.tasks(state="TASK_RUNNING")
    said = cli.ok("exec", left["task_id"], "--", "sh", "-c", "echo $PYMESOS_EXECUTOR_ID; pwd")
    assert said.startswith("counter\n")
    (executor,) = executors(again.address)
    executor.kill()
    example.wait(r"TASK_FAILED Its executor has ended: .*Killed", 1)
    example.wait(r"counter has ended with status -9", 1)
    assert example.process.wait(30) == 0


def executors(agent: str) -> list[psutil.Process]:
    """The processes that this agent started as executors."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            environment = process.environ()
            if "PYMESOS_EXECUTOR_ID" in environment and environment["PYMESOS_AGENT"] == agent:
                found.append(process)
    return found
