#!/usr/bin/env python3
"""A pymesos cluster of virtual machines: one master and some agents, on a private network.

    deploy/vm/cluster.py build            make the disk image (once; root)
    deploy/vm/cluster.py up --agents 2    start the machines, and stay until Ctrl-C
    deploy/vm/cluster.py test --agents 2  start them, run the demo job on them, and take them down

QEMU runs them, with KVM where that works. Their disks are thrown away with them. The master's port
is forwarded to loopback here; agents are reached through the master.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
NETWORK = "10.88.0"
MASTER_IP, MASTER_PORT = f"{NETWORK}.1", 5050
BOOT_TIMEOUT_S = {"kvm": 60.0, "tcg": 600.0}
JOB_TIMEOUT_S = 300.0
MAX_AGENTS = 50
DEMO = {
    "name": "demo",
    "tasks": [
        {
            "name": "web",
            "kind": "service",
            "runtime": "oci",
            "instances": 2,
            "constraints": ["hostname:UNIQUE"],
            "command": 'exec python3 -m http.server "$PORT0" --bind 127.0.0.1',
            "resources": {"cpus": 0.2, "mem": 64, "ports": 1},
            "health_check": {"http": {"port_index": 0}, "delay_s": 5},
        },
        {
            "name": "batch",
            "runtime": "oci",
            "instances": 4,
            "command": 'echo "$PYMESOS_TASK_ID on $(uname -n)"',
            "resources": {"cpus": 0.1, "mem": 32},
        },
        {
            "name": "pair",
            "kind": "service",
            "runtime": "oci",
            "network": "bridge",
            "command": "cd /shared; exec python3 -m http.server 8000",
            "resources": {"cpus": 0.1, "mem": 64, "ports": 1},
            "write_mib_per_s": 50,
            "port_mappings": [{"port_index": 0, "container_port": 8000}],
            "mounts": [{"path": "/shared", "group_path": "files"}],
            "health_check": {"http": {"port_index": 0, "path": "/there"}, "delay_s": 5},
            "sidecars": [
                {
                    "name": "writer",
                    "command": "touch /shared/there; exec sleep 100000",
                    "resources": {"cpus": 0.1, "mem": 16},
                    "mounts": [{"path": "/shared", "group_path": "files"}],
                }
            ],
        },
        {
            "name": "bully",
            "runtime": "oci",
            "command": "x=; while :; do x=$x$(head -c 1000000 /dev/zero | tr '\\0' a); done",
            "resources": {"cpus": 0.1, "mem": 48},
        },
    ],
}


class ClusterError(Exception):
    """The cluster does not come up: the message says why, and what to do."""


@dataclass
class Machine:
    """One virtual machine."""

    name: str
    process: subprocess.Popen[bytes]
    console: Path


class Cluster:
    """The machines, and the framework, which runs here."""

    def __init__(self, image: Path, agents: int, accelerator: str, mem_mib: int) -> None:
        for name in ("disk.img", "vmlinuz", "initrd"):
            if not (image / name).exists():
                raise ClusterError(f"{image / name} is missing; build it: {sys.argv[0]} build")
        check_qemu()
        self._image, self._agents = image, agents
        self._accelerator, self._mem_mib = accelerator, mem_mib
        self._folder = Path(tempfile.mkdtemp(prefix="pymesos-vm-"))
        self._machines: list[Machine] = []
        self._framework: subprocess.Popen[bytes] | None = None
        self.master = f"127.0.0.1:{free_port()}"
        self._lan_port = free_port()

    def start(self) -> None:
        """All machines, then the framework. Raises ClusterError."""
        began = time.monotonic()
        forward = f"hostfwd=tcp:{self.master}-:{MASTER_PORT}"
        uplink = f"user,id=up,restrict=on,net=10.0.2.0/24,{forward}"
        self._boot("master", 1, "master", "-netdev", uplink,
                   "-device", "virtio-net-pci,netdev=up,mac=52:54:00:99:00:01")  # fmt: skip
        for number in range(1, self._agents + 1):
            self._boot(f"agent{number}", 10 + number, "agent")
        print(f"starting 1 master and {self._agents} agents ({self._accelerator}) …", flush=True)
        self._wait_for(self._all_agents, BOOT_TIMEOUT_S[self._accelerator], "the agents")
        print(f"all are there after {time.monotonic() - began:.0f} s", flush=True)
        log = (self._folder / "binpack.log").open("ab")
        self._framework = subprocess.Popen(
            [*python("pymesos_binpack.main"), "--master", self.master, "--listen",
             "--state-dir", str(self._folder / "binpack")],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip

    def _boot(self, name: str, number: int, role: str, *more: str) -> None:
        console = self._folder / f"{name}.console"
        words = (
            f"root=/dev/vda rw console=ttyS0 quiet systemd.show_status=false net.ifnames=0"
            f" pymesos.name={name} pymesos.ip={NETWORK}.{number} pymesos.role={role}"
            f" pymesos.master={MASTER_IP}:{MASTER_PORT}"
        )
        lan = f"socket,id=lan,mcast=230.88.0.1:{self._lan_port},localaddr=127.0.0.1"
        argv = [
            "qemu-system-x86_64",
            *("-accel", self._accelerator, "-m", str(self._mem_mib), "-smp", "1"),
            *("-display", "none", "-monitor", "none", "-serial", f"file:{console}", "-no-reboot"),
            *("-kernel", str(self._image / "vmlinuz"), "-initrd", str(self._image / "initrd")),
            *("-append", words, "-device", "virtio-rng-pci"),
            *("-drive", f"file={self._image}/disk.img,if=virtio,format=raw,snapshot=on"),
            *("-netdev", lan),
            *("-device", f"virtio-net-pci,netdev=lan,mac=52:54:00:88:00:{number:02x}"),
            *more,
        ]
        if self._accelerator == "kvm":
            argv += ["-cpu", "host"]
        log = (self._folder / f"{name}.qemu").open("ab")
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "TMPDIR": str(self._folder)},
        )
        self._machines.append(Machine(name, process, console))

    def _wait_for(self, there: Callable[[], bool], timeout_s: float, what: str) -> None:
        deadline = time.monotonic() + timeout_s
        while not there():
            for machine in self._machines:
                if machine.process.poll() is not None:
                    said = (self._folder / f"{machine.name}.qemu").read_text(errors="replace")
                    raise ClusterError(f"{machine.name} has ended: {said[-500:].strip()}")
            if time.monotonic() > deadline:
                consoles = "\n".join(
                    f"--- {m.name}\n{m.console.read_text(errors='replace')[-1500:]}"
                    for m in self._machines
                    if m.console.exists()
                )
                raise ClusterError(f"{what}: not within {timeout_s:.0f} s\n{consoles}")
            time.sleep(1)

    def _all_agents(self) -> bool:
        done = self.cli("--timeout", "5", "agents", "--json")
        if done.returncode != 0:
            return False
        return [a["state"] for a in json.loads(done.stdout)].count("active") == self._agents

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`pymesos-cli` against the cluster."""
        return subprocess.run(
            [*python("pymesos_cli.main"), "--master", self.master, *arguments],
            capture_output=True,
            text=True,
        )

    def stop(self) -> None:
        """Everything ends, and nothing is left."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        running = [machine.process for machine in self._machines]
        if self._framework is not None:
            running.append(self._framework)
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        for process in running:
            process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def python(module: str) -> list[str]:
    """How to run a module of pymesos: with this Python, or the repository's."""
    own = REPOSITORY / ".venv/bin/python"
    return [str(own) if own.exists() else sys.executable, "-m", module]


def free_port() -> int:
    """On loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def accelerators(wanted: str) -> list[str]:
    """The accelerators to try, the fastest first."""
    if wanted != "auto":
        return [wanted]
    return ["kvm", "tcg"] if os.access("/dev/kvm", os.R_OK | os.W_OK) else ["tcg"]


@contextlib.contextmanager
def running(options: argparse.Namespace) -> Iterator[Cluster]:
    """A cluster that is up; whatever happens, it is taken down."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    tries = accelerators(options.accel)
    for number, accelerator in enumerate(tries):
        cluster = Cluster(options.image, options.agents, accelerator, options.mem)
        try:
            cluster.start()
        except ClusterError as error:
            cluster.stop()
            if number + 1 == len(tries):
                raise
            print(f"{accelerator} does not work here: {str(error).splitlines()[0]}", flush=True)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            continue
        except BaseException:
            cluster.stop()
            raise
        try:
            yield cluster
        finally:
            cluster.stop()
        return


def up(options: argparse.Namespace) -> None:
    """Until Ctrl-C."""
    with running(options) as cluster:
        print(
            f"export PYMESOS_MASTER={cluster.master}   # then: pymesos-cli agents; Ctrl-C ends it"
        )
        while True:
            time.sleep(3600)


def test(options: argparse.Namespace) -> None:
    """The demo job, on the oci runtime, with limits that hold. Raises ClusterError."""
    began = time.monotonic()
    with running(options) as cluster:
        agents = json.loads(cluster.cli("agents", "--json").stdout)
        for agent in agents:
            expect(agent["runtime"] == "oci", f"the oci runtime: {agent}")
            expect("cgroup v2" in str(agent["isolation"]), f"cgroups v2: {agent}")
        job = cluster._folder / "demo.json"
        job.write_text(json.dumps(DEMO))
        submitted = cluster.cli("--timeout", "120", "run", str(job))
        expect(submitted.returncode == 0, submitted.stdout + submitted.stderr)

        def settled() -> bool:
            tasks = json.loads(cluster.cli("tasks", "--all", "--json").stdout)
            ended = [t for t in tasks if t["name"] == "batch" and t["state"] == "TASK_FINISHED"]
            well = [t for t in tasks if t["name"] == "web" and t["healthy"]]
            bully = [t for t in tasks if t["name"] == "bully" and t["state"] == "TASK_FAILED"]
            pair = [t for t in tasks if t["name"] == "pair" and t["healthy"]]
            return len(ended) == 4 and len(well) == 2 and len(bully) == 1 and len(pair) == 1

        try:
            cluster._wait_for(settled, JOB_TIMEOUT_S, "the demo job")
        except ClusterError:
            print(cluster.cli("tasks", "--all").stdout)
            raise
        tasks = json.loads(cluster.cli("tasks", "--all", "--json").stdout)
        (bully,) = [t for t in tasks if t["name"] == "bully"]
        expect(bully["reason"] == "CONTAINER_LIMITATION_MEMORY", f"its memory limit: {bully}")
        web = [t for t in tasks if t["name"] == "web"]
        expect(len({t["hostname"] for t in web}) == 2, f"on two machines: {web}")
        batch = next(t for t in tasks if t["name"] == "batch")
        said = cluster.cli("logs", batch["task_id"])
        expect(said.stdout == f"{batch['task_id']} on {batch['hostname']}\n", str(said))
        inside = cluster.cli("exec", web[0]["task_id"], "--", "cat", "/proc/1/comm")
        expect(inside.returncode == 0 and inside.stdout.strip() != "systemd", str(inside))
        print(cluster.cli("tasks", "--all").stdout)
        print(f"the demo ran on {len(agents)} virtual machines; {time.monotonic() - began:.0f} s")


def expect(holds: bool, what: str) -> None:
    """Raises ClusterError."""
    if not holds:
        raise ClusterError(f"not as expected: {what}")


def check_qemu() -> None:
    """Raises ClusterError where machines cannot be run."""
    if not shutil.which("qemu-system-x86_64"):
        raise ClusterError(
            "qemu-system-x86_64 is missing (Debian: apt-get install qemu-system-x86)"
        )


def build(options: argparse.Namespace) -> None:
    """The image, where machines can be run: it takes minutes, and is of use to nothing else."""
    check_qemu()
    own = REPOSITORY / ".venv/bin/python"
    env = {"PYTHON": str(own) if own.exists() else sys.executable, **os.environ}
    done = subprocess.run([str(HERE / "build.sh"), str(options.image)], env=env)
    if done.returncode != 0:
        raise ClusterError("the image was not built")


def main() -> None:
    """Parse, and do it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("build", "up", "test"))
    parser.add_argument("--agents", type=int, default=2, help=f"how many (1 to {MAX_AGENTS}; 2)")
    parser.add_argument("--mem", type=int, default=1024, metavar="MIB", help="of each (1024)")
    parser.add_argument("--accel", choices=("auto", "kvm", "tcg"), default="auto")
    parser.add_argument(
        "--image",
        type=Path,
        default=REPOSITORY / "deploy/vm/image",
        help="the folder of the image (deploy/vm/image)",
    )
    options = parser.parse_args()
    if not 1 <= options.agents <= MAX_AGENTS:
        parser.error(f"--agents: 1 to {MAX_AGENTS} are expected, not {options.agents}")
    if options.mem < 512:
        parser.error("--mem: a machine needs 512 MiB")
    try:
        {"build": build, "up": up, "test": test}[options.what](options)
    except ClusterError as error:
        sys.exit(f"{Path(sys.argv[0]).name}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
