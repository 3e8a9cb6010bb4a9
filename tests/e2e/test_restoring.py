"""`pymesos-cli backup` and `restore`, as docs/backup.md has them: a fresh cluster is the same."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pymesos_testing.cli import Cli
from pymesos_testing.components import Role, Roles, passable_folder, wait_for
from pymesos_testing.tls import TlsCluster

PAGE = Path(__file__).resolve().parents[2] / "docs/backup.md"
PLANTED = f"planted-{os.urandom(8).hex()}"
POLICY = """\
allow:
- {who: operator/alice, do: ["*"], role: "**"}
- {who: operator/dev, do: [submit, read, read-env], role: prod}
- who: framework/binpack
  do: [subscribe, serve, launch, reserve]
  role: "**"
  as: {user: ["", "*"], images: ["", "*"], networks: ["*"]}
"""
TELLS = 'cat "$PYMESOS_SECRETS/db"; exec sleep 900'
WEB = {
    "name": "web",
    "kind": "service",
    "instances": 2,
    "command": TELLS,
    "resources": {"cpus": 0.1, "mem": 16},
    "secrets": [{"name": "db", "path": "db"}],
}
CACHE = {
    "name": "cache",
    "kind": "service",
    "command": "exec sleep 900",
    "resources": {"cpus": 0.1, "mem": 16},
}


class Cluster(TlsCluster):
    """A closed cluster with a folder and an authority of its own; agents come on demand."""

    def __init__(self, folder: Path, *of_master: str) -> None:
        folder.mkdir(mode=0o755)
        self.roles = Roles(folder)
        self.authority = self.make_authority("prod")
        self.tls = self.issue("master/m1")
        self.master = self.roles.master("master", "--tls", self.tls, *of_master)
        self.cli = self.cli_of("operator/alice")

    def grow(self) -> Role:
        self.start_binpack("binpack", role="prod")
        agent = self.start_agent("node-1")
        self.cli.wait_for_agents(1)
        wait_for("a framework", lambda: bool(self.cli.json("frameworks")))
        return agent

    def do(self, title: str, backup: Path, key_of: Path | None = None) -> tuple[int, str]:
        """Run a block of the page; its exit status, and what it said."""
        text = PAGE.read_text("utf-8")
        found = re.findall(rf"<!-- tested: {title} -->\n```sh\n(.*?)```", text, re.S)
        assert len(found) == 1, title
        env = {
            "BACKUP": str(backup),
            "PYMESOS_MASTER": self.master.address,
            "PYMESOS_TLS": str(self.issue("operator/alice")),
            "MASTER_TLS": str(self.tls),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        done = subprocess.run(
            ["bash", "-euc", found[0]],
            env=os.environ | env,
            capture_output=True,
            text=True,
            timeout=120,
        )
        said = done.stdout + done.stderr
        assert "Traceback" not in said and PLANTED not in said, said
        return done.returncode, said

    def running(self) -> list[str]:
        """The names of what runs, each as often as it does."""
        tasks = self.cli.json("tasks")
        return sorted(t["name"] for t in tasks if t["state"] == "TASK_RUNNING")

    def applied(self, name: str, *tasks: dict[str, Any]) -> None:
        document = {"name": name, "role": "prod", "tasks": list(tasks)}
        self.cli.ok("apply", "-", text=json.dumps(document))

    def described(self, job_id: str, version: int) -> dict[str, Any]:
        """A version of a job: its file, who made it when, and how."""
        said: Any = self.cli.json("describe", job_id, "--version", str(version))
        return {key: said[key] for key in ("version", "made_at", "made_by", "what", "job")}

    def told(self) -> dict[str, Any]:
        """What this is about, as operators see it."""
        jobs: dict[str, Any] = {}
        for job in self.cli.json("jobs"):
            numbers = [version["version"] for version in self.cli.json("history", job["job_id"])]
            jobs[job["name"]] = [self.described(job["job_id"], number) for number in numbers]
        roles = {
            r["role"]: (r["weight"], r["guarantees"], r["limits"]) for r in self.cli.json("roles")
        }
        agents = {a["hostname"]: (a["reserved"], (a["drain"] or {}).get("state"))
                  for a in self.cli.json("agents")}  # fmt: skip
        secrets = [(s["role"], s["name"]) for s in self.cli.json("secret", "list")]
        policy = self.cli.ok("policy", "show")
        return {
            "jobs": jobs,
            "roles": roles,
            "agents": agents,
            "secrets": secrets,
            "policy": policy,
        }


@pytest.fixture
def folder() -> Iterator[Path]:
    with passable_folder() as path:
        yield path


@pytest.mark.timeout(400)
def test_a_fresh_cluster_is_what_the_first_was_told(folder: Path) -> None:
    backup = folder / "backup"
    (backup / "apart").mkdir(parents=True)
    (policy := folder / "policy.yaml").write_text(POLICY)
    first = Cluster(folder / "first", "--policy", str(policy))
    second: Cluster | None = None
    try:
        first.grow()
        first.cli.ok("weights", "prod=3")
        first.cli.ok("quota", "set", "prod", "--limit", "cpus:2;mem:1024")
        first.cli.ok("secret", "set", "prod", "db", text=PLANTED)
        first.cli.ok("reserve", "node-1", "prod", "cpus:1")
        first.applied("shop", WEB)
        first.applied("shop", {**WEB, "env": {"MODE": "new"}})
        first.cli.ok("scale", "shop.web=3")
        first.applied("store", CACHE)
        first.applied("store", {**CACHE, "command": "exec sleep 901"})
        ran = ["cache", "web", "web", "web"]
        wait_for("its services", lambda: first.running() == ran, 60)
        first.cli.ok("cordon", "node-1")
        status, said = first.do("back up", backup)
        assert status == 0, said
        assert "2 jobs (5 versions)" in said and "1 secret" in said
        file = backup / "cluster.backup"
        assert file.stat().st_mode & 0o777 == 0o600
        assert PLANTED not in file.read_text()
        told = first.told()
        done = first.cli.run("backup", str(file))
        assert done.returncode == 2 and "is there already" in done.stderr
        done = first.cli_of("operator/dev").run("backup", str(folder / "dev"))
        assert done.returncode == 1 and "operator/dev may not manage the policy" in done.stderr
        assert not (folder / "dev").exists()
        assert "Operator.ListSealedSecrets" in first.cli.ok("audit", "--json")
        first.roles.close()

        second = Cluster(folder / "second")
        second.grow()
        done = second.cli.run("restore", str(file))
        assert done.returncode == 1, done.stderr
        words = " ".join(done.stderr.split())
        assert "the secret db of prod is sealed by the key" in words and "--secrets-key" in words
        assert not second.cli.json("jobs"), "nothing is done"
        status, said = second.do("look first", backup)
        assert status == 1 and "add        the secret db of prod" in said, said
        assert "the job shop of the role prod, version 3, with 2 earlier ones" in said
        assert not second.cli.json("jobs"), "it is a plan"
        status, said = second.do("restore it", backup)
        assert status == 0, said
        assert "secrets: 1 added" in said and "jobs: 2 added" in said, said
        assert second.told() == told
        second.cli.ok("activate", "node-1")
        wait_for("its services", lambda: second.running() == ran, 60)
        task = next(t["task_id"] for t in second.cli.json("tasks") if t["name"] == "web")
        wait_for("the secret", lambda: PLANTED in second.cli.ok("logs", task))

        assert second.do("look first", backup)[0] == 1, "the cordon is to be added again"
        second.cli.ok("cordon", "node-1")
        assert second.do("look first", backup)[0] == 0
        clash(second.cli, file, backup / "apart/secrets.key")
    finally:
        first.roles.close()
        if second is not None:
            second.roles.close()


def clash(cli: Cli, file: Path, key: Path) -> None:
    """Something of the same name is there, and differs."""
    cli.ok("weights", "prod=4")
    cli.ok("secret", "set", "prod", "db", text="other")
    cli.ok("scale", "shop.web=2")
    version = {job["name"]: job["version"] for job in cli.json("jobs")}["shop"]
    again = ("restore", str(file), "--secrets-key", str(key))
    done = cli.run(*again)
    assert done.returncode == 1 and "3 things of the backup are in the way" in done.stderr
    assert "differs    the weight of prod, 3: it is 4 here" in done.stderr
    assert "tasks.web.instances: 2 here, 3 in the backup" in done.stderr
    cli.ok(*again, "--existing", "keep")
    assert {r["role"]: r["weight"] for r in cli.json("roles")}["prod"] == 4
    cli.ok(*again, "--existing", "replace")
    assert {r["role"]: r["weight"] for r in cli.json("roles")}["prod"] == 3
    # By its number of instances, and by the secret, which has its former value again.
    assert {job["name"]: job["version"] for job in cli.json("jobs")}["shop"] > version
    assert cli.run(*again, "--plan").returncode == 0


def test_masters_that_have_the_key_open_it_and_what_is_not_reached_is_said(folder: Path) -> None:
    first = Cluster(folder / "first")
    second: Cluster | None = None
    file = folder / "backup"
    try:
        first.cli.ok("secret", "set", "prod", "db", text=PLANTED)
        binpack = first.start_binpack("binpack", role="prod")
        wait_for("it serves", lambda: bool(first.cli.json("frameworks")))
        binpack.kill()
        wait_for("it is away", lambda: first.cli.json("frameworks")[0]["state"] != "active")
        done = first.cli.run("backup", str(file))
        assert done.returncode == 1 and "is not reachable" in done.stderr
        assert not file.exists()
        file = folder / "backup.incomplete"
        assert file.exists(), "the rest is in it"
        keys = folder / "keys"
        keys.write_bytes((Path(first.tls) / "secrets.key").read_bytes())
        keys.chmod(0o600)
        second = Cluster(folder / "second", "--secrets-key", str(keys))
        done = second.cli.run("restore", str(file))
        assert done.returncode == 0, done.stderr
        assert "the backup lacks framework" in done.stderr
        assert [s["name"] for s in second.cli.json("secret", "list")] == ["db"]
    finally:
        first.roles.close()
        if second is not None:
            second.roles.close()
