"""Errands: small jobs that an operator submits over the network, and ends some time later.

What was answered holds: a job that was taken is known until it is ended, and one that is to end
does, whoever crashes. Some break the framework as they run: it sets them aside, and the operator
releases them, or has them forgotten.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass

from pymesos_binpack.jobs.state import JOB
from pymesos_core.transport import CallError, Code
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_simulation.dependencies import with_dependants
from pymesos_simulation.frameworks import FRAGILE, FrameworkNode, side_of
from pymesos_simulation.network import SimulatedChannel
from pymesos_simulation.world import World

MOST = 5  # of one framework
NOT_NOW = (Code.UNAVAILABLE, Code.ABORTED, Code.CANCELLED, Code.DEADLINE_EXCEEDED)


@dataclass
class Errand:
    """One job, as far as the operator knows."""

    request: pb.SubmitJobRequest
    job_id: str = ""  # once it is taken
    discarding: bool = False  # somebody has asked that it be forgotten, and may not have heard
    ended: bool = False  # by an answer: it is to end, or is forgotten


class Errands:
    """The errands of one framework. They outlive the operator's crashes, as paper does."""

    def __init__(self, world: World, framework: FrameworkNode, dice: random.Random) -> None:
        self._world = world
        self._framework = framework
        self._dice = dice
        self._errands: list[Errand] = []

    async def go_on(self, channel: SimulatedChannel) -> None:
        """Take one step of one of them. Raises CallError when it cannot be taken now."""
        open_ = [errand for errand in self._errands if not errand.ended]
        wanted = self._world.faulty and len(self._errands) < MOST
        if wanted and (not open_ or self._dice.random() < 0.3):
            open_ = [self._another()]
        if not open_:
            return
        errand = self._dice.choice(open_)
        try:
            if not errand.job_id:
                await self._submit(channel, errand)
            elif not self._world.faulty or self._dice.random() < 0.5:
                await self._end(channel, errand)
        except CallError as error:
            if error.code not in NOT_NOW:
                self._world.fail(error)
            raise

    def _another(self) -> Errand:
        number = len(self._errands)
        kind = FRAGILE if self._dice.random() < 0.4 else "errand"
        task = {
            "name": "t",
            "kind": "service",
            "command": "service",
            "instances": self._dice.randint(1, 2),
            "resources": {"cpus": 0.1, "mem": 32},
        }
        role = self._framework.role
        job = {
            "name": f"{kind}{number}",
            "role": role if number % 3 else side_of(role),
            "tasks": with_dependants(self._world, [task]),
        }
        request_id = f"{self._framework.name}-e{number}"
        request = pb.SubmitJobRequest(job_json=json.dumps(job), request_id=request_id)
        self._errands.append(Errand(request))
        return self._errands[-1]

    async def _submit(self, channel: SimulatedChannel, errand: Errand) -> None:
        """Submit it, again and again until that is answered: it is taken once."""
        answer = await channel.call("/pymesos.v1.Jobs/SubmitJob", errand.request)
        errand.job_id = answer.job_id
        self._world.counts["errand"] += 1

    async def _end(self, channel: SimulatedChannel, errand: Errand) -> None:
        """Have it ended; if it is set aside, have it released first, or forgotten."""
        try:
            now = self._world.aside.random() < 0.3
            request = pb.StopJobRequest(job_id=errand.job_id, now=now)
            await channel.call("/pymesos.v1.Jobs/StopJob", request)
            # What is set aside afterwards is to be looked at once more.
            errand.ended = not (self._world.faulty and errand.job_id.startswith(FRAGILE))
        except CallError as error:
            if error.code == Code.NOT_FOUND and errand.discarding:
                errand.ended = True
            elif error.code == Code.FAILED_PRECONDITION:
                await self._release(channel, errand)
            else:
                raise

    async def _release(self, channel: SimulatedChannel, errand: Errand) -> None:
        discard = self._dice.random() < 0.5
        errand.discarding |= discard
        request = pb.ReleaseQuarantinedRequest(job_id=errand.job_id, discard=discard)
        try:
            await channel.call("/pymesos.v1.Jobs/ReleaseQuarantined", request)
        except CallError as error:
            if error.code == Code.FAILED_PRECONDITION and "no job" in str(error):
                return  # an earlier answer was lost on its way
            raise
        self._world.counts["released"] += 1
        errand.ended = discard

    def forgotten(self) -> set[tuple[str, str]]:
        """The records of jobs that may be gone since they were listed."""
        return {(JOB, errand.job_id) for errand in self._errands if errand.discarding}

    def unlike(self) -> Iterator[str]:
        """What was answered, and is not so, in fine weather."""
        core = self._framework.core
        if core is None:
            return
        for errand in self._errands:
            job = core.jobs.get(errand.job_id)
            if not errand.ended:
                yield f"the errand {errand.request.request_id} is not over"
            elif errand.job_id in core.quarantined:
                yield f"the job {errand.job_id} is to end, and is set aside"
            elif job is not None and not job.is_over:
                yield f"the job {errand.job_id} is to end, and is {job.state}"
