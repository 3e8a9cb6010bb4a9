"""Addresses in config files in the weather: in the end each task has read what serves.

A program reads its files as it starts, and when it is sent the signal that they have changed; one
whose task begins anew instead goes by what it has begun with.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.files.addresses import Addresses
from pymesos_agent.files.config import NOTHING, ConfigError, Found, Remade, Rendering
from pymesos_binpack.core import BinpackCore
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_binpack.jobs.serving import is_published, served_task
from pymesos_binpack.specs import Job
from pymesos_core.discovery.following import Following
from pymesos_core.discovery.resolver import Names
from pymesos_core.discovery.zone import DOMAIN
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_simulation.coordinator import Coordinator, detector_of
from pymesos_simulation.network import Network, outside_of
from pymesos_simulation.world import Node, World

if TYPE_CHECKING:
    from pymesos_simulation.agents import AgentNode
    from pymesos_simulation.runtime import Machine

ADDRESSES_EVERY = 22  # of so many seeds one has a job of which tasks have addresses
UNMADE = 0.4  # of the files that are to be made
MAKING_S = 0.5  # at most
Served = list[tuple[int, dict[str, int]]]  # instances with their ports


def addressing_seed(world: World) -> bool:
    """Whether a seed has one."""
    return world.seed % ADDRESSES_EVERY == ADDRESSES_EVERY - 1


def addressing_jobs(world: World) -> list[Job]:
    """Return the job of which two tasks have the addresses of a third, if a seed has one."""
    if not addressing_seed(world):
        return []
    small: dict[str, Any] = {
        "kind": "service",
        "command": "service",
        "resources": {"cpus": 0.05, "mem": 16},
    }
    tasks: list[dict[str, Any]] = [
        # As other services are called, so that people change it, too.
        {"name": "service", "instances": 2, "ports": [{"name": "http"}], **small}
    ]
    for on_change in ("signal", "restart"):
        file = {"path": "peers", "template": "{{ addresses.service }}", "on_change": on_change}
        tasks.append({"name": on_change, "instances": 2, "config": [file], **small})
    return [parse_job({"name": "front", "tasks": tasks})]


@dataclass
class Files:
    """The config files of a container, by path."""

    made: dict[str, Found]
    kept: dict[str, Found]  # as of when the agent has kept what it made
    read: dict[str, Found] = field(default_factory=dict)  # by the program

    def are_read(self) -> None:
        """The program reads them."""
        self.read = dict(self.made)


class SimulatedRendering(Rendering):
    """What is told is what the files have; some cannot be made, by the first try."""

    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self._machine = machine
        self._world = machine.node.world
        self._aside = random.Random(f"addresses {self._world.seed} {machine.node.name}")

    async def write(self, spec: ContainerSpec, told: Mapping[str, Found] = NOTHING) -> None:
        """See Rendering."""
        if self._world.faulty and self._fails():
            raise ConfigError("it cannot be made")
        await asyncio.sleep(self._aside.uniform(0, MAKING_S))
        self._machine.config[spec.container_id] = Files(dict(told), dict(told))

    async def rewrite(self, spec: ContainerSpec, told: Mapping[str, Found]) -> Remade:
        """See Rendering."""
        files = self._machine.config[spec.container_id]
        changed: list[str] = []
        problems: list[Exception] = []
        for file in spec.info.container.config:
            await asyncio.sleep(self._aside.uniform(0, MAKING_S))
            if self._fails():
                problems.append(ConfigError("it cannot be made anew"))
            elif files.kept[file.path] != told[file.path]:
                files.made[file.path] = told[file.path]
                changed.append(file.path)
        self._world.counts["config made anew"] += len(changed)
        return Remade(changed, problems, dict.fromkeys(changed, ""))

    async def keep(self, spec: ContainerSpec, remade: Remade) -> list[Exception]:
        """See Rendering."""
        await asyncio.sleep(self._aside.uniform(0, MAKING_S))
        files = self._machine.config[spec.container_id]
        for file in spec.info.container.config:
            if file.path in remade.changed and file.on_change != pb.ON_CHANGE_RESTART:
                files.kept[file.path] = files.made[file.path]
        return []

    def _fails(self) -> bool:
        return self._aside.random() < UNMADE


class Known:
    """What an agent knows of addresses, over its lives: some of it is kept."""

    def __init__(self, node: Node, coordinator: Coordinator, network: Network) -> None:
        self._node = node
        self._coordinator = coordinator
        self._network = network
        self._kept = b""
        self._names = Names(DOMAIN)

    def begin(self) -> Addresses | None:
        """Return what a life begins with, and follow what serves; None: no seed for it."""
        if not addressing_seed(self._node.world):
            return None
        self._names = Names(DOMAIN)
        self._names.restore(self._kept, self._node.now.wall_s)
        following = Following(self._names, outside_of(self._node, self._network))
        addresses = Addresses(self._names.held, following)
        self._node.spawn(self._follow(addresses))
        return addresses

    async def _follow(self, addresses: Addresses) -> None:
        detector = detector_of(self._node, self._coordinator)
        await detector.start(patient=True)
        await addresses.run(detector)

    def end(self) -> None:
        """A life ends."""
        if self._names.held.is_known:
            self._kept = self._names.held.keep(self._node.now.wall_s)


def differences(agents: Iterable[AgentNode], cores: Iterable[BinpackCore]) -> Iterator[str]:
    """Say which tasks have read other addresses than those of what serves."""
    serves: dict[tuple[str, str, str], Served] = {}
    for core in cores:
        for job in core.jobs.values():
            for instance in job.instances:
                if is_published(job, instance):
                    task = served_task(job, instance)
                    ports = {port.name: port.port for port in task.ports}
                    of = serves.setdefault((task.role, task.job, task.task), [])
                    of.append((task.instance, ports))
    for agent in agents:
        for each in agent.core.state.by_key.values() if agent.core is not None else ():
            for file in each.info.container.config if not each.ended else ():
                read = agent.machine.config[each.container_id].read[file.path]
                for use in file.addresses:
                    there = serves.get((use.role, use.job, use.task), [])
                    known: Served = [(one["instance"], one["ports"]) for one in read[use.name]]
                    if sorted(map(repr, known)) != sorted(map(repr, there)):
                        yield f"{each.info.task_id} has read {known}, and {there} serve"
