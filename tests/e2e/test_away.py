"""The machine of the bin-packing framework is down, and jobs are submitted twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pymesos_testing.cli import Cli, job
from pymesos_testing.components import Roles, wait_for

SLEEP = job("service", command="exec sleep 1000")


@pytest.fixture
def cli(roles: Roles) -> Cli:
    master = roles.master()
    resources = ("--resources", "cpus:4;mem:1024;disk:1024;ports:[23000-23010]")
    roles.agent(master.address, "agent0", *resources, "--kill-tasks-on-exit")
    cli = Cli(master.address, 120)
    cli.wait_for_agents(1)
    return cli


def test_one_job_of_a_name(roles: Roles, cli: Cli, tmp_path: Path) -> None:
    roles.binpack(cli.master)
    first = cli.ok("run", "-", "--wait", text=SLEEP).split()[1]
    again = cli.run("run", "-", text=SLEEP)
    assert again.returncode == 1 and f"pymesos-cli stop {first}" in again.stderr
    assert len(cli.json("jobs")) == 1
    assert cli.ok("run", "--", "echo one") == "one\n"
    cli.ok("stop", first)
    assert cli.run("run", "-", "--wait", text=SLEEP).returncode == 0


def test_a_framework_that_is_away(roles: Roles, cli: Cli) -> None:
    binpack = roles.binpack(cli.master)
    job_id = cli.ok("run", "-", "--wait", text=SLEEP).split()[1]
    binpack.kill()
    wait_for("it is gone", lambda: cli.json("frameworks")[0]["state"] == "disconnected")
    listed = cli.run("jobs", "--json")
    assert listed.returncode == 0 and "framework binpack (" in listed.stderr
    assert "is not reachable: it is disconnected from the master" in listed.stderr
    (view,) = json.loads(listed.stdout)
    assert (view["job_id"], view["name"], view["state"]) == (job_id, "job", "unreachable")
    assert view["counts"] == {"running": 1}
    for command in (("stop", job_id), ("stop", "job"), ("watch", "job")):
        done = cli.run(*command)
        assert done.returncode == 1 and f"the job {job_id} cannot be reached" in done.stderr
    refused = cli.run("run", "--", "echo no")
    assert refused.returncode == 1 and "--here" in refused.stderr and not refused.stdout
    explained = cli.run("explain", "task", "other")
    assert explained.returncode != 0 and "is not reachable" in explained.stderr
    assert cli.run("run", "--here", "--", "echo here").stdout == "here\n"
    roles.binpack(cli.master)
    wait_for("it is back", lambda: cli.json("jobs")[0]["state"] == "running")
    assert len(cli.tasks(state="TASK_RUNNING")) == 1, "its tasks ran on"


def test_explain_tells_of_a_quota_a_back_off_and_a_stop(roles: Roles, cli: Cli) -> None:
    roles.binpack(cli.master, "prod", "--role", "prod")
    cli.ok("quota", "set", "prod", "--limit", "cpus:1")
    for name, cpus, command in (("large", 2, "sleep 1000"), ("crashes", 0.1, "exit 3")):
        task = {"name": "t", "kind": "service", "command": command, "resources": {"cpus": cpus}}
        cli.ok("run", "-", text=json.dumps({"name": name, "role": "prod", "tasks": [task]}))
    said = ""

    def says(name: str, text: str) -> bool:
        nonlocal said
        said = cli.run("explain", "task", f"{name}.t.0").stdout
        return text in said

    wait_for("the limit", lambda: says("large", "is at its limit"))
    assert "of 1 at most" in said and "quota set" in said, said
    (job_id,) = [job["job_id"] for job in cli.json("jobs") if job["name"] == "large"]
    assert f"`pymesos-cli explain task {job_id}.t.0` says what" in cli.ok("jobs", "large")
    wait_for("the back-off", lambda: says("crashes", "times in a row"))
    assert "the next start is due in" in said and "suppressed" not in said
    cli.ok("stop", "crashes")
    wait_for("why it is over", lambda: says("crashes", "not started again: its job was stopped"))
    cli.ok("quota", "remove", "prod")
    wait_for("it runs", lambda: len(cli.tasks(state="TASK_RUNNING")) == 1, 5)
