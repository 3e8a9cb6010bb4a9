"""`local`: a whole cluster in the foreground on loopback, and nothing left of it afterwards.

This process imports no gRPC: it starts the installed roles as children, reads the address that each
prints, and waits for Ctrl-C. The children are told by the kernel when it dies.
"""

from __future__ import annotations

import contextlib
import ctypes
import random
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from pymesos_core import resources
from pymesos_core.resources import Resources

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 40.0
PORTS_PER_AGENT = 50
DEFAULT_AGENT = "cpus:2;mem:1024;disk:1024"
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


class LocalError(Exception):
    """The cluster cannot start: the message says which part and shows what it said."""


@dataclass
class Role:
    """One child."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    address: str = ""
    told: bool = False  # that it has ended


@dataclass
class LocalCluster:
    """The children, in the order they were started."""

    folder: Path
    roles: list[Role] = field(default_factory=list)

    def start(self, name: str, module: str, *arguments: str) -> Role:
        """Start a role and wait for the line with its address. Raises LocalError."""
        log = self.folder / f"{name}.log"
        with log.open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # Ctrl-C is for this process alone
                preexec_fn=_die_with_parent,
            )
        role = Role(name, process, log)
        self.roles.append(role)
        assert process.stdout is not None
        line = _read_line(process.stdout, START_TIMEOUT_S)
        if not line.startswith("listening on "):
            raise LocalError(f"{name} did not start:\n{_tail(log)}")
        role.address = line.removeprefix("listening on ").strip()
        return role

    def stop(self) -> bool:
        """End all, the last started first; whether each ended by itself and well."""
        well = True
        for role in reversed(self.roles):
            if role.process.poll() is None:
                role.process.send_signal(signal.SIGTERM)
                # Agents end their tasks at the same time.
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for role in reversed(self.roles):
            try:
                role.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                role.process.kill()
                role.process.wait()
                well = False
            if role.process.stdout is not None:
                role.process.stdout.close()
        return well

    def ended(self) -> list[Role]:
        """Those that ended since the last call."""
        out = [r for r in self.roles if not r.told and r.process.poll() is not None]
        for role in out:
            role.told = True
        return out


def _die_with_parent() -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _read_line(stream: IO[bytes], timeout_s: float) -> str:
    """The first line; empty when there is none in time."""
    readable, _, _ = select.select([stream], [], [], timeout_s)
    return stream.readline().decode() if readable else ""


def _tail(log: Path) -> str:
    with contextlib.suppress(OSError):
        return "\n".join(log.read_text("utf-8", "replace").splitlines()[-10:])
    return ""


def port_block(size: int, taken: set[int]) -> int:
    """The first of `size` adjacent ports that are free now, below the ephemeral ones."""
    for _ in range(1000):
        first = random.randrange(10_000, 32_000 - size, size)  # noqa: S311 - no secret
        ports = range(first, first + size)
        if taken.isdisjoint(ports) and all(_is_free(port) for port in ports):
            taken.update(ports)
            return first
    raise LocalError(f"no {size} adjacent free ports are left between 10000 and 32000")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def start_cluster(
    folder: Path, agents: int, runtime: str, given: Resources, port: int, log_level: str
) -> LocalCluster:
    """Master, agents and the bin-packing framework. Raises LocalError; what started is stopped."""
    cluster = LocalCluster(folder)
    try:
        level = ("--log-level", log_level)
        master = cluster.start(
            "master",
            "pymesos_master.main",
            *("--port", str(port), "--work-dir", str(folder / "master")),
            *("--agent-ping-timeout", "2", *level),
        )
        taken: set[int] = set()
        for index in range(agents):
            name = f"agent-{index + 1}"
            offered = resources.parse(DEFAULT_AGENT)
            offered = Resources(
                {**offered.scalars, **given.scalars}, given.ranges, given.sets, given.tagged
            )
            if "ports" not in offered.ranges:
                first = port_block(PORTS_PER_AGENT, taken)
                ports = ((first, first + PORTS_PER_AGENT - 1),)
                offered = offered + Resources(ranges={"ports": ports})
            cluster.start(
                name,
                "pymesos_agent.main",
                *("--port", "0", "--master", master.address, "--work-dir", str(folder / name)),
                *("--hostname", name, "--resources", str(offered), "--runtime", runtime),
                *("--kill-tasks-on-exit", *level),
            )
        cluster.start(
            "binpack",
            "pymesos_binpack.main",
            *("--listen", "--master", master.address, "--state-dir", str(folder / "binpack")),
            *level,
        )
    except BaseException:
        cluster.stop()
        raise
    return cluster


def run_local(agents: int, runtime: str, given: Resources, port: int, log_level: str) -> int:
    """Run until Ctrl-C or SIGTERM; the exit status. Raises LocalError."""
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    with tempfile.TemporaryDirectory(prefix="pymesos-local-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        cluster = start_cluster(folder, agents, runtime, given, port, log_level)
        address = cluster.roles[0].address
        print(f"master {address}", flush=True)
        print(
            f"{agents} agents and a bin-packing framework; logs and sandboxes are in {folder}\n"
            f"try, in another terminal:\n"
            f"  export PYMESOS_MASTER={address}\n"
            f"  pymesos-cli run -- echo hello\n"
            f"  pymesos-cli agents\n"
            f"Ctrl-C ends it, with all its tasks",
            flush=True,
        )
        failed = False
        try:
            while not stopping:
                time.sleep(0.2)
                for role in cluster.ended():
                    print(f"{role.name} has ended by itself:\n{_tail(role.log)}", file=sys.stderr)
                    if not role.name.startswith("agent"):
                        failed = stopping = True
        finally:
            print("stopping …", file=sys.stderr, flush=True)
            well = cluster.stop()
    return 1 if failed or not well else 0
