"""Ports that have names: they are the first of those that a task is given, in their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pymesos_binpack.constraints import HOSTNAME
from pymesos_binpack.specs import Exposure, JobError, NamedPort, TaskSpec, port_variable
from pymesos_core.text import quoted


def with_named_ports(task: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """Return a task that asks for its named ports by their number, and maps them.

    Raises JobError.
    """
    named = task.get("ports", ())
    if not named:
        return task
    variables: dict[str, str] = {}
    for index, port in enumerate(named):
        other = variables.setdefault(port_variable(port["name"]), port["name"])
        if index >= len(variables):
            raise JobError(
                f"{where}.ports[{index}].name: {quoted(port['name'])} and {quoted(other)} would"
                f" have the same variable {port_variable(other)}: give each port a name of its own"
            )
        its = port_variable(port["name"])
        if its in task.get("env", {}):
            raise JobError(
                f"{where}.env: {its} is where the port {quoted(port['name'])} is found: leave it"
                f" out, or call the port something else"
            )
    given = task.get("resources", {})
    if 0 < given.get("ports", 0) < len(named):
        raise JobError(
            f"{where}.resources.ports: {given['ports']} ports are asked for, and {len(named)} have"
            f" names: ask for as many at least, or leave it out"
        )
    mapped = [
        {"port_index": index, "container_port": port["to"]}
        for index, port in enumerate(named)
        if "to" in port
    ]
    if mapped and task.get("network", "host") in ("host", "none"):
        raise JobError(
            f"{where}.ports: `to` needs a network that has ports of its own, like `bridge`: leave"
            f" it out, and listen on ${port_variable(named[0]['name'])}"
        )
    out = {**task, "resources": {**given, "ports": max(given.get("ports", 0), len(named))}}
    if mapped:
        out["port_mappings"] = [*mapped, *task.get("port_mappings", ())]
    return out


def named_ports(task: Mapping[str, Any], where: str) -> tuple[NamedPort, ...]:
    """Return the ports of a task that have names, in their order. Raises JobError."""
    named = tuple(NamedPort(port["name"], port.get("host", 0)) for port in task.get("ports", ()))
    by_number: dict[int, str] = {}
    for index, port in enumerate(named):
        other = by_number.setdefault(port.host, port.name) if port.host else port.name
        if other != port.name:
            raise JobError(
                f"{where}.ports[{index}].host: {quoted(other)} has {port.host} already, and a port"
                f" of an agent is given once, for TCP and UDP: give {quoted(port.name)} another"
                f" one, or leave `host` out for any that is free"
            )
    return named


def exposure(task: Mapping[str, Any], where: str) -> Exposure | None:
    """Return what load balancers pass on to a task. Raises JobError."""
    said = task.get("expose")
    if said is None:
        return None
    made = Exposure(said["http"], said.get("port", 80), said.get("to", "http"))
    names = [port["name"] for port in task.get("ports", ())]
    if made.to not in names:
        has = f"it has {', '.join(names)}" if names else "it has none with a name"
        raise JobError(
            f"{where}.expose.to: the task has no port {quoted(made.to)}, {has}: write `ports:"
            f" [{{name: {made.to}}}]`, or say in `to` which one is meant"
        )
    return made


def check_neighbours(tasks: Sequence[TaskSpec]) -> None:
    """Refuse a task that is to run only beside another one which needs the same port.

    Raises JobError.
    """
    by_name = {task.name: task for task in tasks}
    for index, task in enumerate(tasks):
        for constraint in task.constraints:
            if (constraint.field, constraint.operator) != (HOSTNAME, "WITH"):
                continue
            if both := set(task.host_ports) & set(by_name[constraint.value].host_ports):
                raise JobError(
                    f"tasks[{index}].constraints: {constraint}: both need the host port"
                    f" {min(both)}, which an agent has once: give one of them another port, or"
                    f" leave the constraint out"
                )
