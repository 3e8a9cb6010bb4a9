"""Tasks that would begin anew for ever, each because the other has: found before a job is taken."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

from pymesos_binpack.jobfiles.templates import references
from pymesos_binpack.specs import Job, TaskSpec

MAX_SHOWN = 12  # tasks of a circle


def restart_problem(job: Job) -> str | None:
    """Why tasks of the job would never stop restarting, or None.

    It is asked of what is sent, and not of jobs that were taken before anybody asked. A sidecar
    begins anew with its task, and that with it.
    """
    after: dict[str, set[str]] = {}
    for index, spec in enumerate(job.tasks):
        after[spec.name] = set()
        for each in (spec, *spec.sidecars):
            for number, names in _restarted_by(each, job.name):
                if spec.name in names:
                    return (
                        f"tasks[{index}] ({each.name}).config[{number}].on_change: its template has"
                        f" the addresses of {spec.name} itself, which are others after each"
                        f" restart, so that it would restart for ever: use signal or none"
                    )
                after[spec.name] |= names
    try:
        TopologicalSorter(after).prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1][::-1]
        shown = " → ".join(cycle if len(cycle) <= MAX_SHOWN else [*cycle[:10], "…", cycle[-1]])
        return (
            f"tasks: on_change: restart goes in a circle, so that these would restart each other"
            f" for ever: {shown}; use signal or none in one of them"
        )
    return None


def _restarted_by(spec: TaskSpec, job: str) -> list[tuple[int, set[str]]]:
    """The files by which it restarts, each with the tasks of the job whose addresses it has."""
    found = []
    for number, file in enumerate(spec.container.keys.get("config", ())):
        if file.get("on_change") == "restart":
            uses = (name.rpartition(".") for name in references(file["template"]).addresses)
            found.append((number, {task for of, _, task in uses if of in ("", job)}))
    return found
