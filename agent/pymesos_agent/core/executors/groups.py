"""What the executors of groups hold.

An executor that groups of tasks name is no process here: the agent does its work. It has resources
all the same, from the launch of the first task that names it until the end of the last is stored.
"""

from __future__ import annotations

from dataclasses import dataclass

from pymesos_agent.core.context import Context
from pymesos_agent.core.tasks.task import Task
from pymesos_core.resources import Resources, from_proto
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import types_pb2 as pb


@dataclass(frozen=True, slots=True)
class GroupExecutor:
    """The executor of a group, as the first of its tasks names it."""

    first: Task

    @property
    def key(self) -> tuple[str, str]:
        """Framework id and executor id."""
        return key_of(self.first)

    @property
    def held(self) -> Resources:
        """What it holds beside its tasks."""
        return from_proto(self.first.info.group_executor_resources)

    def report(self) -> agent_pb.HeldExecutor:
        """What a master is told of what it holds."""
        return agent_pb.HeldExecutor(
            framework_id=self.first.framework_id,
            executor_id=self.first.info.group_executor_id,
            role=self.first.role,
            resources=self.first.info.group_executor_resources,
            started_at_s=self.first.launched_at_s,
        )


def asks(task: Task) -> bool:
    """Whether a task names an executor of its group that holds something."""
    return bool(task.group_id and task.info.group_executor_resources)


def key_of(task: Task) -> tuple[str, str]:
    """Framework id and executor id of the group of a task."""
    return (task.framework_id, task.info.group_executor_id)


def find(ctx: Context, key: tuple[str, str]) -> GroupExecutor | None:
    """Return the one of that key, unless it has ended with the last of its tasks."""
    for task in ctx.state.group_executors.get(key, ()):
        if not task.end_durable:
            return GroupExecutor(task)
    return None


def held(ctx: Context) -> list[GroupExecutor]:
    """Return those that hold resources."""
    found = (find(ctx, key) for key in ctx.state.group_executors)
    return [one for one in found if one is not None]


def is_other(ctx: Context, framework_id: str, info: pb.TaskInfo) -> bool:
    """Whether the executor of a task is there, as one of the other kind or with other resources."""
    if info.HasField("executor"):
        return find(ctx, (framework_id, info.executor.executor_id)) is not None
    key = (framework_id, info.group_executor_id)
    custom, known = ctx.state.executors.get(key), find(ctx, key)
    if custom is not None and not custom.ended:
        return True
    return known is not None and known.held != from_proto(info.group_executor_resources)
