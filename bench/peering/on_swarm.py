"""Docker Swarm: an engine of its own with an image of busybox; a burst is a replicated job."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

from peering.interface import COMMAND, About, MissingError, Peer, Servers, run

AT_ONCE = 8
BUSYBOX = Path("/bin/busybox")
IMAGE = "pymesos-bench-busybox:1"
NEEDED = "install it with deploy/test-deps.sh"


def _image() -> bytes:
    """A tar of a root with busybox."""
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(BUSYBOX, "bin/busybox")
        for name in ("sh", "true"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return buffer.getvalue()


class Swarm(Peer):
    """See Peer."""

    about = About(
        "Docker Swarm",
        durable="synced: the job, by Raft",
        process="a container",
        limits="a cgroup: CPU, memory, processes, where asked for",
        sandbox="a file system, namespaces, a log",
        share=0.05,
    )

    @staticmethod
    def python(prefix: Path) -> str:
        """See Peer."""
        if os.geteuid():
            raise MissingError("only root can start dockerd; run this as root")
        for program in ("docker", "dockerd", str(BUSYBOX)):
            if not shutil.which(program):
                raise MissingError(f"{program} is missing; {NEEDED}")
        return sys.executable

    def start(self, prefix: Path, folder: Path) -> str:
        """See Peer."""
        self._servers, self._host = Servers(folder), f"unix://{folder}/docker.sock"
        self._servers.start(
            *("dockerd", "--host", self._host, "--pidfile", f"{folder}/docker.pid"),
            *("--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"),
            *("--bridge", "none", "--iptables=false", "--ip6tables=false", "--log-level", "warn"),
        )
        self._servers.wait_for("dockerd", self._answers, 60)

        subprocess.run(
            ["docker", "--host", self._host, "import", "-", IMAGE],
            input=_image(),
            check=True,
            capture_output=True,
        )
        address = ("--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1")
        self._docker("swarm", "init", *address)
        return self._docker("version", "--format", "{{.Server.Version}}").strip()

    def _docker(self, *arguments: str) -> str:
        return run("docker", "--host", self._host, *arguments, limit_s=150)

    def _answers(self) -> bool:
        try:
            self._docker("version")
        except RuntimeError:
            return False
        return True

    def burst(self, tasks: int) -> None:
        """See Peer. The command returns when all have ended."""
        name = f"job-{time.monotonic_ns()}"
        self._docker(
            *("service", "create", "--quiet", "--no-resolve-image", "--name", name),
            *("--mode", "replicated-job", "--replicas", str(tasks)),
            *("--max-concurrent", str(min(AT_ONCE, tasks)), "--network", "host"),
            *(IMAGE, *COMMAND),
        )

    def one(self) -> Mapping[str, float]:
        """See Peer."""
        begin_s = time.perf_counter()
        self.burst(1)
        return {"result": (time.perf_counter() - begin_s) * 1000}

    def stop(self) -> None:
        """See Peer."""
        if hasattr(self, "_servers"):
            self._servers.stop()
