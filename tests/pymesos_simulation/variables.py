"""A variable in the weather: people set it, and the services of three jobs refer to it.

What was answered holds. Once the weather is fine each job has the value in force, unless its
rollout went back, and what runs was started with the value of its job.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from typing import Any

from pymesos_agent.core.tasks.task import Task
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.jobs.variables import VARIABLE, read_variable
from pymesos_binpack.specs import Job
from pymesos_core.transport import CallError, Code
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_simulation.agents import AgentNode
from pymesos_simulation.frameworks import FrameworkNode
from pymesos_simulation.network import Network
from pymesos_simulation.people import Person
from pymesos_simulation.world import World

VARIABLES_EVERY = 22  # of so many seeds one has a variable
JOBS = 3
NAME, USED_AS = "level", "LEVEL"
PATIENCE_S = 20.0  # of a call
AGAIN = (Code.UNAVAILABLE, Code.CANCELLED, Code.ABORTED)


def varied_seed(world: World) -> bool:
    """Whether a seed has one."""
    return world.seed % VARIABLES_EVERY == VARIABLES_EVERY - 7


def varied_jobs(world: World) -> list[Job]:
    """Return the jobs that refer to the variable, if a seed has one."""
    if not varied_seed(world):
        return []
    task: dict[str, Any] = {
        "name": "varied",
        "kind": "service",
        "command": "service",
        "env": {USED_AS: f"{{{{ variables.{NAME} }}}}"},
        "resources": {"cpus": 0.05, "mem": 16},
        "update": {"min_healthy_s": 1},
    }
    begun = {"variables": {NAME: "0"}, "tasks": [task]}
    return [parse_job({"name": f"varied{number}", **begun}) for number in range(JOBS)]


class Setter(Person):
    """Sets the variable of a framework's role, and once more when the weather is fine."""

    def __init__(
        self, world: World, network: Network, framework: FrameworkNode, agents: Sequence[AgentNode]
    ) -> None:
        super().__init__(world, "setter", network)
        self._aside = random.Random(f"variables {world.seed}")
        self._framework = framework
        self._agents = agents
        self._gap_s = self._aside.choice([3.0, 15.0, 60.0])
        self._asked = 0
        self._answered = 0  # the latest version that was
        self._done = False

    def on_start(self) -> None:
        self.spawn(self._set_again())

    async def _set_again(self) -> None:
        while len(self._jobs()) < JOBS:  # one that is submitted has the value that is in force
            await asyncio.sleep(1.0)
        while self.world.faulty:
            await asyncio.sleep(self._aside.expovariate(1 / self._gap_s))
            await self._set()
        await self._set()
        self._done = True

    async def _set(self) -> None:
        """Give it another value, however long that takes."""
        self._asked += 1
        self.world.counts["variable set"] += 1
        request = pb.SetVariableRequest(
            role=self._framework.role,
            name=NAME,
            value=str(self._asked),
            request_id=f"set{self._asked}",
        )
        while True:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    channel = self._channel(self._framework.address)
                    answer = await channel.call("/pymesos.v1.Jobs/SetVariable", request)
                self._check_stored(answer.version)
                return
            except CallError as error:
                if error.code not in AGAIN:
                    self.world.fail(AssertionError(f"the variable: {error.code} {error}"))
                    return
            except TimeoutError:
                pass
            await asyncio.sleep(self._aside.uniform(0.1, 3))

    def _check_stored(self, answered: int) -> None:
        """What was answered survives every crash."""
        self._answered = max(self._answered, answered)
        key = f"{self._framework.role}:{NAME}"
        stored = self._framework.stored.get((VARIABLE, key))
        there = read_variable(key, stored).latest.version if stored is not None else 0
        with self.world.fatal():
            assert there >= answered, f"version {answered} was answered, and {there} is stored"

    def _jobs(self) -> list[JobState]:
        """The jobs that refer to it and were acknowledged."""
        core = self._framework.core
        accepted = set(self._framework.accepted.values())
        jobs = core.jobs.values() if core is not None else ()
        return [job for job in jobs if job.job_id in accepted and NAME in job.job.variables]

    def differences(self) -> Iterator[str]:
        """What was answered and does not hold, and what has another value than it should."""
        core = self._framework.core
        there = core.variables.get(self._framework.role, NAME) if core is not None else None
        if there is None or not self._done or there.spreading:
            yield f"the variable is yet to be set, or spread: {there}"
            return
        if there.latest.version < self._answered:
            yield f"the variable is at {there.latest.version}, answered was {self._answered}"
        for job in self._jobs():
            value = job.job.variables[NAME]
            went_back = job.history.asked_by(there.request_id) is not None
            if value != there.latest.value and not went_back:
                yield f"{job.job_id} has the value {value}, and {there.latest.value} is in force"
            for task in self._tasks(job):
                used = {each.name: each.value for each in task.info.command.environment}
                if used.get(USED_AS, value) != value:  # executors are told no environment
                    yield f"{task.info.task_id} has {used[USED_AS]}, and its job {value}"

    def _tasks(self, job: JobState) -> Iterator[Task]:
        """What runs of a job."""
        mine = {instance.saved.task_id for instance in job.instances if instance.live}
        for agent in self._agents:
            for task in agent.core.state.by_key.values() if agent.core is not None else ():
                if task.info.task_id in mine:
                    yield task
