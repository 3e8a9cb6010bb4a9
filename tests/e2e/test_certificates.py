"""A cluster with certificates, as real processes: who gets in, and who does not."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pymesos_testing.cli import Cli, job
from pymesos_testing.components import Roles, passable_folder, wait_for
from pymesos_testing.tls import TlsCluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[TlsCluster]:
    with passable_folder() as folder, contextlib.closing(Roles(folder)) as roles:
        yield TlsCluster(roles)


def test_all_that_people_do_works(cluster: TlsCluster) -> None:
    cli = cluster.cli
    assert "hello\n" in cli.ok("run", "--", "echo", "hello")
    text = job("service", command="echo up; sleep 600")
    (file := cluster.roles.folder / "web.json").write_text(text)
    cli.ok("run", str(file))
    cli.wait_for_tasks(1, state="TASK_RUNNING")
    (task,) = (task["task_id"] for task in cli.tasks(state="TASK_RUNNING"))
    assert cli.ok("exec", task, "--", "echo", "inside") == "inside\n"
    wait_for("its log", lambda: "up\n" in cli.ok("logs", task))
    (agent,) = cli.json("agents")
    assert agent["principal"] == "agent/node-1"
    (framework,) = [f for f in cli.json("frameworks") if f["name"] == "binpack"]
    assert framework["principal"] == "framework/binpack"
    (listed,) = (job for job in cli.json("jobs") if job["state"] == "running")
    cli.ok("stop", listed["job_id"])


@pytest.mark.parametrize("kind", ["master", "agent", "framework"])
def test_the_certificate_of_another_kind_is_not_an_operators(
    cluster: TlsCluster, kind: str
) -> None:
    done = cluster.cli_of(f"{kind}/mallory").run("tasks")
    assert done.returncode == 2 and "expected is one of operator/NAME" in done.stderr


def test_nobody_gets_in_without_a_certificate(cluster: TlsCluster) -> None:
    for role in (cluster.master, cluster.agent, cluster.binpack):
        done = Cli(role.address).run("--timeout", "2", "tasks")
        assert done.returncode == 3, done.stdout + done.stderr
        assert "name yours with --tls or PYMESOS_TLS" in done.stderr


def test_nobody_gets_in_with_the_certificate_of_another_authority(cluster: TlsCluster) -> None:
    other = cluster.make_authority("other")
    done = cluster.cli_of("operator/alice", other).run("tasks")
    assert done.returncode == 3 and "is it that cluster's" in done.stderr


def test_a_framework_is_resumed_by_its_own_principal_only(cluster: TlsCluster) -> None:
    cluster.start_binpack("mine")
    tls = cluster.issue("framework/thief")
    state = cluster.roles.folder / "mine"
    victim = next(role for role in cluster.roles._started if role.name == "mine")
    victim.signal(signal.SIGTERM)
    assert victim.ended() == 0
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pymesos_binpack.main", "--listen", "--tls", tls),
            *("--master", cluster.master.address, "--state-dir", str(state)),
        ],
        capture_output=True, text=True, timeout=30, env=os.environ, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "Changing framework's principal is not allowed" in done.stderr


def test_a_renewed_certificate_is_used_without_a_restart(cluster: TlsCluster) -> None:
    folder = Path(cluster.issue("master/m1"))
    log = cluster.master.log
    before = log.read_text().count("a new certificate is in use")
    assert cluster.cli.ok("leader")
    wait_for("it", lambda: log.read_text().count("a new certificate is in use") > before)
    (folder / "cert.pem").write_text("half")
    assert cluster.cli.ok("leader"), "what was read before stays in use"
    cluster.issue("operator/alice")
    assert cluster.cli.ok("leader")
