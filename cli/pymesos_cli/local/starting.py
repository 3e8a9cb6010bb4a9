"""What a local cluster is made of: a master, agents and the bin-packing framework."""

from __future__ import annotations

import os
import random
import socket
from dataclasses import dataclass, field
from pathlib import Path

from pymesos_agent.supervision import hiding
from pymesos_cli.local.cluster import LocalCluster, LocalError, Stop
from pymesos_cli.local.owner import AGENT, BINPACK, MASTER, tls_of
from pymesos_core import resources
from pymesos_core.resources import Resources
from pymesos_core.text import os_problem

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
    isolation: bool = True  # of tasks, from what their user could read
    receivers: Path | None = None  # of alerts
    mesos: bool = False  # its API
    dns: bool = False  # for the names of what serves


def start_cluster(folder: Path, secrets: Path, wanted: Wanted, stopping: Stop) -> LocalCluster:
    """Start all of it. Raises LocalError; what started is stopped."""
    if wanted.port and (problem := _why_not_free(wanted.port)):
        raise LocalError(
            f"the master cannot listen on port {wanted.port} ({problem}): choose another with"
            f" --port, or leave it out for a free one"
        )
    cluster = LocalCluster(folder, stopping)
    hidden = _hidden(folder, secrets, wanted)
    try:
        level = ("--log-level", wanted.log_level)
        told = ("--receivers", str(wanted.receivers.resolve())) if wanted.receivers else ()
        master = cluster.start(
            "master",
            "pymesos_master",
            *("--port", str(wanted.port), "--work-dir", str(folder / "master")),
            *("--agent-ping-timeout", "2", *level, *_tls(secrets, wanted, MASTER)),
            *("--http", "--http-port", "0"),
            *told,
            *(("--mesos-port", "0", "--mesos-anonymous", _mesos(wanted)) if wanted.mesos else ()),
            *(("--dns-port", "0") if wanted.dns else ()),
            more=(
                "web ",
                *(("mesos ",) if wanted.mesos else ()),
                *(("dns ",) if wanted.dns else ()),
            ),
        )
        taken: set[int] = set()
        for index in range(wanted.agents):
            name = f"agent-{index + 1}"
            cluster.start(
                name,
                "pymesos_agent",
                *("--port", "0", "--master", master.address, "--work-dir", str(folder / name)),
                *("--hostname", _hostname(index, wanted)),
                *("--resources", str(_offered(wanted.resources, taken))),
                *("--runtime", wanted.runtime, "--kill-tasks-on-exit", *level),
                *(("--mesos-port", "0") if wanted.mesos else ()),
                *hidden,
                *("--executor-port", "0", *_tls(secrets, wanted, AGENT.format(index + 1))),
            )
        cluster.start(
            "binpack",
            "pymesos_binpack",
            *("--listen", "--master", master.address, "--state-dir", str(folder / "binpack")),
            *("--role", "**", *level, *_tls(secrets, wanted, BINPACK)),
            *told,
        )
    except BaseException:
        cluster.stop()
        raise
    return cluster


def _mesos(wanted: Wanted) -> str:
    """Who is let in by Mesos' API without credentials: all that the owner runs, or everybody."""
    return "mesos@own-user" if wanted.auth else "mesos"


def _hostname(index: int, wanted: Wanted) -> str:
    """Frameworks of Mesos look up the hostnames of offers, as that of Toil does."""
    return f"127.0.0.{index + 1}" if wanted.mesos else f"agent-{index + 1}"


def _tls(secrets: Path, wanted: Wanted, principal: str) -> tuple[str, ...]:
    return ("--tls", str(tls_of(secrets, principal))) if wanted.auth else ()


def way_to_hide(wanted: Wanted) -> str:
    """How tasks are kept from the files of their user; empty where that is not needed, or wanted.

    Raises LocalError where nothing works. Root's agents give tasks users of their own.
    """
    if os.geteuid() == 0 or not wanted.isolation or wanted.runtime not in ("auto", "process"):
        return ""
    if way := hiding.way_here():
        return way
    raise LocalError(
        "tasks cannot be kept from your certificates: the kernel allows neither user namespaces"
        " nor Landlock here. With --no-task-isolation they run all the same, and may read and do"
        " what you may"
    )


def _hidden(folder: Path, secrets: Path, wanted: Wanted) -> tuple[str, ...]:
    """The folders that tasks must not see: contexts, certificates, and the sandboxes of others."""
    way = way_to_hide(wanted)
    if not way:
        return ()
    # Where there is a context, certificates are below the folder of the contexts.
    paths = [secrets if secrets.parent == folder else secrets.parent.parent]
    if way == hiding.NAMESPACES:
        paths.append(folder)
    return ("--hide", ",".join(map(str, paths)))


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
        if taken.isdisjoint(ports) and not any(map(_why_not_free, ports)):
            taken.update(ports)
            return first
    raise LocalError(f"no {size} adjacent free ports are left between 10000 and 32000")


def _why_not_free(port: int) -> str:
    """Why nothing can listen on a port of 127.0.0.1; empty if something can."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen()
        except OSError as error:
            return os_problem(error)
    return ""
