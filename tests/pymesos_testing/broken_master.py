"""A master with a fault: it cannot kill a task called boom, and finds out half-way."""

from __future__ import annotations

from typing import Any

from pymesos_master.core import tasks
from pymesos_master.main import main

right = tasks.kill


def wrong(ctx: Any, framework: Any, call: Any) -> None:
    """In the place of `tasks.kill`."""
    if call.task_id == "boom":
        framework.tasks.clear()
        raise TypeError("planted")
    right(ctx, framework, call)


tasks.kill = wrong

if __name__ == "__main__":
    main()
