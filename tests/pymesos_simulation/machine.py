"""What production code takes from the machine it runs on, simulated."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.containers.usage import ContainerUsage
from pymesos_agent.files.folders import Folders
from pymesos_agent.health.checking import CheckError
from pymesos_agent.host import Host
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_simulation import revocable, scaling
from pymesos_simulation.addresses import SimulatedRendering
from pymesos_simulation.runtime import Machine
from pymesos_simulation.threads import Killed
from pymesos_simulation.world import World, here


class NoForks:
    """Stands for ForkWatch: nothing is refused processes."""

    def look(self, _pids: Mapping[str, int]) -> dict[str, int]:
        """See ForkWatch."""
        return {}


class SimulatedFolders(Folders):
    """Folders of which nothing but the names is there."""

    def __init__(self, work_dir: Path, _sized: bool, machine: Machine) -> None:
        super().__init__(work_dir)
        self._machine = machine

    def prepare(self, spec: ContainerSpec) -> str | None:
        """See Folders."""
        return None

    def to_hand_over(self, spec: ContainerSpec) -> tuple[Path, ...]:
        """See Folders."""
        return ()

    def leave(self, own_uid: int, volumes: Iterable[tuple[str, str]]) -> None:
        """See Folders."""

    def remove_leftovers(self, containers: Collection[str], groups: Collection[str]) -> None:
        """See Folders."""
        for container_id in [*self._machine.files]:
            if container_id not in containers:
                self.remove_sandbox(container_id)

    def remove_sandbox(self, container_id: str) -> None:
        """See Folders."""
        self._machine.files.pop(container_id, None)

    def remove_group(self, group_id: str) -> None:
        """See Folders."""

    def remove_volume(self, role: str, volume_id: str) -> None:
        """See Folders."""
        with self._machine.node.world.fatal():
            self._machine.remove_volume(volume_id)


async def _run_check(
    _check: Any, _spec: ContainerSpec, _pid: int, _enter: Any, timeout_s: float
) -> None:
    world = here().world
    if world.faulty and world.random.random() < world.weather.container_failure:
        await asyncio.sleep(timeout_s)
        raise CheckError("no answer")
    await asyncio.sleep(world.random.uniform(0.001, 0.1))


def _usage_of(world: World) -> ContainerUsage | None:
    return revocable.usage_of(world) if revocable.revocable_seed(world) else scaling.usage_of(world)


def host_on(machine: Machine) -> Host:
    """What an agent on a simulated machine takes from it."""
    return Host(
        folders=partial(SimulatedFolders, machine=machine),
        rendering=lambda memory: SimulatedRendering(machine),
        forks=NoForks,
        cap_cpu=lambda pid, cpus_milli: None,
        ask=_run_check,
        usage=lambda work_dir, containers: agent_pb.Usage(containers=containers),
        usage_of=lambda pid: _usage_of(machine.node.world),
        disk_used_fraction=lambda work_dir: 0.1,
    )


@contextlib.contextmanager
def simulated() -> Iterator[None]:
    """While a simulation runs: nothing is logged, and the process's own chance stays as it was."""
    level, state = logging.root.manager.disable, random.getstate()
    hook = sys.unraisablehook

    def tell(unraisable: sys.UnraisableHookArgs) -> None:
        """Generators of processes that were killed are closed late, when they are forgotten."""
        if not isinstance(unraisable.exc_value, Killed):
            hook(unraisable)

    logging.disable(logging.CRITICAL)
    sys.unraisablehook = tell
    try:
        yield
    finally:
        sys.unraisablehook = hook
        logging.disable(level)
        random.setstate(state)
