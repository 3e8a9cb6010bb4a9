"""Agents are cordoned, drained and activated by the installed commands, with real processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from pymesos_testing.cli import Cli
from pymesos_testing.components import Roles, wait_for

SERVICES = 5


def service(name: str, **more: object) -> dict[str, object]:
    """One that is ready a second after its start."""
    return {
        "name": name,
        "kind": "service",
        "command": "sleep 1; touch ready; exec sleep 1000",
        "resources": {"cpus": 0.1, "mem": 16},
        "readiness_check": {"command": "test -e ready", "delay_s": 0, "interval_s": 0.2},
        **more,
    }


class Cluster:
    """Two agents, and a framework that runs jobs of the role db."""

    def __init__(self, roles: Roles) -> None:
        master = roles.master()
        self.cli = Cli(master.address)
        for name in ("agent0", "agent1"):
            roles.agent(
                master.address,
                name,
                *("--resources", "cpus:4;mem:1024;disk:1024", "--runtime", "process"),
                "--kill-tasks-on-exit",
            )
        roles.binpack(master.address, "dbs", "--role", "db")
        self.cli.wait_for_agents(2)

    def agent(self, name: str) -> dict[str, Any]:
        return next(a for a in self.cli.json("agents") if a["hostname"] == name)

    def run(self, *tasks: dict[str, object]) -> None:
        job = {"name": "shop", "role": "db", "tasks": list(tasks)}
        self.cli.ok("run", "-", text=json.dumps(job))
        wait_for("all run", lambda: len(self.cli.tasks(state="TASK_RUNNING")) == len(tasks))

    def on(self, name: str) -> list[dict[str, Any]]:
        return [t for t in self.cli.tasks(state="TASK_RUNNING") if t["hostname"] == name]


@pytest.fixture
def cluster(roles: Roles) -> Iterator[Cluster]:
    yield Cluster(roles)


def test_services_of_one_instance_move_before_they_end(cluster: Cluster) -> None:
    cli = cluster.cli
    cli.ok("cordon", "agent1")
    assert cluster.agent("agent1")["drain"]["state"] == "cordoned"
    cluster.run(*(service(f"s{n}") for n in range(SERVICES)))
    assert len(cluster.on("agent0")) == SERVICES
    cli.ok("activate", "agent1")
    said = cli.ok("drain", "agent0", "--deadline", "10m", "--wait")
    assert "is drained" in said
    moved = {task["name"]: task for task in cluster.on("agent1")}
    assert len(moved) == SERVICES
    for old in cli.json("tasks", "--all"):
        if old["hostname"] == "agent0":
            # A second after its start the other one is ready; only then this one was killed.
            assert old["finished_at"] >= moved[old["name"]]["started_at"], old
    assert cluster.agent("agent0")["drain"]["state"] == "drained"
    assert "drained" in cli.ok("agents")


def test_what_cannot_move_is_named_and_killed_at_the_deadline(cluster: Cluster) -> None:
    cli = cluster.cli
    volume = {"name": "data", "path": "data", "size": 64}
    cluster.run(service("base", volumes=[volume]))
    (task,) = cli.tasks(state="TASK_RUNNING")
    done = cli.run("drain", task["hostname"], "--deadline", "8s", "--wait")
    assert done.returncode == 0, done.stderr
    assert "its volume" in done.stderr and task["task_id"] in done.stderr
    (ended,) = [t for t in cli.json("tasks", "--all") if t["task_id"] == task["task_id"]]
    assert (ended["state"], ended["reason"]) == ("TASK_KILLED", "AGENT_DRAINING")
    said = cli.ok("explain", "task", "shop.base.0")
    assert "drain" in said, said
    cli.ok("activate", task["hostname"])
    wait_for("it is back", lambda: len(cluster.on(task["hostname"])) == 1)


def test_what_replaces_a_task_and_has_no_place_is_named(cluster: Cluster) -> None:
    cli = cluster.cli
    cluster.run(service("s"))
    (task,) = cli.tasks(state="TASK_RUNNING")
    other = {"agent0": "agent1", "agent1": "agent0"}[task["hostname"]]
    cli.ok("cordon", other)
    done = cli.run("drain", task["hostname"], "--deadline", "8s", "--wait")
    assert f"{task['task_id']} RUNNING: what replaces it waits: " in done.stderr
    cli.ok("activate", other)
    wait_for("it runs there", lambda: len(cluster.on(other)) == 1)


def test_an_empty_agent_is_gone_after_its_drain(cluster: Cluster) -> None:
    said = cluster.cli.ok("drain", "agent1", "--then-gone", "--wait")
    assert "is gone" in said
    assert cluster.agent("agent1")["state"] == "gone"


def test_a_window_is_planned_and_answered(cluster: Cluster) -> None:
    cli = cluster.cli
    cluster.run(service("s"))
    (task,) = cli.tasks(state="TASK_RUNNING")
    cli.ok("maintenance", "schedule", task["hostname"], "--start", "+1h", "--duration", "2h")

    def answers() -> list[str]:
        (window,) = cli.json("maintenance", "list")
        assert window["duration_s"] == 7200
        return [said["answer"] for said in window["answers"]]

    wait_for("it is answered", lambda: answers() == ["accepted"])
    assert "accepted" in cli.ok("maintenance", "list")
    cli.ok("maintenance", "cancel", task["hostname"])
    assert cli.json("maintenance", "list") == []
