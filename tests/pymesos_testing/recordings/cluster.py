"""A master and agents, as a recording names them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pymesos_testing.components import Role, Roles, free_port

AGENT = (
    *("--resources", "cpus:4;mem:4096;disk:8192;ports:[31000-31099]"),
    *("--runtime", "process"),
    *("--volume-limits", "none"),  # as Mesos without an isolator of disks, which resizes volumes
    *("--executor-port", "0", "--no-auth", "--kill-tasks-on-exit"),
)
# Mesos' flags and ours; Mesos waits for ever for an answer to an offer, unless it is told not to.
FLAGS = {
    "offer_timeout": "--offer-timeout",
    "agent_ping_timeout": "--agent-ping-timeout",
    "max_agent_ping_timeouts": "--max-agent-ping-timeouts",
    "agent_reregister_timeout": "--agent-reregister-timeout",
}
USUAL = "rack:r1;level:3;slots:[1-4]"  # attributes
UNITS = {"ms": 0.001, "secs": 1.0, "mins": 60.0, "hrs": 3600.0, "days": 86400.0}


class UnknownFlagError(Exception):
    """A recording was made with a flag that the program cannot translate."""


def translated(flags: tuple[str, ...]) -> Iterator[str]:
    """Our flags for Mesos' ones. Raises UnknownFlagError."""
    for flag in flags:
        name, _, value = flag.removeprefix("--").partition("=")
        if name not in FLAGS:
            raise UnknownFlagError(flag)
        unit = next((unit for unit in UNITS if value.endswith(unit)), "")
        number = value.removesuffix(unit)
        yield from (FLAGS[name], f"{float(number) * UNITS[unit]:g}" if unit else number)


@dataclass
class Cluster:
    """What runs."""

    roles: Roles
    master: Role
    mesos_port: int
    flags: tuple[str, ...] = ()  # of its agents
    attributes: list[str] = field(default_factory=list)  # of each agent that is started some time
    agents: dict[int, Role] = field(default_factory=dict)
    agent_ports: dict[int, int] = field(default_factory=dict)  # of their listeners for Mesos
    _registered: dict[int, int] = field(default_factory=dict)  # how often that was waited for

    def start_agent(self, index: int) -> None:
        """Start an agent, for the first time or again with what it has on its disk."""
        name = f"agent-{index + 1}"
        attributes = self.attributes[index] if index < len(self.attributes) else USUAL
        port = self.agent_ports.setdefault(index, free_port())
        self.agents[index] = self.roles.start(
            name,
            "pymesos_agent",
            *("--port", "0", "--master", self.master.address, "--hostname", "127.0.0.1"),
            *("--work-dir", str(self.roles.folder / name), *AGENT, *self.flags),
            *("--attributes", attributes, "--mesos-port", str(port)),
        )

    async def registered(self, index: int, timeout_s: float = 20.0) -> None:
        """Wait until an agent has registered, once more than before."""
        times = self._registered[index] = self._registered.get(index, 0) + 1
        log = self.agents[index].log
        async with asyncio.timeout(timeout_s):
            while log.read_text("utf-8", "replace").count("registered with") < times:
                await asyncio.sleep(0.05)


@contextmanager
def cluster(
    folder: Path,
    agents: Sequence[str],
    master_flags: tuple[str, ...],
    agent_flags: tuple[str, ...],
    later: Collection[int] = (),
) -> Iterator[Cluster]:
    """A fresh one with agents of these attributes, but for those that are started later.

    Raises UnknownFlagError.
    """
    master_set = list(translated(master_flags))
    if "--offer-timeout" not in master_set:
        master_set += ["--offer-timeout", "86400"]
    if "--agent-ping-timeout" not in master_set:
        master_set += ["--agent-ping-timeout", "15"]
    roles = Roles(folder)
    port = free_port()
    try:
        master = roles.start(
            "master",
            "pymesos_master",
            *("--port", "0", "--work-dir", str(folder / "master"), "--no-auth", "--no-http"),
            *("--mesos-port", str(port), "--mesos-anonymous", "recordings", *master_set),
            *("--hostname", "127.0.0.1"),
        )
        flags = tuple(translated(agent_flags))
        running = Cluster(roles, master, port, flags, list(agents or (USUAL,)))
        for index in range(len(running.attributes)):
            if index not in later:
                running.start_agent(index)
        yield running
    finally:
        roles.close()


async def registered(running: Cluster, timeout_s: float = 20.0) -> None:
    """Wait until every agent has registered."""
    async with asyncio.timeout(timeout_s):
        for index in running.agents:
            await running.registered(index)
