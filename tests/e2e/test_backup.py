"""docs/backup.md, done: what its blocks copy is put back, and the cluster goes on from it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from pymesos_testing.cli import Cli
from pymesos_testing.components import MissingError, Roles, ZooKeeper, free_port, wait_for

PAGE = Path(__file__).resolve().parents[2] / "docs/backup.md"


def do(title: str, folder: Path) -> None:
    """Run a block of the page."""
    found = re.findall(rf"<!-- tested: {title} -->\n```sh\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    assert len(found) == 1, title
    names = {"MASTER_DIR": "master", "AGENT_DIR": "agent", "BINPACK_DIR": "binpack"}
    env = {name: str(folder / place) for name, place in names.items()}
    env |= {"ZK_DATA": str(folder / "zk/data"), "BACKUP": str(folder / "backup")}
    (folder / "backup").mkdir(exist_ok=True)
    done = subprocess.run(
        ["bash", "-euc", found[0]], env=os.environ | env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def service(name: str) -> str:
    task = {"name": "plain", "kind": "service", "runtime": "process", "command": "exec sleep 999"}
    return json.dumps({"name": name, "tasks": [task]})


AGENT = ("--resources", "cpus:4;mem:512;ports:[24000-24009]")


def test_the_databases_of_one_master(roles: Roles) -> None:
    port = free_port()
    master = roles.master(port=port)
    cli = Cli(master.address)
    agent = roles.agent(master.address, "agent", *AGENT)
    binpack = roles.binpack(master.address)
    # It is not restored, so that it knows the later epochs, and too small for a task.
    roles.agent(master.address, "witness", "--resources", "cpus:0.01;mem:1;ports:[24010-24019]")
    cli.wait_for_agents(2)
    cli.ok("weights", "eng=3")
    cli.ok("run", "-", text=service("before-backup"))
    cli.wait_for_tasks(1, state="TASK_RUNNING")
    (kept,) = cli.running()
    do("copy", roles.folder)
    cli.ok("weights", "ops=2")
    cli.ok("run", "-", text=service("after-backup"))
    cli.wait_for_tasks(2, state="TASK_RUNNING")
    for _ in range(2):  # so that the epoch of the backup is an old one
        master.signal(signal.SIGTERM)
        assert master.ended() == 0
        master = roles.master(port=port)
        cli.wait_for_agents(2)
    for role in (binpack, agent, master):
        role.signal(signal.SIGTERM)
        assert role.ended() == 0, role.log.read_text()[-2000:]
    do("restore", roles.folder)
    master = roles.master(port=port)
    roles.agent(master.address, "agent", *AGENT)
    roles.binpack(master.address)
    wait_for("what to do", lambda: "start the masters with --min-epoch" in master.log.read_text())
    (said,) = set(re.findall(r"--min-epoch (\d+)", master.log.read_text()))
    master.signal(signal.SIGTERM)
    assert master.ended() == 0
    roles.master("master", "--min-epoch", said, port=port)
    cli.wait_for_agents(2)
    wait_for("only what was in the backup", lambda: cli.running() == [kept])
    weights = {role["role"]: role["weight"] for role in cli.json("roles")}
    assert weights["eng"] == 3 and "ops" not in weights
    wait_for("the job", lambda: [j["name"] for j in cli.json("jobs")] == ["before-backup"])


def test_zookeeper(roles: Roles) -> None:
    zookeeper = ZooKeeper(roles.folder / "zk")
    try:
        zookeeper.start()
    except MissingError as error:
        pytest.skip(str(error))
    try:
        url = f"zk://{zookeeper.address}/pymesos"
        zk = ("--zk", url, "--zk-session-timeout", "2")
        cli = Cli(url)
        master = roles.master("master", *zk)
        roles.agent(url, "agent", *AGENT, "--zk-session-timeout", "2", "--kill-tasks-on-exit")
        cli.wait_for_agents(1)
        cli.ok("weights", "eng=3")
        do("copy ZooKeeper", roles.folder)
        cli.ok("weights", "ops=2")
        master.signal(signal.SIGTERM)
        assert master.ended() == 0
        zookeeper.stop()
        do("restore ZooKeeper", roles.folder)
        zookeeper.start()
        roles.master("master", *zk, "--min-epoch", "7")
        cli.wait_for_agents(1)
        weights = {role["role"]: role["weight"] for role in cli.json("roles")}
        assert weights["eng"] == 3 and "ops" not in weights
    finally:
        roles.close()
        zookeeper.stop()
