"""Tasks that come before others in the weather: first starts and ends are in order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pymesos_binpack.core import Effect, Kill
from pymesos_binpack.core.binpack import BinpackCore
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_binpack.jobs.instance import Instance
from pymesos_binpack.jobs.lifecycle import Phase
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.specs import Job, Until
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_simulation.world import World

DEPENDS_EVERY = 10  # of so many seeds one has a job of which tasks come before others
ENDED_EVERY = 40  # of so many one, in which operators end jobs, has such jobs among these


def dependent_jobs(world: World) -> list[Job]:
    """Return the job with dependencies that a seed has, or none."""
    if world.seed % DEPENDS_EVERY:
        return []
    small = {"resources": {"cpus": 0.05, "mem": 16}}
    once: dict[str, Any] = {"command": "batch", "retries": 1000, **small}
    lasting: dict[str, Any] = {"kind": "service", "command": "service", **small}
    first = [{"task": "base"}, {"task": "migrate"}]
    tasks = [
        # As other services are called, so that people change it, too.
        {"name": "service", "instances": 2, "depends_on": first, **lasting},
        {"name": "report", "instances": 3, "depends_on": [{"task": "service"}], **once},
        {"name": "base", "instances": world.aside.randint(1, 2), **lasting},
        {"name": "migrate", "instances": world.aside.randint(1, 2), **once},
    ]
    return [parse_job({"name": "ordered", "tasks": tasks})]


def with_dependants(world: World, tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the tasks of a job that is ended, in some seeds with one that comes after the first.

    That is as it is, but for its name.
    """
    if world.seed % ENDED_EVERY != ENDED_EVERY - 26:
        return tasks
    return [*tasks, {**tasks[0], "name": "after", "depends_on": [{"task": tasks[0]["name"]}]}]


def check(core: BinpackCore, effects: Iterable[Effect], begun: set[str]) -> None:
    """Assert that what is launched for the first time comes after, and what is killed before."""
    for job in core.jobs.values():
        for instance in job.instances if job.job.has_dependencies else ():
            first = instance.state is Phase.STORING and instance.saved.attempts == 1
            if first and instance.key not in begun:
                begun.add(instance.key)
                _check_first(job, instance)
    for effect in effects:
        killed = core.instance_of(effect.task_id) if isinstance(effect, Kill) else None
        if killed is not None and core.jobs[killed.job_id].durably_stopping:
            _check_killed(core.jobs[killed.job_id].instances, killed)


def _check_first(job: JobState, instance: Instance) -> None:
    counts = {spec.name: spec.instances for spec in job.job.tasks}
    for each in instance.spec.depends_on:
        there = [i for i in job.instances if i.spec.name == each.task and not i.saved.leaving]
        far = [i for i in there if _is_so_far(i, each.until)]
        wanted = counts[each.task]
        assert len({i.index for i in far}) >= wanted, (
            f"{instance.key} is launched while {len(far)} of {wanted} of {each.task} are"
            f" {each.until}"
        )


def _is_so_far(instance: Instance, until: Until) -> bool:
    saved = instance.saved
    finished = saved.done and saved.state == pb.TASK_FINISHED
    return finished or (until is Until.READY and bool(saved.ready_since_s))


def _check_killed(instances: Iterable[Instance], killed: Instance) -> None:
    if killed.saved.leaving or killed.saved.preempted:
        return  # that was decided before its job was to end
    for other in instances:
        after = any(each.task == killed.spec.name for each in other.spec.depends_on)
        there = other.live and other.state is not Phase.UNREACHABLE
        assert not (after and there), f"{killed.key} is killed while {other.key} runs"
