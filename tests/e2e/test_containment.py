"""Nobody gets further than its own: from a task of each runtime, and as a user of the machine."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from pymesos_testing.cli import Cli, job
from pymesos_testing.components import IMAGE, MissingError, Roles
from pymesos_testing.registry import busybox_layer, write_layout

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="root's agent is what is attacked")
PLANTED = "planted-in-a-sandbox"
OTHERS = 65534
CONNECT = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"


def attack(work_dir: Path) -> str:
    """A script that says GOT for whatever it reads or reaches of an agent and its other tasks."""
    files = [path for path in work_dir.rglob("*") if path.is_file() and not path.is_symlink()]
    ours = [p for p in files if "layers" not in p.parts and "rootfs" not in p.parts]
    assert any(path.name == "own" and path.read_text() == f"{PLANTED}\n" for path in ours)
    assert any(path.name == "checkpoint.sqlite" for path in ours)
    tries = [f"cat {shlex.quote(str(path))}" for path in ours]
    tries += [
        f"ls {shlex.quote(str(path))}" for path in {path.parent for path in ours} | {work_dir}
    ]
    for path in work_dir.rglob("supervisor.sock"):
        tries.append(shlex.join(["/usr/bin/python3", "-c", CONNECT, str(path)]))
    lines = [f"{each} 2>/dev/null && echo GOT" for each in tries]
    return "\n".join((*lines, "grep ^CapEff /proc/self/status", "echo end"))


def said_to(user: int, script: str) -> str:
    """What a user of the machine gets to see."""
    argv = ["/bin/sh", "-c", script]
    done = subprocess.run(argv, user=user, group=user, extra_groups=[], capture_output=True)
    said = done.stdout.decode("utf-8", "replace")
    assert said.endswith("end\n")
    return said


@pytest.mark.parametrize("runtime", ["process", "docker", "crun", "runc"])
def test_nobody_gets_further(runtime: str, roles: Roles, request: pytest.FixtureRequest) -> None:
    flags: tuple[str, ...] = ("--runtime", runtime)
    image = ""
    if runtime == "docker":
        image = IMAGE
        flags += ("--docker-host", request.getfixturevalue("docker_host"))
    elif runtime != "process":
        try:
            write_layout(roles.folder / "image", [busybox_layer()], {})
        except MissingError as error:
            pytest.skip(str(error))
        image = f"oci:{roles.folder}/image:image"
        flags = ("--runtime", "oci", "--oci-tool", runtime)
        flags += ("--allow-host-paths", str(roles.folder / "image"))
    master = roles.master()
    resources = ("--resources", "cpus:4;mem:1024;disk:1024;ports:[24300-24309]")
    roles.agent(master.address, "agent", *resources, "--kill-tasks-on-exit", *flags)
    roles.binpack(master.address)
    cli = Cli(master.address)
    cli.wait_for_agents(1)
    more = {"image": image} if image else {}
    plant = f"cd $PYMESOS_SANDBOX; echo {PLANTED} > own; chmod 666 own; chmod 777 .; exec sleep 600"
    cli.ok("run", "-", "--wait", text=job("service", 1, plant, **more))
    (victim,) = cli.tasks(state="TASK_RUNNING")
    assert cli.ok("cat", victim["task_id"], "own") == f"{PLANTED}\n"
    script = attack(roles.folder / "agent")
    attacker = job("batch", 1, script, retries=0, **more).replace('"job"', '"attacker"')
    done = cli.run("run", "-", "--wait", text=attacker)
    assert done.returncode == 0, done.stderr
    (task,) = cli.tasks(state="TASK_FINISHED")
    said = cli.ok("logs", task["task_id"])
    assert "GOT" not in said and PLANTED not in said and said.endswith("end\n"), said
    if runtime == "process":
        assert "CapEff:\t0000000000000000\n" in said
    beside = said_to(OTHERS, script)
    assert "GOT" not in beside and PLANTED not in beside, beside
    assert PLANTED in said_to(0, script), "it looks where it is"
