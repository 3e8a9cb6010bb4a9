"""What executors of frameworks have beside the resources of their tasks."""

from __future__ import annotations

from collections.abc import Sequence

from pymesos_core.resources import Resources, parse
from pymesos_proto.v1 import types_pb2 as pb

# Of one that asks for nothing, as Mesos' executor of a command has it; nobody is charged for it.
OVERHEAD = parse("cpus:0.1;mem:32")


def own_resources(held: Resources) -> Resources:
    """Return what an executor may use beside its tasks, of which it holds `held`.

    It has some of each kind of the overhead, so that it can run while it has no tasks.
    """
    amounts = held.amounts()
    missing = {name: milli for name, milli in OVERHEAD.scalars.items() if not amounts.get(name)}
    return held + Resources(missing)


def executor_of(info: pb.TaskInfo) -> tuple[str, Sequence[pb.Resource]]:
    """Return the id of a task's executor, and what that asks to hold beside the task.

    The executor of a group is only a name, and what it holds.
    """
    if info.HasField("executor"):
        return info.executor.executor_id, info.executor.resources
    return info.group_executor_id, info.group_executor_resources


def held_problem(held: Resources) -> str | None:
    """Why an executor cannot hold these resources, or None."""
    if any(tag.volume or tag.shared or tag.device or tag.revocable for tag in held.tagged):
        return "volumes, parts of devices and what is revocable are for its tasks"
    if held.amounts().get("gpus"):
        return "gpus are for its tasks"
    return None
