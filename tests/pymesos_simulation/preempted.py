"""Preemption in the weather: a service is left too few only where nobody else would have done."""

from __future__ import annotations

from collections.abc import Set

from pymesos_binpack.core import BinpackCore
from pymesos_binpack.jobs.instance import Instance
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.jobs.updating import rules_of
from pymesos_binpack.specs import TaskSpec
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_simulation.budgets import works


def of(core: BinpackCore) -> set[Instance]:
    """Return the instances that are killed for others."""
    return {instance for instance in core.instances() if instance.saved.preempted}


def check(core: BinpackCore, chosen: Set[Instance]) -> None:
    """Assert of those that were just chosen that no batch task might have gone in their place."""
    for job_id in {instance.job_id for instance in chosen}:
        job = core.jobs[job_id]
        for spec in job.job.tasks:
            there = [i for i in chosen if i.job_id == job_id and i.spec.name == spec.name]
            victims = [i for i in there if works(job, i)]  # nobody misses the others
            if victims and spec.is_service and not spec.is_daemon:
                missed = min(len(victims), _lacks(job, spec))
                spared = [i.key for i in victims if _others(core, job, i)]
                assert len(spared) <= len(victims) - missed, (
                    f"{spared} are preempted though batch tasks might go, and {job_id} lacks"
                    f" {missed} then"
                )


def _lacks(job: JobState, spec: TaskSpec) -> int:
    """How many that are ready a task is short of."""
    rollout = job.rollouts.get(spec.name)
    before = rollout.from_count if rollout is not None else spec.instances
    floor = min(before, spec.instances) - rules_of(spec).in_numbers(spec.instances).unavailable
    ready = sum(
        works(job, i) and not (i.saved.leaving or i.saved.preempted)
        for i in job.instances
        if i.spec.name == spec.name
    )
    return max(0, floor - ready)


def _others(core: BinpackCore, job: JobState, victim: Instance) -> bool:
    """Whether a batch task runs beside one that has as much and is as unimportant.

    Ports do not matter: what preempts here wants none.
    """
    return any(
        other.saved.agent_id == victim.saved.agent_id
        and other.saved.state == pb.TASK_RUNNING
        and not (other.killing or other.saved.preempted)
        and not (other.spec.is_service or other.spec.revocable)
        and core.jobs[other.job_id].job.role == job.job.role
        and core.jobs[other.job_id].job.priority <= job.job.priority
        and all(other.spec.scalars.get(n, 0) >= v for n, v in victim.spec.scalars.items())
        for other in core.instances()
    )
