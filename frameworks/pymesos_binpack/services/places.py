"""Where what a job file would start would go, for who asks before it is applied."""

from __future__ import annotations

import asyncio
from collections import Counter

from pymesos_binpack.core import BinpackCore
from pymesos_binpack.jobs.where import Where, preempt, room_of, where_they_go
from pymesos_binpack.specs import Job
from pymesos_core.resource_values import ResourceError
from pymesos_core.text import count_of, cut
from pymesos_core.transport import CallError, Code
from pymesos_proto.v1 import jobs_pb2 as pb

MOST_PLANNED = 500  # instances: those of more are alike
MOST_PLACES, MOST_VICTIMS = 1000, 100  # that are told of a task
MOST_WHY = 1000  # characters


class Places:
    """Plans in a thread, for one at a time: nothing of the framework is changed by that."""

    def __init__(self) -> None:
        self._planning = asyncio.Lock()

    async def add(
        self,
        core: BinpackCore,
        job: Job,
        request: pb.ApplyJobRequest,
        response: pb.ApplyJobResponse,
        *,
        shown: bool,
    ) -> None:
        """Say in a response to a dry run where what is to be started would go.

        `shown`: who asks may see the tasks of this role, and so those that would be killed. Raises
        CallError.
        """
        async with self._planning:
            try:
                room = await asyncio.to_thread(room_of, request.agents, job.role)
            except ResourceError as error:
                raise CallError(Code.INVALID_ARGUMENT, f"agents: {error}") from None
            runs = _runs(core, response.job_id)
            # Its own tasks have its priority once it is applied.
            own = f"{response.job_id}."
            there = core.preemptible(job.role)
            running = [
                task
                for agent_id in (room.agents if job.preempt else ())
                for task in there.on(agent_id, job.priority)
                if not task.task_id.startswith(own)
            ]

            def planned() -> Where:
                policy = core.packing_policy
                where = where_they_go(job, response, room, policy, runs, MOST_PLANNED)
                if where.waiting and running:
                    preempt(where, running, room)
                return where

            where = await asyncio.to_thread(planned)
        response.where.extend(_of_task(core, spec.name, where, shown=shown) for spec in job.tasks)
        notes = []
        if request.agents_left_out:
            notes.append(f"not looked at: {count_of(request.agents_left_out, 'agent')}")
        if sum(change.start + change.replace for change in response.tasks) > MOST_PLANNED:
            notes.append(f"{MOST_PLANNED} instances are planned, and those of more are alike")
        response.where_note = "; ".join(notes)


def _runs(core: BinpackCore, job_id: str) -> list[tuple[str, str]]:
    """The task and the agent of each instance of a job that lives."""
    job = core.jobs.get(job_id)
    return [
        (instance.spec.name, instance.saved.agent_id)
        for instance in (job.instances if job is not None else ())
        if instance.live
    ]


def _of_task(core: BinpackCore, name: str, where: Where, *, shown: bool) -> pb.TaskPlaces:
    refused = where.refused.get(name, [])
    why = where.never.get(name) or (Counter(refused).most_common(1)[0][0] if refused else "")
    view = pb.TaskPlaces(
        task_name=name,
        waiting=len(refused),
        why=cut(why, MOST_WHY),
        never=name in where.never,
        preempting=where.made_room.get(name, 0),
    )
    for hostname, number in where.places.get(name, Counter()).most_common(MOST_PLACES):
        view.places.add(hostname=hostname, instances=number)
    for task_id in where.victims.get(name, [])[:MOST_VICTIMS] if shown else ():
        instance = core.instance_of(task_id)
        if instance is not None:
            view.preempted.add(
                job_id=instance.job_id,
                name=f"{instance.spec.name}.{instance.index}",
                hostname=instance.saved.hostname,
                priority=core.jobs[instance.job_id].job.priority,
            )
    return view
