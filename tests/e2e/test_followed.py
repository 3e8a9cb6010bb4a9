"""What people follow in a cluster with certificates, while its master and its agent are killed."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pymesos_testing.cli import job
from pymesos_testing.components import Roles, wait_for
from pymesos_testing.tls import TlsCluster

COUNTS = "n=0; while true; do n=$((n+1)); echo line $n; sleep 0.05; done"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[TlsCluster]:
    roles = Roles(tmp_path)
    try:
        yield TlsCluster(roles)
    finally:
        roles.close()


def started(cluster: TlsCluster, command: str) -> str:
    """The id of a task that runs a command."""
    (file := cluster.roles.folder / "web.json").write_text(job("service", command=command))
    cluster.cli.ok("run", str(file))
    cluster.cli.wait_for_tasks(1, state="TASK_RUNNING")
    return cluster.cli.running()[0]


def test_logs_go_on_where_they_were_when_another_master_leads(cluster: TlsCluster) -> None:
    task = started(cluster, COUNTS)
    out = cluster.roles.folder / "followed"
    with out.open("wb") as file:
        following = subprocess.Popen(cluster.cli.argv("logs", "-f", task), stdout=file)
    try:
        wait_for("some lines", lambda: out.read_bytes().count(b"\n") > 5)
        port = int(cluster.master.address.rpartition(":")[2])
        cluster.master.kill()
        before = out.read_bytes().count(b"\n")
        tls = cluster.issue("master/m1")
        cluster.master = cluster.roles.master("master", "--tls", tls, port=port)
        wait_for("more lines", lambda: out.read_bytes().count(b"\n") > before + 40, 60)
        assert following.poll() is None
    finally:
        following.kill()
        following.wait()
    lines = out.read_text().splitlines()[:-1]
    assert lines == [f"line {number}" for number in range(1, len(lines) + 1)]


def test_a_command_of_exec_ends_with_its_agent(cluster: TlsCluster) -> None:
    task = started(cluster, "exec sleep 1000")
    inside = subprocess.Popen(cluster.cli.argv("exec", task, "--", "sleep", "1234.5"))

    def commands() -> list[psutil.Process]:
        return [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == COMMAND]

    wait_for("the command", lambda: len(commands()) == 1)
    cluster.agent.signal(signal.SIGKILL)
    cluster.agent.ended()
    inside.wait(60)
    assert commands(), "an agent that is killed cannot end it"
    cluster.agent = cluster.start_agent("node-1")
    assert not commands()
    cluster.cli.wait_for_tasks(1, state="TASK_RUNNING")
    assert cluster.cli.running() == [task]


COMMAND = ["sleep", "1234.5"]
