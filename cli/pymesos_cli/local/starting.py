"""What a local cluster is made of: a master, agents and the bin-packing framework."""

from __future__ import annotations

import random
import socket
from dataclasses import dataclass, field
from pathlib import Path

from pymesos_cli.local.cluster import LocalCluster, LocalError, Stop
from pymesos_cli.local.owner import AGENT, BINPACK, MASTER, tls_of
from pymesos_core import resources
from pymesos_core.resources import Resources

PORTS_PER_AGENT = 50
DEFAULT_AGENT = "cpus:2;mem:1024;disk:1024"


@dataclass(frozen=True)
class Wanted:
    """What the flags of `local` say."""

    agents: int = 3
    runtime: str = "auto"
    resources: Resources = field(default_factory=Resources)  # of each agent
    port: int = 0  # the master's
    log_level: str = "info"
    auth: bool = True  # certificates


def start_cluster(folder: Path, wanted: Wanted, stopping: Stop) -> LocalCluster:
    """Start all of it. Raises LocalError; what started is stopped."""
    cluster = LocalCluster(folder, stopping)
    try:
        level = ("--log-level", wanted.log_level)
        master = cluster.start(
            "master",
            "pymesos_master.main",
            *("--port", str(wanted.port), "--work-dir", str(folder / "master")),
            *("--agent-ping-timeout", "2", *level, *_tls(folder, wanted, MASTER)),
        )
        taken: set[int] = set()
        for index in range(wanted.agents):
            name = f"agent-{index + 1}"
            cluster.start(
                name,
                "pymesos_agent.main",
                *("--port", "0", "--master", master.address, "--work-dir", str(folder / name)),
                *("--hostname", name, "--resources", str(_offered(wanted.resources, taken))),
                *("--runtime", wanted.runtime, "--kill-tasks-on-exit", *level),
                *("--executor-port", "0", *_tls(folder, wanted, AGENT.format(index + 1))),
            )
        cluster.start(
            "binpack",
            "pymesos_binpack.main",
            *("--listen", "--master", master.address, "--state-dir", str(folder / "binpack")),
            *(*level, *_tls(folder, wanted, BINPACK)),
        )
    except BaseException:
        cluster.stop()
        raise
    return cluster


def _tls(folder: Path, wanted: Wanted, principal: str) -> tuple[str, ...]:
    return ("--tls", str(tls_of(folder, principal))) if wanted.auth else ()


def _offered(given: Resources, taken: set[int]) -> Resources:
    """What is given, and what an agent has where nothing is said of it, with ports of its own."""
    usual = resources.parse(DEFAULT_AGENT)
    scalars = {**usual.scalars, **given.scalars}
    offered = Resources(scalars, given.ranges, given.sets, given.tagged)
    if "ports" in offered.ranges:
        return offered
    first = port_block(PORTS_PER_AGENT, taken)
    return offered + Resources(ranges={"ports": ((first, first + PORTS_PER_AGENT - 1),)})


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
