"""Operators who remove volumes while the weather is bad: what they were answered holds."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from pymesos_binpack.core import BinpackCore
from pymesos_binpack.jobs.volumes import KeptVolume
from pymesos_core.caller import NOBODY
from pymesos_core.reservations import volumes_of
from pymesos_core.transport import CallError, Code
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_proto.v1 import types_pb2
from pymesos_simulation.changes import TASK
from pymesos_simulation.coordinator import Coordinator
from pymesos_simulation.frameworks import FrameworkNode
from pymesos_simulation.network import Network
from pymesos_simulation.people import Person
from pymesos_simulation.strangers import ROOT
from pymesos_simulation.volumes import PATIENCE_S, REFUSED
from pymesos_simulation.world import World

LOOK_S = 0.1  # how often it is looked whether an answer has come
SCALED = 0.2  # how often a job is scaled where none is left over
RASH = 0.3  # of removals, those that ask no framework
NOT_NOW = (*REFUSED, Code.UNAVAILABLE, Code.CANCELLED, Code.ABORTED)


class Remover(Person):
    """An operator who removes volumes, now and then without asking whether a job needs them.

    Once the weather is fine he only has those forgotten that are missing.
    """

    def __init__(
        self, world: World, network: Network, coordinator: Coordinator, framework: FrameworkNode
    ) -> None:
        super().__init__(world, "root", network)  # whom the policy knows
        self._aside = random.Random(f"remover {world.seed}")
        self._coordinator = coordinator
        self._framework = framework
        self._gap_s = self._aside.choice([0.2, 1.0])
        self._asked = 0

    def on_start(self) -> None:
        self.spawn(self._look_again())

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(self._aside.expovariate(1 / self._gap_s))
            core = self._framework.core
            kept = sorted(core.volumes, key=lambda v: v.key) if core is not None else []
            if not self.world.faulty:
                missing = [v for v in kept if core is not None and _in_vain(core, v)]
                for volume in missing:
                    await self._forget(volume, check_only=False)
            elif kept and core is not None:
                left = [volume for volume in kept if not core.job_with(volume)]
                if not left and self._aside.random() < SCALED:
                    await self._scale(self._aside.choice(sorted(core.jobs)))
                await self._remove(self._aside.choice(left or kept))

    async def _scale(self, job_id: str) -> None:
        """Have a job leave a volume over, or want one again."""
        counts = {TASK: self._aside.choice([1, 2])}
        self._asked += 1
        await self._call(
            "ScaleJob",
            pb.ScaleJobRequest(job_id=job_id, counts=counts, request_id=f"remover{self._asked}"),
        )

    async def _remove(self, volume: KeptVolume) -> None:
        """As `pymesos-cli volumes remove` does; or as Mesos' API has it, which asks nobody."""
        if rash := self._aside.random() < RASH:
            self.world.trace(f"somebody destroys {volume.volume_id} and asks no framework")
        elif not await self._forget(volume, check_only=True):
            return
        missing = not rash and self._is_missing(volume)
        if (missing or await self._destroy(volume)) and not rash:
            self.world.counts["volume removed"] += 1
            await self._forget(volume, check_only=False)

    def _is_missing(self, volume: KeptVolume) -> bool:
        """Whether the leader knows the agent, and nothing of such a volume there."""
        leader = self._coordinator.leader
        core = leader.core if leader is not None else None
        agent = core.state.agents.get(volume.agent_id) if core is not None else None
        if agent is None:
            return False
        there = {(role, found.id) for role, found in volumes_of(agent.total)}
        return (volume.role, volume.volume_id) not in there

    async def _destroy(self, volume: KeptVolume) -> bool:
        """Whether it was; whoever hears no answer does not know."""
        leader = self._coordinator.leader
        if leader is None or leader.core is None:
            return False
        said: list[str | None] = []
        done = self.world.data.remove(volume.place)

        def answered(problem: str | None) -> None:
            self.world.trace(f"{volume.volume_id} on {volume.hostname}: {problem or 'destroyed'}")
            done(problem is None)
            said.append(problem)

        of = types_pb2.Resource.Disk(persistence_id=volume.volume_id, container_path="data")
        named = types_pb2.Resource(name="disk", scalar=1, disk=of)
        operator = ROOT if self.world.certified else NOBODY
        leader.ask(
            lambda commands: commands.unreserve(operator, volume.agent_id, volume.role, (named,)),
            answered,
        )
        until_s = self.world.now_s + PATIENCE_S
        while not said and self.world.now_s < until_s:
            await asyncio.sleep(LOOK_S)
        return said[:1] == [None]

    async def _forget(self, volume: KeptVolume, *, check_only: bool) -> bool:
        """Have the framework forget one; whether it did, or would."""
        request = pb.ForgetVolumeRequest(
            role=volume.role, volume_id=volume.volume_id, check_only=check_only
        )
        return await self._call("ForgetVolume", request)

    async def _call(self, path: str, request: Any) -> bool:
        """Ask the framework; whether it did so."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                channel = self._channel(self._framework.address)
                await channel.call(f"/pymesos.v1.Jobs/{path}", request)
        except CallError as error:
            if error.code not in NOT_NOW:
                self.world.fail(AssertionError(f"{path}: {error.code} {error}"))
            return False
        except TimeoutError:
            return False
        return True


def _in_vain(core: BinpackCore, volume: KeptVolume) -> bool:
    """Whether a job waits for it in vain."""
    return bool(core.job_with(volume)) and not core.job_that_needs(volume)
