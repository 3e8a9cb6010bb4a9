"""Masters, agents and ZooKeeper as containers on a network of their own, by testcontainers."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pymesos_testing.cli import Cli, job
from pymesos_testing.components import wait_for

ROOT = Path(__file__).resolve().parents[2]
IMAGE = "pymesos:local"
ZOOKEEPER = """
set -e
mkdir -p /tmp/zk
printf '%s\\n' tickTime=500 dataDir=/tmp/zk clientPort=2181 admin.enableServer=false > /tmp/zoo.cfg
export JVMFLAGS=-Xmx128m ZOO_LOG_DIR=/tmp/zk ZOO_LOG4J_PROP=WARN,CONSOLE ZOOPIDFILE=/tmp/zk/pid
exec /usr/share/zookeeper/bin/zkServer.sh start-foreground /tmp/zoo.cfg
"""
HERE = "--ip $(hostname -i) --no-auth --i-know --hostname $(hostname)"
MASTER = f"exec pymesos-master {HERE} --zk zk://zk:2181/pymesos --zk-session-timeout 2"
AGENT = f"""
exec pymesos-agent {HERE} --master zk://zk:2181/pymesos --runtime process --work-dir /tmp/agent \
  --resources 'cpus:2;mem:512;disk:100'
"""
BINPACK = f"exec pymesos-binpack {HERE} --listen --master zk://zk:2181/pymesos --state-dir /tmp/s"

Start = Callable[[str, str], Any]


@pytest.fixture(scope="module")
def start(docker_host: str) -> Iterator[Start]:
    """`start(name, script)` runs a container on the test's own network."""
    env = {"DOCKER_HOST": docker_host, "TESTCONTAINERS_RYUK_DISABLED": "true"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        subprocess.run([str(ROOT / "deploy/docker/build-local.sh"), IMAGE], check=True, timeout=600)
        from testcontainers.core.container import DockerContainer
        from testcontainers.core.network import Network

        started: list[Any] = []
        with Network() as network:

            def run(name: str, script: str) -> Any:
                container = (
                    DockerContainer(IMAGE)
                    .with_command(["/bin/sh", "-c", script])
                    .with_network(network)
                    .with_network_aliases(name)
                    .with_kwargs(hostname=name, init=True)
                )
                started.append(container.start())
                return started[-1]

            yield run
            for container in reversed(started):
                container.stop()


def address(container: Any) -> str:
    """The container's address on the network."""
    wrapped = container.get_wrapped_container()
    wrapped.reload()
    (network,) = wrapped.attrs["NetworkSettings"]["Networks"].values()
    return str(network["IPAddress"])


def logs(container: Any) -> str:
    out, errors = container.get_logs()
    return str((out + errors).decode()[-2000:])


@pytest.mark.timeout(900)
def test_a_cluster_of_containers(start: Start) -> None:
    assert "DOCKER_HOST" in os.environ
    zookeeper = start("zk", ZOOKEEPER)
    masters = [start(f"master{n}", MASTER) for n in range(3)]
    agents = [start(f"agent{n}", AGENT) for n in range(3)]
    start("binpack", BINPACK)
    cli = Cli(f"zk://{address(zookeeper)}:2181/pymesos")
    wait_for("a leader", lambda: cli.run("--timeout", "2", "leader").returncode == 0, 60)
    cli.wait_for_agents(3)
    wait_for("the framework", lambda: len(cli.json("frameworks")) == 1)

    spread = job("service", 3, "exec sleep 1000", constraints=["hostname:UNIQUE"])
    done = cli.run("run", "-", "--wait", text=spread)
    assert done.returncode == 0, done.stdout + done.stderr
    placed = {t["hostname"] for t in cli.tasks(state="TASK_RUNNING")}
    assert placed == {"agent0", "agent1", "agent2"}

    by_address = {address(master): master for master in masters}
    leader = cli.ok("leader").split(":")[0]
    by_address[leader].get_wrapped_container().kill("SIGKILL")
    others = by_address.keys() - {leader}
    wait_for("another leader", lambda: cli.ok("leader").split(":")[0] in others, 60)
    cli.wait_for_agents(3)
    batch = job(instances=30, command="sleep 0.2").replace('"name": "job"', '"name": "batch"')
    done = cli.run("run", "-", "--wait", text=batch)
    assert done.returncode == 0, done.stdout + done.stderr + logs(agents[0])
    assert len(cli.tasks(state="TASK_RUNNING")) == 3, "the services were not disturbed"
