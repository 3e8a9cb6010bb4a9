"""Tasks that come before others: what instances wait for before their first start and their end.

A dependency orders first starts, rollouts and stopping. It restarts nothing: what has begun once is
no business of it any more, whatever becomes of what it began after.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import NamedTuple

from pymesos_binpack.jobs.instance import Instance
from pymesos_binpack.jobs.lifecycle import Phase
from pymesos_binpack.jobs.rollouts.lifecycle import State
from pymesos_binpack.jobs.rollouts.members import Awaited
from pymesos_binpack.jobs.rollouts.state import Rollout
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.specs import Dependency, Job, TaskSpec, Until
from pymesos_core.text import cut
from pymesos_proto.v1 import types_pb2 as pb

SHOWN = 200  # characters of how an instance ended
WENT_BACK = (State.ROLLED_BACK, State.ROLLBACK_FAILED, State.ABORTED)


class Remade(NamedTuple):
    """What else another version says: see `Version`."""

    restarts: Mapping[str, int]
    rerun: Set[str]


def awaited_by_task(
    job: JobState, without: Set[Instance] = frozenset(), tasks: Iterable[TaskSpec] | None = None
) -> dict[str, Awaited]:
    """Return what each task waits for that others come before; nothing of one that may begin.

    `without` are instances that are about to be removed.
    """
    dependants = [spec for spec in tasks or job.job.tasks if spec.depends_on]
    if not dependants:
        return {}
    there: dict[str, list[Instance]] = defaultdict(list)
    for instance in job.instances:
        if not instance.saved.leaving and instance not in without:
            there[instance.spec.name].append(instance)
    specs = job.known[job.version].specs
    out: dict[str, Awaited] = {}
    for spec in dependants:
        found = (_of(each, specs[each.task], there[each.task]) for each in spec.depends_on)
        if waits := [each for each in found if each is not None]:
            out[spec.name] = max(waits, key=lambda each: bool(each.failed))
    return out


def _of(dependency: Dependency, spec: TaskSpec, instances: Sequence[Instance]) -> Awaited | None:
    """What is waited for of a task that comes before; None: it is so far."""
    ended = [i for i in instances if i.saved.done and i.saved.state != pb.TASK_FINISHED]
    if ended:
        return Awaited(failed=f"task {spec.name}, which comes before it, {_how(ended[0])}")
    finishes = dependency.until is Until.FINISHED
    far = {i.index for i in instances if _is_so_far(i, finishes=finishes)}
    wanted = len({i.index for i in instances}) if spec.is_daemon else spec.instances
    if spec.is_daemon and not wanted:
        return Awaited(f"waits for task {spec.name} to be ready: no agent has one")
    if len(far) >= wanted:
        return None
    verb, are = ("finish", "have") if finishes else ("be ready", "are")
    return Awaited(f"waits for task {spec.name} to {verb}: {len(far)} of {wanted} {are}")


def _is_so_far(instance: Instance, *, finishes: bool) -> bool:
    saved = instance.saved
    if saved.done:
        return saved.state == pb.TASK_FINISHED
    return bool(saved.ready_since_s) and not finishes


def _how(ended: Instance) -> str:
    """How an instance ended that will not run again."""
    saved = ended.saved
    if saved.exit_status:
        return f"has failed: instance {ended.index} with exit status {saved.exit_status}"
    said = f": {cut(saved.message, SHOWN)}" if saved.message else ""
    return f"will not run any more: instance {ended.index} has ended{said}"


def is_held(instance: Instance) -> bool:
    """Return whether an instance waits for its first start, before which others may come."""
    return instance.pending and not instance.saved.attempts and bool(instance.spec.depends_on)


def awaited_by_rollout(
    job: JobState, spec: TaskSpec, rollouts: Mapping[str, Rollout], awaited: Mapping[str, Awaited]
) -> Awaited:
    """Return what the rollout of a task waits for: what comes before it changes first.

    Where that went back, so does what was to follow: the new version was made for both.
    """
    own = rollouts.get(spec.name)
    for each in spec.depends_on:
        other = rollouts.get(each.task)
        if own is None or other is None:
            continue
        if other.state in WENT_BACK and _goes_with(job, each.task, other, own):
            return Awaited(failed=f"the rollout of task {each.task}, which comes before, failed")
        if other.going:
            return Awaited(f"waits for the rollout of task {each.task}, which is {other.state}")
    return awaited.get(spec.name, Awaited())


def _goes_with(job: JobState, task: str, other: Rollout, own: Rollout) -> bool:
    """Whether the version that a rollout is to goes with what another one went back from."""
    wanted = job.revision_in(task, own.to_version)
    there = job.revision_in(task, other.from_version)
    return wanted == job.revision_in(task, other.to_version) != there


def dependants_there(job: JobState, instance: Instance, *, same_end: str = "") -> str:
    """Return a task that is to end before an instance may, and that has one that runs; or empty.

    `same_end` is why the instance leaves: only others that leave for the same come before it then.
    """
    name = instance.spec.name
    after: Set[str] = frozenset() if same_end else job.job.dependants.get(name, frozenset())
    for other in job.instances:
        if not other.live or other.state is Phase.UNREACHABLE or other.spec.name == name:
            continue
        if same_end:
            comes = other.saved.leaving == same_end and any(
                each.task == name for each in other.spec.depends_on
            )
        else:
            comes = other.spec.name in after
        if comes:
            return other.spec.name
    return ""


def remade(job: JobState, to: Job, restarts: Mapping[str, int], rerun: Set[str]) -> Remade:
    """Return what another version says, with the batch tasks that run again by it.

    Those are the ones that have to finish before a task which is rolled out by it; and what has
    failed and is another by it, for what waits for that.
    """
    if not job.job.has_dependencies and not to.has_dependencies:
        return Remade(restarts, rerun)
    there = {i.spec.name for i in job.instances if not i.saved.leaving}
    again: set[str] = set()
    for spec in reversed(to.in_order):
        rolls = spec.is_service and spec.name in there and _changes(job, spec, restarts)
        for each in spec.depends_on if rolls or spec.name in again else ():
            if each.until is Until.FINISHED and each.task in there:
                again.add(each.task)
    specs = {spec.name: spec for spec in to.tasks}
    awaited = {each.task for spec in to.tasks for each in spec.depends_on}
    again |= {
        i.spec.name
        for i in job.instances
        if i.saved.done and i.saved.state != pb.TASK_FINISHED and i.spec.name in awaited
        if not specs[i.spec.name].is_service and _changes(job, specs[i.spec.name], restarts)
    }
    more = {
        name: restarts.get(name, 0) + 1
        for name in again
        if not _changes(job, specs[name], restarts)
    }
    return Remade({**restarts, **more}, frozenset({*rerun, *again}))


def _changes(job: JobState, spec: TaskSpec, restarts: Mapping[str, int]) -> bool:
    return job.revision(spec.name) != f"{spec.digest}.{restarts.get(spec.name, 0)}"
