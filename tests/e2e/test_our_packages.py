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
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

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
ROLE = "data"
INSTALLED: dict[str, tuple[str, ...]] = {
    "redis": ("--set", "volume_mib=16"),
}
PROGRAMS = {"nginx": "/usr/sbin/nginx", "redis": "/usr/bin/redis-server"}


class Shop:
    """A cluster with all our packages installed, each of which has two versions by now."""

    def __init__(self, roles: Roles) -> None:
        self.roles = roles
        self.http = f"http://127.0.0.1:{(port := free_port())}"
        self.master = roles.master("master", "--http-port", str(port))
        self.agent = self.start_agent()
        roles.binpack(self.master.address, "binpack", "--role", ROLE)
        self.cli = Cli(self.master.address)
        self.cli.wait_for_agents(1)
        self.follow_the_page()
        for name, options in INSTALLED.items():
            self.cli.ok("package", "install", name, "--role", ROLE, *options)

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
        assert re.search(r"nginx\s+1.0.0\s+1.0.0\s+running", done.stdout), done.stdout

    def start_agent(self) -> Role:
        return self.roles.agent(
            self.master.address,
            "agent",
            *("--resources", "cpus:16;mem:8192;disk:4096;ports:[24000-24099]"),
            *("--runtime", "process", "--kill-tasks-on-exit"),
        )

    def restart_agent(self) -> None:
        """As when its machine is started again: nothing of it goes on meanwhile."""
        self.agent.kill()
        end_supervisors(self.roles.folder)
        self.agent = self.start_agent()

    def build(self, *arguments: str) -> str:
        argv = [sys.executable, str(ROOT / "deploy/packages/build.py"), *arguments]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout

    def sign(self, *folders: str) -> None:
        folder = self.roles.folder
        self.build(
            "--key", str(folder / "packages.key"), "--out", str(folder / "packages"), *folders
        )

    def next_version(self, name: str) -> None:
        """Sign a later version of a package, in which something of its tasks differs."""
        folder = self.roles.folder / "next" / name
        shutil.copytree(ROOT / "deploy/packages" / name, folder)
        about = (folder / "package.yaml").read_text()
        (folder / "package.yaml").write_text(about.replace("version: 1.0.0", "version: 1.1.0"))
        text = (folder / "job.yaml").read_text()
        (folder / "job.yaml").write_text(text.replace("    env:\n", '    env:\n      NEXT: "1"\n'))
        (folder / "UPGRADE.md").write_text("## 1.1.0\n\nNothing but a variable.\n")
        self.sign(str(folder))

    def ask(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.http}{path}", timeout=20) as answer:
            return json.load(answer)

    def ports(self, job: str, task: str, port: str) -> list[int]:
        """Where the ready instances of a task are reached."""
        found = self.ask(f"/v1/jobs/{job}/instances")["instances"]
        return [
            one["named_ports"][port] for one in found if one["ready"] and one["task_name"] == task
        ]

    def port(self, job: str, task: str, port: str) -> int:
        """Where the only instance is reached, once it is ready."""
        wait_for(f"{job} is ready", lambda: len(self.ports(job, task, port)) == 1, 60)
        return self.ports(job, task, port)[0]

    def version(self, job: str) -> str:
        """The version of the package that a job was made from."""
        jobs = self.cli.json("package", "list")
        return next(str(each["package"]["version"]) for each in jobs if each["name"] == job)


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    missing = [name for name, path in PROGRAMS.items() if not Path(path).exists()]
    if missing:
        pytest.skip(f"{', '.join(missing)} cannot run here; {INSTALL}")
    with passable_folder() as folder:
        roles = Roles(folder)
        try:
            yield Shop(roles)
        finally:
            roles.close()


def redis(port: int, *words: str) -> str:
    """Ask Redis as its own client does; its answer as one line."""
    with socket.create_connection(("127.0.0.1", port), 10) as wire:
        wire.sendall((" ".join(words) + "\r\n").encode())
        return wire.recv(1000).decode().strip()


def page(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
        return str(answer.read().decode().strip())


def holds(check: Callable[[], bool]) -> bool:
    """Whether it does, where a server that is being replaced says nothing."""
    try:
        return check()
    except OSError:
        return False


def test_a_web_server_is_upgraded_and_goes_back(shop: Shop) -> None:
    wait_for("both are ready", lambda: len(shop.ports("nginx", "web", "http")) == 2, 60)
    assert {page(port) for port in shop.ports("nginx", "web", "http")} == {"hello"}
    shop.next_version("nginx")
    said = shop.cli.ok("package", "update", "nginx", "--set", "greeting=good day", "--wait")
    assert "nginx 1.0.0 -> 1.1.0" in said and "Nothing but a variable." in said
    assert 'package.options.greeting: "hello" -> "good day"' in said
    assert {page(port) for port in shop.ports("nginx", "web", "http")} == {"good day"}
    older = shop.cli.run("package", "install", "nginx", "--role", ROLE, "--version", "1.0.0")
    assert older.returncode == 2 and "add --downgrade" in older.stderr
    (job,) = (each for each in shop.ask("/v1/jobs")["jobs"] if each["name"] == "nginx")
    assert job["package"] == {"name": "nginx", "version": "1.1.0"}
    shop.cli.ok("rollback", "nginx", "--wait")
    assert shop.version("nginx") == "1.0.0"
    assert {page(port) for port in shop.ports("nginx", "web", "http")} == {"hello"}


def test_redis_finds_its_data_after_an_upgrade_and_after_its_agent_was_killed(shop: Shop) -> None:
    assert redis(shop.port("redis", "redis", "redis"), "SET", "a", "kept") == "+OK"
    shop.next_version("redis")
    shop.cli.ok("package", "update", "redis", "--wait")
    assert shop.version("redis") == "1.1.0"
    assert redis(shop.port("redis", "redis", "redis"), "GET", "a").endswith("kept")


def test_data_are_there_when_the_machine_is_started_again(shop: Shop) -> None:
    """After the tests above, with what these have left."""
    shop.restart_agent()
    wait_for(
        "Redis has its data",
        lambda: holds(
            lambda: redis(shop.port("redis", "redis", "redis"), "GET", "a").endswith("kept")
        ),
        60,
    )


def test_what_is_removed_leaves_its_volume(shop: Shop) -> None:
    said = shop.cli.ok("package", "remove", "redis")
    assert "its volumes stay" in said
    assert [each["name"] for each in shop.cli.json("package", "list")].count("redis") == 0
    assert re.search(r"redis\.redis\.0\.data", shop.cli.ok("volumes", "list"))
