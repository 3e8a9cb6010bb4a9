"""Tasks that do not run as the agent's user, and images whose root is nobody."""

from __future__ import annotations

import json
import os

import pytest

from pymesos_testing.cli import Cli, job
from pymesos_testing.components import MissingError, Roles, wait_for
from pymesos_testing.registry import busybox_layer, write_layout

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs tasks of other users")
BASE = 400_000


def start(roles: Roles, *flags: str, role: str = "*") -> Cli:
    """One agent, whose work directory is its own to make."""
    master = roles.master()
    resources = ("--resources", "cpus:4;mem:1024;disk:1024;ports:[24000-24009]")
    roles.agent(master.address, "agent", *resources, "--kill-tasks-on-exit", *flags)
    roles.binpack(master.address, "binpack", "--role", role)
    cli = Cli(master.address)
    cli.wait_for_agents(1)
    return cli


def test_a_task_of_another_user(roles: Roles) -> None:
    """The task uses its own sandbox, and reads neither those of others nor the agent's files."""
    cli = start(roles, "--runtime", "process")
    theirs = job("service", command="echo theirs; exec sleep 60", env={"SECRET": "x"})
    assert cli.run("run", "-", "--wait", text=theirs).returncode == 0
    script = (
        "id -un; echo mine > file; cat file; cd $PYMESOS_SANDBOX/.. || exit 3; ls;"
        f" cat {roles.folder}/agent/guarded/sandboxes/*/*/stdout ../../../checkpoint.sqlite*;"
        " ls ../../../pipes; true"
    )
    other = job(command=script, user="nobody", retries=0).replace('"job"', '"other"')
    mine = cli.run("run", "-", "--wait", text=other)
    assert mine.returncode == 0, mine.stderr
    (task,) = cli.tasks(state="TASK_FINISHED")
    assert cli.ok("logs", task["task_id"]).split() == ["nobody", "mine"]


def test_an_image_whose_root_is_nobody(roles: Roles) -> None:
    """As its users meet it: health checks, a volume, files, commands, logs."""
    try:
        write_layout(roles.folder / "image", [busybox_layer()], {})
    except MissingError as error:
        pytest.skip(str(error))
    namespaced = ("--user-namespace-base", str(BASE), "--allow-host-paths", str(roles.folder))
    cli = start(roles, *namespaced, role="db")
    document = {
        "name": "us",
        "role": "db",
        "tasks": [
            {
                "name": "t",
                "kind": "service",
                "image": f"oci:{roles.folder}/image:image",
                "command": "id -u; cat /proc/self/uid_map; cd $PYMESOS_SANDBOX; echo x > own;"
                " echo kept >> data/log; test -e data/again && exec sleep 1000;"
                " touch data/again; exit 1",
                "volumes": [{"name": "data", "path": "data", "size": 10}],
                "health_check": {"command": "test $(id -u) = 0", "delay_s": 0, "interval_s": 0.2},
            }
        ],
    }
    assert cli.run("run", "-", text=json.dumps(document)).returncode == 0
    cli.wait_for_tasks(1, state="TASK_FAILED")
    cli.wait_for_tasks(1, state="TASK_RUNNING")
    (task,) = cli.tasks(state="TASK_RUNNING")
    assert cli.ok("logs", task["task_id"]).split() == ["0", "0", str(BASE), "65536"]
    assert cli.ok("cat", task["task_id"], "own") == "x\n"
    said = cli.ok("exec", task["task_id"], "--", "cat", "/mnt/pymesos/sandbox/data/log")
    assert said == "kept\nkept\n" == cli.ok("cat", task["task_id"], "data/log")
    wait_for("the check", lambda: cli.tasks(state="TASK_RUNNING")[0]["healthy"])
