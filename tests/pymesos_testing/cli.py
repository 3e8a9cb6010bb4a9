"""`pymesos-cli` as a person types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Any

from click.testing import CliRunner, Result

from pymesos_cli.main import main
from pymesos_testing.components import wait_for


@dataclass
class Cli:
    """Commands against one master."""

    master: str
    timeout_s: float = 90.0

    def argv(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "pymesos_cli", "--master", self.master, *arguments]

    def run(
        self, *arguments: str, text: str | None = None, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; never with a traceback."""
        done = subprocess.run(
            self.argv(*arguments),
            capture_output=True,
            text=True,
            input=text,
            timeout=self.timeout_s,
            env=os.environ | (env or {}),
        )
        assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
        return done

    def ok(self, *arguments: str, text: str | None = None) -> str:
        """The output of a command, which must end with 0."""
        done = self.run(*arguments, text=text)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def json(self, *arguments: str) -> list[dict[str, Any]]:
        """What a command lists. It runs in this process: many ask so until an answer changes."""
        _, _, _, *words = self.argv(*arguments, "--json")  # after: python -m pymesos_cli
        results: list[Result] = []
        # The test may have an event loop of its own; a command that hangs does not keep it.
        thread = threading.Thread(
            target=lambda: results.append(CliRunner().invoke(main, words)), daemon=True
        )
        thread.start()
        thread.join(self.timeout_s)
        assert results, f"{words} has not ended after {self.timeout_s:g} s"
        (done,) = results
        assert done.exit_code == 0, f"{done.output} {done.exception!r}"
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found

    def tasks(self, **wanted: object) -> list[dict[str, Any]]:
        """All tasks, the completed ones too, with these values."""
        return [
            task
            for task in self.json("tasks", "--all")
            if all(task[key] == value for key, value in wanted.items())
        ]

    def running(self) -> list[str]:
        """The ids of the tasks that run."""
        return sorted(task["task_id"] for task in self.tasks(state="TASK_RUNNING"))

    def wait_for_tasks(self, number: int, timeout_s: float = 30.0, **wanted: object) -> None:
        try:
            wait_for("they", lambda: len(self.tasks(**wanted)) == number, timeout_s)
        except AssertionError as error:
            there = f"{number} tasks with {wanted}; there are {self.tasks()}"
            raise AssertionError(f"{there}: {error}") from error

    def wait_for_agents(self, number: int, state: str = "active", timeout_s: float = 30.0) -> None:
        wait_for(
            f"{number} agents {state}",
            lambda: [a["state"] for a in self.json("agents")].count(state) == number,
            timeout_s,
        )


def job(kind: str = "batch", instances: int = 1, command: str = "true", **task: object) -> str:
    """A job file of one task, as JSON."""
    made = {"name": "t", "kind": kind, "instances": instances, "command": command, **task}
    return json.dumps({"name": "job", "tasks": [made]})
