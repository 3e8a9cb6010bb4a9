"""An agent whose Docker engine ends and comes back, as an operator sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pymesos_testing.cli import Cli, job
from pymesos_testing.components import (
    IMAGE,
    MissingError,
    Roles,
    dockerd,
    import_busybox,
    wait_for,
)


def test_its_tasks_are_neither_lost_nor_stuck(roles: Roles, engine_folder: Path) -> None:
    master = roles.master()
    flags = (
        "--docker-host",
        f"unix://{engine_folder}/docker.sock",
        "--resources",
        "cpus:4;mem:999",
    )
    cli = Cli(master.address)
    try:
        with dockerd(engine_folder) as host:
            import_busybox(host)
            agent = roles.agent(master.address, "agent", *flags)
            roles.binpack(master.address)
            cli.wait_for_agents(1)
            service = job("service", command="exec sleep 1000", image=IMAGE, runtime="docker")
            assert cli.run("run", "-", "--wait", text=service).returncode == 0
            (first,) = cli.tasks(state="TASK_RUNNING")
    except MissingError as error:
        pytest.skip(str(error))

    def listed() -> bool:
        return "docker" in cli.json("agents")[0]["runtime"].split(",")

    wait_for("it is not offered", lambda: not listed())
    cli.ok("kill", first["task_id"])
    (task,) = cli.tasks(name=first["name"])
    assert task["state"] == "TASK_RUNNING" and "Unknown for now" in task["message"]
    agent.kill()
    agent = roles.agent(master.address, "agent", *flags, "--kill-tasks-on-exit")
    (task,) = cli.tasks(name=first["name"])
    assert task["state"] == "TASK_RUNNING"
    with dockerd(engine_folder):
        wait_for("it is offered again", listed, 40)
        wait_for("the other one ended", lambda: cli.tasks(state="TASK_KILLED") != [])
        cli.wait_for_tasks(1, 40, state="TASK_RUNNING")
        (second,) = cli.tasks(state="TASK_RUNNING")
        assert second["task_id"] != first["task_id"]
        agent.signal(15)
        agent.ended()
    text = agent.log.read_text()
    assert text.count("does not answer") <= 5 and "Traceback" not in text
