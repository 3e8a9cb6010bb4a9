"""A framework with a store is killed, and its next run goes on with what it had."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from pymesos_core.store import Store
from pymesos_testing.cli import Cli
from pymesos_testing.components import Roles

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "frameworks/examples/durable_framework.py"


def test_a_framework_that_was_killed_goes_on_with_its_task(roles: Roles, tmp_path: Path) -> None:
    master = roles.master()
    roles.agent(master.address, "agent", "--runtime", "process", "--kill-tasks-on-exit")
    argv = [sys.executable, str(EXAMPLE), master.address, str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        framework_id, knows = first.stdout.readline().split(" ", 1)
        assert knows == "knows []\n"
        while first.stdout.readline() != "nap TASK_RUNNING\n":
            assert first.poll() is None
        os.kill(first.pid, signal.SIGKILL)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as again:
        assert again.stdout is not None
        assert again.stdout.readline() == f"{framework_id} knows ['nap']\n"
        assert again.stdout.readline() == "nap TASK_RUNNING\n", "asked for"
        Cli(master.address).ok("kill", "nap")
        heard = again.stdout.read()
        assert heard.endswith("nap TASK_KILLED\n"), heard
        assert again.wait(30) == 0
    left = Store(tmp_path / "state.sqlite")
    assert left.load() == {("seen", "nap"): b"TASK_KILLED"}, "it has left the cluster"
    left.close()
