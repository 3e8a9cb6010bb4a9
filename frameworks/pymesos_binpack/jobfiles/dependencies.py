"""What a job file says of the tasks that come before others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

from pymesos_binpack.specs import Dependency, JobError, TaskSpec, Until
from pymesos_core.text import quoted


def dependencies(tasks: Sequence[Mapping[str, Any]]) -> list[tuple[Dependency, ...]]:
    """Return what each task of a document depends on. Raises JobError."""
    kinds = {task["name"]: task.get("kind", "batch") for task in tasks}
    return [
        tuple(
            _dependency(each, kinds, task["name"], f"tasks[{index}].depends_on[{number}]")
            for number, each in enumerate(task.get("depends_on", ()))
        )
        for index, task in enumerate(tasks)
    ]


def _dependency(
    given: Mapping[str, Any], kinds: Mapping[str, str], own: str, where: str
) -> Dependency:
    name = given["task"]
    if name not in kinds:
        known = ", ".join(sorted(kinds)[:10])
        raise JobError(f"{where}.task: the job has no task {quoted(name)}; it has {known}")
    if name == own:
        raise JobError(f"{where}.task: a task cannot come before itself: name another one")
    kind = kinds[name]
    if kind == "periodic":
        raise JobError(
            f"{where}.task: {name} is periodic, and so is never ready or finished for good: name a"
            f" service, a daemon or a batch task"
        )
    usual = Until.FINISHED if kind == "batch" else Until.READY
    until = Until(given.get("until", usual))
    if until is Until.FINISHED and kind != "batch":
        raise JobError(
            f"{where}.until: {name} is a {kind}, which never finishes: let it be ready, or let"
            f" the kind of {name} be batch"
        )
    return Dependency(name, until)


def check_order(tasks: Sequence[TaskSpec]) -> None:
    """Raises JobError, which names the cycle, where tasks depend on each other."""
    before = {task.name: [each.task for each in task.depends_on] for task in tasks}
    for index, task in enumerate(tasks):
        names = [each.task for each in task.depends_on]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise JobError(f"tasks[{index}].depends_on: the task {twice} is given twice")
    try:
        TopologicalSorter(before).prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1][::-1]  # each depends on the next one
        shown = " → ".join(cycle if len(cycle) <= 12 else [*cycle[:10], "…", cycle[-1]])
        raise JobError(
            f"tasks: depends_on goes in a circle, so that none of these can begin: {shown}; leave"
            f" one of these dependencies out"
        ) from None
