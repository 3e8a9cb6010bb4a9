"""Task groups: a task and its sidecars live and die together, and its agent sees to that.

When a task has ended well its sidecars run on: they are to end with it.
"""

from __future__ import annotations

from pymesos_binpack.jobs.instance import Instance
from pymesos_core.states import is_terminal
from pymesos_proto.v1 import types_pb2 as pb


def main_task_id(task_id: str) -> str:
    """The id of the task that a sidecar is beside, or of the task itself."""
    return task_id.partition("+")[0]


def sidecar_ids(instance: Instance) -> list[str]:
    """The ids of an instance's sidecars, in its latest attempt."""
    return [f"{instance.saved.task_id}+{sidecar.name}" for sidecar in instance.spec.sidecars]


def left_over(instance: Instance) -> list[str]:
    """The sidecars of a task that has ended, as far as they are not known to have."""
    return [i for i in sidecar_ids(instance) if i not in instance.saved.ended_beside]


def sidecar_failed(status: pb.TaskStatus) -> bool:
    """Whether the end of a sidecar is what ends its task."""
    return is_terminal(status.state) and status.state not in (pb.TASK_FINISHED, pb.TASK_KILLED)
