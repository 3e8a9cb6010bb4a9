"""Our packages run: each is installed from a signed repository, used, upgraded, and finds its data.

They share one cluster, and begin together.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml
from kazoo.client import KazooClient
from kazoo.exceptions import KazooException
from kazoo.handlers.threading import KazooTimeoutError

from pymesos_testing.cli import Cli
from pymesos_testing.components import (
    INSTALL,
    Role,
    Roles,
    end_supervisors,
    free_port,
    passable_folder,
    wait_for,
)

ROOT = Path(__file__).resolve().parents[2]
Places = Sequence[tuple[str, int]]
T = TypeVar("T")

ROLE = "data"
HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin/psql"))
DASK = Path("/opt/dask/bin")  # from PyPI: see deploy/test-deps.sh
PROGRAMS = {
    "nginx": "/usr/sbin/nginx",
    "postgresql": str(POSTGRES[-1]) if POSTGRES else "/usr/bin/postgres",
    "prometheus": "/usr/bin/prometheus-alertmanager",
    "redis": "/usr/bin/redis-server",
    "zookeeper": "/usr/share/java/zookeeper.jar",
}


class Shop:
    """A cluster of three agents with all our packages installed."""

    def __init__(self, roles: Roles) -> None:
        self.roles = roles
        self.http = f"http://127.0.0.1:{(port := free_port())}"
        self.metrics = f"127.0.0.1:{(metrics_port := free_port())}"
        ports = ("--http-port", str(port), "--metrics-port", str(metrics_port))
        self.master = roles.master("master", *ports)
        self.agents = {host: self.start_agent(host) for host in HOSTS}
        roles.binpack(self.master.address, "binpack", "--role", ROLE)
        self.cli = Cli(self.master.address)
        self.cli.wait_for_agents(len(HOSTS))
        self.follow_the_page()
        for package in PACKAGES.values():
            if package.options is not None:
                options = [
                    word.replace("METRICS", self.metrics).replace("HTTP", self.http)
                    for word in package.options
                ]
                self.cli.ok("package", "install", package.name, "--role", ROLE, *options)
        self.upgraded = self.restarted = False

    def follow_the_page(self) -> None:
        """Build our packages, add their repository and install the web server."""
        text = (ROOT / "docs/packages.md").read_text("utf-8")
        (block,) = re.findall(r"<!-- tested -->\n```sh\n(.*?)```", text, re.S)
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        more = {"PYMESOS_MASTER": self.master.address, "PATH": path, "HOME": str(self.roles.folder)}
        done = subprocess.run(
            ["bash", "-euc", block],
            cwd=ROOT,
            env=os.environ | more,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert re.search(r"nginx\s+1.0.0\s+1.0.0\s+ours\s+running", done.stdout), done.stdout

    def start_agent(self, host: str) -> Role:
        return self.roles.agent(
            self.master.address,
            host,
            *("--ip", host, "--runtime", "process", "--kill-tasks-on-exit"),
            *("--resources", "cpus:16;mem:8192;disk:4096;ports:[31000-31400]"),
        )

    def restart(self) -> None:
        """Once: the machines with data are started again; nothing of them goes on meanwhile."""
        if not self.restarted:
            self.restarted = True
            hosts = {
                self.ports(name, PACKAGES[name].port)[0][0] for name in ("redis", "postgresql")
            }
            for host in hosts:
                self.agents[host].kill()
                end_supervisors(self.roles.folder / host)
            self.agents |= {host: self.start_agent(host) for host in hosts}

    def installed(self) -> list[str]:
        """The jobs of packages that have not ended; what is being stopped has not."""
        return [each["name"] for each in self.cli.json("package", "list")]

    def upgrade(self) -> None:
        """Once: there are next versions of all packages, and all are updated to them."""
        if not self.upgraded:
            self.upgraded = True
            self.sign(*(self.next_version(name) for name in PACKAGES))
            for name in PACKAGES:
                said = self.cli.ok("package", "update", name)
                assert f"{name} 1.0.0 -> 1.1.0" in said and "Nothing but a variable." in said

    def build(self, *arguments: str) -> str:
        argv = [sys.executable, str(ROOT / "deploy/packages/build.py"), *arguments]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout

    def sign(self, *folders: str) -> None:
        folder = self.roles.folder
        self.build(
            "--key", str(folder / "packages.key"), "--out", str(folder / "packages"), *folders
        )

    def next_version(self, name: str) -> str:
        """The folder with a later version of a package, in which something of its tasks differs."""
        folder = self.roles.folder / "next" / name
        shutil.copytree(ROOT / "deploy/packages" / name, folder)
        about = (folder / "package.yaml").read_text()
        (folder / "package.yaml").write_text(about.replace("version: 1.0.0", "version: 1.1.0"))
        document = yaml.safe_load((folder / "job.yaml").read_text())
        for task in document["tasks"]:
            task["env"]["NEXT"] = "1"
        (folder / "job.yaml").write_text(yaml.safe_dump(document))
        (folder / "UPGRADE.md").write_text("## 1.1.0\n\nNothing but a variable.\n")
        return str(folder)

    def ask(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.http}{path}", timeout=20) as answer:
            return json.load(answer)

    def ports(self, job: str, port: str) -> list[tuple[str, int]]:
        """Where the ready instances of a job are reached, when none is to leave."""
        found = self.ask(f"/v1/jobs/{job}/instances")["instances"]
        if not all(one["ready"] and not one["leaving"] for one in found):
            return []
        serving = [one for one in found if port in one["named_ports"]]
        return [(one["address"], one["named_ports"][port]) for one in serving]

    def version(self, job: str) -> str:
        """The version of the package that a job was made from."""
        jobs = self.cli.json("package", "list")
        return next(str(each["package"]["version"]) for each in jobs if each["name"] == job)

    def wait(self, name: str) -> list[tuple[str, int]]:
        """Where a package is reached, once all of it is ready, and its rollouts are over."""
        package = PACKAGES[name]

        def settled() -> bool:
            job = self.ask(f"/v1/jobs/{name}")
            states = [rollout["state"] for rollout in job["rollouts"]]
            assert not {"rolled_back", "rollback_failed"} & set(states), job["rollouts"]
            return bool(job["settled"]) and len(self.ports(name, package.port)) == package.instances

        wait_for(f"{name} is ready", settled, 120)
        return self.ports(name, package.port)


def redis(where: tuple[str, int], *words: str) -> str:
    """Ask Redis; its answer."""
    with socket.create_connection(where, 10) as wire:
        wire.sendall((" ".join(words) + "\r\n").encode())
        return wire.recv(1000).decode().strip()


def psql(where: tuple[str, int], statement: str) -> str:
    """Ask PostgreSQL; its answer."""
    host, port = where
    argv = [
        PROGRAMS["postgresql"],
        "-h",
        host,
        "-p",
        str(port),
        "-U",
        "postgres",
        "-Atc",
        statement,
    ]
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=20).stdout


def zookeeper(where: Places, ask: Callable[[KazooClient], T]) -> T:
    """Ask an ensemble; its answer."""
    client = KazooClient(",".join(f"{host}:{port}" for host, port in where), timeout=20)
    client.start(20)
    try:
        return ask(client)
    finally:
        client.stop()
        client.close()


def page(where: tuple[str, int]) -> str:
    """What a web server says."""
    host, port = where
    with urllib.request.urlopen(f"http://{host}:{port}/", timeout=10) as answer:
        return str(answer.read().decode().strip())


def put_zookeeper(where: Places) -> None:
    zookeeper(where, lambda client: client.create("/kept", b"kept"))


def prometheus(where: tuple[str, int], query: str) -> Any:
    """Ask Prometheus; its answer."""
    host, port = where
    with urllib.request.urlopen(f"http://{host}:{port}/api/v1/{query}", timeout=10) as answer:
        return json.load(answer)["data"]


def leads(where: tuple[str, int], when_s: float) -> str:
    """Whether a master led at a time, as it was measured: "1"; else nothing is known."""
    found = prometheus(where, f"query?query=sum(pymesos_master_leads)&time={when_s}")["result"]
    return str(found[0]["value"][1]) if found else ""


MEASURED: list[float] = []  # the time up to which Prometheus had measured something


def tells_alertmanager(where: tuple[str, int]) -> bool:
    return len(prometheus(where, "alertmanagers")["activeAlertmanagers"]) == 1


def wait_until_measured(where: tuple[str, int]) -> None:
    wait_for("it has measured", lambda: leads(where, time.time()) == "1", 30)
    MEASURED.append(time.time())
    wait_for("Alertmanager is told", lambda: tells_alertmanager(where), 30)


COMPUTED = """
import sys
from distributed import Client
client = Client(sys.argv[1], timeout=30)
client.wait_for_workers(2, timeout=30)
print(client.submit(sum, client.map(abs, [-1, 2, -3])).result(timeout=30))
"""


def compute(where: tuple[str, int]) -> str:
    """Have Dask's workers add something up."""
    host, port = where
    argv = [str(DASK / "python"), "-c", COMPUTED, f"tcp://{host}:{port}"]
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=90).stdout


@dataclass(frozen=True)
class Used:
    """A package, and how it is used. `options` of None: the page installs it."""

    name: str
    port: str
    instances: int
    options: tuple[str, ...] | None
    put: Callable[[Places], object]
    get: Callable[[Places], object]
    kept: object  # what `get` finds of what was `put`


PACKAGES = {
    used.name: used
    for used in (
        Used("nginx", "http", 2, None, lambda _: None, lambda at: [*map(page, at)], ["hello"] * 2),
        Used(
            "redis", "redis", 1, ("--set", "volume_mib=16"),
            lambda at: redis(at[0], "SET", "a", "kept"),
            lambda at: redis(at[0], "GET", "a"), "$4\r\nkept",
        ),
        Used(
            "postgresql", "postgresql", 1, ("--set", "mem_mib=256"),
            lambda at: psql(at[0], "CREATE TABLE t AS SELECT 'kept' AS a"),
            lambda at: psql(at[0], "SELECT a FROM t"), "kept\n",
        ),
        Used(
            "prometheus", "http", 1,
            ("--set", "volume_mib=64", "--set", "masters=METRICS", "--set", "interval_s=1",
             "--set", "sd_url=HTTP/v1/sd"),
            lambda at: wait_until_measured(at[0]), lambda at: leads(at[0], MEASURED[0]), "1",
        ),
        Used(
            "zookeeper", "client", 3,
            tuple(word for n, h in enumerate(HOSTS, 1) for word in ("--set", f"host_{n}={h}")),
            put_zookeeper,
            lambda at: zookeeper(at, lambda client: client.get("/kept")[0]), b"kept",
        ),
        Used(
            "dask", "scheduler", 1, ("--set", "cpus=0.1", "--set", "mem_mib=256"),
            lambda _: None, lambda at: compute(at[0]), "6\n",
        ),
    )
    if used.name != "dask" or DASK.exists()
}  # fmt: skip
ABSENT = pytest.mark.skip(reason=f"Dask is missing; {INSTALL}")
NAMES = [*PACKAGES, *(() if "dask" in PACKAGES else (pytest.param("dask", marks=ABSENT),))]


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    missing = [name for name, path in PROGRAMS.items() if not Path(path).exists()]
    if missing or os.geteuid() != 0:
        pytest.skip(
            f"root, and the programs of {', '.join(missing) or 'all'}, are needed; {INSTALL}"
        )
    with passable_folder() as folder:
        roles = Roles(folder)
        try:
            yield Shop(roles)
        finally:
            roles.close()


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_and_is_used(shop: Shop, name: str) -> None:
    package, where = PACKAGES[name], shop.wait(name)
    package.put(where)
    assert package.get(where) == package.kept


@pytest.mark.parametrize("name", NAMES)
def test_its_data_outlive_an_upgrade(shop: Shop, name: str) -> None:
    shop.upgrade()
    where = shop.wait(name)
    assert shop.version(name) == "1.1.0" and PACKAGES[name].get(where) == PACKAGES[name].kept


@pytest.mark.parametrize("name", NAMES)
def test_its_data_outlive_their_agent(shop: Shop, name: str) -> None:
    shop.restart()

    def found() -> bool:
        try:
            where = shop.ports(name, PACKAGES[name].port)
            return bool(where) and PACKAGES[name].get(where) == PACKAGES[name].kept
        except (
            OSError,
            LookupError,
            subprocess.SubprocessError,
            KazooException,
            KazooTimeoutError,
        ):
            return False

    wait_for(f"{name} has its data", found, 120)


def test_tasks_are_measured_at_ports_that_are_named_so(shop: Shop) -> None:
    """Found by hand: each port of each task was asked, of ZooKeeper's ensemble, too."""
    (where,) = shop.wait("prometheus")

    def names() -> set[str]:
        found = prometheus(where, "targets?state=active")["activeTargets"]
        tasks = [one["discoveredLabels"] for one in found if one["scrapePool"] == "tasks"]
        return {str(labels["__meta_pymesos_port_name"]) for labels in tasks}

    wait_for("tasks are found", lambda: bool(names()), 120)  # it looks for them once a minute
    assert names() == {"http"}


def test_it_goes_back_and_never_down_unasked(shop: Shop) -> None:
    older = shop.cli.run("package", "install", "nginx", "--role", ROLE, "--version", "1.0.0")
    assert older.returncode == 2 and "add --downgrade" in older.stderr
    said = shop.cli.ok("package", "update", "nginx", "--set", "greeting=good day")
    assert 'package.options.greeting: "hello" -> "good day"' in said
    assert [page(at) for at in shop.wait("nginx")] == ["good day"] * 2
    shop.cli.ok("rollback", "nginx", "1")
    assert [page(at) for at in shop.wait("nginx")] == ["hello"] * 2
    assert shop.version("nginx") == "1.0.0"
    (job,) = (each for each in shop.ask("/v1/jobs")["jobs"] if each["name"] == "nginx")
    made_of = job["package"]
    assert (made_of["name"], made_of["version"], made_of["repository"]) == (
        "nginx",
        "1.0.0",
        "ours",
    )
    assert made_of["repository_key"].startswith("ed25519:")


def test_what_is_removed_leaves_its_volume(shop: Shop) -> None:
    assert "volumes that it has stay" in shop.cli.ok("package", "remove", "redis")
    wait_for("redis has ended", lambda: "redis" not in shop.installed(), 60)
    assert "redis.redis.0.data" in shop.cli.ok("volumes", "list")
