"""`pymesos-cli events` over a failover: nothing is missed, nothing comes twice."""

from __future__ import annotations

import json
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

from pymesos_testing.cli import Cli
from pymesos_testing.components import Roles, wait_for

JOB = {"name": "many", "tasks": [{"name": "t", "instances": 5, "command": "sleep 1000",
       "resources": {"cpus": 0.1, "mem": 10}}]}  # fmt: skip


def test_events_survive_a_failover(roles: Roles, tmp_path: Path) -> None:
    master = roles.master()
    cli = Cli(master.address)
    roles.agent(master.address)
    roles.binpack(master.address)
    wait_for("a framework", lambda: len(cli.json("frameworks")) == 1)
    cli.ok("run", "-", text=json.dumps(JOB))
    cli.wait_for_tasks(5, state="TASK_RUNNING")
    seen = tmp_path / "events.json"

    def events() -> list[dict[str, Any]]:
        return [json.loads(line) for line in seen.read_text().splitlines()]

    def count(task_id: str, state: str) -> int:
        return sum((e["task_id"], e["task_state"]) == (task_id, state) for e in events())

    with seen.open("wb") as out:
        watcher = subprocess.Popen(cli.argv("events", "--json"), stdout=out)
    try:
        ids = [task["task_id"] for task in cli.json("tasks")]
        wait_for("the state", lambda: all(count(i, "TASK_RUNNING") for i in ids))
        port = int(master.address.rpartition(":")[2])
        master.signal(signal.SIGKILL)
        master.process.wait()
        roles.master(port=port)
        wait_for("the tasks", lambda: len(cli.json("tasks", "--state", "running")) == 5)
        cli.ok("kill", ids[0])
        wait_for("a task's end", lambda: count(ids[0], "TASK_KILLED") > 0, timeout_s=30)
        assert watcher.poll() is None, "it goes on"
        told = Counter((e["task_id"], e["task_state"]) for e in events() if e["task_id"])
        assert {told[task_id, "TASK_RUNNING"] for task_id in ids} == {1}
        assert not [e for e in events() if e["kind"] == "task_absent"]
    finally:
        watcher.send_signal(signal.SIGINT)
        watcher.wait(10)
