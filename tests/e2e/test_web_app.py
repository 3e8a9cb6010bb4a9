"""A small web app: built, pushed to a registry, run from its image by the oci runtime."""

from __future__ import annotations

import json
import os
import urllib.request
from pathlib import Path

import pytest

from pymesos_testing.cli import Cli
from pymesos_testing.components import MissingError, Roles, wait_for
from pymesos_testing.registry import Layer, busybox_layer, push, registry, write_layout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has the oci runtime")
def test_from_the_registry_to_the_browser(roles: Roles, tmp_path: Path) -> None:
    site = Layer().file("www/index.html", b"<h1>shop</h1>\n").file("www/health", b"ok\n")
    serve = b'#!/bin/sh\necho "serving on $PORT0"; exec httpd -f -p "127.0.0.1:$PORT0" -h /www\n'
    site.file("bin/serve", serve, 0o755)
    try:
        write_layout(tmp_path / "app", [busybox_layer(), site], {"Cmd": ["/bin/serve"]})
        with registry(tmp_path / "registry") as where:
            push(tmp_path / "app", f"{where}/shop/web:1")
            run(roles, f"{where}/shop/web:1")
    except MissingError as error:
        pytest.skip(str(error))


def run(roles: Roles, image: str) -> None:
    master = roles.master()
    cli = Cli(master.address)
    resources = "cpus:2;mem:512;disk:100;ports:[23500-23509]"
    flags = ("--resources", resources, "--runtime", "oci", "--kill-tasks-on-exit")
    agent = roles.agent(master.address, "agent", *flags)
    roles.binpack(master.address)
    cli.wait_for_agents(1)
    web = {
        "name": "web",
        "kind": "service",
        "instances": 2,
        "image": image,
        "resources": {"mem": 32, "ports": 1},
        "health_check": {"http": {"port_index": 0, "path": "/health"}, "delay_s": 0.2},
    }
    wrong = {"name": "wrong", "image": image.replace("web", "none")}
    cli.ok("run", "-", text=json.dumps({"name": "shop", "tasks": [web, wrong]}))
    wait_for("two that are well", lambda: len(cli.tasks(name="web", healthy=True)) == 2, 60)
    for task in cli.tasks(name="web"):
        (port,) = task["resources"]["ports"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
            assert answer.read() == b"<h1>shop</h1>\n"
        assert cli.ok("logs", task["task_id"]) == f"serving on {port}\n"
    cli.wait_for_tasks(1, name="wrong", state="TASK_FAILED")
    (failed,) = cli.tasks(name="wrong")
    assert failed["reason"] == "CONTAINER_LAUNCH_FAILED"
    assert "cannot fetch the image" in failed["message"]
    assert "fetched" in agent.log.read_text(), "once"
    assert agent.log.read_text().count("fetched 127.0.0.1") == 1


PAIR = {
    "name": "pair",
    "tasks": [
        {
            "name": "web",
            "kind": "service",
            "command": "exec httpd -f -p 80 -h /shared",
            "network": "bridge",
            "resources": {"mem": 32, "ports": 1},
            "port_mappings": [{"port_index": 0, "container_port": 80}],
            "mounts": [{"path": "/shared", "group_path": "files"}],
            "sidecars": [
                {
                    "name": "writer",
                    "command": "echo hello > /data/x; until wget -qO /data/seen"
                    " http://127.0.0.1/x; do sleep 0.1; done; exec sleep 1000",
                    "resources": {"mem": 16},
                    "mounts": [{"path": "/data", "group_path": "files"}],
                }
            ],
        }
    ],
}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has the oci runtime")
def test_a_task_and_its_sidecar(roles: Roles, tmp_path: Path) -> None:
    """One network and one folder; what becomes of the one becomes of the other."""
    try:
        write_layout(tmp_path / "box", [busybox_layer()], {})
    except MissingError as error:
        pytest.skip(str(error))
    master = roles.master()
    cli = Cli(master.address)
    resources = "cpus:2;mem:512;ports:[23510-23519]"
    flags = ("--runtime", "oci", "--kill-tasks-on-exit", "--allow-host-paths", str(tmp_path))
    roles.agent(master.address, "agent", "--resources", resources, *flags)
    roles.binpack(master.address)
    cli.wait_for_agents(1)
    job = json.loads(json.dumps(PAIR))
    for task in (job["tasks"][0], job["tasks"][0]["sidecars"][0]):
        task["image"] = f"oci:{tmp_path}/box:image"
    before = namespaces()
    job_id = cli.ok("run", "-", text=json.dumps(job))
    cli.wait_for_tasks(1, name="web", state="TASK_RUNNING")
    cli.wait_for_tasks(1, name="writer", state="TASK_RUNNING")
    (web,) = cli.tasks(name="web", state="TASK_RUNNING")
    (port,) = web["resources"]["ports"]

    def answer() -> bytes:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/seen", timeout=5) as said:
                return bytes(said.read())
        except OSError:
            return b""

    wait_for("what the sidecar had of the task", lambda: answer() == b"hello\n", 30)
    cli.ok("exec", f"{web['task_id']}+writer", "--", "kill", "1")
    wait_for("another pair", lambda: web["task_id"] not in running(cli, "web") != [], 60)
    assert len(running(cli, "writer")) == 1
    cli.ok("stop", job_id.split()[-1])
    wait_for("the end of both", lambda: not running(cli, "web") + running(cli, "writer"), 30)
    wait_for("the end of their network", lambda: namespaces() == before, 10)


def namespaces() -> set[str]:
    return {path.name for path in Path("/run/netns").glob("pymesos-*")}


def running(cli: Cli, name: str) -> list[str]:
    return [t["task_id"] for t in cli.tasks(name=name, state="TASK_RUNNING")]
