"""People who change jobs while the weather is bad: they apply, scale, restart and roll back.

What they were answered holds: a version that was told is in force, or a later one is.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator, Sequence
from typing import Any

from pymesos_core.security.identities import Kind
from pymesos_core.transport import CallError, Code
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_simulation.frameworks import FrameworkNode
from pymesos_simulation.network import Network, SimulatedChannel
from pymesos_simulation.world import Node, World

PATIENCE_S = 20.0  # of a call
MOST_INSTANCES = 3
TASK = "service"
# A framework that is not there, or has not heard from a master, is asked again.
AGAIN = (Code.UNAVAILABLE, Code.CANCELLED, Code.ABORTED, Code.NOT_FOUND)


class Editor(Node):
    """Changes the services of every job, one change after the other."""

    kind = Kind.OPERATOR

    def __init__(self, world: World, network: Network, frameworks: Sequence[FrameworkNode]) -> None:
        super().__init__(world, "editor")
        self._aside = random.Random(f"editor {world.seed}")
        self._network = network
        self._frameworks = frameworks
        self._gap_s = self._aside.choice([3.0, 10.0, 40.0])
        self._asked = 0
        self._answered: dict[tuple[str, str], int] = {}  # framework and job id → a version

    def on_start(self) -> None:
        for framework in self._frameworks:
            self.spawn(self._edit(framework))

    async def _edit(self, framework: FrameworkNode) -> None:
        while self.world.faulty:
            await asyncio.sleep(self._aside.expovariate(1 / self._gap_s))
            job_ids = sorted(
                job_id for name, job_id in framework.accepted.items() if _has(framework, name)
            )
            if job_ids and self.world.faulty:
                await self._change(framework, self._aside.choice(job_ids))

    async def _change(self, framework: FrameworkNode, job_id: str) -> None:
        """Ask until there is an answer: the same request is one change however often it comes."""
        self._asked += 1
        path, request = await self._drawn(framework, job_id, f"edit{self._asked}")
        if request is None:
            return
        self.world.counts["changed"] += 1
        self.world.trace(f"the job {job_id} of {framework.name} is to change: {path}")
        answer = await self._insist(framework, path, request)
        if answer is not None:
            key = (framework.name, job_id)
            self._answered[key] = max(self._answered.get(key, 0), answer.version)

    async def _drawn(
        self, framework: FrameworkNode, job_id: str, request_id: str
    ) -> tuple[str, Any]:
        """Return a change, and None where there is nothing to go by."""
        what = self._aside.choice(["ApplyJob", "ApplyJob", "ScaleJob", "RestartJob", "RollbackJob"])
        number = self._aside.randint(1, MOST_INSTANCES)
        if what == "ApplyJob":
            described = await self._insist(
                framework, "DescribeJob", pb.DescribeJobRequest(job_id=job_id)
            )
            if described is None:
                return what, None
            document = json.loads(described.job_json)
            for task in document["tasks"]:
                if task["name"] == TASK:
                    task.update(env={"VERSION": request_id}, instances=number)
            text = json.dumps(document)
            return what, pb.ApplyJobRequest(job_json=text, job_id=job_id, request_id=request_id)
        if what == "ScaleJob":
            counts = {TASK: number}
            return what, pb.ScaleJobRequest(job_id=job_id, counts=counts, request_id=request_id)
        if what == "RestartJob":
            return what, pb.RestartJobRequest(job_id=job_id, tasks=[TASK], request_id=request_id)
        return what, pb.RollbackJobRequest(job_id=job_id, request_id=request_id)

    async def _insist(self, framework: FrameworkNode, path: str, request: Any) -> Any:
        """The answer, however long it takes; None if it is refused."""
        while True:
            channel = SimulatedChannel(self._network, self, framework.address)
            try:
                async with asyncio.timeout(PATIENCE_S):
                    return await channel.call(f"/pymesos.v1.Jobs/{path}", request)
            except CallError as error:
                if error.code == Code.FAILED_PRECONDITION:
                    return None  # there is no earlier version, say
                if error.code not in AGAIN:
                    self.world.fail(AssertionError(f"{path}: {error.code} {error}"))
                    return None
            except TimeoutError:
                pass
            await asyncio.sleep(self._aside.uniform(0.1, 3))

    def differences(self) -> Iterator[str]:
        """What was answered and does not hold, and what is still on its way."""
        for framework in self._frameworks:
            for job_id, job in framework.core.jobs.items() if framework.core is not None else ():
                answered = self._answered.get((framework.name, job_id), 0)
                if job.version < answered:
                    yield f"{job_id} is at version {job.version}, answered was {answered}"
                if job.unsettled and not job.stopping:
                    yield f"{job_id} has instances that are not of version {job.version}"


def _has(framework: FrameworkNode, request_id: str) -> bool:
    return any(task.name == TASK for task in framework.jobs[request_id].tasks)
