"""What jobs take of the room that there is for the state."""

from __future__ import annotations

import json
from collections.abc import Iterable

from pymesos_binpack.jobs.history import Version
from pymesos_binpack.jobs.instance import Saved
from pymesos_binpack.placement import decisions
from pymesos_binpack.specs import Job
from pymesos_core.store import RECORD_BYTES

# The record of one that runs, about: what a record takes beside its value; ids, names and addresses
# as long as usual; the names of the fields; and why it is where it is.
INSTANCE_BYTES = 2 * RECORD_BYTES + len(json.dumps(Saved().record())) + decisions.MAX_BYTES


def room_problem(
    room_bytes: int | None,
    job: Job,
    *,
    earlier: Iterable[Version] = (),
    instead_of: Job | None = None,
) -> str | None:
    """Return why a job is not taken, where there is room for so many bytes more; or None.

    It comes with `earlier` versions, or takes the place of another. One that takes no more than
    that is always taken: so there is a way out.
    """
    more_bytes = _taken_bytes(job) + sum(2 * len(each.document.encode()) for each in earlier)
    more_bytes -= _taken_bytes(instead_of) if instead_of is not None else 0
    if room_bytes is None or more_bytes <= max(room_bytes, 0):
        return None
    return (
        f"the state has room for {max(room_bytes, 0)} bytes more, and this takes about"
        f" {more_bytes}: end jobs with `pymesos-cli stop`, or make this smaller"
    )


def _taken_bytes(job: Job) -> int:
    """About what a job takes: its document twice, as that is kept once it is not in force, too."""
    instances = sum(task.instances for task in job.tasks)
    return 2 * len(job.document.encode()) + INSTANCE_BYTES * instances
