"""Guests on what an owner holds and does not use: real load, on a real cluster."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pymesos_testing.cli import Cli
from pymesos_testing.components import Roles, wait_for

PYTHON = "/usr/bin/python3"
HALF_IDLE = """
import time
while True:
    end = time.process_time() + 0.04
    while time.process_time() < end:
        pass
    time.sleep(0.06)
"""
BUSY = f"exec {PYTHON} -c 'while True: pass'"


def begin(cli: Cli, name: str, command: str, **task: Any) -> None:
    made = {"name": name, "command": command, "resources": {"cpus": 1, "mem": 32}, **task}
    cli.ok("run", "-", text=json.dumps({"name": name, "tasks": [made]}))


def used(cli: Cli) -> float:
    """The CPUs that all tasks use, as agents measure them."""
    tasks = cli.tasks(state="TASK_RUNNING")
    return sum(float((task["usage"] or {}).get("cpus") or 0) for task in tasks)


@pytest.mark.timeout(240)
def test_a_half_idle_cluster_is_used_by_a_third_more_until_owners_want_it(roles: Roles) -> None:
    master = roles.master()
    cli = Cli(master.address)
    flags = ("--resources", "cpus:2;mem:512", "--runtime", "process", "--kill-tasks-on-exit")
    roles.agent(master.address, "agent", *flags, "--revocable-margin", "20")
    roles.binpack(master.address)
    cli.wait_for_agents(1)
    begin(cli, "owner", f"exec {PYTHON} -c '{HALF_IDLE}'", kind="service")
    cli.wait_for_tasks(1, state="TASK_RUNNING", name="owner")
    wait_for("the owner to be measured", lambda: used(cli) > 0.05, 60)
    alone = max(used(cli), 0.2)  # where others keep the machine busy it has less than it wants

    begin(cli, "guest", BUSY, revocable=True)
    cli.wait_for_tasks(1, 90, state="TASK_RUNNING", name="guest")
    wait_for("a third more to be used", lambda: used(cli) > alone * 4 / 3, 90)

    begin(cli, "second", BUSY, kind="service")
    cli.wait_for_tasks(1, 60, state="TASK_RUNNING", name="second")
    cli.wait_for_tasks(1, 60, state="TASK_KILLED", name="guest")
    (guest,) = cli.tasks(state="TASK_KILLED", name="guest")
    assert guest["reason"] == "RESOURCES_REVOKED", guest
    assert "pending" in cli.ok("jobs", "guest"), "it waits, though it has no retries"
