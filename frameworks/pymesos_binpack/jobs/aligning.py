"""Which instances a job is to have, against those that it has: some are added, some removed.

What differs from the version in force gives way to it. Of a service each instance is ended first
and another started in its place. A batch task that runs may finish; what has not begun is of the
version in force, and what has ended runs again only where that version says so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from pymesos_binpack.jobs.state import Instance, JobState
from pymesos_binpack.jobs.steps import Add, Remove

NO_TASK = "its job no longer has this task"
FEWER = "its job is to have fewer of it"
NEWER = "another version of its job takes its place"
AGAIN = "its job is to run it again"


def align(job: JobState) -> list[Add | Remove]:
    """The next steps towards what the version in force says; none when nothing differs, or waits.

    What is removed comes first, and the highest index first.
    """
    if job.stopping:
        return []
    counts = {spec.name: spec.instances for spec in job.job.tasks}
    removed: list[Remove] = []
    there: dict[str, set[int]] = defaultdict(set)
    for instance in sorted(job.instances, key=lambda i: -i.index):
        why = "" if instance.saved.leaving else _why_removed(job, instance, counts)
        if why:
            removed.append(Remove(instance, why))
        if instance.live or not (why or instance.saved.leaving):
            there[instance.spec.name].add(instance.index)
    return [*removed, *_missing(job, there)]


def _missing(job: JobState, there: dict[str, set[int]]) -> Iterator[Add]:
    for spec in job.job.tasks:
        for index in range(spec.instances):
            if index not in there[spec.name]:
                yield Add(spec, index, "it is wanted")


def is_settled(job: JobState) -> bool:
    """Whether a job has what its version in force says, but for batch tasks that may finish."""
    counts = {spec.name: spec.instances for spec in job.job.tasks}
    settled = sum(
        not i.saved.leaving and i.index < counts.get(i.spec.name, 0) and not _outdated(job, i)
        for i in job.instances
    )
    return settled == len(job.instances) == sum(counts.values())


def _outdated(job: JobState, instance: Instance) -> bool:
    """Whether something is to be done, now or later, for it is not of the version in force."""
    finishes = not instance.spec.is_service and instance.saved.done
    return not (finishes or job.is_current(instance))


def _why_removed(job: JobState, instance: Instance, counts: dict[str, int]) -> str:
    """Why an instance is no longer wanted; or empty."""
    name = instance.spec.name
    if name not in counts:
        return NO_TASK
    if instance.index >= counts[name]:
        return FEWER
    if job.is_current(instance):
        return ""
    if instance.spec.is_service or instance.pending:
        return NEWER
    rerun = job.history.latest.rerun
    return AGAIN if instance.saved.done and rerun else ""
