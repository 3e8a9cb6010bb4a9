"""What another version of a job would mean for its instances, before it is made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from pymesos_binpack.jobs.daemons import Agents, wanted
from pymesos_binpack.jobs.history import Version
from pymesos_binpack.jobs.instance import Instance
from pymesos_binpack.jobs.state import JobState, revision_of
from pymesos_binpack.jobs.updating import rules_of
from pymesos_binpack.specs import Job, TaskSpec


@dataclass(slots=True)
class TaskChange:
    """What becomes of the instances of a task."""

    task: str
    stay: int = 0  # as they are
    start: int = 0  # beside those that stay or are replaced
    stop: int = 0  # and no others take their place
    replace: int = 0  # others take their place
    finish: int = 0  # batch: they run on, or have ended, as the earlier version said
    outage: str = ""  # why there is a moment with too few
    indices: set[int] = field(default_factory=set)  # that are there


def foresee(now: JobState | None, job: Job, version: Version, agents: Agents) -> list[TaskChange]:
    """Return what becomes of each task that a job has or had; of a new one all is started.

    A daemon starts on the agents that are known.
    """
    there: dict[str, list[Instance]] = defaultdict(list)
    for instance in now.instances if now is not None else ():
        if not instance.saved.leaving:
            there[instance.spec.name].append(instance)
    out = []
    for spec in job.tasks:
        instances = there.pop(spec.name, [])
        places: Collection[int] = range(spec.instances)
        if spec.is_daemon:
            places = wanted(job, spec, instances, agents).places.keys()
        elif spec.periodic is not None:  # each run has its own
            places = {instance.index for instance in instances}
        out.append(_of_task(spec, instances, places, version))
    out += [TaskChange(name, stop=len(instances)) for name, instances in there.items()]
    return out


def _of_task(
    spec: TaskSpec, instances: Sequence[Instance], places: Collection[int], version: Version
) -> TaskChange:
    change = TaskChange(spec.name)
    for instance in instances:
        if instance.index not in places:
            change.stop += 1
            continue
        change.indices.add(instance.index)
        if instance.revision == revision_of(spec, version):
            change.stay += 1
        elif _may_finish(instance, version):
            change.finish += 1
        else:
            change.replace += 1
    change.start = len(places) - len(change.indices)
    change.outage = _outage(spec, change, len(places)) if spec.is_service else ""
    return change


def _outage(spec: TaskSpec, change: TaskChange, count: int) -> str:
    """Why there is a moment with too few; or empty."""
    rules = rules_of(spec)
    numbers = rules.in_numbers(count)
    most = min(numbers.unavailable, change.replace)
    if rules.stop_first and change.replace:
        what = "its data are on one agent" if spec.volumes else "its host ports are held"
        what = "an agent never has two of it" if spec.is_daemon else what
        return f"{what}, so {most} at a time end before others take their place"
    if most:
        return f"as many as {most} at a time may be missing (max_unavailable)"
    return ""


def _may_finish(instance: Instance, version: Version) -> bool:
    rerun = instance.saved.done and instance.spec.name in version.rerun
    return not (instance.spec.is_service or instance.pending or rerun)
