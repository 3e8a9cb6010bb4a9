"""What a job file may not say of a daemon, of which each agent has one instance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pymesos_binpack.constraints import OF_AGENTS, Constraint

_WITHOUT = {
    "instances": "each agent that meets its constraints has one: leave the key out",
    "gang": "agents come and go, so that its instances cannot begin together: leave the key out",
    "volumes": "they belong to a number of an instance, and a daemon's is of an agent: leave them"
    " out, and keep what lasts in a directory of the agent (`mounts`)",
    "unreachable_replace_s": "its agent has one and no other takes its place: leave the key out",
}


def daemon_problem(task: Mapping[str, Any], constraints: Sequence[Constraint]) -> str | None:
    """Return what is wrong of a daemon, with its key first; None of other kinds, too."""
    if task.get("kind") != "daemon":
        return None
    for key, why in _WITHOUT.items():
        if key in task and task[key] is not False and task[key] != []:
            return f"{key}: a daemon has no such thing, since {why}"
    for constraint in constraints:
        if constraint.operator not in OF_AGENTS:
            return (
                f"constraints: {constraint}: a daemon is on every agent that there is, wherever"
                f" others run: use {', '.join(OF_AGENTS)}, or let the kind be service"
            )
    return None
