"""What a task would have twice: files at one path, variables of one name. It is found before a job
is taken, and not when each of its tasks fails, or goes by one of both."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from pymesos_binpack.specs import Job, TaskSpec, port_variable
from pymesos_core.text import quoted

Place = tuple[str, str]  # the key of a job file that says so, and what it says


def clash_problem(job: Job) -> str | None:
    """What tasks of the job would have twice, or None.

    It is asked of what is sent, and not of jobs that were taken before anybody asked.
    """
    for index, spec in enumerate(job.tasks):
        for each in (spec, *spec.sidecars):
            if problem := _variable_problem(each) or _path_problem(each):
                return f"tasks[{index}] ({each.name}).{problem}"
    return None


def _variable_problem(spec: TaskSpec) -> str | None:
    there: dict[str, str] = {}
    for key, name in _variables_of(spec):
        if (other := there.setdefault(name, key)) != key:
            return f"{key}: {name} would also be set by {other}: give one of them another name"
    return None


def _variables_of(spec: TaskSpec) -> Iterator[Place]:
    """But for `env`, which is compared with each of these as it is read."""
    yield from (("ports", port_variable(port.name)) for port in spec.named_ports)
    if spec.periodic is not None:
        yield from (("parameters", parameter.name) for parameter in spec.periodic.parameters)
    uses = spec.container.keys.get("secrets", ())
    yield from (("secrets", use["env"]) for use in uses if use.get("env"))


def _path_problem(spec: TaskSpec) -> str | None:
    """A file is at a path of its own, and nothing is below it; no volume hides it."""
    volumes = [(f"volumes[{number}]", v.path) for number, v in enumerate(spec.volumes)]
    config = enumerate(spec.container.keys.get("config", ()))
    files = [(f"config[{number}]", f["path"]) for number, f in config if not f.get("secrets")]
    for one, other in combinations((*volumes, *files), 2):
        mine, its = _parts(one), _parts(other)
        shorter = min(len(mine), len(its))
        if mine == its:
            return f"{other[0]}.path: {quoted(other[1])} is that of {one[0]}, too: give it another"
        if other in files and mine[:shorter] == its[:shorter]:
            inner, outer = (one, other) if len(mine) > shorter else (other, one)
            return (
                f"{inner[0]}.path: {quoted(inner[1])} would be below {quoted(outer[1])}"
                f" ({outer[0]}): put it elsewhere"
            )
    return None


def _parts(place: Place) -> list[str]:
    path = place[1]
    first = [""] if path.startswith("/") else []
    return [*first, *(part for part in path.split("/") if part not in ("", "."))]
