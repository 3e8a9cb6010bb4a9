"""How many of a service may be missing: the budget that rollouts, drains and preemption share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace

from pymesos_binpack.jobs.aligning import member_of
from pymesos_binpack.jobs.rollouts import state
from pymesos_binpack.jobs.rollouts.planning import Plan
from pymesos_binpack.jobs.rollouts.seen import Seen
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.jobs.updating import rules_of
from pymesos_binpack.specs import TaskSpec
from pymesos_core.resource_values import normalize


def spares(job: JobState, now_s: float, draining: Set[str]) -> Mapping[str, int]:
    """Return of each instance that does its work, by key, how many of its task may be missing, with
    it; fewer than one: it may not.
    """
    if job.stopping:
        return {}
    out: dict[str, int] = {}
    for spec in job.job.tasks:
        if spec.is_service:
            out |= _spares_of(job, spec, now_s, draining)
    return out


def _spares_of(
    job: JobState, spec: TaskSpec, now_s: float, draining: Set[str]
) -> Mapping[str, int]:
    there = [instance for instance in job.instances if instance.spec.name == spec.name]
    rollout = job.rollouts.get(spec.name) or state.settled(job.version, spec.instances, now_s)
    places: Sequence[int] = range(spec.instances)
    if spec.is_daemon:
        # None does the work of another: all that are to stay are wanted.
        indices = {instance.index for instance in there if not instance.saved.leaving}
        places = sorted(indices)
        rollout = replace(rollout, served=normalize((index, index) for index in places))
    members = [member_of(job, instance, rollout, draining) for instance in there]
    plan = Plan(Seen.of(rules_of(spec), rollout, members, places, now_s))
    return {m.key: plan.spare(m) for m in plan.seen.members if not (m.lost or plan.is_free(m))}
