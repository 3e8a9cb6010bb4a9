"""Certificates that live for seconds, under load; and those that are revoked."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pymesos_core.security.authority import Authority, read_authority
from pymesos_core.security.credentials import Credentials
from pymesos_core.security.identities import read_principal
from pymesos_core.security.issuing import issue
from pymesos_testing.cli import Cli, job
from pymesos_testing.components import Role, Roles, wait_for
from pymesos_testing.tls import TlsCli

LIFETIME_S = 8.0
FIRST_LIFETIME_S = 25.0  # until all have started
RENEWED = "a new certificate is in use"


class Cluster:
    """A master, an agent and the bin-packing framework, each of which renews all the time."""

    def __init__(self, roles: Roles, lifetime_s: float, zk_url: str = "") -> None:
        """With `zk_url` another instance of the framework stands by."""
        self.roles, self.lifetime_s = roles, lifetime_s
        folder = roles.folder / "prod"
        Cli("none").ok("cluster", "init", str(folder), "--name", "prod")
        self.roots = (folder / "root.pem").read_bytes()
        self.authority: Authority = read_authority(
            (folder / "intermediate.pem").read_bytes(), (folder / "intermediate.key").read_bytes()
        )
        master = self.issue("master/m1", folder / "master")
        lifetime = ("--certificate-lifetime", str(lifetime_s))
        self.master = roles.master("master", "--tls", master, *lifetime)
        self.cli = TlsCli(self.master.address, str(folder / "operator"))
        self.agent = roles.agent(
            self.master.address,
            "node-1",
            *("--tls", self.issue("agent/node-1"), "--executor-port", "0"),
            *("--runtime", "process", "--kill-tasks-on-exit"),
            *("--resources", "cpus:8;mem:4096;disk:1000;ports:[31000-32000]"),
        )
        elected = ("--zk", zk_url, "--zk-session-timeout", "2") if zk_url else ()
        self.binpack = self._instance("binpack", *elected)
        self.cli.wait_for_agents(1)
        if zk_url:
            wait_for("it leads", lambda: self.leads(self.binpack))
            self.standby = self._instance("standby", *elected)

    def _instance(self, name: str, *more: str) -> Role:
        """An instance of the framework, with a certificate of its own."""
        tls = self.issue("framework/binpack", self.roles.folder / f"tls-{name}")
        return self.roles.binpack(self.master.address, name, "--tls", tls, *more)

    def leads(self, instance: Role) -> bool:
        """Whether it is the framework to the master."""
        there = [(each["state"], each["jobs_address"]) for each in self.cli.json("frameworks")]
        return there == [("active", instance.address)]

    def issue(self, principal: str, folder: Path | None = None) -> str:
        """A folder with a certificate that lives hardly longer than those of the master."""
        folder = folder or self.roles.folder / f"tls-{principal.replace('/', '-')}"
        to = read_principal("prod", principal)
        lifetime_s = max(self.lifetime_s, FIRST_LIFETIME_S)
        issue(folder, to, self.authority, self.roots, lifetime_s, time.time())
        return str(folder)

    def renewals(self, role: Role) -> int:
        return role.log.read_text().count(RENEWED)


@pytest.fixture
def cluster(roles: Roles, zk_url: str) -> Cluster:
    return Cluster(roles, LIFETIME_S, zk_url)


@pytest.fixture
def events(cluster: Cluster) -> Iterator[Path]:
    """What somebody sees who watches from the beginning."""
    path = cluster.roles.folder / "events"
    with path.open("wb") as out:
        watching = subprocess.Popen(cluster.cli.argv("events", "--json"), stdout=out)
    yield path
    watching.terminate()
    watching.wait()


def test_nothing_is_lost_while_certificates_are_renewed(cluster: Cluster, events: Path) -> None:
    cli, tasks, began_s = cluster.cli, 150, time.monotonic()
    files = {
        "web.json": job("service", command="while :; do date; sleep 1; done"),
        "batch.json": job(instances=tasks, command="sleep 0.3", resources={"cpus": 0.5, "mem": 16}),
    }
    for name, text in files.items():
        named = text.replace('"job"', f'"{name.removesuffix(".json")}"')
        (cluster.roles.folder / name).write_text(named)
    cli.ok("run", str(cluster.roles.folder / "web.json"))
    cli.wait_for_tasks(1, state="TASK_RUNNING")
    (service,) = cli.tasks()
    alice = TlsCli(cluster.master.address, cluster.issue("operator/alice"))
    serial = Credentials(Path(alice.tls)).current().chain
    cli.ok("run", str(cluster.roles.folder / "batch.json"))
    roles = (cluster.master, cluster.agent, cluster.binpack, cluster.standby)
    while min(map(cluster.renewals, roles)) < 5:  # so streams have ended with theirs
        assert time.monotonic() < began_s + 120, [cluster.renewals(role) for role in roles]
        alice.ok("agents")
    assert Credentials(Path(alice.tls)).current().chain != serial, "the CLI renews, too"
    wait_for("all", lambda: len(cli.tasks(state="TASK_FINISHED")) == tasks, 90)
    others = [task for task in cli.tasks() if task["state"] != "TASK_FINISHED"]
    assert [(task["task_id"], task["state"]) for task in others] == [
        (service["task_id"], "TASK_RUNNING")
    ]
    assert len(cli.json("agents")) == 1
    # One that stood by for longer than its first certificate lasted goes on.
    cluster.binpack.kill()
    wait_for("the standby leads", lambda: cluster.leads(cluster.standby))
    assert cli.running() == [service["task_id"]]
    assert cli.ok("scale", "web.t=2", "--wait")
    seen = events.read_text()
    for task in cli.tasks(state="TASK_FINISHED"):
        assert task["task_id"] in seen


def test_what_is_revoked_ends(roles: Roles) -> None:
    cluster = Cluster(roles, 600)
    cli = cluster.cli
    (cluster.roles.folder / "long.json").write_text(job(command="echo up; sleep 600"))
    cli.ok("run", str(cluster.roles.folder / "long.json"))
    cli.wait_for_tasks(1, state="TASK_RUNNING")
    bob = TlsCli(cluster.master.address, str(cluster.roles.folder / "bob"))
    token = cli.ok("cluster", "token", "operator/bob").strip()
    Cli("none").ok("cluster", "join", bob.tls, token)
    following = [
        subprocess.Popen(bob.argv(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for words in (("events",), ("logs", "-f", "job"), ("watch", "job"))
    ]
    for one in following:
        assert one.stdout is not None and one.stdout.readline()
    cli.ok("cluster", "revoke", "operator/bob")
    for one in following:
        _, said = one.communicate(timeout=30)
        assert one.returncode != 0 and b"revoked" in said, said
    refused = bob.run("agents")
    assert refused.returncode != 0 and "revoked" in refused.stderr
    assert [view["name"] for view in cli.json("cluster", "revoked")] == ["operator/bob"]
    cli.ok("cluster", "revoke", "agent/node-1")
    cli.wait_for_agents(1, "disconnected")
    wait_for("it is refused", lambda: "is revoked" in cluster.agent.log.read_text())
    cli.ok("cluster", "revoke", "--undo", "agent/node-1")
    wait_for("its end", lambda: len(cli.tasks(state="TASK_RUNNING")) == 1)
