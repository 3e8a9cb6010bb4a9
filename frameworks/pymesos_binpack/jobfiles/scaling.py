"""What a job file says of a task whose number of instances follows what is measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pymesos_binpack.specs import Job, JobError, NamedPort, ScaleRules

PERCENT = 100
MAX_WARNINGS = 100


def scale_warnings(job: Job) -> list[str]:
    """Return what a job file says of numbers of instances that has no effect, as sentences."""
    if not any(task.scale for task in job.tasks):
        return []
    said = {task["name"]: task.get("instances") for task in json.loads(job.document)["tasks"]}
    return [
        f"{task.name}: instances is {said[task.name]}, and its scale goes from {task.scale.min} to"
        f" {task.scale.max}: it begins with {task.instances}"
        for task in job.tasks
        if task.scale is not None and said[task.name] not in (None, task.instances)
    ][:MAX_WARNINGS]


def scale_rules(
    task: Mapping[str, Any], ports: tuple[NamedPort, ...], where: str
) -> ScaleRules | None:
    """Return by what the number of a task's instances goes; None: it is fixed. Raises JobError."""
    given = task.get("scale")
    if given is None:
        return None
    where = f"{where}.scale"
    if task.get("kind") != "service":
        raise JobError(f"{where}: only a service is scaled: let the kind be that, or leave it out")
    if task.get("gang"):
        raise JobError(f"{where}: a gang begins as a whole: leave out one of scale and gang")
    if given["min"] > given["max"]:
        raise JobError(
            f"{where}.min: it is {given['min']}, and at most max, {given['max']}, is expected"
        )
    usual = ScaleRules(1, 1, 1.0)
    target = given["target"]
    return ScaleRules(
        given["min"],
        given["max"],
        _value(task, target, f"{where}.target"),
        target.get("metric", ""),
        _port(task, target, ports, f"{where}.target"),
        target.get("path", usual.path),
        int(given.get("tolerance", "10%").removesuffix("%")) / PERCENT,
        float(given.get("up_after_s", usual.up_after_s)),
        float(given.get("down_after_s", usual.down_after_s)),
    )


def _value(task: Mapping[str, Any], target: Mapping[str, Any], where: str) -> float:
    if "cpu" in target:
        if others := sorted(target.keys() - {"cpu"}):
            raise JobError(f"{where}.{others[0]}: it goes with a metric: leave it or cpu out")
        if not task.get("resources", {}).get("cpus", 1):
            raise JobError(
                f"{where}.cpu: the task asks for no cpus, of which that would be a share"
            )
        return int(target["cpu"].removesuffix("%")) / PERCENT
    for key, other in (("metric", "value"), ("value", "metric")):
        if key not in target:
            raise JobError(f"{where}: {key} is missing, which goes with {other}")
    return float(target["value"])


def _port(
    task: Mapping[str, Any], target: Mapping[str, Any], ports: tuple[NamedPort, ...], where: str
) -> str:
    if "metric" not in target:
        return ""
    names = [port.name for port in ports]
    if name := target.get("port", ""):
        if name not in names:
            known = f"it has {', '.join(names)}" if names else "it names none (`ports`)"
            raise JobError(f"{where}.port: the task has no port {name}: {known}")
    elif not (names or task.get("resources", {}).get("ports")):
        raise JobError(f"{where}.metric: the task has no port to ask for it: name one in `ports`")
    return str(name)
