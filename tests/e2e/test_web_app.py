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
