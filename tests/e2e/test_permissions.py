"""A cluster with a policy, as real processes: who may do what, as a person types it."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pymesos_testing.cli import Cli
from pymesos_testing.components import Roles, passable_folder, wait_for
from pymesos_testing.tls import TlsCluster

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "operators-guide.md"
(POLICY,) = re.findall(r"```yaml\n(groups:.*?)```", GUIDE.read_text("utf-8"), re.S)


@pytest.fixture(scope="module")
def cluster() -> Iterator[TlsCluster]:
    with passable_folder() as folder, contextlib.closing(Roles(folder)) as roles:
        (file := roles.folder / "policy.yaml").write_text(POLICY)
        yield TlsCluster(roles, ("--policy", str(file), "--gateways", "2"), "prod/ci")


def denied(cli: Cli, *argv: str) -> str:
    """What is said of a command that is denied."""
    done = cli.run(*argv)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.split())


def test_who_may_do_what(cluster: TlsCluster) -> None:
    alice, ci, bob = map(cluster.cli_of, ("operator/alice", "operator/ci-1", "operator/bob"))
    command = "sh -c 'echo up; sleep 600'"
    (file := cluster.roles.folder / "web.yaml").write_text(
        "name: web\nrole: prod/ci\ntasks:\n- name: t\n  kind: service\n"
        f"  command: {command}\n"
        "  resources: {cpus: 0.1, mem: 32}\n"
    )
    said = denied(bob, "run", str(file))
    assert "operator/bob may not read in any role" in said
    assert "`pymesos-cli whoami` shows those that do name you" in said
    ci.ok("run", str(file))
    alice.wait_for_tasks(1, state="TASK_RUNNING")
    (task,) = ci.json("tasks")
    task_id = task["task_id"]
    wait_for("its log", lambda: "up\n" in ci.ok("logs", task_id))
    assert "may not exec in the role prod/ci" in denied(ci, "exec", task_id, "--", "id")
    assert "may not read files in the role prod/ci" in denied(ci, "cat", task_id, "stdout")
    assert "may not kill in any role" in denied(ci, "kill", task_id)
    assert "may not stop in the role prod/ci" in denied(ci, "stop", "web")
    assert alice.ok("exec", task_id, "--", "echo", "in") == "in\n"
    alice.ok("stop", "web")


def test_a_framework_stays_where_it_may_be(cluster: TlsCluster) -> None:
    tls = cluster.issue("framework/other")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pymesos_binpack.main", "--listen", "--tls", tls),
            *("--master", cluster.master.address, "--state-dir", str(cluster.roles.folder / "o")),
        ],
        capture_output=True, text=True, timeout=30, env=os.environ, check=False,
    )  # fmt: skip
    assert done.returncode == 1, "it may be let in later"
    assert "framework/other may not subscribe in the role *" in done.stderr
    assert "Its tasks run on for the failover timeout" in done.stderr


def test_the_policy_is_shown_checked_and_set(cluster: TlsCluster) -> None:
    alice, ci = cluster.cli_of("operator/alice"), cluster.cli_of("operator/ci-1")
    assert alice.ok("policy", "show") == POLICY
    assert "may not manage the policy: no rule" in denied(ci, "policy", "show")
    assert alice.ok("can", "operator/ci-1", "logs", "prod/ci").startswith("yes: line 8, {who: ci")
    assert ci.run("can", "operator/ci-1", "exec", "prod/ci").returncode == 1
    assert "operator/ci-1, whose certificate ends" in ci.ok("whoami")
    (wrong := cluster.roles.folder / "wrong.yaml").write_text("allow:\n- {who: ops, do: [fly]}\n")
    done = alice.run("policy", "check", str(wrong))
    assert done.returncode == 2 and "line 2: who is 'ops'" in " ".join(done.stderr.split())
    (more := cluster.roles.folder / "more.yaml").write_text(
        POLICY + "- {who: operator/bob, do: [read], role: prod/ci}\n"
    )
    assert alice.ok("policy", "check", str(more)) == "a policy of 4 rules and 2 groups\n"
    done = alice.run("policy", "set", str(more), "--instead-of", "7")
    assert done.returncode == 1 and "is of version 1" in " ".join(done.stderr.split())
    bob = cluster.cli_of("operator/bob")
    denied(bob, "tasks")
    alice.ok("policy", "set", str(more), "--instead-of", "1")
    bob.ok("tasks")


def test_a_gateway_that_is_killed_costs_its_peers_a_reconnect(cluster: TlsCluster) -> None:
    alice = cluster.cli_of("operator/alice")
    (file := cluster.roles.folder / "stays.json").write_text(
        '{"name": "stays", "role": "prod/ci", "tasks": [{"name": "t", "kind": "service",'
        ' "command": "sleep 600", "resources": {"cpus": 0.1, "mem": 32}}]}'
    )
    alice.ok("run", str(file))
    alice.wait_for_tasks(1, state="TASK_RUNNING")
    (before,) = alice.tasks(state="TASK_RUNNING")
    gateways = psutil.Process(cluster.master.process.pid).children()
    assert len(gateways) == 2, "as --gateways says"
    for gateway in gateways:
        gateway.kill()
    wait_for("an answer", lambda: alice.run("whoami").returncode == 0)
    wait_for("its agent", lambda: alice.json("agents")[0]["state"] == "active")
    alice.ok("scale", "stays.t=2")
    alice.wait_for_tasks(2, state="TASK_RUNNING")
    running = {task["task_id"] for task in alice.tasks(state="TASK_RUNNING")}
    assert before["task_id"] in running
    left = psutil.Process(cluster.master.process.pid).children()
    assert len(left) == 2 and not {one.pid for one in left} & {one.pid for one in gateways}
    alice.ok("stop", "stays")
