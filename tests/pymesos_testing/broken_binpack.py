"""A bin-packing framework with a fault: it cannot launch jobs whose name begins with bad."""

from __future__ import annotations

from typing import Any

from pymesos_binpack.core import launches
from pymesos_binpack.jobs.instance import Instance
from pymesos_binpack.main import main
from pymesos_binpack.placement.planner import Launch

right = launches.task_infos  # type: ignore[attr-defined]


def wrong(instance: Instance, launch: Launch) -> Any:
    """In the place of `task_infos`."""
    if instance.job_id.startswith("bad"):
        raise TypeError("planted")
    return right(instance, launch)


launches.task_infos = wrong  # type: ignore[attr-defined]

if __name__ == "__main__":
    main()
