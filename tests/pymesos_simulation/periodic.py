"""Periodic tasks in the weather: of a time that is due there is one run, and never two at once."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from pymesos_binpack.core import Accept, BinpackCore
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_binpack.jobs.groups import main_task_id
from pymesos_binpack.specs import Job
from pymesos_simulation.world import Node, World

PERIODIC_EVERY = 10  # of so many seeds one has a periodic task
OVERLAPS = ("skip", "queue", "replace")

SET_BACK_S = (1.0, 60.0, 120.0)
Begun = dict[tuple[str, str, int, float], str]  # job, task, index, when due → what was launched


def periodic_seed(world: World) -> bool:
    """Whether a seed has one."""
    return world.seed % PERIODIC_EVERY == PERIODIC_EVERY - 4


def periodic_jobs(world: World) -> list[Job]:
    """Return the job with a periodic task that a seed has, or none."""
    if not periodic_seed(world):
        return []
    task: dict[str, Any] = {
        "name": "periodic",
        "kind": "periodic",
        "schedule": "* * * * *",
        "overlap": world.aside.choice(OVERLAPS),
        "instances": world.aside.randint(1, 3),
        "command": "batch",
        "retries": 1000,
        "resources": {"cpus": 0.1, "mem": 32},
    }
    return [parse_job({"name": "periodic", "tasks": [task]})]


def check(core: BinpackCore) -> None:
    """Assert that no two runs of a task go on at once."""
    for job in core.jobs.values():
        if job.runs:
            live = {(i.spec.name, i.saved.run) for i in job.instances if i.spec.periodic and i.live}
            assert len(live) <= len(job.runs), f"{job.job_id}: {sorted(live)} go on at once"


def check_begun(core: BinpackCore, accept: Accept, begun: Begun) -> None:
    """Assert that a run is not begun again: what is launched of it is the same instance as ever."""
    for info in (*accept.tasks, *(info for group in accept.groups for info in group)):
        instance = core.instance_of(main_task_id(info.task_id))
        if instance is not None and instance.spec.periodic is not None:
            run = core.jobs[instance.job_id].runs[instance.spec.name].latest
            if instance.saved.leaving:
                continue  # another run has begun while the launch was being stored: it is killed
            assert run is not None and run.run_id == instance.saved.run, f"{info.task_id}: {run}"
            which = (instance.job_id, instance.spec.name, instance.index, run.due_s)
            first = begun.setdefault(which, instance.key)
            assert first == instance.key, f"what was due is begun by {first} and {instance.key}"


def set_clocks_back(world: World, nodes: Iterable[Node]) -> None:
    """Have somebody set the clocks of frameworks back, so that they show again what they showed."""
    for node in nodes if periodic_seed(world) else ():
        back_s = world.aside.choice(SET_BACK_S)
        world.at(world.aside.uniform(70, 230), partial(_set_back, node, back_s))


def _set_back(node: Node, back_s: float) -> None:
    node.world.counts["clock jump"] += 1
    node.skew_s -= back_s
