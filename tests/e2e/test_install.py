"""pymesos is installed on a machine and removed again, in a throw-away view of this one's root."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pymesos_testing.cli import Cli
from pymesos_testing.components import Roles, descendants, supervisors, wait_for

ROOT = Path(__file__).resolve().parents[2]
BRIDGE = Path("/sys/class/net/pymesos0")
LOOK = (
    "ls -d /opt/pymesos /usr/bin/pymesos-* /etc/systemd/system/pymesos-* /etc/pymesos 2>/dev/null"
)


def as_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can install; run the tests as root")


@pytest.fixture
def machine() -> Iterator[Path]:
    """A folder that looks like `/`; what is written there is thrown away."""
    as_root()
    folder = Path(f"/var/tmp/pymesos-machine-{os.getpid()}")
    for name in ("root", "upper", "work"):
        (folder / name).mkdir(parents=True)
    root = folder / "root"
    mounts = [
        ["-t", "overlay", "overlay", "-o",
         f"lowerdir=/,upperdir={folder}/upper,workdir={folder}/work", str(root)],
        ["--bind", "/dev", str(root / "dev")],
        ["-t", "proc", "proc", str(root / "proc")],
    ]  # fmt: skip
    done = []
    try:
        for mount in mounts:
            subprocess.run(["mount", *mount], check=True)
            done.append(mount[-1])
        ignored = shutil.ignore_patterns(".venv", ".git", ".*_cache", "__pycache__", "image")
        shutil.copytree(ROOT, root / "source", ignore=ignored)
        yield root
    finally:
        for target in reversed(done):
            subprocess.run(["umount", "--lazy", target], check=True)
        shutil.rmtree(folder)


def test_install_and_uninstall(machine: Path) -> None:
    def run(*argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["chroot", machine, *argv], capture_output=True, text=True)

    before = run("sh", "-c", LOOK).stdout
    assert before == "", "pymesos is installed on this machine"
    settings = machine / "etc/pymesos/agent.toml"
    settings.parent.mkdir()
    settings.write_text('work_dir = "/srv/agent"\n')
    done = run("/source/deploy/install.sh")
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("master", "agent", "binpack"):
        unit = (machine / f"etc/systemd/system/pymesos-{name}.service").read_text()
        (start,) = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
        program, *flags = start.removeprefix("ExecStart=").split()
        said = run(program, *flags, "--print-config")
        wrong = [line for line in said.stderr.splitlines() if line.startswith("Error: ")]
        # What only an operator knows is missing, and nothing else.
        assert [w[:26] for w in wrong] == (
            [] if name == "master" else ["Error: --master is missing"]
        )
        assert said.returncode == (2 if wrong else 0) and "port = " in said.stdout, said.stderr
        if name == "binpack":
            assert f"# /etc/pymesos/{name}.toml:5" in said.stdout, said.stdout
    assert settings.read_text() == 'work_dir = "/srv/agent"\n', "an upgrade leaves it alone"
    assert run("/source/deploy/uninstall.sh", "--all").returncode == 2
    (machine / "var/lib/pymesos/master").mkdir(parents=True)
    done = run("/source/deploy/uninstall.sh")
    assert done.returncode == 0, done.stderr
    assert run("sh", "-c", LOOK).stdout.split() == ["/etc/pymesos"]
    assert (machine / "var/lib/pymesos/master").exists()
    settings.unlink()
    checkpoint = machine / "var/lib/pymesos/agent/checkpoint.sqlite"
    checkpoint.parent.mkdir()
    checkpoint.touch()
    refused = run("/source/deploy/uninstall.sh", "--purge")
    assert refused.returncode == 1 and "run install.sh again" in refused.stderr
    checkpoint.unlink()
    done = run("/source/deploy/uninstall.sh", "--purge")
    assert done.returncode == 0, done.stderr
    assert run("sh", "-c", LOOK).stdout == before
    assert not (machine / "var/lib/pymesos").exists()


def test_an_agent_is_purged(roles: Roles) -> None:
    """Tasks of both supervisors, a bridge, a volume's folder: all of it goes, and only it."""
    as_root()
    agent_argv = [sys.executable, "-m", "pymesos_agent.main"]
    master = roles.master()
    cli = Cli(master.address)
    agent = roles.agent(
        master.address, "agent", "--resources", "cpus:4;mem:512;ports:[21000-21009]"
    )
    work_dir = roles.folder / "agent"
    roles.binpack(master.address)
    cli.wait_for_agents(1)
    plain = {"name": "plain", "kind": "service", "runtime": "process", "command": "exec sleep 999"}
    bridged = plain | {
        "name": "bridged",
        "runtime": "oci",
        "network": "bridge",
        "resources": {"ports": 1},
        "port_mappings": [{"port_index": 0, "container_port": 80}],
    }
    cli.ok("run", "-", text=json.dumps({"name": "job", "tasks": [plain, bridged]}))
    cli.wait_for_tasks(2, state="TASK_RUNNING")
    busy = subprocess.run(
        [*agent_argv, "purge", "--yes", "--work-dir", str(work_dir)], capture_output=True, text=True
    )
    assert busy.returncode == 1 and "Traceback" not in busy.stderr, busy.stderr
    agent.signal(signal.SIGTERM)
    agent.ended()
    keepers = supervisors(work_dir)
    left = [pid for keeper in keepers for pid in descendants(keeper)]
    assert len(keepers) == 2 and left and BRIDGE.exists()
    declined = subprocess.run(
        [*agent_argv, "purge", "--work-dir", str(work_dir)],
        capture_output=True, text=True, input="n\n",
    )  # fmt: skip
    assert declined.returncode == 1 and work_dir.exists()
    done = subprocess.run(
        [*agent_argv, "purge", "--yes", "--work-dir", str(work_dir)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ended 2 containers; removed the bridge pymesos0"), done.stdout
    assert not work_dir.exists() and not BRIDGE.exists()
    wait_for(
        "their end", lambda: not any(Path(f"/proc/{pid}").exists() for pid in [*keepers, *left])
    )
    for table in ("filter", "nat"):
        rules = subprocess.run(["iptables", "-t", table, "-S"], capture_output=True, text=True)
        assert "CNI-" not in rules.stdout, rules.stdout
    time.sleep(0.1)
    again = subprocess.run(
        [*agent_argv, "purge", "--yes", "--work-dir", str(work_dir)], capture_output=True, text=True
    )
    assert again.returncode == 2 and "there is no agent's checkpoint" in again.stderr
