"""The Debian package, on a throw-away view of this machine's root; and an agent that is purged."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pymesos_agent.workdir import CHECKPOINT
from pymesos_core import VERSION
from pymesos_core.store import Store
from pymesos_testing.cli import Cli
from pymesos_testing.components import Roles, descendants, supervisors, wait_for
from pymesos_testing.leftovers import remove_networks_of_dead_runs

ROOT = Path(__file__).resolve().parents[2]
BRIDGE = Path("/sys/class/net/pymesos0")
LOOK = (
    "ls -d /opt/pymesos /usr/bin/pymesos-* /lib/systemd/system/pymesos-* /etc/pymesos"
    " 2>/dev/null; getent passwd pymesos"
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
        yield root
    finally:
        for target in reversed(done):
            subprocess.run(["umount", "--lazy", target], check=True)
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Debian package, as `make deb` builds it."""
    as_root()
    built = tmp_path_factory.mktemp("deb")
    subprocess.run([ROOT / "deploy/deb/build.sh", built], check=True, capture_output=True)
    (found,) = built.iterdir()
    assert found.name.startswith(f"pymesos-cluster_{VERSION}_") and found.suffix == ".deb"
    return found


def later(package: Path, folder: Path) -> Path:
    """The same, as a later version."""
    subprocess.run(["dpkg-deb", "--raw-extract", package, folder / "x"], check=True)
    control = folder / "x/DEBIAN/control"
    control.write_text(control.read_text().replace(f"Version: {VERSION}", "Version: 99.0"))
    subprocess.run(
        ["dpkg-deb", "-Zzstd", "-z1", "--build", folder / "x", folder / "later.deb"],
        check=True,
        capture_output=True,
    )
    return folder / "later.deb"


@pytest.mark.timeout(600)  # it has all the libraries in it
def test_the_package_is_installed_upgraded_removed_and_purged(
    machine: Path, package: Path, tmp_path: Path
) -> None:
    def run(*argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["chroot", machine, *argv], capture_output=True, text=True)

    def dpkg(*argv: str) -> None:
        done = run("dpkg", *argv)
        assert done.returncode == 0, done.stdout + done.stderr

    assert run("sh", "-c", LOOK).stdout == "", "pymesos is installed on this machine"
    shutil.copy(package, machine / "first.deb")
    shutil.copy(later(package, tmp_path), machine / "later.deb")
    dpkg("--install", "/first.deb")
    for name in ("master", "agent", "binpack"):
        unit = (machine / f"lib/systemd/system/pymesos-{name}.service").read_text()
        lines = dict(line.split("=", 1) for line in unit.splitlines() if "=" in line)
        program, *flags = lines["ExecStart"].split()
        said = run(program, *flags, "--print-config")
        wrong = [line for line in said.stderr.splitlines() if line.startswith("Error: ")]
        # What only an operator knows is missing, and nothing else.
        assert [w[:26] for w in wrong] == (
            [] if name == "master" else ["Error: --master is missing"]
        )
        assert said.returncode == (2 if wrong else 0) and "port = " in said.stdout, said.stderr
        if name == "binpack":
            assert f"# /etc/pymesos/{name}.toml:6" in said.stdout, said.stdout
        assert (machine / lines["Documentation"].removeprefix("file:///")).exists()
        if user := lines.get("User"):
            state = run("stat", "--format=%U %a", f"/var/lib/{lines['StateDirectory']}")
            assert state.stdout == f"{user} 700\n", state.stderr
    settings = machine / "etc/pymesos/agent.toml"
    settings.write_text('hostname = "a1"\n')
    (machine / "etc/pymesos/agent.env").write_text("PYMESOS_AGENT_WORK_DIR=/srv/agent\n")
    dpkg("--install", "/later.deb")
    assert settings.read_text() == 'hostname = "a1"\n', "an upgrade leaves it alone"

    agent = machine / "srv/agent"
    (agent / "sandboxes/x").mkdir(parents=True)
    Store(agent / CHECKPOINT).close()
    dpkg("--remove", "pymesos-cluster")
    folder, user = run("sh", "-c", LOOK).stdout.splitlines()
    assert folder == "/etc/pymesos" and user.startswith("pymesos:x:")
    assert settings.exists() and (agent / "sandboxes/x").exists()
    dpkg("--purge", "pymesos-cluster")
    assert run("sh", "-c", LOOK).stdout == ""
    assert not agent.exists() and not (machine / "var/lib/pymesos").exists()


def test_an_agent_is_purged(roles: Roles) -> None:
    """Tasks of both supervisors, a bridge, a volume's folder: all of it goes, and only it."""
    as_root()
    remove_networks_of_dead_runs()  # others' ports on the bridge would keep it
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
    # As the plugin leaves one when somebody else changes the chain meanwhile.
    subprocess.run(
        shlex.split("iptables -w -A CNI-FORWARD -d 10.213.250.7/32 -j ACCEPT"), check=True
    )
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
