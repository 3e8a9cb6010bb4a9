"""What `jobs JOB` says of tasks whose number of instances follows what is measured."""

from __future__ import annotations

from collections.abc import Iterator

from pymesos_core.clock import utc
from pymesos_proto.v1 import jobs_pb2 as pb


def scaling_lines(job: pb.JobView) -> Iterator[str]:
    """Say how many instances each such task has and why, and the latest changes, newest first."""
    for task in job.scaling:
        bounds = f"from {task.min} to {task.max} by {task.target}"
        note = f"; {task.note}" if task.note else ""
        yield f"{task.task_name}: scaled {bounds}, now {task.count}{note}"
        for step in reversed(task.steps):
            yield f"  {utc(step.at_s)}: {step.why}"
