"""A planted secret is where its task reads it, and nowhere else: a closed cluster, as processes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pymesos_agent.files.memory import memory_of
from pymesos_agent.runtimes.starting import tag_of
from pymesos_testing.components import (
    IMAGE,
    Role,
    Roles,
    ZooKeeper,
    passable_folder,
    supervisors,
    wait_for,
)
from pymesos_testing.tls import TlsCluster

PLANTED = f"planted-{os.urandom(8).hex()}"  # in no file before
DIGEST = hashlib.sha256(PLANTED.encode()).hexdigest()
FIRST_TASK_UID = 2_100_000_000  # see docs/containers.md
APP_UID = 1234  # of `app` in the image
POLICY = """\
allow:
- {who: operator/alice, do: ["*"], role: "**"}
- {who: operator/dev, do: [submit, read, read-env, logs], role: prod/web}
- who: framework/binpack
  do: [subscribe, serve, launch]
  role: "**"
  as: {user: ["", "*"], images: ["", "*"], networks: ["*"]}
"""
TELLS = (
    'sha256sum < "$PYMESOS_SECRETS/db-password"; printf %s "$PASSWORD" | sha256sum; exec sleep 900'
)


class Cluster(TlsCluster):
    """One whose agents have all runtimes that are here."""

    def __init__(self, roles: Roles, runtimes: dict[str, tuple[str, ...]], zk: str = "") -> None:
        (policy := roles.folder / "policy.yaml").write_text(POLICY)
        self.roles = roles
        self.zk = zk
        self.authority = self.make_authority("prod")
        self.of_master = ("--policy", str(policy), *(("--zk", zk) if zk else ()))
        self.master = self.start_master("m1")
        tls = self.issue("framework/binpack")
        at = zk or self.master.address
        self.binpack = roles.binpack(at, "binpack", "--tls", tls, "--role", "prod/web")
        self.cli = self.cli_of("operator/alice")
        self.agents = {name: self.agent_with(name, *flags) for name, flags in runtimes.items()}
        self.cli.wait_for_agents(len(runtimes))

    def start_master(self, name: str, port: int = 0) -> Role:
        tls = self.issue(f"master/{name}")
        return self.roles.master(name, "--tls", tls, *self.of_master, port=port)

    def agent_with(self, name: str, *flags: str) -> Role:
        return self.roles.agent(
            self.zk or self.master.address,
            name,
            *("--tls", self.issue(f"agent/{name}"), "--executor-port", "0", *flags),
            "--kill-tasks-on-exit",
        )

    def run(self, name: str, **task: Any) -> None:
        made = {"name": "t", "kind": "service", "command": TELLS, **task}
        job = {"name": name, "role": "prod/web", "tasks": [made]}
        (file := self.roles.folder / f"{name}.json").write_text(json.dumps(job))
        self.cli.ok("run", str(file))

    def task(self, job: str) -> str:
        """The task of a job that runs."""

        def running() -> list[str]:
            tasks = self.cli.tasks(state="TASK_RUNNING")
            return [t["task_id"] for t in tasks if t["task_id"].startswith(job)]

        wait_for(f"{job} runs", lambda: bool(running()), 60)
        return running()[0]

    def says(self, job: str) -> list[str]:
        """What a task has found: the digests of the file and of the variable."""
        task = self.task(job)
        wait_for("its words", lambda: self.cli.ok("logs", task).count("-\n") == 2)
        return self.cli.ok("logs", task).split()[::2]

    def end(self) -> None:
        """Nothing of it stays in memory."""
        self.roles.close()
        for name in self.agents:
            if (memory := memory_of(tag_of((self.roles.folder / name).resolve()))) is not None:
                assert not [*memory.folder.iterdir()], "what its tasks had is gone with them"
                memory.remove_all()


@pytest.fixture
def folder() -> Iterator[Path]:
    with passable_folder() as path:
        yield path


def planted_below(since_s: float, *folders: Path | str) -> list[str]:
    """The files below some folders, written since then, that have the planted secret in them."""
    search = (
        f"find {' '.join(map(str, folders))} -xdev -type f -newermt @{since_s:.0f} -print0"
        f" | xargs -0 -r grep -lF --binary-files=text {PLANTED}"
    )
    found = subprocess.run(
        ["sh", "-c", search], capture_output=True, text=True, check=False, timeout=120
    )
    return found.stdout.splitlines()


def planted_in_proc() -> list[str]:
    """The processes whose command line, environment or limits have it, with what each is."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        if int(entry.name) == os.getpid():
            continue
        for name in ("cmdline", "environ", "status", "stack"):
            with contextlib.suppress(OSError):
                if PLANTED.encode() in (entry / name).read_bytes():
                    comm = (entry / "comm").read_text().strip()
                    found.append(f"{comm} {name} {entry.stat().st_uid}")
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="an agent of root has all runtimes")
def test_a_planted_secret_is_found_nowhere_else(
    folder: Path, docker_host: str, zookeeper_server: ZooKeeper, zk_url: str
) -> None:
    begun_s = time.time() - 2
    cluster = Cluster(
        Roles(folder),
        {
            "plain": ("--runtime", "process", "--attributes", "on:plain"),
            "crun": ("--runtime", "oci", "--oci-tool", "crun", "--attributes", "on:crun"),
            "runc": ("--runtime", "oci", "--oci-tool", "runc", "--attributes", "on:runc"),
            "engine": (
                *("--runtime", "docker", "--docker-host", docker_host, "--attributes", "on:engine"),
            ),
        },
        zk_url,
    )
    try:
        cli = cluster.cli
        said = cli.ok("secret", "set", "prod/web", "db", text=PLANTED)
        assert said == "db of prod/web is set, version 1\n"
        assert "version 1" in cli.ok("variables", "set", "prod/web", "level", "info")
        config = [
            {"path": "app.ini", "template": "{% set key = secrets.db %}{{ key }}"},
            {"path": "etc/a.conf", "template": "level={{ variables.level }} {{ task.name }}\n"},
        ]
        both = [{"name": "db", "path": "db-password", "env": "PASSWORD"}]
        cluster.run("plain", constraints=["on:IS:plain"], secrets=both, config=config)
        cluster.run("crun", constraints=["on:IS:crun"], runtime="oci", secrets=both, config=config)
        cluster.run("runc", constraints=["on:IS:runc"], runtime="oci", secrets=both, config=config)
        cluster.run(
            "engine",
            constraints=["on:IS:engine"],
            image=IMAGE,
            user="app",
            secrets=both,
            config=config,
        )
        for job in ("plain", "crun", "runc", "engine"):
            assert cluster.says(job) == [DIGEST, DIGEST], job
        for job in ("plain", "crun", "runc", "engine"):
            task = cluster.task(job)
            cli.ok("exec", task, "--", "sh", "-c", 'test -r "$PYMESOS_SECRETS/db-password"')
            assert PLANTED not in cli.ok("exec", task, "--", "ls", "-la")
            made = 'sha256sum < "$PYMESOS_SECRETS/app.ini"'
            assert DIGEST in cli.ok("exec", task, "--", "sh", "-c", made), job
            assert cli.ok("cat", task, "etc/a.conf") == "level=info t\n"
        listings = [
            ("tasks", "--all", "--json"), ("agents", "--json"), ("frameworks", "--json"),
            ("jobs", "--json"), ("secret", "list", "--json"), ("audit", "--json"),
            ("roles", "--json"), ("policy", "show"), ("quarantine", "list", "--json"),
            *(("explain", "task", cluster.task(job)) for job in ("plain", "engine")),
            *(("logs", cluster.task(job)) for job in ("plain", "crun", "runc", "engine")),
        ]  # fmt: skip
        for listing in listings:
            assert PLANTED not in cli.ok(*listing), listing
        events = subprocess.run(
            ["timeout", "5", *cli.argv("events", "--json")], capture_output=True, check=False
        )
        assert events.stdout and PLANTED.encode() not in events.stdout
        (listed,) = json.loads(cli.ok("secret", "list", "--json"))
        assert (listed["version"], listed["set_by"]) == (1, "operator/alice")
        assert listed["tasks"] == 4
        # On disk: the cluster's, the engine's and ZooKeeper's folders, and all that anybody logs.
        engine = Path(docker_host.removeprefix("unix://")).parent
        engine_and_zookeeper = (engine, zookeeper_server.folder)
        assert not planted_below(begun_s, folder, *engine_and_zookeeper, "/var", "/tmp", "/etc")
        (folder / "found").write_text(PLANTED)
        assert planted_below(begun_s, folder) == [str(folder / "found")], "it would be found"
        # In processes: the tasks' own, which asked for a variable.
        for process in planted_in_proc():
            _, where, uid = process.rsplit(" ", 2)
            of_task = int(uid) >= FIRST_TASK_UID or int(uid) == APP_UID
            assert where == "environ" and of_task, process
        # A stranger of the machine reads none of the files.
        memory = [
            found for name in cluster.agents
            if (found := memory_of(tag_of((folder / name).resolve()))) is not None
        ]  # fmt: skip
        files = [f for m in memory for f in m.folder.glob("*/secrets/*")]
        assert len(files) == 8, "of each task the secret, and the file made from it"
        (variables,) = (f for m in memory for f in m.folder.glob("*/variables"))
        for path in (*files, variables):
            read = subprocess.run(
                ["setpriv", "--reuid", "7654", "--regid", "7654", "--clear-groups", "cat", path],
                capture_output=True, check=False,
            )  # fmt: skip
            assert read.returncode and not read.stdout
            assert path.stat().st_mode & 0o777 == 0o400
        for job in ("plain", "crun", "runc", "engine"):
            cli.ok("stop", job)
        wait_for(
            "nothing is left in memory",
            lambda: {f.name for m in memory for f in m.folder.rglob("*")}
            <= {"pipes-process", "pipes-oci", "runtime-oci", "containers", "crun", "runc"}, 30,
        )  # fmt: skip
    finally:
        cluster.end()


@pytest.fixture
def cluster(folder: Path) -> Iterator[Cluster]:
    made = Cluster(Roles(folder), {"a": ("--runtime", "process")})
    try:
        yield made
    finally:
        made.end()


FILE = [{"name": "db", "path": "db-password"}]


def test_what_is_missing_is_said_and_explained(cluster: Cluster) -> None:
    cluster.run("web", secrets=FILE)
    wanted = "the secret db, which the role prod/web does not have"

    def explained() -> bool:
        return wanted in " ".join(cluster.cli.run("explain", "task", "web.t.0").stdout.split())

    try:
        wait_for("it is explained", explained)
    except AssertionError:
        raise AssertionError(cluster.cli.run("explain", "task", "web.t.0")) from None
    cluster.cli.ok("secret", "set", "prod/web", "db", text=PLANTED)
    assert cluster.says("web")[0] == DIGEST
    done = cluster.cli.run("secret", "remove", "prod/web", "db")
    assert done.returncode == 2 and "used by 1 live task" in " ".join(done.stderr.split())
    cluster.cli.ok("secret", "remove", "prod/web", "db", "--force")
    assert cluster.says("web")[0] == DIGEST, "it keeps what it has"


def test_who_may_submit_may_not_set_and_no_value_is_ever_shown(cluster: Cluster) -> None:
    dev = cluster.cli_of("operator/dev")
    done = dev.run("secret", "set", "prod/web", "db", text=PLANTED)
    said = " ".join(done.stderr.split())
    assert done.returncode == 1 and "operator/dev may not use secrets" in said
    assert PLANTED not in done.stderr
    cluster.cli.ok("secret", "set", "prod/web", "db", text=PLANTED)
    done = dev.run("secret", "list")
    assert done.returncode == 1 and PLANTED not in done.stdout + done.stderr
    for wrong in (("prod//web", "db"), ("prod/web", "a/b")):
        done = cluster.cli.run("secret", "set", *wrong, text=PLANTED)
        assert done.returncode == 2 and PLANTED not in done.stdout + done.stderr
    done = cluster.cli.run("secret", "set", "prod/web", "db", text="x" * 65537)
    assert done.returncode == 2 and "more than 65536 bytes" in done.stderr


def test_an_agent_that_starts_again_keeps_them_and_asks_for_new_ones(cluster: Cluster) -> None:
    cluster.cli.ok("secret", "set", "prod/web", "db", text=PLANTED)
    cluster.run("web", secrets=FILE)
    assert cluster.says("web")[0] == DIGEST
    task = cluster.task("web")
    cluster.agents["a"].kill()
    cluster.agents["a"] = cluster.agent_with("a", "--runtime", "process")
    cluster.cli.wait_for_agents(1)
    shows = ("exec", task, "--", "sh", "-c", 'sha256sum < "$PYMESOS_SECRETS/db-password"')
    wait_for("its files", lambda: cluster.cli.run(*shows).stdout.startswith(DIGEST))
    assert cluster.task("web") == task, "it was not started again"
    cluster.run("other", secrets=FILE)
    assert cluster.says("other")[0] == DIGEST


def test_after_a_failover_the_next_leader_gives_them(folder: Path, zk_url: str) -> None:
    cluster = Cluster(Roles(folder), {"a": ("--runtime", "process")}, zk_url)
    try:
        cluster.cli.ok("secret", "set", "prod/web", "db", text=PLANTED)
        second = cluster.start_master("m2")
        cluster.master.signal(signal.SIGKILL)
        cluster.cli = cluster.cli_of("operator/alice")
        cluster.cli.master = second.address
        wait_for("it leads", lambda: not cluster.cli.run("agents").returncode, 60)
        cluster.cli.wait_for_agents(1, timeout_s=60)
        cluster.run("web", secrets=FILE)
        assert cluster.says("web")[0] == DIGEST
    finally:
        cluster.end()


def test_a_new_key_seals_anew_what_the_old_one_has_sealed(cluster: Cluster) -> None:
    cluster.cli.ok("secret", "set", "prod/web", "db", text=PLANTED)
    keys = Path(cluster.issue("master/m1")) / "secrets.key"
    old = keys.read_text()
    port = int(cluster.master.address.rpartition(":")[2])

    def restart() -> None:
        cluster.master.kill()
        cluster.master = cluster.start_master("m1", port)
        cluster.cli.wait_for_agents(1)

    assert "is on top" in cluster.cli.ok("cluster", "secrets-key", str(keys))
    restart()
    time.sleep(0.5)
    keys.write_text(keys.read_text().removesuffix(old))
    restart()
    cluster.run("web", secrets=FILE)
    assert cluster.says("web")[0] == DIGEST


def test_without_certificates_there_are_none(tmp_path: Path) -> None:
    from pymesos_testing.cli import Cli

    roles = Roles(tmp_path)
    try:
        master = roles.master()
        done = Cli(master.address).run("secret", "set", "prod", "db", text=PLANTED)
        assert done.returncode == 1
        assert "this cluster has no certificates" in " ".join(done.stderr.split())
        assert supervisors(tmp_path) == [] and sys.executable
    finally:
        roles.close()
