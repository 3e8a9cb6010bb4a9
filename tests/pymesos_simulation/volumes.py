"""Volumes in the weather: what was written is found again, wherever else there is room.

A task begins elsewhere, without what it wrote, only where its volume says so (`migrate:
lose_data`), somebody has asked for it (`restart --lose-volumes`, `volumes remove`), or the agent
that has it was marked gone. No volume is in two tasks on one agent, and in the end none is in two
at all. What was removed is never found again, and whoever waits for it in vain begins anew.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from pymesos_agent.containers.spec import ContainerSpec
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_binpack.specs import Job
from pymesos_core.reservations import volumes_of
from pymesos_core.transport import CallError, Code
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_simulation.network import Network
from pymesos_simulation.people import Person
from pymesos_simulation.world import World

if TYPE_CHECKING:
    from pymesos_simulation.agents import AgentNode
    from pymesos_simulation.frameworks import FrameworkNode

VOLUMES_EVERY = 23  # of so many seeds one has jobs with volumes
ROLE = "db"
KEPT, LOSABLE = "database", "cache"  # jobs: one that waits for its data, one that may lose them
REPLACE_S = 5.0  # how long the second waits
DISK_MIB = 1024  # of each agent
PATIENCE_S = 20.0  # of a call
REFUSED = (Code.FAILED_PRECONDITION, Code.NOT_FOUND)  # nothing was given up


def volume_seed(world: World) -> bool:
    """Whether a seed has some."""
    return world.seed % VOLUMES_EVERY == VOLUMES_EVERY - 5


def drained_volumes(world: World) -> bool:
    """Whether operators drain agents that have volumes."""
    return volume_seed(world) and world.seed % 2 == 0


def removed_volumes(world: World) -> bool:
    """Whether operators remove volumes."""
    return volume_seed(world) and world.seed % 4 in (0, 3)


def volume_jobs() -> list[Job]:
    """Return the jobs of a framework of its own."""
    return [_job(KEPT), _job(LOSABLE, {"migrate": "lose_data"}, unreachable_replace_s=REPLACE_S)]


def _job(name: str, volume: dict[str, Any] | None = None, **more: Any) -> Job:
    task = {
        # As other services are called, so that people change it, too.
        "name": "service",
        "kind": "service",
        "command": "service",
        "instances": 2,
        "volumes": [{"name": "data", "path": "data", "size": 16, **(volume or {})}],
        "resources": {"cpus": 0.05, "mem": 16},
        "update": {"min_healthy_s": 2},
        **more,
    }
    return parse_job({"name": name, "role": ROLE, "tasks": [task]})


class Keeper(Person):
    """Has those begin without their data that wait for it, in some seeds often, in others never."""

    def __init__(self, world: World, network: Network, framework: FrameworkNode) -> None:
        super().__init__(world, "keeper", network)
        self._aside = random.Random(f"volumes {world.seed}")
        self._framework = framework
        self._gap_s = self._aside.choice([1.0, 10.0, None])

    def on_start(self) -> None:
        if self._gap_s is not None:
            self.spawn(self._look_again(self._gap_s))

    async def _look_again(self, gap_s: float) -> None:
        while self.world.faulty:
            await asyncio.sleep(self._aside.expovariate(1 / gap_s))
            core = self._framework.core
            waiting = [
                job
                for job in (core.jobs.values() if core is not None else ())
                if core is not None and core.without_data(job, ())
            ]
            for job in waiting:
                await self._give_up(job.job_id, job.job.name)

    async def _give_up(self, job_id: str, name: str) -> None:
        """Ask once; whoever hears no answer does not know whether it was done."""
        self.world.counts["volumes given up"] += 1
        self.world.trace(f"the data of {job_id} are given up where they cannot be reached")
        self.world.data.asked[name] += 1
        request = pb.RestartJobRequest(job_id=job_id, lose_volumes=True)
        try:
            async with asyncio.timeout(PATIENCE_S):
                channel = self._channel(self._framework.address)
                await channel.call("/pymesos.v1.Jobs/RestartJob", request)
        except CallError as error:
            if error.code in REFUSED:
                self.world.data.asked[name] -= 1
            elif error.code not in (Code.UNAVAILABLE, Code.CANCELLED, Code.ABORTED):
                self.world.fail(AssertionError(f"lose volumes: {error.code} {error}"))
        except TimeoutError:
            pass


def volume_ids_of(spec: ContainerSpec) -> list[str]:
    """The volumes that a container is started with."""
    return [volume.id for _, volume in volumes_of(spec.resources)]


def differences(agents: Iterable[AgentNode]) -> Iterator[str]:
    """Say which volumes are in two tasks: one goes on with old data that somebody gave up."""
    used = Counter(
        volume.id
        for agent in agents
        for held in agent.machine.live().values()
        for _, volume in volumes_of(held)
    )
    if twice := [volume_id for volume_id, number in used.items() if number > 1]:
        yield f"two tasks have {twice}"
