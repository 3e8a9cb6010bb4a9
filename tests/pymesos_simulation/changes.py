"""People who change jobs while the weather is bad: they apply, scale, restart and roll back.

They pause, promote and abort rollouts, too. What they were answered holds: a version that was told
is in force, or a later one is. Once the weather is fine every rollout ends: those that wait for
somebody's decision are given it.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator, Sequence
from typing import Any

from pymesos_binpack.jobs.rollouts.lifecycle import State
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.specs import Job
from pymesos_core.transport import CallError, Code
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_simulation import restored
from pymesos_simulation.frameworks import FrameworkNode
from pymesos_simulation.network import Network
from pymesos_simulation.pairs import FrameworkPair
from pymesos_simulation.people import Person
from pymesos_simulation.world import World

Owner = FrameworkNode | FrameworkPair  # of jobs

PATIENCE_S = 20.0  # of a call
MAKE_ROOM_S = 300.0  # how long work waits in fine weather, before people make room
LOOK_S = 5.0  # how often people look what waits for them, once the weather is fine
MOST_INSTANCES = 3
TASK = "service"
GOOD, BAD = "service", "1"  # commands: one that runs on, one that ends after a second
# A framework that is not there, or has not heard from a master, is asked again.
AGAIN = (Code.UNAVAILABLE, Code.CANCELLED, Code.ABORTED, Code.NOT_FOUND)
BRIEF: dict[str, Any] = {"healthy_deadline_s": 60, "progress_deadline_s": 120}
UPDATES: list[dict[str, Any]] = [
    {"min_healthy_s": 2},
    {"min_healthy_s": 10},
    {"min_healthy_s": 2, "max_surge": 0, "max_unavailable": 1},
    {"min_healthy_s": 2, "max_surge": 2, "max_unavailable": "50%"},
    {"min_healthy_s": 2, "canary": 1, "canary_promote": "auto"},
    {"min_healthy_s": 2, "canary": 1},
    {"min_healthy_s": 2, "canary": "100%", "canary_serve": False},
    {"min_healthy_s": 2, "on_failure": "pause"},
]
# Where others run beside those that they replace, which host ports and volumes do not allow.
BESIDE = ("max_surge", "max_unavailable", "canary", "canary_promote", "canary_serve")
DRAINS_S = (0.0, 0.001, 5.0)  # some end before a write does
CHANGES = ("ApplyJob", "ApplyJob", "ApplyJob", "ScaleJob", "RestartJob", "RollbackJob")
ASKED = ("PauseRollout", "ResumeRollout", "PromoteRollout", "AbortRollout")


def work_waits(frameworks: Sequence[Owner]) -> bool:
    """Whether some task is not placed: services and what is kept for roles may leave no room."""
    cores = [framework.core for framework in frameworks if framework.core is not None]
    return any(instance.pending for core in cores for instance in core.instances())


class Editor(Person):
    """Changes the services of every job, one change after the other."""

    def __init__(
        self, world: World, network: Network, frameworks: Sequence[Owner], agents: int
    ) -> None:
        super().__init__(world, "editor", network)
        self._aside = random.Random(f"editor {world.seed}")
        self._frameworks = frameworks
        self._agents = agents
        self._gap_s = self._aside.choice([3.0, 10.0, 40.0])
        self._drain_s = self._aside.choice(DRAINS_S)
        self._asked = 0
        self._answered: dict[tuple[str, str], int] = {}  # framework and job id → a version

    def on_start(self) -> None:
        for framework in self._frameworks:
            self.spawn(self._edit(framework))

    async def _edit(self, framework: Owner) -> None:
        while self.world.faulty:
            await asyncio.sleep(self._aside.expovariate(1 / self._gap_s))
            job_ids = _changed_by(framework)
            if job_ids and self.world.faulty:
                await self._change(framework, self._aside.choice(job_ids))
        fine_s = self.world.now_s
        while True:
            for job_id in _changed_by(framework):
                await self._see_to(framework, job_id)
                if self.world.now_s > fine_s + MAKE_ROOM_S and work_waits(self._frameworks):
                    await self._make_room(framework, job_id)
            await asyncio.sleep(LOOK_S)

    async def _change(self, framework: Owner, job_id: str) -> None:
        """Make some change, or ask something of what an earlier one began."""
        if self._aside.random() < 0.3:
            request = pb.RolloutRequest(job_id=job_id)
            await self._insist(framework, self._aside.choice(ASKED), request)
            return
        what = self._aside.choice(CHANGES)
        daemon = _is_daemon(framework, job_id)
        if daemon and what == "ScaleJob":
            what = "RestartJob"
        number = self._aside.randint(1, MOST_INSTANCES)
        if alone := _is_tied(framework, job_id):  # a host port each agent has once
            number = min(number, self._agents)
        if what == "ApplyJob":
            command = self._aside.choice([GOOD, GOOD, BAD])
            update = {**BRIEF, **self._aside.choice(UPDATES)}
            if alone or daemon:
                update = {key: value for key, value in update.items() if key not in BESIDE}
            shutdown = {"drain_s": self._drain_s}
            changes: dict[str, object] = {"update": update, "shutdown": shutdown}
            if not daemon:
                changes["instances"] = number
            await self._apply(framework, job_id, command, **changes)
            return
        request_id = self._next_id()
        requests: dict[str, Any] = {
            "ScaleJob": pb.ScaleJobRequest(counts={TASK: number}),
            "RestartJob": pb.RestartJobRequest(tasks=[TASK]),
            "RollbackJob": pb.RollbackJobRequest(),
        }
        request = requests[what]
        request.job_id, request.request_id = job_id, request_id
        await self._have_changed(framework, what, request)

    async def _apply(self, framework: Owner, job_id: str, command: str, **changes: object) -> None:
        described = await self._insist(
            framework, "DescribeJob", pb.DescribeJobRequest(job_id=job_id)
        )
        if described is None:
            return
        document, request_id = json.loads(described.job_json), self._next_id()
        for task in document["tasks"]:
            if task["name"] == TASK:
                task.update(command=command, env={"VERSION": request_id}, **changes)
        text = json.dumps(document)
        request = pb.ApplyJobRequest(job_json=text, job_id=job_id, request_id=request_id)
        await self._have_changed(framework, "ApplyJob", request)

    def _next_id(self) -> str:
        self._asked += 1
        return f"edit{self._asked}"

    async def _have_changed(self, framework: Owner, what: str, request: Any) -> None:
        self.world.counts["changed"] += 1
        self.world.trace(f"the job {request.job_id} of {framework.name} is to change: {what}")
        answer = await self._insist(framework, what, request)
        if answer is not None:
            key = (framework.name, request.job_id)
            self._answered[key] = max(self._answered.get(key, 0), answer.version)

    async def _insist(self, framework: Owner, path: str, request: Any) -> Any:
        """The answer, however long it takes; None if it is refused.

        The same request is one change, however often it comes.
        """
        while True:
            channel = self._channel(framework.address)
            try:
                async with asyncio.timeout(PATIENCE_S):
                    return await channel.call(f"/pymesos.v1.Jobs/{path}", request)
            except CallError as error:
                if error.code == Code.FAILED_PRECONDITION:
                    return None  # there is no earlier version, say, or no rollout
                if error.code not in AGAIN:
                    self.world.fail(AssertionError(f"{path}: {error.code} {error}"))
                    return None
            except TimeoutError:
                pass
            await asyncio.sleep(self._aside.uniform(0.1, 3))

    async def _see_to(self, framework: Owner, job_id: str) -> None:
        """Decide what waits for somebody, and replace a bad version that is in force."""
        job = framework.core.jobs.get(job_id) if framework.core is not None else None
        rollout = job.rollouts.get(TASK) if job is not None else None
        if job is None:
            return
        if rollout is None:  # where nothing ran of it, a version is in force without one
            if _is_bad(job):
                await self._apply(framework, job_id, GOOD)
            return
        request = pb.RolloutRequest(job_id=job_id)
        if rollout.state is State.PAUSED:
            await self._insist(
                framework, self._aside.choice(["ResumeRollout", "AbortRollout"]), request
            )
        elif rollout.state is State.WAITING_PROMOTION:
            await self._insist(framework, "PromoteRollout", request)
        elif not rollout.going and _is_bad(job):
            await self._apply(framework, job_id, GOOD)

    async def _make_room(self, framework: Owner, job_id: str) -> None:
        """Scale a service down: those of others are more than the cluster has room for."""
        job = framework.core.jobs.get(job_id) if framework.core is not None else None
        if job is not None and any(
            spec.instances > 1 for spec in job.job.tasks if spec.name == TASK
        ):
            request = pb.ScaleJobRequest(job_id=job_id, counts={TASK: 1})
            request.request_id = self._next_id()
            await self._have_changed(framework, "ScaleJob", request)

    def differences(self) -> Iterator[str]:
        """What was answered and does not hold, and what is still on its way."""
        for framework in self._frameworks:
            if framework.core is not None:
                restored.check(self.world, framework.core.jobs.values(), framework.jobs)
            for job_id, job in framework.core.jobs.items() if framework.core is not None else ():
                answered = self._answered.get((framework.name, job_id), 0)
                if job.version < answered:
                    yield f"{job_id} is at version {job.version}, answered was {answered}"
                if job.unsettled and not job.stopping:
                    yield f"{job_id} is not as version {job.version} says: {_rollouts(job)}"


def _changed_by(framework: Owner) -> list[str]:
    """The jobs of a framework that people change."""
    return sorted(
        job_id
        for request_id, job_id in framework.accepted.items()
        if any(task.name == TASK for task in framework.jobs[request_id].tasks)
    )


def _is_tied(framework: Owner, job_id: str) -> bool:
    """Whether it has host ports or volumes: none runs beside the one that it replaces."""
    tasks = [task for job in _submitted(framework, job_id) for task in job.tasks]
    return any(task.host_ports or task.volumes for task in tasks)


def _is_daemon(framework: Owner, job_id: str) -> bool:
    return any(job.has_daemon for job in _submitted(framework, job_id))


def _submitted(framework: Owner, job_id: str) -> list[Job]:
    return [framework.jobs[asked] for asked, of in framework.accepted.items() if of == job_id]


def _is_bad(job: JobState) -> bool:
    specs = [i.spec for i in job.instances if i.spec.name == TASK]
    specs += [spec for spec in job.job.tasks if spec.name == TASK]
    return any(spec.command == BAD for spec in specs)


def _rollouts(job: JobState) -> str:
    return "; ".join(f"{task} is {r.state} ({r.why})" for task, r in job.rollouts.items())
