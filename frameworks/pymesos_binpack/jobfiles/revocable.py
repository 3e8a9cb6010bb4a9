"""What a task may not have that runs on what others hold and do not use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NAMES = ("cpus", "mem")


def revocable_problem(task: Mapping[str, Any]) -> str | None:
    """Return what is wrong of a revocable task, with its key first; None of others, too."""
    if not task.get("revocable"):
        return None
    if task.get("kind") == "daemon":
        return "revocable: a daemon is on every agent, also where all is used: leave the key out"
    for key in ("ports", "volumes"):
        if task.get(key):
            return f"{key}: only CPUs and memory are revocable: leave them out, or `revocable`"
    for each in (task, *task.get("sidecars", ())):
        for name, amount in each.get("resources", {}).items():
            if amount and name not in NAMES:
                return (
                    f"resources.{name}: a revocable task is given {' and '.join(NAMES)}, which are"
                    f" all that may be taken back: leave it out, or `revocable`"
                )
    return None
